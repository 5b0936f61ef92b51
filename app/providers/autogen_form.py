"""Messages to a model as autogen-core's objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autogen_core.models import (
    AssistantMessage,
    FunctionExecutionResultMessage,
    LLMMessage,
    SystemMessage,
    UserMessage,
)


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


AUTOGEN = AutoGenForm()
