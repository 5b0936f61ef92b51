"""Anthropic's Messages API behind a chat completion: requests, whole replies, streams cut anywhere."""

from __future__ import annotations

import itertools
import json
from typing import Any

import httpx2
import pytest
from autogen_core import FunctionCall
from autogen_core.models import UserMessage
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import BackendUnavailable, ModelRejected
from app.providers.anthropic import body_of, completion_of, request_of
from app.providers.anthropic_stream import MessagesStream
from app.providers.calls import Switch
from app.providers.client import GatedModelClient
from app.providers.sse import Kind, SseEvent
from app.runner.wire import ProviderSpec
from tests.providers.scripted import Body, Script, ScriptedRun, sse
from tests.support.model_messages import event, problem

SPEC = ProviderSpec(name="claude", kind="anthropic", model="claude-x", api_key="sk-ant-secret")


def started(**usage: int) -> bytes:
    message = {"id": "msg_1", "type": "message", "role": "assistant", "content": [], "model": "claude-x-1",
               "stop_reason": None, "usage": {"input_tokens": 25, "output_tokens": 1, **usage}}  # fmt: skip
    return event("message_start", {"message": message})


def text(*pieces: str, index: int = 0) -> list[bytes]:
    block = {"type": "text", "text": ""}
    deltas = [{"index": index, "delta": {"type": "text_delta", "text": piece}} for piece in pieces]
    return [
        event("content_block_start", {"index": index, "content_block": block}),
        event("ping", {}),
        *(event("content_block_delta", each) for each in deltas),
        event("content_block_stop", {"index": index}),
    ]


def tool(index: int, name: str, *pieces: str) -> list[bytes]:
    block = {"type": "tool_use", "id": f"toolu_{index}", "name": name, "input": {}}
    deltas = [{"index": index, "delta": {"type": "input_json_delta", "partial_json": piece}} for piece in pieces]
    return [
        event("content_block_start", {"index": index, "content_block": block}),
        *(event("content_block_delta", each) for each in deltas),
        event("content_block_stop", {"index": index}),
    ]


def ended(reason: str = "end_turn", tokens: int = 15) -> list[bytes]:
    delta = {"delta": {"stop_reason": reason, "stop_sequence": None}, "usage": {"output_tokens": tokens}}
    return [event("message_delta", delta), event("message_stop", {})]


STREAM = b"".join([started(cache_read_input_tokens=5), *text("Hel", "lo, “wörld” 🌍"), *tool(1, "look", '{"a"', ": 1}"),
                   *tool(2, "now"), *ended("tool_use")])  # fmt: skip


def understood(data: bytes, *cuts: int) -> tuple[list[SseEvent], list[int]]:
    prompts: list[int] = []
    stream = MessagesStream(include_usage=True, told_prompt=prompts.append)
    places = [0, *sorted(cuts), len(data)]
    events = [each for start, end in itertools.pairwise(places) for each in stream.feed(data[start:end])]
    return [*events, *stream.finish()], prompts


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_a_stream_cut_anywhere_is_the_same_completion(cuts: list[int]) -> None:
    """Text, two tool calls (one without arguments), the figures, the end."""
    events, prompts = understood(STREAM, *cuts)
    assert "".join(each.text for each in events) == "Hello, “wörld” 🌍"
    calls: dict[int, dict[str, str]] = {}
    for each in events:
        for choice in each.document.get("choices", []):
            for part in choice["delta"].get("tool_calls", []):
                call = calls.setdefault(part["index"], {"arguments": ""})
                call["name"] = part["function"].get("name") or call.get("name", "")
                call["arguments"] += part["function"]["arguments"]
    assert calls == {0: {"name": "look", "arguments": '{"a": 1}'}, 1: {"name": "now", "arguments": "{}"}}
    assert prompts == [30]
    assert [each.finish_reason for each in events if each.finish_reason] == ["tool_calls"]
    assert [each.usage for each in events if each.usage] == [(30, 15)]
    assert events[-1].kind is Kind.DONE
    assert sum(each.kind is Kind.CONTENT for each in events) == 2


def thinking(*pieces: str) -> list[bytes]:
    """A model's thoughts, signed, and what it thinks but does not tell."""
    deltas = [{"index": 0, "delta": {"type": "thinking_delta", "thinking": piece}} for piece in pieces]
    signature = {"index": 0, "delta": {"type": "signature_delta", "signature": "EqQBCgIYAhIM"}}
    return [
        event(
            "content_block_start", {"index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}}
        ),
        *(event("content_block_delta", each) for each in [*deltas, signature]),
        event("content_block_stop", {"index": 0}),
        event("content_block_start", {"index": 1, "content_block": {"type": "redacted_thinking", "data": "Eqk"}}),
        event("content_block_stop", {"index": 1}),
    ]


def test_what_nobody_knows_is_passed_over() -> None:
    """Pings, later versions' events and blocks."""
    assert understood(b"".join([event("later", {"x": 1}), b"data: no JSON\n\n", event("ping", {})]))[0] == []


def test_thoughts_are_thoughts() -> None:
    """What is signed or hidden is nobody's business; the text comes after them."""
    events, _ = understood(b"".join([*thinking("Hm, ", "", "well."), *text("Yes.", index=2)]))
    assert [(each.kind, each.text) for each in events] == [
        (Kind.THOUGHT, "Hm, "), (Kind.THOUGHT, "well."), (Kind.CONTENT, "Yes."),
    ]  # fmt: skip


def test_arguments_that_stand_at_the_beginning_of_a_call() -> None:
    """Servers that only speak as Anthropic does send them there, and no delta."""
    block = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"a": 1}}
    begun = event("content_block_start", {"index": 0, "content_block": block})
    events, _ = understood(begun + event("content_block_stop", {"index": 0}))
    calls = [each.document["choices"][0]["delta"]["tool_calls"][0] for each in events]
    assert "".join(each["function"]["arguments"] for each in calls) == '{"a": 1}'


def test_a_request_says_the_same() -> None:
    """System texts go apart, speakers are named, tools answered in the next turn; no turn is blank or out of order."""
    chat = {
        "model": "ignored", "stream": True, "temperature": 1.7, "top_p": 0.5, "stop": ["END", " "], "max_tokens": 99,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "assistant", "content": "Before all.", "name": "Ann"},
            {"role": "user", "content": "Why?", "name": "user"},
            {"role": "user", "content": "Because.", "name": "Risk_Challenger"},
            {"role": "assistant", "content": "", "tool_calls": [
                {"id": "t1", "type": "function", "function": {"name": "look", "arguments": '{"a": 1}'}},
                {"id": "t2", "type": "function", "function": {"name": "look", "arguments": "{broken"}}]},
            {"role": "tool", "tool_call_id": "t1", "content": "7"},
            {"role": "tool", "tool_call_id": "t2", "content": ""},
            {"role": "system", "content": "And honest."},
            {"role": "assistant", "content": "It is seven."},
        ],
        "tools": [{"type": "function", "function": {
            "name": "look", "description": "Looks.", "parameters": {"type": "object"}}}],
        "tool_choice": "required", "parallel_tool_calls": False,
    }  # fmt: skip
    body = body_of(chat, SPEC)
    assert problem({"x-api-key": "k", "anthropic-version": "2023-06-01"}, body) is None
    assert (body["model"], body["max_tokens"], body["stream"]) == ("claude-x", 99, True)
    assert (body["system"], body["temperature"], body["stop_sequences"]) == ("Be brief.\n\nAnd honest.", 1.0, ["END"])
    assert "top_p" not in body
    assert [turn["role"] for turn in body["messages"]] == [
        "user",
        "assistant",
        "user",
        "assistant",
        "user",
        "assistant",
        "user",
    ]
    assert [block["text"] for block in body["messages"][2]["content"]] == ["Why?", "Risk Challenger: Because."]
    assert [block["input"] for block in body["messages"][3]["content"]] == [{"a": 1}, {"arguments": "{broken"}]
    assert [block["tool_use_id"] for block in body["messages"][4]["content"]] == ["t1", "t2"]
    assert body["tool_choice"] == {"type": "any", "disable_parallel_tool_use": True}
    assert body["tools"] == [{"name": "look", "input_schema": {"type": "object"}, "description": "Looks."}]


def test_tools_that_were_called_are_named_again() -> None:
    """Where the answer is to be in words, as after every call by an AutoGen agent that reflects on it."""
    calls = [{"id": f"t{n}", "type": "function", "function": {"name": "look", "arguments": "{}"}} for n in range(2)]
    answers = [{"role": "tool", "tool_call_id": f"t{n}", "content": "7"} for n in range(2)]
    said = [{"role": "user", "content": "How much?"}, {"role": "assistant", "tool_calls": calls}]
    body = body_of({"messages": [*said, *answers]}, SPEC)
    assert problem({"x-api-key": "k", "anthropic-version": "2023-06-01"}, body) is None
    assert [tool["name"] for tool in body["tools"]] == ["look"]
    assert body["tool_choice"] == {"type": "none"}


def test_a_schema_is_asked_for_as_structured_output() -> None:
    """Closed objects, and none of the bounds that are refused; a property may be called as they are."""
    schema = {
        "type": "object",
        "properties": {"minimum": {"type": "number", "minimum": 0}, "of": {"$ref": "#/$defs/A"}},
        "$defs": {"A": {"type": "object", "properties": {"b": {"type": "array", "minItems": 2}}}},
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "r", "schema": schema}}
    body = body_of({"messages": [], "response_format": wanted}, SPEC)
    assert body["output_config"]["format"] == {
        "type": "json_schema",
        "schema": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"minimum": {"type": "number"}, "of": {"$ref": "#/$defs/A"}},
            "$defs": {
                "A": {"type": "object", "additionalProperties": False, "properties": {"b": {"type": "array"}}},
            },
        },
    }
    plain = body_of({"messages": [], "response_format": {"type": "json_object"}}, SPEC)
    assert "JSON" in plain["system"]
    assert "output_config" not in plain


def test_pictures_go_along() -> None:
    """As data, or as an address."""
    parts = [{"type": "text", "text": "See"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
             {"type": "image_url", "image_url": {"url": "https://x.example/a.png"}}]  # fmt: skip
    [turn] = body_of({"messages": [{"role": "user", "content": parts}]}, SPEC)["messages"]
    assert [block.get("source") for block in turn["content"]] == [
        None,
        {"type": "base64", "media_type": "image/png", "data": "aGk="},
        {"type": "url", "url": "https://x.example/a.png"},
    ]


def test_a_whole_reply() -> None:
    """Text, tool calls and figures."""
    blocks = [{"type": "text", "text": "Hi"}, {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}]
    made = completion_of(
        {"id": "m", "content": blocks, "stop_reason": "tool_use", "usage": {"input_tokens": 3, "output_tokens": 4}}, "m"
    )
    assert made["choices"][0]["finish_reason"] == "tool_calls"
    assert made["choices"][0]["message"]["content"] == "Hi"
    assert made["choices"][0]["message"]["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"a": 1}'}
    assert made["usage"] == {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


@pytest.mark.parametrize("address", [None, "https://api.anthropic.com/v1/", "https://api.anthropic.com"])
def test_its_address_with_and_without_v1(address: str | None) -> None:
    """The key is in its own header, and in no other."""
    request = request_of({"messages": []}, SPEC.model_copy(update={"base_url": address}))
    assert str(request.url) == "https://api.anthropic.com/v1/messages"
    assert request.headers["x-api-key"] == "sk-ant-secret"
    assert "authorization" not in request.headers


# --- through a team's client ------------------------------------------------------------------------------------------


class Claude(ScriptedRun):
    """A run whose first provider is Anthropic, and whose second is not."""

    def __init__(self, script: Script, **spec: Any) -> None:
        super().__init__(script, names="ab")
        self.run.providers = (SPEC.model_copy(update=spec), self.run.providers[1])
        self.client = GatedModelClient(self.run)

    async def ask(self) -> Any:
        return [each async for each in self.client.create_stream([UserMessage(content="Question?", source="user")])]


async def test_a_team_hears_it_as_any_other_model() -> None:
    """Text, usage and its price."""
    claude = Claude(Script(Body([started(), *text("Two", " words"), *ended(tokens=9)])), model="claude-haiku-4-5")
    *pieces, result = await claude.ask()
    assert "".join(pieces) == result.content == "Two words"
    usage = claude.run.usage()
    assert (usage.prompt_tokens, usage.completion_tokens, usage.estimated) == (25, 9, False)
    assert usage.cost_usd == pytest.approx((25 * 1 + 9 * 5) / 1e6)
    [request] = claude.run.network.transport.requests  # type: ignore[attr-defined]  # the script's
    assert json.loads(request.content)["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "Question?"}]}
    ]


async def test_a_tool_call_reaches_the_team() -> None:
    """With the name and the arguments that the model chose."""
    claude = Claude(Script(Body([started(), *tool(0, "look", '{"at":', ' "it"}'), *ended("tool_use")])))
    [result] = await claude.ask()
    assert result.content == [FunctionCall(id="toolu_0", name="look", arguments='{"at": "it"}')]


@pytest.mark.parametrize(
    ("kind", "code"),
    [("overloaded_error", "model_server_error"), ("rate_limit_error", "model_rate_limited"),
     ("authentication_error", "model_unauthorized"), ("billing_error", "model_rate_limited")],
)  # fmt: skip
async def test_an_error_in_mid_stream_goes_on_with_the_next(kind: str, code: str) -> None:
    """What it said is withdrawn, and the reason is typed."""
    broken = [started(), *text("Half")[:-1], event("error", {"error": {"type": kind, "message": "sk-ant-secret"}})]
    other = b'data: {"choices":[{"index":0,"delta":{"content":"Whole."},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    claude = Claude(Script(Body(broken), Body([other])))
    result = (await claude.ask())[-1]
    assert result.content == "Whole."
    assert [each.reason for each in claude.entries if isinstance(each, Switch)] == [code]


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, "model_unauthorized"), (402, "model_rate_limited"), (404, "model_not_found"), (429, "model_rate_limited"),
     (500, "model_server_error"), (529, "model_server_error")],
)  # fmt: skip
async def test_a_refusal_before_the_first_word_goes_on_with_the_next(status: int, code: str) -> None:
    """529: it is overloaded."""
    claude = Claude(Script(status, Body(sse("Other."))))
    assert (await claude.ask())[-1].content == "Other."
    assert [each.reason for each in claude.entries if isinstance(each, Switch)] == [code]


async def test_a_refusal_is_no_reason_to_ask_another() -> None:
    """Neither by its policy, nor because the prompt is too long."""
    claude = Claude(Script(Body([started(), *text("I")[:-1], *ended("refusal")])))
    with pytest.raises(ModelRejected) as refused:
        await claude.ask()
    assert refused.value.error_code == "content_refused"

    class TooLong(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            told = {"type": "invalid_request_error", "message": "prompt is too long: 9 tokens > 8 maximum"}
            return httpx2.Response(400, json={"type": "error", "error": told})

    claude = Claude(Script())
    claude.run.network.transport = TooLong()
    with pytest.raises(ModelRejected) as refused:
        await claude.ask()
    assert refused.value.error_code == "context_overflow"


async def test_who_is_out_of_credit_is_left() -> None:
    """Anthropic says so with a 400."""

    class Poor(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            told = {"type": "invalid_request_error", "message": "Your credit balance is too low to access the API."}
            return httpx2.Response(400, json={"type": "error", "error": told})

    claude = Claude(Script())
    claude.run.providers = claude.run.providers[:1]
    claude.run.network.transport = Poor()
    with pytest.raises(BackendUnavailable) as gone:
        await claude.ask()
    assert gone.value.error_code == "model_rate_limited"


async def test_what_a_broken_off_reply_has_cost() -> None:
    """The prompt by the provider's figure, the rest by its length: its pieces are longer than tokens."""
    claude = Claude(Script(Body([started(), *text("x" * 400)[:-1]])))
    claude.run.providers = claude.run.providers[:1]
    with pytest.raises(BackendUnavailable):
        await claude.ask()
    usage = claude.run.usage()
    assert (usage.prompt_tokens, usage.completion_tokens, usage.estimated) == (25, 100, True)


async def test_a_reply_that_comes_whole() -> None:
    """Where it is not to stream, nor does: the same text and figures."""

    class Whole(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            assert json.loads(request.content)["stream"] is False
            usage = {"input_tokens": 7, "output_tokens": 2}
            blocks = [{"type": "text", "text": "All at once."}]
            body = {
                "type": "message",
                "model": "claude-x-1",
                "content": blocks,
                "stop_reason": "end_turn",
                "usage": usage,
            }
            return httpx2.Response(200, json=body)

    claude = Claude(Script(), stream=False)
    claude.run.network.transport = Whole()
    [result] = await claude.ask()
    assert result.content == "All at once."
    assert (claude.run.tokens(), claude.run.usage().estimated) == (9, False)
