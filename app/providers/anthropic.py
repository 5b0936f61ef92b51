"""Anthropic's Messages API in the place of a chat completion: requests and whole replies, translated. No I/O.

Frameworks speak OpenAI's chat completions. The transport of a run hands their requests through here, and the replies
back (streams: :mod:`app.providers.anthropic_stream`), so that gate, stop, failover and usage are the same for all.
Source of the shapes: https://platform.claude.com/docs/en/api/messages.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from typing import Any

import httpx2

from app.providers.addresses import ANTHROPIC_BASE_URL
from app.runner.wire import ProviderSpec

VERSION = "2023-06-01"
MAX_REPLY_TOKENS = 8192
"""Of one reply, where nobody has said: the API wants a figure."""
FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}
"""``stop_reason`` → ``finish_reason``; any other is ``stop``."""

_GO_ON = "Go on."
_BEGIN = "Begin."
_JSON_ONLY = "Answer with one JSON object and nothing else: no prose around it, no code fence."
_UNSUPPORTED = frozenset({
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "minItems",
    "maxItems", "uniqueItems", "minProperties", "maxProperties",
})  # fmt: skip
"""Words of JSON Schema that structured outputs refuse; the one who asked checks the reply by itself."""


def messages_url(spec: ProviderSpec) -> httpx2.URL:
    """Where requests go. Addresses are taken with and without ``/v1``."""
    base = (spec.base_url or ANTHROPIC_BASE_URL).rstrip("/").removesuffix("/v1")
    return httpx2.URL(f"{base}/v1/messages")


def headers(spec: ProviderSpec) -> dict[str, str]:
    """What every request carries."""
    named = {"anthropic-version": VERSION, "user-agent": "Colloquy"}
    return {**named, "x-api-key": spec.api_key} if spec.api_key else named


def request_of(chat: Mapping[str, Any], spec: ProviderSpec) -> httpx2.Request:
    """The request that asks Anthropic the same as a chat completion's body asks OpenAI.

    :param chat: the body of ``POST /chat/completions``.
    """
    own = {**headers(spec), "content-type": "application/json"}
    return httpx2.Request("POST", messages_url(spec), headers=own, content=json.dumps(body_of(chat, spec)))


def body_of(chat: Mapping[str, Any], spec: ProviderSpec) -> dict[str, Any]:
    """The body of ``POST /v1/messages``."""
    system, turns = _conversation(chat.get("messages") or ())
    asked_tokens = chat.get("max_completion_tokens") or chat.get("max_tokens") or spec.max_reply_tokens
    body: dict[str, Any] = {
        "model": spec.model,
        "max_tokens": asked_tokens or MAX_REPLY_TOKENS,
        "messages": turns,
        "stream": bool(chat.get("stream")),
    }
    wanted = chat.get("response_format") or {}
    if wanted.get("type") == "json_schema":
        schema = _schema((wanted.get("json_schema") or {}).get("schema") or {"type": "object"})
        body["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
    elif wanted.get("type") == "json_object":
        system = [*system, _JSON_ONLY]
    if system:
        body["system"] = "\n\n".join(system)
    if chat.get("temperature") is not None:
        body["temperature"] = min(1.0, float(chat["temperature"]))
    elif chat.get("top_p") is not None:  # newer models refuse both together
        body["top_p"] = chat["top_p"]
    stops = chat.get("stop")
    stops = [stops] if isinstance(stops, str) else stops or []
    if any(stop.strip() for stop in stops):
        body["stop_sequences"] = [stop for stop in stops if stop.strip()]
    return body | (_tools(chat) or _called_tools(turns))


def completion_of(message: Mapping[str, Any], model: str) -> dict[str, Any]:
    """A whole reply as a chat completion.

    :param model: the name that was asked for; frameworks warn of another one, and the API tells a dated one.
    """
    texts, calls = [], []
    for block in message.get("content") or ():
        if block.get("type") == "text":
            texts.append(str(block.get("text", "")))
        elif block.get("type") == "tool_use":
            arguments = json.dumps(block.get("input") or {})
            function = {"name": block.get("name"), "arguments": arguments}
            calls.append({"id": block.get("id"), "type": "function", "function": function})
    said: dict[str, Any] = {"role": "assistant", "content": "".join(texts) or (None if calls else "")}
    if calls:
        said["tool_calls"] = calls
    finish = FINISH.get(str(message.get("stop_reason")), "stop")
    completion = {
        "id": message.get("id", ""),
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [{"index": 0, "message": said, "finish_reason": finish}],
    }
    usage = message.get("usage")
    if isinstance(usage, Mapping):
        completion["usage"] = usage_body(prompt_tokens(usage), _count(usage.get("output_tokens")))
    return completion


def translated_whole(content: bytes, model: str) -> bytes:
    """A body that came whole; unchanged where it is no message."""
    try:
        document = json.loads(content)
    except ValueError:
        return content
    is_message = isinstance(document, dict) and document.get("type") == "message"
    return json.dumps(completion_of(document, model)).encode() if is_message else content


def prompt_tokens(usage: Mapping[str, Any]) -> int:
    """All that was read: what came from the cache is counted apart there."""
    parts = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    return sum(_count(usage.get(part)) for part in parts)


def usage_body(prompt: int, completion: int) -> dict[str, int]:
    """A chat completion's ``usage``."""
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _count(figure: object) -> int:
    return figure if isinstance(figure, int) and figure > 0 else 0


# --- messages ---------------------------------------------------------------------------------------------------------


def _conversation(messages: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[dict[str, Any]]]:
    """System texts, and the turns: user and assistant alternate, a user begins and ends. No text may be blank."""
    system: list[str] = []
    turns: list[dict[str, Any]] = []
    for message in messages:
        role = message.get("role")
        if role in ("system", "developer"):
            system += [block["text"] for block in _blocks(message.get("content")) if block["type"] == "text"]
            continue
        blocks = _answer(message) if role == "tool" else _said(message)
        speaker = "assistant" if role == "assistant" else "user"
        if turns and turns[-1]["role"] == speaker:
            turns[-1]["content"] += blocks
        elif blocks:
            turns.append({"role": speaker, "content": blocks})
    if not turns or turns[0]["role"] == "assistant":
        turns.insert(0, _user(_BEGIN))
    if turns[-1]["role"] == "assistant":
        turns.append(_user(_GO_ON))  # newer models refuse to go on with words that were put into their mouth
    for turn in turns:  # the API wants the answers of tools before anything else
        turn["content"].sort(key=lambda block: block["type"] != "tool_result")
    return system, turns


def _said(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a user or an assistant has said. There are no names in the API, so a speaker's stands before the words."""
    blocks = _blocks(message.get("content"))
    name = message.get("name")
    if message.get("role") == "user" and isinstance(name, str) and name not in ("", "user"):
        spoken = f"{name.replace('_', ' ')}: "
        first = next((block for block in blocks if block["type"] == "text"), None)
        if first is not None and not first["text"].startswith(spoken):
            first["text"] = spoken + first["text"]
    for call in message.get("tool_calls") or ():
        function = call.get("function") or {}
        given = _object(function.get("arguments"))
        blocks.append({"type": "tool_use", "id": call.get("id"), "name": function.get("name"), "input": given})
    return blocks


def _answer(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    told = _blocks(message.get("content"))
    return [{"type": "tool_result", "tool_use_id": message.get("tool_call_id"), **({"content": told} if told else {})}]


def _blocks(content: Any) -> list[dict[str, Any]]:
    parts: Any = [{"type": "text", "text": content}] if isinstance(content, str) else content or ()
    found: list[dict[str, Any]] = []
    for part in parts:
        if part.get("type") == "text" and str(part.get("text", "")).strip():
            found.append({"type": "text", "text": str(part["text"])})
        elif part.get("type") == "image_url":
            found.append({"type": "image", "source": _image(str((part.get("image_url") or {}).get("url", "")))})
    return found


def _image(url: str) -> dict[str, str]:
    head, comma, body = url.partition(",")
    if head.startswith("data:") and head.endswith(";base64") and comma:
        try:
            base64.b64decode(body, validate=True)
        except binascii.Error:
            body = ""
        return {"type": "base64", "media_type": head[5:-7], "data": body}
    return {"type": "url", "url": url}


def _user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "text", "text": text}]}


def _object(arguments: Any) -> dict[str, Any]:
    """A tool call's arguments. A model's broken JSON is passed on as what it is."""
    try:
        given = json.loads(arguments or "{}")
    except (TypeError, ValueError):
        return {"arguments": arguments}
    return given if isinstance(given, dict) else {"arguments": given}


# --- tools and schemas ------------------------------------------------------------------------------------------------


def _tools(chat: Mapping[str, Any]) -> dict[str, Any]:
    functions = [each["function"] for each in chat.get("tools") or () if each.get("type") == "function"]
    if not functions:
        return {}
    tools = []
    for function in functions:
        takes = function.get("parameters") or {"type": "object"}
        tool: dict[str, Any] = {"name": function["name"], "input_schema": takes}
        if function.get("description"):
            tool["description"] = function["description"]
        tools.append(tool)
    chosen = chat.get("tool_choice")
    choice: dict[str, Any] = {"type": {"required": "any", "none": "none"}.get(str(chosen), "auto")}
    if isinstance(chosen, dict):
        choice = {"type": "tool", "name": (chosen.get("function") or {}).get("name")}
    if chat.get("parallel_tool_calls") is False and choice["type"] != "none":
        choice["disable_parallel_tool_use"] = True
    return {"tools": tools, "tool_choice": choice}


def _called_tools(turns: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The tools that a conversation speaks of: the API wants to know them, also where none may be called any more."""
    blocks = [block for turn in turns for block in turn["content"] if block["type"] == "tool_use"]
    names = dict.fromkeys(block["name"] for block in blocks)
    tools = [{"name": name, "input_schema": {"type": "object"}} for name in names]
    return {"tools": tools, "tool_choice": {"type": "none"}} if tools else {}


def _schema(schema: Any) -> Any:
    """A JSON schema as structured outputs take it: objects are closed, bounds are left out."""
    if isinstance(schema, list):
        return [_schema(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    named = ("properties", "$defs", "definitions")  # under these, keys are names of the author's
    kept = {
        key: {name: _schema(part) for name, part in value.items()}
        if key in named and isinstance(value, dict)
        else value
        if key in ("enum", "const", "default", "examples")
        else _schema(value)
        for key, value in schema.items()
        if key not in _UNSUPPORTED
    }
    if kept.get("type") == "object" or "properties" in kept:
        kept["additionalProperties"] = False
    return kept
