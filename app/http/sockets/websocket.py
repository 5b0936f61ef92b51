"""One plain WebSocket, the same in all async modes: a reader that waits, and senders that wait."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from app.concurrency import AsyncMode
from app.connections import Outlet
from app.namespaces.stream import Stream
from app.namespaces.websocket import SWITCHING_PROTOCOLS, WebSocketCore
from app.protocol.close_codes import CloseCode
from app.streaming.ports import Clock

GOODBYE_S = 2.0
"""How long the other side may take to answer a goodbye, in seconds."""

_RECEIVE_BYTES = 16_384
_MAX_REASON_BYTES = 123


class Closed(Exception):
    """The connection is no more: the client has left, was refused, or was cut off."""


class HandshakeRefused(Exception):
    """The request is no WebSocket handshake; the answer is plain HTTP."""

    def __init__(self, status: HTTPStatus, body: bytes) -> None:
        super().__init__(status.phrase)
        self.status = status
        self.body = body


class WebSocket:
    """A connection after its handshake.

    :meth:`receive` and :meth:`finish` belong to the reader's task; everything else may be called from anywhere. What is
    sent is sent whole, in the order of the calls; a sender waits until the kernel has taken it. Who takes nothing for
    too long is cut off by :class:`app.connections.Connections`, and then all calls raise :class:`Closed`.
    """

    def __init__(self, outlet: Outlet, core: WebSocketCore, clock: Clock) -> None:
        self.outlet = outlet
        self.heard_at = clock.monotonic()
        """When the client last said anything, a pong too."""
        self._core = core
        self._clock = clock
        self._sending = threading.Lock()  # guards the protocol, and the order on the wire
        self._messages: deque[str] = deque()

    @property
    def is_open(self) -> bool:
        return self._core.is_open and not self.outlet.aborted

    # --- sending ------------------------------------------------------------------------------------------------------

    def send_text(self, text: str) -> None:
        """:raises Closed:"""
        body = text.encode("utf-8", "replace")
        with self._sending:
            self._check_open()
            self._write(self._core.encode(body))

    def ping(self) -> None:
        """Ask the client for a sign of life. :raises Closed:"""
        self._add(self._core.ping)

    def close(self, code: CloseCode, reason: str = "") -> None:
        """Say goodbye; more than once is no error. Waits for what is being sent, unless that is too slow."""
        if self._sending.acquire(timeout=GOODBYE_S):
            self._sending.release()
            self._say_goodbye(code, reason)
        else:
            self.outlet.abort()

    def close_now(self, code: CloseCode, reason: str = "") -> None:
        """Say goodbye if that can be done without waiting, and else without a word."""
        if self._sending.locked() or self.outlet.stream.unsent_bytes():
            self.outlet.abort()
        else:
            self._say_goodbye(code, reason)

    def _say_goodbye(self, code: CloseCode, reason: str) -> None:
        cut = reason.encode()[:_MAX_REASON_BYTES].decode(errors="ignore")
        with contextlib.suppress(Closed):
            self._add(lambda: self._core.close(int(code), cut))

    def _add(self, add: Callable[[], None]) -> None:
        with self._sending:
            self._check_open()
            add()
            self._write(self._core.to_send())

    def _check_open(self) -> None:
        if not self.is_open:
            raise Closed

    def _write(self, data: bytes) -> None:
        """The lock is held."""
        if not data:
            return
        self.outlet.writing = True
        try:
            self.outlet.stream.send_all(data)
        except OSError:
            self.outlet.abort()
            raise Closed from None
        self.outlet.wrote()

    # --- receiving ----------------------------------------------------------------------------------------------------

    def receive(self) -> str:
        """The next message. Waits for it.

        A binary one, where the door takes none, one that is too long and one that is no UTF-8 end the connection.

        :raises Closed: when there is none any more.
        """
        while not self._messages:
            if not self.is_open:
                raise Closed
            try:
                received = self.outlet.stream.recv(_RECEIVE_BYTES)
            except OSError:
                received = b""
            if received:
                self.heard_at = self._clock.monotonic()
            with self._sending:
                for message in self._core.feed(received):
                    if isinstance(message, str):
                        self._messages.append(message)
                    else:
                        self._core.close(int(CloseCode.UNSUPPORTED), "text only")
                with contextlib.suppress(Closed):
                    self._write(self._core.to_send())
            if not received:
                raise Closed
        return self._messages.popleft()

    def finish(self) -> None:
        """Let the other side's goodbye arrive, for a moment, and end the connection."""
        stream, until = self.outlet.stream, self._clock.monotonic() + GOODBYE_S
        if self._core.ended:  # all is said, and what the other side still sends is not looked at
            stream.finish()
        with contextlib.suppress(OSError):
            stream.limit_waiting(GOODBYE_S)
            while not (self.outlet.aborted or self._core.peer_has_closed) and self._clock.monotonic() < until:
                received = stream.recv(_RECEIVE_BYTES)
                if not received:
                    break
                self._core.feed(received)
        stream.shut()


def shake_hands(
    environ: dict[str, Any],
    mode: AsyncMode,
    clock: Clock,
    *,
    max_frame_bytes: int,
    compression: bool,
    send_buffer_bytes: int,
    bytes_are_text: bool = False,
) -> WebSocket:
    """Make a WebSocket of a request.

    :param environ: WSGI's, under :func:`app.wsgi.serve`.
    :param max_frame_bytes: longest message that is taken; a longer one is refused before it is read.
    :param bytes_are_text: binary messages are taken as UTF-8, not refused.
    :raises HandshakeRefused: when it is no proper handshake; nothing was sent.
    :raises Closed: when the client has left meanwhile.
    """
    core = WebSocketCore(max_bytes=max_frame_bytes, compression=compression, bytes_are_text=bytes_are_text)
    status, content = core.accept(environ)
    if status != SWITCHING_PROTOCOLS:
        raise HandshakeRefused(HTTPStatus(status), content)
    websocket = WebSocket(Outlet(Stream(mode, environ, send_buffer_bytes), clock), core, clock)
    with websocket._sending:
        websocket._write(content)
    return websocket
