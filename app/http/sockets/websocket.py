"""One plain WebSocket, the same in all async modes: the I/O-free protocol of ``websockets`` on the request's socket.

Why not each mode's own class: eventlet's bounds a frame but not the sum of its fragments, gevent has none, and
simple-websocket ignores what a send did not take; none of them tells a stalled client.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Any

from websockets.datastructures import Headers
from websockets.exceptions import InvalidState as InvalidStateOfProtocol
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from app.concurrency import shut_down, socket_of
from app.connections import Outlet
from app.protocol.close_codes import CloseCode
from app.streaming.ports import Clock

_RECEIVE_BYTES = 16_384
GOODBYE_S = 2.0
"""How long the other side may take to answer a goodbye, in seconds."""
_MAX_REASON_BYTES = 123
_HANDSHAKE_HEADERS = ("HTTP_CONNECTION", "HTTP_UPGRADE", "HTTP_SEC_WEBSOCKET_KEY", "HTTP_SEC_WEBSOCKET_VERSION")
_EXTENSIONS_HEADER = "HTTP_SEC_WEBSOCKET_EXTENSIONS"
# Small windows: 17 kB instead of 90 kB per connection, for little less compression.
_DEFLATE = ServerPerMessageDeflateFactory(
    server_max_window_bits=12, client_max_window_bits=12, compress_settings={"memLevel": 5}
)

_quiet = logging.getLogger(__name__ + ".frames")
_quiet.setLevel(logging.WARNING)  # the library tells of each connection


class Closed(Exception):
    """The connection is no more: the client has left, was refused, or was cut off."""


class HandshakeRefused(Exception):
    """The request is no WebSocket handshake; the answer is plain HTTP."""

    def __init__(self, status: HTTPStatus, headers: list[tuple[str, str]], body: bytes) -> None:
        super().__init__(status.phrase)
        self.status = status
        self.headers = headers
        self.body = body


class WebSocket:
    """A connection after its handshake.

    :meth:`receive` and :meth:`finish` belong to the reader's task; everything else may be called from anywhere. What is
    sent is sent whole, in the order of the calls; a sender waits until the kernel has taken it. Who takes nothing for
    too long is cut off by :class:`app.connections.Connections`, and then all calls raise :class:`Closed`.
    """

    def __init__(self, outlet: Outlet, protocol: ServerProtocol, clock: Clock) -> None:
        self.outlet = outlet
        self.heard_at = clock.monotonic()
        """When the client last said anything, a pong too."""
        self._protocol = protocol
        self._clock = clock
        self._sending = threading.Lock()  # guards the protocol's outgoing half, and the order on the wire
        self._partial = bytearray()
        self._messages: list[str] = []

    @property
    def is_open(self) -> bool:
        return self._protocol.state is State.OPEN and not self.outlet.aborted

    # --- sending ------------------------------------------------------------------------------------------------------

    def send_text(self, text: str) -> None:
        """:raises Closed:"""
        body = text.encode("utf-8", "replace")
        with self._sending:
            self._protocol_call(lambda: self._protocol.send_text(body))

    def ping(self) -> None:
        """Ask the client for a sign of life. :raises Closed:"""
        with self._sending:
            self._protocol_call(lambda: self._protocol.send_ping(b""))

    def close(self, code: CloseCode, reason: str = "") -> None:
        """Say goodbye; more than once is no error. Waits for what is being sent, unless that is too slow."""
        if self._sending.acquire(timeout=GOODBYE_S):
            try:
                self._say_goodbye(code, reason)
            finally:
                self._sending.release()
        else:
            self.outlet.abort()

    def close_now(self, code: CloseCode, reason: str = "") -> None:
        """Say goodbye if that can be done without waiting, and else without a word."""
        if self._sending.acquire(blocking=False):
            try:
                if not self.outlet.unsent_bytes():
                    self._say_goodbye(code, reason)
            finally:
                self._sending.release()
        else:
            self.outlet.abort()

    def _say_goodbye(self, code: CloseCode, reason: str) -> None:
        cut = reason.encode()[:_MAX_REASON_BYTES].decode(errors="ignore")
        with contextlib.suppress(Closed):
            self._protocol_call(lambda: self._protocol.send_close(int(code), cut))

    def _protocol_call(self, call: Any) -> None:
        if not self.is_open:
            raise Closed
        try:
            call()
        except InvalidStateOfProtocol:
            raise Closed from None
        self._flush()

    def _flush(self) -> None:
        """Write what the protocol has to say. The lock is held."""
        pieces = self._protocol.data_to_send()
        rest = memoryview(b"".join(pieces))
        ends = b"" in pieces
        if rest:
            self.outlet.begin_write()
            try:
                while rest:
                    taken = self.outlet.socket.send(rest)
                    self.outlet.wrote(taken)
                    rest = rest[taken:]
            except OSError:
                self.outlet.abort()
                raise Closed from None
            self.outlet.end_write()
        if ends:
            shut_down(self.outlet.socket, socket.SHUT_WR)

    # --- receiving ----------------------------------------------------------------------------------------------------

    def receive(self) -> str:
        """The next message. Waits for it.

        A binary one, one that is too long and one that is no UTF-8 end the connection.

        :raises Closed: when there is none any more.
        """
        while not self._messages:
            if self._protocol.state is State.CLOSED or self.outlet.aborted:
                raise Closed
            try:
                received = self.outlet.socket.recv(_RECEIVE_BYTES)
            except OSError:
                received = b""
            with self._sending:
                if received:
                    self.heard_at = self._clock.monotonic()
                    self._protocol.receive_data(received)
                else:
                    self._protocol.receive_eof()
                for event in self._protocol.events_received():
                    if isinstance(event, Frame):
                        self._take(event)
                with contextlib.suppress(Closed):
                    self._flush()
            if not received or (self._protocol.state is not State.OPEN and not self._messages):
                raise Closed
        return self._messages.pop(0)

    def _take(self, frame: Frame) -> None:
        if frame.opcode is Opcode.BINARY:
            self._protocol.fail(int(CloseCode.UNSUPPORTED), "text only")
        elif frame.opcode in (Opcode.TEXT, Opcode.CONT) and self._protocol.state is State.OPEN:
            self._partial += frame.data
            if frame.fin:
                whole, self._partial = self._partial, bytearray()
                try:
                    self._messages.append(whole.decode())
                except UnicodeDecodeError:
                    self._protocol.fail(1007, "not UTF-8")

    def finish(self) -> None:
        """Let the other side's goodbye arrive, for a moment, and end the connection."""
        sock, until = self.outlet.socket, self._clock.monotonic() + GOODBYE_S
        with contextlib.suppress(OSError):
            if not self.outlet.aborted and self._protocol.state is State.CLOSING:
                sock.settimeout(GOODBYE_S)
                while self._protocol.close_rcvd is None and self._clock.monotonic() < until:
                    received = sock.recv(_RECEIVE_BYTES)
                    if not received:
                        break
                    self._protocol.receive_data(received)
                    self._protocol.events_received()
        shut_down(sock)


def shake_hands(
    environ: dict[str, Any],
    clock: Clock,
    *,
    max_frame_bytes: int,
    compression: bool,
    send_buffer_bytes: int,
) -> WebSocket:
    """Make a WebSocket of a request.

    :param environ: WSGI's, under :func:`app.concurrency.serve`.
    :param max_frame_bytes: longest message that is taken; a longer one is refused before it is read.
    :raises HandshakeRefused: when it is no proper handshake; nothing was sent.
    :raises Closed: when the client has left meanwhile.
    """
    sock = socket_of(environ)
    protocol = ServerProtocol(extensions=[_DEFLATE] if compression else None, max_size=max_frame_bytes, logger=_quiet)
    protocol.receive_data(Request("/", Headers(_headers(environ, compression))).serialize())
    requests = [event for event in protocol.events_received() if isinstance(event, Request)]
    if not requests:
        raise HandshakeRefused(HTTPStatus.BAD_REQUEST, [], b"")
    response = protocol.accept(requests[0])
    if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
        status = HTTPStatus(response.status_code)
        kept = [(name, value) for name, value in response.headers.raw_items() if name in ("Content-Type", "Upgrade")]
        raise HandshakeRefused(status, kept, bytes(response.body or b""))
    websocket = WebSocket(Outlet(sock, clock, send_buffer_bytes=send_buffer_bytes), protocol, clock)
    protocol.send_response(response)
    with websocket._sending:
        websocket._flush()
    return websocket


def _headers(environ: dict[str, Any], compression: bool) -> Iterator[tuple[str, str]]:
    wanted: Iterable[str] = (*_HANDSHAKE_HEADERS, _EXTENSIONS_HEADER) if compression else _HANDSHAKE_HEADERS
    for name in wanted:
        if name in environ:
            yield name.removeprefix("HTTP_").replace("_", "-").title(), str(environ[name])
