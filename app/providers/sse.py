"""Server-sent events of a chat completion: split, understand, and join content deltas. No I/O."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from pydantic_core import from_json

from app.protocol.common import whole_characters
from app.providers.usual import UsualForm, thought_of

_BLANK_LINE = re.compile(rb"\r\n\r\n|\n\n|\r\r|\n\r\n")
_MAX_COUNT = 10**9
MAX_EVENT_BYTES = 4 * 1024 * 1024


class Kind(Enum):
    CONTENT = "content"
    """A delta that carries text of choice 0 and nothing else: these may be joined."""
    THOUGHT = "thought"
    """A delta that carries what the model thinks before it answers, and nothing else."""
    DONE = "done"
    ERROR = "error"
    OTHER = "other"


@dataclass(slots=True)
class SseEvent:
    """One event: its bytes as received, blank line included, and what they mean."""

    raw: bytes
    kind: Kind
    text: str = ""
    document: dict[str, Any] = field(default_factory=dict)
    shape: tuple[str, ...] = ()

    @property
    def finish_reason(self) -> str | None:
        """``finish_reason`` of choice 0, where this event ends it."""
        choice = _choice(self.document)
        reason = choice.get("finish_reason") if choice else None
        return reason if isinstance(reason, str) and reason else None

    @property
    def usage(self) -> tuple[int, int] | None:
        """The provider's (prompt, completion) tokens, where this event states them."""
        return usage_of(self.document)

    @property
    def is_delta(self) -> bool:
        """Whether the model produced something: text, reasoning or a piece of a tool call."""
        choice = _choice(self.document)
        delta = choice.get("delta") if choice else None
        return isinstance(delta, dict) and any(value for key, value in delta.items() if key != "role")


class SseCutter:
    """Cuts a byte stream into events' bytes. ``feed`` takes whatever a read brought; a cut event waits for its rest."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The events completed by ``data``, each with its blank line.

        :raises ValueError: one event is longer than ``MAX_EVENT_BYTES``.
        """
        buffer = self._rest + data
        events: list[bytes] = []
        start = 0
        for match in _BLANK_LINE.finditer(buffer):
            events.append(buffer[start : match.end()])
            start = match.end()
        self._rest = buffer[start:]
        if len(self._rest) > MAX_EVENT_BYTES:
            raise ValueError("an event of the model's stream is too long")
        return events

    def finish(self) -> list[bytes]:
        """What is left at the end of the stream: some servers omit the last blank line."""
        rest, self._rest = self._rest, b""
        return [rest + b"\n\n"] if rest.strip() else []


class Splitter(Protocol):
    """From the bytes of a stream, as reads bring them, to the events of a chat completion."""

    def feed(self, data: bytes) -> list[SseEvent]:
        """The events completed by ``data``. :raises ValueError: one of them is too long."""

    def finish(self) -> list[SseEvent]:
        """What is left at the end of the stream."""


class _Halves:
    """Puts characters together whose halves, as UTF-16 has them, came in two deltas: JavaScript cuts texts there."""

    def __init__(self) -> None:
        self._half = ""

    def joined(self, raw: bytes) -> bytes:
        """The event with what was held back before it, and without the half at its own end, which is held back."""
        if not (self._half or b"\\u" in raw):
            return raw
        try:
            document = json.loads(_payload(raw.strip().splitlines()))
            delta = document["choices"][0]["delta"]
            text = self._half + delta["content"]
        except (ValueError, LookupError, TypeError):
            return raw
        self._half = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""
        whole = text.removesuffix(self._half)
        if whole == delta["content"]:
            return raw
        delta["content"] = whole
        return b"data: " + json.dumps(document, separators=(",", ":")).encode() + b"\n\n"


class SseSplitter:
    """The :class:`Splitter` of a stream that is a chat completion's already; its events come in OpenAI's own form."""

    def __init__(self) -> None:
        self._cutter = SseCutter()
        self._halves = _Halves()
        self._form = UsualForm()

    def feed(self, data: bytes) -> list[SseEvent]:
        return [event for raw in self._cutter.feed(data) for event in self._events(raw)]

    def finish(self) -> list[SseEvent]:
        rest = [event for raw in self._cutter.finish() for event in self._events(raw)]
        return [*rest, *self._ending()]

    def _events(self, raw: bytes) -> list[SseEvent]:
        return self._usual(parse_event(self._halves.joined(raw)))

    def _usual(self, event: SseEvent) -> list[SseEvent]:
        if event.kind is Kind.DONE:
            return [*self._ending(), event]
        if event.kind is not Kind.OTHER or not event.document:
            return [event]
        chunks = self._form.of(event.document)
        return [event] if chunks == [event.document] else [_event_of(chunk) for chunk in chunks]

    def _ending(self) -> list[SseEvent]:
        return [_event_of(chunk) for chunk in self._form.ending()]


def document_of(raw: bytes) -> dict[str, Any]:
    """The JSON object of an event in another dialect; empty where there is none."""
    payload = _payload(raw.strip().splitlines())
    try:
        document = from_json(payload)
    except ValueError:
        mended = _mended(payload)
        return {} if mended is None else document_of(mended)
    return document if isinstance(document, dict) else {}


def _payload(lines: list[bytes]) -> bytes:
    return b"\n".join(line[5:].strip() for line in lines if line.startswith(b"data:"))


def _event_of(chunk: dict[str, Any]) -> SseEvent:
    return parse_event(b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n")


def parse_event(raw: bytes) -> SseEvent:
    """Understand one event. What is no JSON object is ``OTHER`` and passes as it is."""
    payload = _payload(raw.strip().splitlines())
    if not payload:
        return SseEvent(raw, Kind.OTHER)
    if payload == b"[DONE]":
        return SseEvent(raw, Kind.DONE)
    try:
        document = from_json(payload)
    except ValueError:
        mended = _mended(payload)
        return SseEvent(raw, Kind.OTHER) if mended is None else parse_event(mended)
    if not isinstance(document, dict):
        return SseEvent(raw, Kind.OTHER)
    if document.get("error"):
        return SseEvent(raw, Kind.ERROR, document=document)
    text = _plain_content(document)
    if text is None:
        thought = _thought(document)
        return SseEvent(raw, Kind.THOUGHT if thought else Kind.OTHER, text=thought, document=document)
    shape = tuple(document["choices"][0]["delta"])
    return SseEvent(raw, Kind.CONTENT, text=text, document=document, shape=shape)


def _mended(payload: bytes) -> bytes | None:
    """The event with whole characters only, where half a surrogate pair made it unreadable."""
    try:
        text = json.dumps(json.loads(payload), ensure_ascii=False)
    except ValueError:
        return None
    whole = whole_characters(text)
    return None if whole == text else b"data: " + whole.encode() + b"\n\n"


def join_events(events: Sequence[SseEvent]) -> bytes:
    """One event in the place of several ``CONTENT`` events of the same shape: the first one's, with all their text."""
    if len(events) == 1:
        return events[0].raw
    document = dict(events[0].document)
    choice = dict(document["choices"][0])
    choice["delta"] = {**choice["delta"], "content": "".join(event.text for event in events)}
    document["choices"] = [choice]
    return b"data: " + json.dumps(document, separators=(",", ":")).encode() + b"\n\n"


def events_of_whole(document: dict[str, Any]) -> bytes:
    """The event stream that says the same as a completion that came whole, for a reader that expects a stream."""
    choice = _choice(document) or {}
    message = choice.get("message")
    delta = dict(message) if isinstance(message, dict) else {}
    if isinstance(delta.get("tool_calls"), list):
        delta["tool_calls"] = [{"index": index, **tool_call} for index, tool_call in enumerate(delta["tool_calls"])]
    head: dict[str, Any] = {key: document[key] for key in ("id", "created", "model") if key in document}
    head["object"] = "chat.completion.chunk"
    finish = choice.get("finish_reason") or "stop"
    chunks: list[dict[str, Any]] = [
        {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]},
        {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]},
        {**head, "choices": [], "usage": document.get("usage")},
    ]
    lines = [json.dumps(chunk, separators=(",", ":")).encode() for chunk in chunks]
    return b"".join(b"data: " + line + b"\n\n" for line in [*lines, b"[DONE]"])


def whole_of_events(events: Sequence[SseEvent]) -> dict[str, Any]:
    """The completion that says the same as an event stream, for a reader that expects it whole."""
    whole: dict[str, Any] = {}
    message: dict[str, Any] = {"role": "assistant", "content": None}
    finish: str | None = None
    for event in events:
        whole |= {key: value for key, value in event.document.items() if key not in ("choices", "usage")}
        if event.document.get("usage"):
            whole["usage"] = event.document["usage"]
        finish = event.finish_reason or finish
        choice = _choice(event.document) or {}
        delta = choice.get("delta")
        _add_delta(message, delta if isinstance(delta, dict) else {})
    if "tool_calls" in message:
        message["tool_calls"] = [message["tool_calls"][index] for index in sorted(message["tool_calls"])]
    choices = [{"index": 0, "message": message, "finish_reason": finish or "stop", "logprobs": None}]
    return {**whole, "object": "chat.completion", "choices": choices}


def _add_delta(message: dict[str, Any], delta: dict[str, Any]) -> None:
    """Texts grow (``content``, ``refusal``, ``reasoning_content`` …), pieces of tool calls are put together."""
    for key, value in delta.items():
        if key == "tool_calls" and isinstance(value, list):
            for piece in value:
                if isinstance(piece, dict):
                    _add_tool_call(message.setdefault(key, {}), piece)
        elif isinstance(value, str) and key != "role":
            message[key] = (message.get(key) or "") + value
        elif value is not None:
            message[key] = value


def _add_tool_call(calls: dict[int, dict[str, Any]], piece: dict[str, Any]) -> None:
    index = piece.get("index")
    default: dict[str, Any] = {"id": "", "type": "function", "function": {"name": "", "arguments": ""}}
    call = calls.setdefault(index if isinstance(index, int) else len(calls), default)
    function = piece.get("function")
    function = function if isinstance(function, dict) else {}
    call["id"] = piece.get("id") or call["id"]
    call["function"]["name"] = function.get("name") or call["function"]["name"]
    call["function"]["arguments"] += function.get("arguments") or ""


def usage_of(document: dict[str, Any]) -> tuple[int, int] | None:
    """(prompt, completion) tokens of a completion or of a chunk; None where it states none."""
    usage = document.get("usage")
    if not isinstance(usage, dict):
        return None
    prompt, completion = (_count(usage.get(name)) for name in ("prompt_tokens", "completion_tokens"))
    if prompt is None and completion is None:
        return None
    return prompt or 0, completion or 0


def _count(figure: object) -> int | None:
    """A number of tokens that can be one; None for anything else that a provider may say."""
    plausible = isinstance(figure, int) and not isinstance(figure, bool) and 0 <= figure <= _MAX_COUNT
    return figure if plausible and isinstance(figure, int) else None


def _choice(document: dict[str, Any]) -> dict[str, Any] | None:
    choices = document.get("choices")
    if isinstance(choices, list) and len(choices) == 1 and isinstance(choices[0], dict):
        return choices[0]
    return None


def _thought(document: dict[str, Any]) -> str:
    """The reasoning that a delta carries beside nothing else; empty where it carries none."""
    choice = _choice(document)
    delta = choice.get("delta") if choice else None
    if choice is None or not isinstance(delta, dict) or choice.get("finish_reason") or document.get("usage"):
        return ""
    if delta.get("content") or delta.get("tool_calls"):
        return ""
    return thought_of(delta)


def _plain_content(document: dict[str, Any]) -> str | None:
    choice = _choice(document)
    if choice is None or choice.get("index", 0) != 0 or document.get("usage"):
        return None
    if choice.get("finish_reason") is not None:
        return None
    delta = choice.get("delta")
    logprobs = choice.get("logprobs")
    if not isinstance(delta, dict) or (isinstance(logprobs, dict) and logprobs.get("content")):
        return None
    text = delta.get("content")
    if not isinstance(text, str) or not text:
        return None
    rest = ((key, value) for key, value in delta.items() if key != "content")
    plain = all(not value or (key == "role" and value == "assistant") for key, value in rest)
    return text if plain else None
