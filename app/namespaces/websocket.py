"""The WebSocket protocol (RFC 6455): the ``websockets`` package's I/O-free core, fed from a WSGI request."""

from __future__ import annotations

import logging
from typing import Any

from websockets.datastructures import Headers
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import OPEN, Protocol, Side
from websockets.server import ServerProtocol

_MEANT_FOR_US = ("HTTP_CONNECTION", "HTTP_UPGRADE", "HTTP_SEC_WEBSOCKET_")
SWITCHING_PROTOCOLS = 101
_TEXTS = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)

logger = logging.getLogger(__name__)
logger.setLevel(logging.WARNING)  # it says at INFO that a connection was closed, whatever the server's log shows


class WebSocketCore:
    """One connection's protocol: bytes in, messages out. Does no I/O; not safe for use from several threads.

    What has to be sent in answer (pongs, the closing frame) is collected; fetch it with :meth:`to_send`.

    :param max_bytes: a longer message fails the connection before it is read.
    :param compression: accept permessage-deflate.
    :param bytes_are_text: a binary message is UTF-8, too.
    """

    def __init__(self, *, max_bytes: int, compression: bool = False, bytes_are_text: bool = False) -> None:
        self._offered = [ServerPerMessageDeflateFactory()] if compression else []
        self._core = Protocol(Side.SERVER, max_size=max_bytes, logger=logger)
        self._bytes_are_text = bytes_are_text
        self._parts: list[bytes] = []
        self._is_text = True
        self.ended = False

    def accept(self, environ: dict[str, Any]) -> tuple[int, bytes]:
        """Answer a WSGI request for an upgrade.

        :returns: status and content: 101 and the whole HTTP response, or a refusal and its text.
        """
        headers = Headers()
        for name, value in environ.items():
            if name.startswith(_MEANT_FOR_US):
                headers[name[5:].replace("_", "-")] = value
        handshake = ServerProtocol(extensions=self._offered, logger=logger)
        request = Request("/", headers, environ["REQUEST_METHOD"])  # eventlet calls all requests HTTP/1.0
        response = handshake.accept(request)
        if response.status_code != SWITCHING_PROTOCOLS:
            return response.status_code, bytes(response.body or b"")
        self._core.extensions = handshake.extensions
        return SWITCHING_PROTOCOLS, response.serialize()

    @property
    def compresses(self) -> bool:
        """Whether messages have to pass :meth:`encode`; else any frame will do."""
        return bool(self._core.extensions)

    def encode(self, text: bytes) -> bytes:
        """One message as a frame, compressed if so agreed. Frames must be sent in the order in which they were made."""
        if self._core.state is not OPEN:  # the peer has closed it: its reader is about to find that out
            return b""
        self._core.send_text(text)
        return b"".join(self._core.data_to_send())

    def feed(self, data: bytes) -> list[str | bytes]:
        """Take bytes of the peer; none: it has ended.

        :returns: the messages that are whole now.
        """
        if not data:
            self._core.receive_eof()
            self.ended = True
            return []
        self._core.receive_data(data)
        messages: list[str | bytes] = []
        for event in self._core.events_received():
            if isinstance(event, Frame) and event.opcode in _TEXTS:
                self._add(event, messages)
        return messages

    def _add(self, frame: Frame, messages: list[str | bytes]) -> None:
        if frame.opcode is not Opcode.CONT:
            self._is_text = frame.opcode is Opcode.TEXT or self._bytes_are_text
            self._parts.clear()
        if frame.data:  # empty ones could come for ever
            self._parts.append(bytes(frame.data))
        if not frame.fin:
            return
        message = b"".join(self._parts)
        self._parts.clear()
        try:
            messages.append(message.decode() if self._is_text else message)
        except UnicodeDecodeError:
            self._core.fail(CloseCode.INVALID_DATA, "text must be UTF-8")

    @property
    def is_open(self) -> bool:
        """Whether messages may still be sent."""
        return self._core.state is OPEN

    @property
    def peer_has_closed(self) -> bool:
        """Whether the peer's closing frame has come."""
        return self._core.close_rcvd is not None

    def ping(self) -> None:
        """Add a ping to what has to be sent; nothing, if it is closed."""
        if self._core.state is OPEN:
            self._core.send_ping(b"")

    def close(self, code: int = CloseCode.NORMAL_CLOSURE, reason: str = "") -> None:
        """Add the closing frame to what has to be sent; nothing, if there was one.

        :param reason: at most 123 bytes of UTF-8.
        """
        if self._core.state is OPEN:
            self._core.send_close(code, reason)

    def to_send(self) -> bytes:
        """What has to be sent now. Afterwards :attr:`ended` tells whether that was the last."""
        parts = self._core.data_to_send()
        if not parts:
            return b""
        self.ended = self.ended or b"" in parts
        return b"".join(parts)
