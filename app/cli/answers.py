"""Answers typed at the terminal, while the conversation goes on above them."""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from app.cli.screen import JsonLines, Screen
from app.client import ClientError, ConversationStream, Happening, Replaced
from app.errors import InvalidPayload
from app.protocol.events import InputRequest, InputResolved
from app.protocol.snapshot import InputView

_READ_BYTES = 65_536


class Answers:
    """Hands each line of standard input to the question that was asked first. A context manager.

    Nothing is read before somebody asks. The input is read by a thread of its own and not through ``sys.stdin``, whose
    lock a program that ends meanwhile could not get. What answers a secret question is not shown.

    :param wanted: False: nothing is ever read.
    """

    def __init__(self, stream: ConversationStream, screen: Screen | JsonLines, *, wanted: bool) -> None:
        self._stream = stream
        self._screen = screen
        self._open: dict[str, InputRequest | InputView] = {}
        self._lock = threading.Lock()  # guards the dict
        self._reader: threading.Thread | None = None
        self._woken, self._wake = os.pipe()
        self._fd = _fileno() if wanted else None
        self._echo = _Echo(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._echo.show()
        os.close(self._wake)
        if self._reader is not None:
            self._reader.join()
        os.close(self._woken)

    def hear(self, happening: Happening) -> None:
        """Note who asks, and who no longer does."""
        with self._lock:
            match happening.body:
                case InputRequest() as request:
                    self._open[request.request_id] = request
                case InputResolved(request_id=request_id):
                    self._open.pop(request_id, None)
                case Replaced(state=state):
                    self._open = {request.request_id: request for request in state.pending_inputs}
                case _:
                    return
        self._look()

    def _look(self) -> None:
        first = self._first()
        self._echo.hide() if first is not None and first.secret else self._echo.show()
        if first is not None and self._reader is None and self._fd is not None:
            self._reader = threading.Thread(target=self._read, args=(self._fd,), name="colloquy-answers", daemon=True)
            self._reader.start()

    def _first(self) -> InputRequest | InputView | None:
        with self._lock:
            return next(iter(self._open.values()), None)

    def _read(self, fd: int) -> None:
        rest = b""
        while True:
            readable, _, _ = select.select([fd, self._woken], [], [])
            if self._woken in readable:
                return
            piece = os.read(fd, _READ_BYTES)
            *whole, rest = (rest + piece).split(b"\n")
            for line in whole if piece else [rest] if rest else []:
                self._give(line.decode("utf-8", "replace").rstrip("\r"))
            if not piece:
                return

    def _give(self, line: str) -> None:
        request = self._first()
        if request is None:
            self._screen.say("nobody asks; this line goes to nobody", warning=True)
            return
        try:
            self._stream.provide_input(request.request_id, line)
        except ClientError as error:
            self._screen.say(error.message, warning=True)
            if error.code == InvalidPayload.code:  # it can still be answered
                return
        with self._lock:
            self._open.pop(request.request_id, None)
        self._look()


class _Echo:
    """Whether the terminal shows what is typed."""

    def __init__(self, fd: int | None) -> None:
        self._fd = fd if fd is not None and os.isatty(fd) else None
        self._before: list[Any] | None = None

    def hide(self) -> None:
        """Show nothing from now on."""
        if self._fd is None or self._before is not None:
            return
        import termios  # not on every system

        self._before = termios.tcgetattr(self._fd)
        hidden = list(self._before)
        hidden[3] &= ~termios.ECHO
        termios.tcsetattr(self._fd, termios.TCSANOW, hidden)

    def show(self) -> None:
        """As it was."""
        if self._fd is None or self._before is None:
            return
        import termios

        before, self._before = self._before, None
        termios.tcsetattr(self._fd, termios.TCSANOW, before)


def _fileno() -> int | None:
    find: Callable[[], int] = sys.stdin.fileno
    with suppress(OSError, ValueError, AttributeError):
        return find()
    return None
