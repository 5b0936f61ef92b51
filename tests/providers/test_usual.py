"""Servers that speak as OpenAI does, but not quite: frameworks get what OpenAI would have sent, the room each word."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from autogen_core import FunctionCall

from app.providers.calls import Piece
from app.providers.sse import Kind, SseSplitter
from tests.providers.scripted import Body, Script
from tests.providers.test_client import Caller
from tests.providers.test_compat import TOOL, Framework

HEAD = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


def chunk(
    delta: Any = None, finish: str | None = None, *, choice: dict[str, Any] | None = None, **fields: Any
) -> bytes:
    """A chunk with one choice, as an event."""
    choices = [{"index": 0, "delta": delta, "finish_reason": finish, **(choice or {})}]
    return sent({**HEAD, "choices": choices, **fields})


def sent(document: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(document).encode() + b"\n\n"


def called(arguments: Any = '{"a": 1}', name: str | None = "look", **fields: Any) -> dict[str, Any]:
    """A piece of a tool call."""
    function = {"arguments": arguments, **({"name": name} if name is not None else {})}
    return {"type": "function", "function": function, **fields}


DONE = b"data: [DONE]\n\n"
END = chunk({}, "stop")
SAFE = {"hate": {"filtered": False, "severity": "safe"}}

TEXTS: dict[str, list[bytes]] = {
    "OpenRouter: comments, reasoning beside nothing": [
        b": OPENROUTER PROCESSING\n\n", b": OPENROUTER PROCESSING\n\n",
        *(chunk({"role": "assistant", "content": text, "reasoning": None, "reasoning_details": []},
                choice={"native_finish_reason": None, "logprobs": None}, provider="X") for text in ("He", "ll", "o")),
        END, chunk({"role": "assistant", "content": ""}, usage=USAGE), DONE,
    ],
    "vLLM: empty lists, figures with every word": [
        chunk({"role": "assistant", "content": ""}, usage=USAGE | {"completion_tokens": 0}),
        *(chunk({"content": text, "tool_calls": []}, usage=USAGE | {"completion_tokens": number})
          for number, text in enumerate(("He", "ll", "o"), 1)),
        chunk({"content": ""}, "stop", usage=USAGE), sent({**HEAD, "choices": [], "usage": USAGE}), DONE,
    ],
    "Gemini, Mistral: the last words, the end and the figures at once": [
        chunk({"role": "assistant", "content": "He"}), chunk({"content": "ll"}),
        chunk({"content": "o"}, "stop", usage=USAGE), DONE,
    ],
    "Azure: filter results in a chunk without choices, in each, and in one without a delta": [
        sent({"choices": [], "created": 0, "id": "", "model": "", "object": "",
              "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": SAFE}]}),
        chunk({"role": "assistant", "content": "", "refusal": None}, choice={"content_filter_results": {}}),
        *(chunk({"content": text}, choice={"content_filter_results": SAFE}) for text in ("He", "llo")),
        sent({"choices": [{"index": 0, "finish_reason": None, "content_filter_results": SAFE,
                           "content_filter_offsets": {"check_offset": 4, "start_offset": 4, "end_offset": 9}}],
              "created": 0, "id": "", "model": "", "object": ""}),
        chunk({}, "stop", choice={"content_filter_results": {}}),
        sent({**HEAD, "choices": [], "usage": USAGE}), DONE,
    ],
    "no delta, no choices, no reason yet": [
        chunk(None, ""), chunk({"content": "Hello"}, ""), chunk(None, "stop"),
        sent({**HEAD, "choices": None, "usage": USAGE}), DONE,
    ],
    "MiniMax: a name and an empty text of another kind with each": [
        *(chunk({"role": "assistant", "content": text, "name": "MM", "audio_content": ""}) for text in ("Hel", "lo")),
        chunk({}, "stop", usage=USAGE), DONE,
    ],
    "event names, numbers and comments beside the words": [
        b": hm\nevent: message\nid: 1\n" + chunk({"content": "Hello"}), chunk({}, "stop", usage=USAGE), DONE,
    ],
    "Mistral's reasoning models: content in parts": [
        chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}]}),
        chunk({"content": [{"type": "text", "text": "Hel"}]}), chunk({"content": "lo"}, "stop", usage=USAGE), DONE,
    ],
    "thoughts and words at once": [
        chunk({"role": "assistant", "content": "", "reasoning_content": "Hm."}),
        chunk({"content": "Hel", "reasoning_content": " So:"}),
        chunk({"content": "lo", "reasoning_content": ""}, "stop", usage=USAGE),
    ],
}  # fmt: skip


@pytest.mark.parametrize("events", TEXTS.values(), ids=TEXTS)
async def test_texts(events: list[bytes]) -> None:
    """Each word is streamed, the framework has the same text, the figures are the server's."""
    caller = Caller(Script(Body(events)))
    _, result = await caller.stream()
    pieces = [entry for entry in caller.entries if isinstance(entry, Piece) and not entry.thought]
    assert result.content == "Hello"
    assert "".join(piece.text for piece in pieces) == "Hello"
    assert result.finish_reason == "stop"
    usage = caller.run.usage()
    assert (usage.prompt_tokens, usage.completion_tokens, usage.estimated) == (7, 3, False)

    framework = Framework(Body(events), Body(events))
    assert (await framework.whole()).content == "Hello"
    assert (await framework.chunks())[-1].choices[0].finish_reason == "stop"
    assert framework.shown.replace("Hm.", "").replace(" So:", "") == "HelloHello"


LOOK = FunctionCall(id="a", name="look", arguments='{"a": 1}')
BOTH = [LOOK, FunctionCall(id="b", name="look", arguments='{"a": 2}')]

CALLS: dict[str, tuple[list[dict[str, Any]], list[FunctionCall]]] = {
    "OpenAI": ([
        called("", index=0, id="a"), called('{"a"', None, index=0), called(": 1}", None, index=0),
        called("", index=1, id="b"), called('{"a": 2}', None, index=1),
    ], BOTH),
    "Ollama: one index for all": ([called(index=0, id="a"), called('{"a": 2}', index=0, id="b")], BOTH),
    "Gemini: no index": ([called(id="a"), called('{"a": 2}', id="b")], BOTH),
    "pieces without an index": ([called('{"a"', id="a"), called(": 1}", None)], [LOOK]),
    "an index that begins at one": ([called(index=1, id="a"), called('{"a": 2}', index=2, id="b")], BOTH),
    "name and id with every piece": ([called('{"a"', index=0, id="a"), called(": 1}", index=0, id="a")], [LOOK]),
    "another id with every piece": ([called('{"a"', index=0, id="a"), called(": 1}", None, index=0, id="z")], [LOOK]),
    "arguments as an object": ([called({"a": 1}, index=0, id="a")], [LOOK]),
    "no arguments": ([called(None, index=0, id="a")], [FunctionCall(id="a", name="look", arguments="{}")]),
}  # fmt: skip


@pytest.mark.parametrize(("pieces", "expected"), CALLS.values(), ids=CALLS)
async def test_tool_calls(pieces: list[dict[str, Any]], expected: list[FunctionCall]) -> None:
    """Whole and apart, for AutoGen and for others."""
    events = [*(chunk({"role": "assistant", "content": None, "tool_calls": [piece]}) for piece in pieces),
              chunk({}, "tool_calls", usage=USAGE), DONE]  # fmt: skip
    assert (await Caller(Script(Body(events))).stream())[1].content == expected
    message = await Framework(Body(events)).whole(tools=[TOOL])
    found = [FunctionCall(call.id, call.function.arguments, call.function.name) for call in message.tool_calls]
    assert found == expected


async def test_all_tool_calls_in_one_chunk_with_the_end() -> None:
    """Gemini sends no ids either: they are made."""
    pieces = [called(id=""), called('{"a": 2}', "see", id="")]
    events = [chunk({"role": "assistant", "tool_calls": pieces}, "stop", usage=USAGE), DONE]
    found = (await Caller(Script(Body(events))).stream())[1].content
    assert [(call.name, call.arguments) for call in found if isinstance(call, FunctionCall)] == [
        ("look", '{"a": 1}'), ("see", '{"a": 2}'),
    ]  # fmt: skip
    assert len({call.id for call in found if isinstance(call, FunctionCall) and call.id}) == 2


async def test_no_end_is_no_end() -> None:
    """An empty ``finish_reason`` with each word is none: what breaks off has broken off, and costs what was told."""
    events = [chunk({"content": "He"}, "", usage=USAGE), chunk(None, "", usage=USAGE)]
    caller = Caller(Script(Body(events), Body([chunk({"content": "Hello"}, "stop")])), names="ab")
    assert (await caller.stream())[1].content == "Hello"
    assert caller.run.provider == "b"
    assert caller.run.usage().prompt_tokens > 7


async def test_a_packed_stream() -> None:
    """Some proxies pack it though nobody has asked; in whatever pieces it comes."""
    packed = gzip.compress(b"".join(TEXTS["event names, numbers and comments beside the words"]))
    script = Script(Body([packed[place : place + 3] for place in range(0, len(packed), 3)]))
    script.headers["content-encoding"] = "gzip"
    caller = Caller(script)
    assert (await caller.stream())[1].content == "Hello"
    assert script.requests[0].headers["accept-encoding"] == "identity"


def test_what_is_usual_stays_as_it_is() -> None:
    """To the byte; also several choices, and what is no choice at all."""
    events = [
        chunk({"role": "assistant", "content": ""}), chunk({"content": "a"}), chunk({}, "stop"),
        sent({**HEAD, "choices": [], "usage": USAGE}), sent({"x": 1}), sent({"choices": ["y"]}),
        sent({**HEAD, "choices": [{"index": n, "delta": {"content": "a"}} for n in range(2)]}), DONE,
    ]  # fmt: skip
    found = SseSplitter().feed(b"".join(events))
    assert [event.raw for event in found] == events
    assert [event.kind for event in found].count(Kind.CONTENT) == 1
