"""How messages to a model are written: in the objects of a framework, or in the JSON that every OpenAI client sends."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

Message = TypeVar("Message")
Json = Mapping[str, Any]


class Form(Protocol[Message]):
    """What can be asked of a message without knowing how it is written."""

    def is_system(self, message: Message) -> bool: ...

    def is_result(self, message: Message) -> bool:
        """Whether it answers a tool call, and so must stay with the message before it."""

    def is_plain(self, message: Message) -> bool:
        """Whether somebody says a text, and nothing else."""

    def text(self, message: Message) -> str:
        """All that it says."""

    def speaker(self, message: Message) -> str:
        """Who says it; ``user`` for a person, empty where nobody is named."""

    def parts(self, message: Message) -> list[str]:
        """Its texts that may be shortened."""

    def with_parts(self, message: Message, parts: Sequence[str]) -> Message:
        """The message with other texts, as many as :meth:`parts` gave."""

    def request(self, text: str) -> Message:
        """What a person says."""


class OpenAiForm:
    """Messages of a chat completion's request, as JSON objects.

    :param agent: who speaks as ``assistant`` where a message has no name.
    """

    def __init__(self, agent: str = "") -> None:
        self._agent = agent

    def is_system(self, message: Json) -> bool:
        return message.get("role") in ("system", "developer")

    def is_result(self, message: Json) -> bool:
        return message.get("role") in ("tool", "function")

    def is_plain(self, message: Json) -> bool:
        said = message.get("role") in ("user", "assistant") and isinstance(message.get("content"), str)
        return said and not message.get("tool_calls") and not message.get("function_call")

    def text(self, message: Json) -> str:
        calls = message.get("tool_calls") or message.get("function_call")
        return " ".join([*self.parts(message), *([json.dumps(calls)] if calls else [])])

    def speaker(self, message: Json) -> str:
        role = str(message.get("role") or "")
        return str(message.get("name") or (self._agent if role == "assistant" else role))

    def parts(self, message: Json) -> list[str]:
        content = message.get("content")
        if isinstance(content, str):
            return [content]
        if isinstance(content, list):
            return ["\n".join(str(part["text"]) for part in content if isinstance(part, dict) and part.get("text"))]
        return []

    def with_parts(self, message: Json, parts: Sequence[str]) -> Json:
        return {**message, "content": parts[0]}

    def request(self, text: str) -> Json:
        return {"role": "user", "content": text}
