"""The event stream of Anthropic's Messages API as the events of a streamed chat completion. No I/O."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from app.providers.anthropic import FINISH, prompt_tokens, usage_body
from app.providers.sse import Kind, SseCutter, SseEvent, document_of

_DONE = b"data: [DONE]\n\n"
_CONTENT = ("content",)


class MessagesStream:
    """Takes what reads bring, gives events as :class:`app.providers.sse.SseSplitter` does.

    :param include_usage: whether the reader has asked for the event with the figures; they are understood in any case.
    :param told_prompt: hears at the beginning how many tokens the prompt has.
    """

    def __init__(self, *, include_usage: bool, told_prompt: Callable[[int], None]) -> None:
        self._cutter = SseCutter()
        self._include_usage = include_usage
        self._told_prompt = told_prompt
        self._head: dict[str, Any] = {"id": "", "object": "chat.completion.chunk", "created": 0, "model": ""}
        self._prompt = 0
        self._calls: dict[int, int] = {}  # content block → number of the tool call
        self._unsaid: dict[int, str] = {}  # tool calls whose arguments have not begun: what they began with

    def feed(self, data: bytes) -> list[SseEvent]:
        """The events completed by ``data``.

        :raises ValueError: one event is too long.
        """
        return [event for raw in self._cutter.feed(data) for event in self._translated(raw)]

    def finish(self) -> list[SseEvent]:
        """What is left at the end of the stream."""
        return [event for raw in self._cutter.finish() for event in self._translated(raw)]

    def _translated(self, raw: bytes) -> list[SseEvent]:
        document = document_of(raw)
        match document.get("type"):
            case "content_block_delta":
                return self._delta(_index(document), _part(document, "delta"))
            case "message_start":
                return self._start(_part(document, "message"))
            case "content_block_start":
                return self._block(_index(document), _part(document, "content_block"))
            case "content_block_stop":
                number = self._calls.get(_index(document))
                if number in self._unsaid:
                    return [self._arguments(number, self._unsaid.pop(number))]
            case "message_delta":
                return self._ending(document)
            case "message_stop":
                return [SseEvent(_DONE, Kind.DONE)]
            case "error":
                return [SseEvent(raw, Kind.ERROR, document={"error": _part(document, "error")})]
        return []  # a ping, or what a later version of the API says

    def _start(self, message: dict[str, Any]) -> list[SseEvent]:
        self._head |= {"id": str(message.get("id", "")), "model": str(message.get("model", ""))}
        self._prompt = prompt_tokens(_part(message, "usage"))
        if self._prompt:
            self._told_prompt(self._prompt)
        return [self._event({"role": "assistant", "content": ""})]

    def _block(self, index: int, block: dict[str, Any]) -> list[SseEvent]:
        if block.get("type") == "text" and block.get("text"):
            return [self._content(str(block["text"]))]
        if block.get("type") != "tool_use":
            return []
        number = self._calls[index] = len(self._calls)
        self._unsaid[number] = json.dumps(_part(block, "input"))
        function = {"name": block.get("name"), "arguments": ""}
        call = {"index": number, "id": block.get("id"), "type": "function", "function": function}
        return [self._event({"tool_calls": [call]})]

    def _delta(self, index: int, delta: dict[str, Any]) -> list[SseEvent]:
        match delta.get("type"):
            case "text_delta" if delta.get("text"):
                return [self._content(str(delta["text"]))]
            case "input_json_delta" if delta.get("partial_json") and index in self._calls:
                self._unsaid.pop(self._calls[index], None)
                return [self._arguments(self._calls[index], str(delta["partial_json"]))]
            case "thinking_delta" if delta.get("thinking"):
                thought = self._chunk({"content": None, "reasoning_content": str(delta["thinking"])})
                return [SseEvent(_sse(thought), Kind.THOUGHT, text=str(delta["thinking"]), document=thought)]
        return []

    def _ending(self, document: dict[str, Any]) -> list[SseEvent]:
        events = []
        reason = _part(document, "delta").get("stop_reason")
        if reason is not None:
            events.append(self._event({}, FINISH.get(str(reason), "stop")))
        usage = _part(document, "usage")
        if usage:
            figures = usage_body(max(self._prompt, prompt_tokens(usage)), int(usage.get("output_tokens") or 0))
            shown = {**self._head, "choices": [], "usage": figures}
            events.append(SseEvent(_sse(shown) if self._include_usage else b"", Kind.OTHER, document=shown))
        return events

    def _content(self, text: str) -> SseEvent:
        document = self._chunk({"content": text})
        return SseEvent(_sse(document), Kind.CONTENT, text=text, document=document, shape=_CONTENT)

    def _arguments(self, number: int, text: str) -> SseEvent:
        return self._event({"tool_calls": [{"index": number, "function": {"arguments": text}}]})

    def _event(self, delta: dict[str, Any], finish: str | None = None) -> SseEvent:
        document = self._chunk(delta, finish)
        return SseEvent(_sse(document), Kind.OTHER, document=document)

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        return {**self._head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def _sse(document: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(document, separators=(",", ":")).encode() + b"\n\n"


def _part(document: dict[str, Any], name: str) -> dict[str, Any]:
    part = document.get(name)
    return part if isinstance(part, dict) else {}


def _index(document: dict[str, Any]) -> int:
    index = document.get("index")
    return index if isinstance(index, int) else 0
