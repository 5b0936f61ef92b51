"""Server-sent events: cut anywhere, joined only where they are plain content, never reordered."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.providers.sse import Kind, SseSplitter, events_of_whole, join_events, parse_event, usage_of


def chunk(delta: dict[str, Any] | None = None, **fields: Any) -> bytes:
    choice = {"index": 0, "delta": delta or {}, "finish_reason": fields.pop("finish_reason", None)}
    return b"data: " + json.dumps({"id": "c", "choices": [choice], **fields}).encode() + b"\n\n"


STREAM = b"".join(
    [
        b": a comment\n\n",
        chunk({"role": "assistant", "content": ""}),
        *[chunk({"content": f"wörd{number} "}) for number in range(5)],
        chunk({"content": None, "reasoning_content": "hm"}),
        chunk({"content": "end"}),
        chunk({}, finish_reason="stop"),
        b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":6}}\n\n',
        b"data: [DONE]\n\n",
    ]
)


@given(st.lists(st.integers(0, len(STREAM)), max_size=8), st.booleans())
def test_cuts_do_not_matter(cuts: list[int], crlf: bool) -> None:
    """Wherever reads are cut, in either line ending, the same events come."""
    stream = STREAM.replace(b"\n", b"\r\n") if crlf else STREAM
    splitter, places = SseSplitter(), [0, *sorted(cuts), len(stream)]
    events = [event for a, b in itertools.pairwise(places) for event in splitter.feed(stream[a:b])]
    assert splitter.finish() == []
    assert b"".join(event.raw for event in events) == stream
    kinds = [event.kind for event in events]
    assert kinds == [Kind.OTHER] * 2 + [Kind.CONTENT] * 5 + [Kind.THOUGHT, Kind.CONTENT] + [Kind.OTHER] * 2 + [
        Kind.DONE
    ]
    assert "".join(event.text for event in events if event.kind is Kind.CONTENT) == "wörd0 wörd1 wörd2 wörd3 wörd4 end"
    assert events[9].finish_reason == "stop"
    assert events[10].usage == (3, 6)


def test_joined_content_is_one_event() -> None:
    """With the text of all, and everything else of the first."""
    events = SseSplitter().feed(STREAM)[2:7]
    [joined] = SseSplitter().feed(join_events(events))
    assert joined.text == "wörd0 wörd1 wörd2 wörd3 wörd4 "
    assert joined.document["id"] == "c"
    assert join_events(events[:1]) == events[0].raw


@pytest.mark.parametrize(
    "raw",
    [
        chunk({"content": "x"}, finish_reason="stop"),
        chunk({"content": "x", "tool_calls": [{"index": 0}]}),
        chunk({"tool_calls": [{"index": 0}]}),
        chunk({"content": ""}),
        chunk({"content": "x"}, usage={"prompt_tokens": 1, "completion_tokens": 1}),
        b'data: {"choices":[{"index":1,"delta":{"content":"x"}}]}\n\n',
        b"event: ping\ndata: {}\n\n",
        b"data: no json\n\n",
        b"data: [1]\n\n",
        b"retry: 100\n\n",
    ],
)
def test_what_is_not_plain_content_is_left_alone(raw: bytes) -> None:
    """Such events pass as they are."""
    assert parse_event(raw).kind is Kind.OTHER


def test_errors_in_a_stream() -> None:
    """An error object is one, whatever else is beside it."""
    assert parse_event(b'data: {"error":{"message":"no"}}\n\n').kind is Kind.ERROR


def test_an_endless_event_is_refused() -> None:
    """Memory stays bounded."""
    splitter = SseSplitter()
    for _ in range(4):
        splitter.feed(b"x" * 1_000_000)
    with pytest.raises(ValueError, match="too long"):
        splitter.feed(b"x" * 1_000_000)


def test_a_last_event_without_its_blank_line() -> None:
    """Some servers omit it."""
    splitter = SseSplitter()
    assert splitter.feed(b"data: [DONE]") == []
    assert [event.kind for event in splitter.finish()] == [Kind.DONE]


def test_a_whole_reply_as_a_stream() -> None:
    """Text, tool calls, finish reason and usage of a completion that came whole."""
    message = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "t", "function": {"name": "f", "arguments": "{}"}}],
    }
    whole = {"id": "c", "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
             "usage": {"prompt_tokens": 1, "completion_tokens": 2}}  # fmt: skip
    events = SseSplitter().feed(events_of_whole(whole))
    assert events[0].document["choices"][0]["delta"]["tool_calls"][0]["index"] == 0
    assert events[1].finish_reason == "tool_calls"
    assert events[2].usage == (1, 2)
    assert events[3].kind is Kind.DONE


def test_half_a_surrogate_pair_is_mended() -> None:
    """A provider that cuts an emoji in two must not end the run: no pipe takes half of it."""
    event = parse_event(b'data: {"choices":[{"index":0,"delta":{"content":"a\\ud83d b"}}]}\n\n')
    assert event.text == "a� b"
    assert event.raw.decode("utf-8").startswith("data: ")


def test_a_character_in_two_halves() -> None:
    """Put together, also where events without words come between; a half that stays alone is told as what it is."""
    pieces = ['{"content":"a\\ud83d"}', '{"role":"assistant"}', '{"content":"\\ude00b\\ud83d"}', '{"content":"c"}']
    splitter = SseSplitter()
    events = [
        event
        for piece in pieces
        for event in splitter.feed(b'data: {"choices":[{"index":0,"delta":' + piece.encode() + b"}]}\n\n")
    ]
    assert [event.text for event in events if event.text] == ["a", "😀b", "\ufffdc"]
    assert json.loads(events[2].raw[6:])["choices"][0]["delta"]["content"] == "😀b"


@pytest.mark.parametrize("figure", [1.5, "many", -3, True, 10**30, None, [1]])
def test_a_strange_usage_figure_counts_as_none(figure: object) -> None:
    """A provider may say anything; the sum must not break over it."""
    assert usage_of({"usage": {"prompt_tokens": 10, "completion_tokens": figure}}) == (10, 0)
    assert usage_of({"usage": {"prompt_tokens": figure, "completion_tokens": figure}}) is None
