"""What is written to the wire."""

from __future__ import annotations

import json

import orjson
import pytest
from websockets.frames import Frame, Opcode

from app.namespaces.frames import Json, encode, event_packet, text_frame


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536])
def test_frames_are_those_of_the_protocol(size: int) -> None:
    """Of every form of length."""
    assert text_frame(b"x" * size) == Frame(Opcode.TEXT, b"x" * size).serialize(mask=False)


def test_an_event_is_a_socket_io_packet() -> None:
    """In our namespace, with one payload."""
    text = event_packet("message_delta", {"delta": 'größer "'}).text.decode()
    assert text.startswith("42/conversations,[")
    assert json.loads(text[len("42/conversations,") :]) == ["message_delta", {"delta": 'größer "'}]


@pytest.mark.parametrize("value", ["\ud83d half a pair", 2**80, {1: 2}])
def test_what_orjson_refuses_is_written_by_the_standard_library(value: object) -> None:
    """A model's text must never fail an emit."""
    assert encode(value) == json.dumps(value, separators=(",", ":")).encode()


@pytest.mark.parametrize("text", ["NaN", "[" * 5_000, "9" * 5_000, '"\\ud83d"', "{"])
def test_what_is_no_json_is_refused(text: str) -> None:
    """With a ValueError (that is what orjson's is), whatever is wrong."""
    with pytest.raises(orjson.JSONDecodeError):
        Json.loads(text)
