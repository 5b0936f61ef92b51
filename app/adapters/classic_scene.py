"""Classic AG2's events as the protocol's: messages, tool calls, words for whoever watches."""

from __future__ import annotations

import json
import secrets
from typing import Any

from app.adapters.base import RunPort
from app.adapters.classic_names import SELECTORS
from app.adapters.classic_stream import Shown
from app.adapters.stage import Stage
from app.adapters.tool_log import ToolLog
from app.protocol.common import whole_characters
from app.protocol.events import AgentMessage, FrameworkEvent

MESSAGES = frozenset({"text", "tool_call", "function_call", "tool_response", "function_response"})
"""The events that are one message of a chat each."""


MAX_TOLD_CHARS = 16_000
"""Of each text in AG2's own events: a tool may return anything. The whole answer is an artifact."""


class Scene:
    """Shows one run's events, in their order.

    :ivar ending: why AG2 has ended the chat, in its words.
    :ivar answers: what people have answered, with the agent that asked: its message is theirs.
    """

    def __init__(self, port: RunPort, stage: Stage) -> None:
        self._port = port
        self._stage = stage
        self._tools = ToolLog(port)
        self._waiting: dict[str, tuple[str, str]] = {}  # calls without an answer: id → agent, tool
        self.ending: str | None = None
        self.answers: set[tuple[str, str]] = set()

    @property
    def caller(self) -> str | None:
        """The agent whose tool is at work; None: nobody's, or those of several."""
        return self._tools.caller

    async def show(self, event: Shown, *, known: bool) -> bool:
        """Show one, and say whether its text is now the content of a message.

        :param known: everybody has read this message already.
        """
        kind, content = event["type"], event["content"]
        if {content.get("sender"), content.get("recipient")} & SELECTORS:
            return False
        if kind in MESSAGES:
            return not known and await self._message(kind, content)
        if kind == "execute_function":
            await self._executing(content)
        elif kind == "executed_function":
            await self._executed(content)
        elif kind == "print":
            await self._words(content["sep"].join(content["objects"]) + content["end"])
        elif kind == "input_request":  # it is answered already
            await self._words(content["prompt"])
        elif kind == "termination":
            self.ending = content["termination_reason"]
        return False

    async def _message(self, kind: str, content: dict[str, Any]) -> bool:
        sender, text = content["sender"], text_of(content.get("content"))
        if kind == "text":
            if (sender, text) in self.answers:
                self.answers.discard((sender, text))
                await self._of_person(self._stage.name(sender), text)
            elif text.strip():
                await self._stage.finish(sender, sender, text)
            return bool(text.strip()) and isinstance(content["content"], str)
        if kind == "tool_call":
            if text.strip():
                await self._stage.finish(sender, sender, text, turn=False)
            for call in content["tool_calls"]:
                await self._called(call.get("id"), sender, call["function"])
        elif kind == "function_call":
            await self._called(None, sender, content["function_call"])
        elif kind == "tool_response":
            for response in content["tool_responses"]:
                await self._returned(response.get("tool_call_id"), text_of(response["content"]), success=True)
        else:
            await self._returned(content.get("name"), text, success=True)
        return False

    async def _of_person(self, agent: str, text: str) -> None:
        message = AgentMessage(
            message_id=secrets.token_hex(16),
            agent=agent,
            role="user",
            content=whole_characters(text),
            content_type="text",
        )
        await self._port.emit(message)
        self._stage.spoken.append((agent, text))

    async def _called(self, call_id: str | None, agent: str, function: dict[str, Any]) -> None:
        tool = function.get("name") or ""
        call_id = call_id or tool or secrets.token_hex(4)
        self._waiting[call_id] = (agent, tool)
        await self._stage.step(agent)
        await self._tools.called(self._stage.name(agent), call_id, tool, function.get("arguments") or "")

    async def _executing(self, content: dict[str, Any]) -> None:
        """Of a call that nobody was told of: the chat is a silent one."""
        call_id = content.get("call_id") or content["func_name"]
        if call_id not in self._waiting:
            function = {"name": content["func_name"], "arguments": json.dumps(content["arguments"])}
            await self._called(call_id, content["recipient"], function)

    async def _executed(self, content: dict[str, Any]) -> None:
        call_id = content.get("call_id") or content["func_name"]
        answer = text_of(content["content"])
        await self._returned(call_id, answer, success=bool(content.get("is_exec_success", True)))

    async def _returned(self, call_id: str | None, answer: str, *, success: bool) -> None:
        agent, tool = self._waiting.pop(call_id or "", ("", ""))
        if tool:
            await self._tools.answered(self._stage.name(agent), call_id or "", tool, answer, success=success)

    async def _words(self, text: str) -> None:
        text = whole_characters(text.strip("\n"))
        if text:
            await self._stage.activate(None)
            await self._port.emit(
                AgentMessage(message_id=secrets.token_hex(16), agent="system", role="system", content=text)
            )


def framework_event(event: Shown, *, said: bool) -> FrameworkEvent:
    """AG2's own words. A text that was logged already, as a message, is not logged again."""
    content: dict[str, Any] = _cut(event["content"])
    if said:
        del content["content"]
    return FrameworkEvent(framework="autogen", event={**event, "content": content}, said=said)


def _cut(value: Any) -> Any:
    if isinstance(value, str):
        return whole_characters(value[:MAX_TOLD_CHARS])
    if isinstance(value, list):
        return [_cut(each) for each in value]
    if isinstance(value, dict):
        return {name: _cut(each) for name, each in value.items()}
    return value


def text_of(content: object) -> str:
    """The words of a message's content: a text, the parts of one, or anything that a tool gave."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) if isinstance(part, dict) else str(part) for part in content)
    return "" if content is None else str(content)
