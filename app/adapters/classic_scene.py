"""Classic AG2's events as the protocol's: messages, tool calls, words for whoever watches."""

from __future__ import annotations

import json
import secrets
from typing import Any

from autogen_core import FunctionCall
from autogen_core.models import FunctionExecutionResult

from app.adapters.base import RunPort
from app.adapters.classic_names import SELECTORS
from app.adapters.classic_stream import Shown
from app.adapters.stage import Stage
from app.adapters.tool_log import ToolLog
from app.protocol.common import whole_characters
from app.protocol.events import AgentMessage

MESSAGES = frozenset({"text", "tool_call", "function_call", "tool_response", "function_response"})
"""The events that are one message of a chat each."""


class Scene:
    """Shows one run's events, in their order.

    :ivar ending: why AG2 has ended the chat, in its words.
    """

    def __init__(self, port: RunPort, stage: Stage) -> None:
        self._port = port
        self._stage = stage
        self._tools = ToolLog(port)
        self._waiting: dict[str, tuple[str, str]] = {}  # calls without an answer: id → agent, tool
        self.ending: str | None = None

    async def show(self, event: Shown, *, known: bool) -> None:
        """:param known: everybody has read this message already."""
        kind, content = event["type"], event["content"]
        if {content.get("sender"), content.get("recipient")} & SELECTORS:
            return
        if kind in MESSAGES:
            if not known:
                await self._message(kind, content)
        elif kind == "execute_function":
            await self._executing(content)
        elif kind == "executed_function":
            await self._executed(content)
        elif kind == "print":
            await self._print(content)
        elif kind == "termination":
            self.ending = content["termination_reason"]

    async def _message(self, kind: str, content: dict[str, Any]) -> None:
        sender, text = content["sender"], text_of(content.get("content"))
        if kind == "text":
            if text.strip():
                await self._stage.finish(sender, sender, text)
        elif kind == "tool_call":
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

    async def _called(self, call_id: str | None, agent: str, function: dict[str, Any]) -> None:
        tool = function.get("name") or ""
        call_id = call_id or tool or secrets.token_hex(4)
        self._waiting[call_id] = (agent, tool)
        await self._stage.step(agent)
        call = FunctionCall(id=call_id, name=tool, arguments=function.get("arguments") or "")
        await self._tools.called(self._stage.name(agent), call)

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
            result = FunctionExecutionResult(content=answer, name=tool, call_id=call_id or "", is_error=not success)
            await self._tools.answered(self._stage.name(agent), result)

    async def _print(self, content: dict[str, Any]) -> None:
        text = whole_characters((content["sep"].join(content["objects"]) + content["end"]).strip("\n"))
        if text:
            await self._stage.activate(None)
            await self._port.emit(
                AgentMessage(message_id=secrets.token_hex(16), agent="system", role="system", content=text)
            )


def text_of(content: object) -> str:
    """The words of a message's content: a text, the parts of one, or anything that a tool gave."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) if isinstance(part, dict) else str(part) for part in content)
    return "" if content is None else str(content)
