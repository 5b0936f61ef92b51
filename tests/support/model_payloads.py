"""The bodies of the OpenAI-compatible API, as the scripted model writes them. Pure: no I/O, no clock."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tests.support.model_behaviour import PRESETS, Behaviour

CREATED = 1_700_000_000  # the API wants a Unix time; a fixed one keeps replies equal between runs

ERRORS: dict[int, tuple[str, str, str]] = {
    401: ("Incorrect API key provided.", "invalid_request_error", "invalid_api_key"),
    403: ("You are not allowed to use this model.", "permission_error", "forbidden"),
    404: ("The model does not exist.", "invalid_request_error", "model_not_found"),
    429: ("Rate limit reached.", "requests", "rate_limit_exceeded"),
    500: ("The server had an error.", "server_error", "internal_error"),
    503: ("The engine is overloaded.", "server_error", "overloaded"),
}
REFUSALS: dict[str, tuple[str, str, str]] = {
    "context_overflow": (
        "This model's maximum context length is 2048 tokens. However, your messages resulted in 9999 tokens.",
        "invalid_request_error",
        "context_length_exceeded",
    ),
    "content_policy": (
        "The response was filtered due to the prompt triggering the content management policy.",
        "invalid_request_error",
        "content_filter",
    ),
}


def dumps(body: Any) -> bytes:
    """Compact JSON as bytes."""
    return json.dumps(body, separators=(",", ":")).encode()


def error_body(status: int, refusal: str = "") -> dict[str, Any]:
    """The API's error object for a status, or for a refusal (a 400)."""
    message, kind, code = REFUSALS[refusal] if refusal else ERRORS.get(status, ("It failed.", "server_error", "error"))
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def models_body() -> dict[str, Any]:
    """The answer of ``GET /v1/models``."""
    listed = [{"id": name, "object": "model", "created": CREATED, "owned_by": "scripted"} for name in PRESETS]
    return {"object": "list", "data": listed}


def usage_body(prompt_chars: int, completion_tokens: int) -> dict[str, int]:
    """Token counts: a prompt token is four characters, a completion token one delta."""
    prompt = prompt_chars // 4 + 1
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt + completion_tokens,
    }


def _answers_a_tool(message: dict[str, Any]) -> bool:
    content = message.get("content")
    blocks = content if isinstance(content, list) else ()
    return message.get("role") == "tool" or any(block.get("type") == "tool_result" for block in blocks)


def calls_of(body: dict[str, Any], behaviour: Behaviour) -> list[dict[str, Any]]:
    """The tool calls that the reply is made of; none once a tool has answered."""
    offered = {tool.get("function", tool).get("name") for tool in body.get("tools") or ()}
    wanted = [name for name in behaviour.calls.split(",") if name in offered]
    if not wanted or any(_answers_a_tool(message) for message in body.get("messages") or ()):
        return []
    return [
        {
            "index": number,
            "id": f"call_{name}",
            "type": "function",
            "function": {"name": name, "arguments": behaviour.call_arguments},
        }
        for number, name in enumerate(wanted)
    ]


def completion_body(
    reply_id: str,
    model: str,
    text: str,
    finish_reason: str,
    usage: dict[str, int] | None,
    calls: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """A whole reply."""
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if calls:
        message = {"role": "assistant", "content": None, "tool_calls": list(calls)}
    body: dict[str, Any] = {
        "id": reply_id,
        "object": "chat.completion",
        "created": CREATED,
        "model": model,
        "choices": [
            {"index": 0, "message": message, "finish_reason": finish_reason},
        ],
    }
    if usage is not None:
        body["usage"] = usage
    return body


def chunk_body(reply_id: str, model: str, choices: list[dict[str, Any]], **extra: Any) -> dict[str, Any]:
    """One chunk of a streamed reply."""
    return {
        "id": reply_id,
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": model,
        "choices": choices,
    } | extra


def delta_frame(reply_id: str, model: str) -> tuple[bytes, bytes]:
    """What stands before and after the JSON-escaped text of a delta in its SSE event. Made once per reply."""
    choice = {"index": 0, "delta": {"content": "\0"}, "finish_reason": None}
    before, after = dumps(chunk_body(reply_id, model, [choice])).split(b"\\u0000")
    return b"data: " + before, after + b"\n\n"


def sse(body: Any) -> bytes:
    """One SSE event."""
    return b"data: " + dumps(body) + b"\n\n"


def text_of_messages(body: dict[str, Any]) -> str:
    """All text of a request's messages, joined; parts that are not text are left out."""
    pieces: list[str] = []
    for message in body.get("messages") or ():
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, str):
            pieces.append(content)
        elif isinstance(content, list):
            pieces += [str(part.get("text", "")) for part in content if isinstance(part, dict)]
    return "\n".join(pieces)


def schema_of(body: dict[str, Any]) -> dict[str, Any] | None:
    """The JSON schema that a request binds its reply to; an empty one for ``json_object``; None where there is none."""
    wanted = body.get("response_format")
    anthropic = (body.get("output_config") or {}).get("format")
    if isinstance(anthropic, dict):
        return anthropic.get("schema") or {}
    if not isinstance(wanted, dict) or wanted.get("type") not in ("json_schema", "json_object"):
        return None
    schema = (wanted.get("json_schema") or {}).get("schema") or {}
    return schema if isinstance(schema, dict) else {}


def structured_text(schema: dict[str, Any], behaviour: Behaviour) -> str:
    """A JSON text that fits the schema, or plain words where the model does not obey one."""
    if behaviour.json:
        return behaviour.json
    if not behaviour.structured:
        return "I would rather write prose."
    known = {"consensus": behaviour.consensus, "summary": behaviour.summary}
    if not schema.get("properties"):
        return json.dumps(known)
    return json.dumps(_example(schema, known, schema))


def _example(schema: dict[str, Any], known: dict[str, str], root: dict[str, Any]) -> Any:
    """The simplest value that fits; ``known`` gives string properties by name."""
    if "$ref" in schema:
        return _example(root.get("$defs", {}).get(schema["$ref"].rsplit("/", 1)[-1], {}), known, root)
    if "enum" in schema:
        return schema["enum"][0]
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return _example(schema[several][0], known, root)
    kind = schema.get("type")
    if kind == "object" or "properties" in schema:
        return {
            name: known[name] if name in known else _example(part, known, root)
            for name, part in schema.get("properties", {}).items()
        }
    simple: dict[Any, Any] = {"number": 0.5, "integer": 1, "boolean": True, "array": [], "null": None}
    return simple.get(kind, "text")
