"""What goes to a client: an Engine.IO packet, made once, and the WebSocket frame around it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import orjson

from app.protocol import NAMESPACE

_TEXT = 0x81  # one whole message of text, unmasked, as RFC 6455 has it of a server
_EVENT = b"42"  # an Engine.IO message with a Socket.IO event in it


class Json:
    """The ``json`` of python-socketio: orjson, and the standard library for what orjson refuses to write.

    Half a surrogate pair in a model's text is such a thing; it is written as an escape, and JavaScript understands it.
    """

    @staticmethod
    def dumps(value: Any, **_: Any) -> str:
        return encode(value).decode()

    @staticmethod
    def loads(text: str | bytes, **_: Any) -> Any:
        """:raises ValueError: for what is no JSON: also NaN, half surrogate pairs, and too deep nesting."""
        return orjson.loads(text)


def encode(value: Any) -> bytes:
    """JSON as UTF-8, without spaces."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, separators=(",", ":")).encode()


class Packet:
    """One Engine.IO packet. Its WebSocket frame is made when it is first asked for: once for a whole room."""

    __slots__ = ("_frame", "text")

    def __init__(self, text: bytes) -> None:
        self.text = text
        self._frame: bytes | None = None

    @property
    def frame(self) -> bytes:
        """The packet in a WebSocket frame, not compressed."""
        if self._frame is None:
            self._frame = text_frame(self.text)
        return self._frame

    def encode(self, b64: bool = False) -> str:
        """For Engine.IO's payloads (long polling)."""
        return self.text.decode()


class Bundle(Packet):
    """Several packets that are written together."""

    __slots__ = ("packets",)

    def __init__(self, packets: Sequence[Packet]) -> None:
        super().__init__(b"")
        self.packets = packets
        self._frame = b"".join([packet.frame for packet in packets])


def event_packet(name: str, payload: dict[str, Any]) -> Packet:
    """A Socket.IO event of our namespace."""
    return Packet(b"%b%b]" % (_head(name), encode(payload)))


@lru_cache(maxsize=256)
def _head(name: str) -> bytes:
    return b'%b%b,["%b",' % (_EVENT, NAMESPACE.encode(), name.encode())


def text_frame(text: bytes) -> bytes:
    """One message as one frame."""
    size = len(text)
    if size < 126:
        return bytes((_TEXT, size)) + text
    if size < 65_536:
        return b"\x81\x7e" + size.to_bytes(2, "big") + text
    return b"\x81\x7f" + size.to_bytes(8, "big") + text
