"""What a team of a user's own prints: into the server's log, in small doses."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable

from app.streaming.ports import Concurrency

logger = logging.getLogger(__name__)

MAX_LINES_PER_S = 50
MAX_LINE_CHARS = 500
_RECEIVE_BYTES = 65_536
_READS_PER_S = 16
"""Together about a megabyte per second. Who prints more waits in its own process: nobody else pays for it."""


class Output:
    """The end of a process's standard output and error. A greenlet reads it until the last writer has closed it.

    :param label: stands before each line.
    """

    def __init__(self, label: str, concurrency: Concurrency, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._label = label
        self._concurrency = concurrency
        self._monotonic = monotonic
        self._ours, self.theirs = socket.socketpair()
        self.theirs.setblocking(True)
        self._second = 0
        self._lines = 0
        self._left_out = 0

    def begin(self) -> None:
        """Read, now that the process has its end."""
        self.theirs.close()
        self._concurrency.spawn(self._read)

    def close(self) -> None:
        """There is no process."""
        self.theirs.close()
        self._ours.close()

    def _read(self) -> None:
        rest = b""
        try:
            while piece := self._ours.recv(_RECEIVE_BYTES):
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    self._tell(line)
                rest = rest[:_RECEIVE_BYTES]
                if len(piece) == _RECEIVE_BYTES or len(lines) > MAX_LINES_PER_S:
                    self._concurrency.sleep(1 / _READS_PER_S)
        except OSError:
            pass  # the same as the end
        finally:
            self._ours.close()
            self._tell(rest)
            self._summarise()

    def _tell(self, line: bytes) -> None:
        second = int(self._monotonic())
        if second != self._second:
            self._summarise()
            self._second, self._lines = second, 0
        text = line[: 4 * MAX_LINE_CHARS].decode(errors="replace").rstrip()[:MAX_LINE_CHARS]
        if not text:
            return
        self._lines += 1
        if self._lines > MAX_LINES_PER_S:
            self._left_out += 1
        else:
            logger.info("%s: %s", self._label, text)

    def _summarise(self) -> None:
        if self._left_out:
            logger.warning("%s: %d more lines, which are left out", self._label, self._left_out)
            self._left_out = 0
