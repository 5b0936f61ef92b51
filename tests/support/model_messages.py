"""Anthropic's Messages API, as the scripted model speaks it: the documented events, and what the API insists on.

Source: https://platform.claude.com/docs/en/api/messages and …/build-with-claude/streaming.
"""

from __future__ import annotations

from typing import Any

from tests.support import model_payloads as payloads
from tests.support.model_reply import Reply

TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    529: "overloaded_error",
}
REFUSALS = {
    "context_overflow": "prompt is too long: 210000 tokens > 200000 maximum",
    "content_policy": "Output blocked by content filtering policy",
}


def error_body(status: int, message: str) -> dict[str, Any]:
    """The API's error object."""
    return {"type": "error", "error": {"type": TYPES.get(status, "api_error"), "message": message}}


def problem(head: dict[str, str], body: dict[str, Any]) -> tuple[int, str] | None:
    """What the API would refuse of a request: status and message; None where all is well."""
    if not head.get("x-api-key"):
        return 401, "x-api-key header is required"
    if head.get("anthropic-version") != "2023-06-01":
        return 400, "anthropic-version: header is required"
    if not isinstance(body.get("max_tokens"), int):
        return 400, "max_tokens: Field required"
    turns = body.get("messages") or []
    if not turns or turns[0]["role"] != "user" or any(turn["role"] not in ("user", "assistant") for turn in turns):
        return 400, "messages: the first message must use the user role"
    known = {"model", "max_tokens", "messages", "stream", "system", "temperature", "top_p", "stop_sequences", "tools",
             "tool_choice", "output_config", "metadata"}  # fmt: skip
    strange = set(body) - known
    if strange:
        return 400, f"{min(strange)}: Extra inputs are not permitted"
    for turn in turns:
        for block in turn["content"]:
            if block["type"] in ("tool_use", "tool_result") and not body.get("tools"):
                return 400, "Requests which include `tool_use` or `tool_result` blocks must define tools"
            if block["type"] == "text" and not block["text"].strip():
                return 400, "messages: text content blocks must contain non-whitespace text"
    return None


def event(name: str, body: dict[str, Any]) -> bytes:
    """One event of the stream."""
    return b"event: " + name.encode() + b"\ndata: " + payloads.dumps({"type": name, **body}) + b"\n\n"


class MessagesReply(Reply):
    """A reply in this dialect. Its prompt's figures come first, its own last; pings come in between."""

    def _delta_frame(self) -> tuple[bytes, bytes]:
        whole = event("content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": "\0"}})
        before, after = whole.split(b"\\u0000")
        return before, after

    def _error_body(self, status: int) -> dict[str, Any]:
        refusal = self._behaviour.refusal
        return error_body(status, REFUSALS[refusal] if refusal else f"it failed with {status}")

    def _opening(self) -> bytes:
        usage = {"input_tokens": self._prompt_tokens, "output_tokens": 1} if self._behaviour.usage else {}
        message = {
            "id": f"msg_{self.record.id}",
            "type": "message",
            "role": "assistant",
            "content": [],
            "model": self.record.model,
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage,
        }
        begun = event("message_start", {"message": message})
        begun += event("content_block_start", {"index": 0, "content_block": {"type": "text", "text": ""}})
        return begun + event("ping", {})

    def _closing(self) -> bytes:
        reason = "refusal" if self._behaviour.finish_reason == "content_filter" else "end_turn"
        reason = "tool_use" if self._calls else reason
        ended: dict[str, Any] = {"delta": {"stop_reason": reason, "stop_sequence": None}}
        if self._behaviour.usage:
            ended["usage"] = {"output_tokens": self.record.tokens_sent}
        called = b"".join(self._called(number + 1, call["function"]) for number, call in enumerate(self._calls))
        over = event("content_block_stop", {"index": 0}) + called
        return over + event("message_delta", ended) + event("message_stop", {})

    def _called(self, index: int, function: dict[str, str]) -> bytes:
        block = {"type": "tool_use", "id": f"toolu_{function['name']}", "name": function["name"], "input": {}}
        delta = {"type": "input_json_delta", "partial_json": function["arguments"]}
        begun = event("content_block_start", {"index": index, "content_block": block})
        begun += event("content_block_delta", {"index": index, "delta": delta})
        return begun + event("content_block_stop", {"index": index})

    def _whole_body(self, text: str) -> dict[str, Any]:
        return {
            "id": f"msg_{self.record.id}",
            "type": "message",
            "role": "assistant",
            "content": [{"type": "text", "text": text}],
            "model": self.record.model,
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": self._prompt_tokens, "output_tokens": self.record.tokens_sent},
        }

    def _broken(self) -> bytes:
        return event("error", {"error": {"type": "overloaded_error", "message": "Overloaded"}})

    @property
    def _prompt_tokens(self) -> int:
        return self.record.prompt_chars // 4 + 1
