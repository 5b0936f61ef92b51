"""How messages to a model are written: AutoGen's objects, or the JSON that every OpenAI client sends."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

from autogen_core.models import (
    AssistantMessage,
    FunctionExecutionResultMessage,
    LLMMessage,
    SystemMessage,
    UserMessage,
)

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


class AutoGenForm:
    """``autogen_core.models.LLMMessage``."""

    def is_system(self, message: LLMMessage) -> bool:
        return isinstance(message, SystemMessage)

    def is_result(self, message: LLMMessage) -> bool:
        return isinstance(message, FunctionExecutionResultMessage)

    def is_plain(self, message: LLMMessage) -> bool:
        return isinstance(message, UserMessage | AssistantMessage) and isinstance(message.content, str)

    def text(self, message: LLMMessage) -> str:
        content: Any = message.content
        if isinstance(content, str):
            return content
        return " ".join(part if isinstance(part, str) else str(getattr(part, "content", part)) for part in content)

    def speaker(self, message: LLMMessage) -> str:
        return str(getattr(message, "source", ""))

    def parts(self, message: LLMMessage) -> list[str]:
        if isinstance(message, FunctionExecutionResultMessage):
            return [result.content for result in message.content]
        if isinstance(message.content, str):
            return [message.content]
        if isinstance(message, UserMessage):
            return ["\n".join(part for part in message.content if isinstance(part, str))]
        return []

    def with_parts(self, message: LLMMessage, parts: Sequence[str]) -> LLMMessage:
        if isinstance(message, FunctionExecutionResultMessage):
            pairs = zip(message.content, parts, strict=True)
            results = [result.model_copy(update={"content": text}) for result, text in pairs]
            return message.model_copy(update={"content": results})
        return message.model_copy(update={"content": parts[0]})

    def request(self, text: str) -> LLMMessage:
        return UserMessage(content=text, source="user")


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


AUTOGEN = AutoGenForm()
