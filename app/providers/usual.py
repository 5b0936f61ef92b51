"""What servers that speak "as OpenAI does" say differently, brought into OpenAI's own form. No I/O.

Official clients and frameworks know that form alone: a chunk brings a text, a thought, pieces of tool calls, the end or
the figures, never two of them. Some servers send several at once (Gemini, Mistral), the figures with every word
(Perplexity, vLLM), no ``delta`` (Azure's asynchronous filter), no ``index`` or ``id`` of a tool call (Gemini), the same
``index`` for all of them (Ollama), or name and id with every piece of one.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
_THOUGHTS = ("reasoning_content", "reasoning")  # DeepSeek, vLLM and llama.cpp · OpenRouter and Ollama


def thought_of(delta: Json) -> str:
    """What the model thinks before it answers, where a delta says it; else empty."""
    return next((delta[name] for name in _THOUGHTS if isinstance(delta.get(name), str) and delta[name]), "")


@dataclass(slots=True)
class _ToolCall:
    id: str
    name: str = ""
    argued: bool = False  # whether its arguments have begun


class UsualForm:
    """Of one stream: takes its chunks one after the other."""

    def __init__(self) -> None:
        self._calls: list[_ToolCall] = []
        self._numbers: dict[int, int] = {}  # the server's index → the number of the call
        self._usage: Json | None = None
        self._finished = False

    def of(self, chunk: Json) -> list[Json]:
        """The chunks that OpenAI would have sent in its place; the very same where that is this one.

        Figures beside something else are held back until :meth:`ending`.
        """
        choices = chunk.get("choices")
        if choices is None and "choices" in chunk:
            return [{**chunk, "choices": []}]
        if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
            return [chunk]
        choice, usage = choices[0], chunk.get("usage")
        delta = choice["delta"] if isinstance(choice.get("delta"), dict) else {}
        finish = choice.get("finish_reason") or None
        deltas = self._deltas(delta)
        if finish is not None:
            deltas += self._unargued()
        if usage:
            self._usage = {**chunk, "choices": []}
            chunk = {key: value for key, value in chunk.items() if key != "usage"}
        if finish is None and not deltas and self._finished:
            return []  # OpenRouter's last one, with the figures: frameworks would take it for another end
        if finish is not None or not deltas:
            deltas.append({} if deltas else delta)
        self._finished = self._finished or finish is not None
        usual = [{**chunk, "choices": [{**choice, "delta": each, "finish_reason": None}]} for each in deltas]
        usual[-1]["choices"][0]["finish_reason"] = finish
        return usual

    def ending(self) -> list[Json]:
        """What was held back; asked at the end of the stream."""
        usage, self._usage = self._usage, None
        return [usage] if usage is not None else []

    def _deltas(self, delta: Json) -> list[Json]:
        """What a delta says, each in one of its own; nothing for one that says nothing."""
        text, thought = _text(delta.get("content"))
        thought = thought_of(delta) or thought
        calls = delta.get("tool_calls")
        pieces = [piece for piece in calls if isinstance(piece, dict)] if isinstance(calls, list) else []
        said: list[Json] = []
        if thought:
            said.append({"content": None, "reasoning_content": thought})
        if text:
            said.append({"content": text})
        if pieces:
            said.append({"tool_calls": [self._piece(piece) for piece in pieces]})
        if said and delta.get("role"):
            said[0]["role"] = "assistant"
        return said

    def _piece(self, piece: Json) -> Json:
        """A piece of a tool call: numbered, and named and identified by its first piece alone."""
        function = piece["function"] if isinstance(piece.get("function"), dict) else {}
        name, arguments = str(function.get("name") or ""), function.get("arguments")
        given = str(piece.get("id") or "")
        number = self._number(piece.get("index"), given, name)
        told: Json = {}
        head: Json = {}
        if number == len(self._calls):
            self._calls.append(_ToolCall(given or f"call_{uuid.uuid4().hex}"))
            head = {"id": self._calls[number].id, "type": "function"}
        call = self._calls[number]
        if name and name != call.name:
            call.name += name
            told["name"] = name
        written = arguments if isinstance(arguments, str) else json.dumps(arguments) if arguments else ""
        call.argued = call.argued or bool(written)
        return {"index": number, **head, "function": {**told, "arguments": written}}

    def _number(self, index: Any, call_id: str, name: str) -> int:
        """Which call a piece belongs to; the next number for a new one."""
        fresh = len(self._calls)
        number = self._numbers.get(index, fresh) if isinstance(index, int) else fresh - 1
        if 0 <= number < fresh:
            call = self._calls[number]
            another = bool(call_id) and call_id != call.id
            if not isinstance(index, int):
                another = another or call.argued
            if name and call.name and another:  # an id alone may be a new one with each piece
                number = fresh
        number = max(number, 0)
        if isinstance(index, int):
            self._numbers[index] = number
        return number

    def _unargued(self) -> list[Json]:
        """Calls without any arguments have empty ones."""
        pieces = []
        for number, call in enumerate(self._calls):
            if not call.argued:
                pieces.append({"index": number, "function": {"arguments": "{}"}})
                call.argued = True
        return [{"tool_calls": pieces}] if pieces else []


def _text(content: Any) -> tuple[str, str]:
    """(text, thought) of a delta's content; Mistral's reasoning models send it in parts."""
    if isinstance(content, str):
        return content, ""
    texts, thoughts = [], []
    for part in content if isinstance(content, list) else ():
        if isinstance(part, dict):
            texts.append(str(part.get("text") or ""))
            inner = part.get("thinking")
            thoughts.append(inner if isinstance(inner, str) else _text(inner)[0])
    return "".join(texts), "".join(thoughts)
