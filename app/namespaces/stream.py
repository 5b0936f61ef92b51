"""A connection's TCP socket, taken over from the HTTP server: the bytes of a WebSocket."""

from __future__ import annotations

import contextlib
import fcntl
import socket
import ssl
import struct
import sys
import termios
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app.concurrency import AsyncMode
from app.wsgi import plain_socket, socket_of

_LINUX = sys.platform == "linux"
_SIOCOUTQ = termios.TIOCOUTQ  # the same number: bytes that the peer has not acknowledged
_SIOCOUTQNSD = 0x894B  # of these, the bytes that were not sent at all: its window is closed, or the way congested
_TCP_INFO_BYTES_ACKED = 120  # offset in Linux's struct tcp_info, since 4.1
_PEER_LEFT = (7, 8)  # Linux, tcp_states.h: TCP_CLOSE, TCP_CLOSE_WAIT
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, 0 s


class Stream:
    """Reads in the mode's own way, writes without waiting.

    :attr:`send_now` takes bytes and returns how many of them the kernel took; it raises BlockingIOError where that is
    none, and never lets others run. It is None for TLS, which cannot be written to in part.

    :param send_buffer_bytes: SO_SNDBUF; 0: the kernel's choice.
    """

    def __init__(self, mode: AsyncMode, environ: dict[str, Any], send_buffer_bytes: int = 0) -> None:
        self._mode = mode
        self._green = socket_of(environ)
        self._raw = plain_socket(self._green)
        self.recv: Callable[[int], bytes] = self._green.recv
        self.send_now: Callable[[bytes], int] | None = None
        if not isinstance(self._raw, ssl.SSLSocket):
            self.send_now = self._raw.send if self._raw is not self._green else self._send_at_once
        with contextlib.suppress(OSError):  # it may be gone already; its reader finds that out
            self._green.settimeout(None)  # HTTP's; who says or takes nothing here is for others to judge
            self._raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if send_buffer_bytes:
                self._raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer_bytes)

    def _send_at_once(self, data: bytes) -> int:
        taken: int = self._raw.send(data, socket.MSG_DONTWAIT)
        return taken

    def send_all(self, data: bytes) -> None:
        """Write everything, letting others run. :raises OSError:"""
        self._green.sendall(data)

    def limit_waiting(self, seconds: float | None) -> None:
        """Let :attr:`recv` raise TimeoutError after so many seconds without a byte; None: never."""
        self._green.settimeout(seconds)

    def wait_writable(self, timeout_s: float) -> None:
        """Wait until something can be written, or the connection has ended. :raises TimeoutError, OSError:"""
        self._mode.wait_writable(self._raw, timeout_s)

    def unacknowledged_bytes(self) -> int:
        """What the kernel holds because the peer has not acknowledged it; 0 where the system does not tell."""
        return self._held(_SIOCOUTQ)

    def unsent_bytes(self) -> int:
        """What the kernel has not even sent, because the peer takes nothing now; 0 where the system does not tell."""
        return self._held(_SIOCOUTQNSD)

    def _held(self, question: int) -> int:
        if not _LINUX:
            return 0
        try:
            return int.from_bytes(fcntl.ioctl(self._raw.fileno(), question, b"\0\0\0\0"), sys.byteorder)
        except (OSError, ValueError):
            return 0

    def acknowledged_bytes(self) -> int:
        """What the peer's kernel has acknowledged so far; 0 where the system does not tell."""
        if not _LINUX:
            return 0
        try:
            info = self._raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES_ACKED + 8)
        except (OSError, ValueError):
            return 0
        return int(struct.unpack_from("=Q", info, _TCP_INFO_BYTES_ACKED)[0]) if len(info) > _TCP_INFO_BYTES_ACKED else 0

    def peer_has_left(self) -> bool:
        """Whether the peer sends no more, as the kernel knows without anybody reading; False where it does not tell."""
        if not _LINUX:
            return False
        try:
            return self._raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] in _PEER_LEFT
        except (OSError, ValueError):
            return True

    def finish(self) -> None:
        """Say that nothing more comes. Both ends may still read."""
        self._shut(socket.SHUT_WR)

    def shut(self) -> None:
        """End it in both directions: whoever waits for it wakes up."""
        self._shut(socket.SHUT_RDWR)

    def reset(self) -> None:
        """End it at once: what the kernel still holds is thrown away when the HTTP server closes the socket."""
        with contextlib.suppress(OSError):
            self._raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._shut(socket.SHUT_RDWR)

    def _shut(self, how: int) -> None:
        with contextlib.suppress(OSError):
            self._raw.shutdown(how)


@dataclass(slots=True)
class Progress:
    """How far a client has come with what it was sent, and since when it has come no further.

    :ivar mark: whatever grows with what the client takes.
    :ivar since: the monotonic clock's reading.
    """

    mark: Any
    since: float

    def saw(self, mark: Any, now: float) -> None:
        """It is so far now."""
        if mark != self.mark:
            self.mark, self.since = mark, now
