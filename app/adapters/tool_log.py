"""Tool calls and their answers as events. A long answer travels whole as an artifact beside its preview."""

from __future__ import annotations

import uuid
from collections import defaultdict, deque

from app.adapters.base import RunPort
from app.protocol.common import whole_characters
from app.protocol.events import ToolCall, ToolResult

MAX_ARGUMENTS_CHARS = 4_000
MAX_PREVIEW_CHARS = 1_000
TEXT = "text/plain; charset=utf-8"


class ToolLog:
    """Pairs calls with their answers. The ids that models give are not unique: some number from 0 in each reply."""

    def __init__(self, port: RunPort) -> None:
        self._port = port
        self._used: set[str] = set()
        self._open: defaultdict[tuple[str, str], deque[tuple[str, str]]] = defaultdict(deque)

    async def called(self, agent: str, given_id: str, tool: str, arguments: str) -> None:
        """An agent calls a tool.

        :param agent: its display name, as everywhere here.
        :param given_id: as the model, or the framework, has given it.
        """
        call_id = self._unique(given_id)
        self._open[agent, given_id].append((call_id, tool))
        shown = whole_characters(arguments)[:MAX_ARGUMENTS_CHARS]
        await self._port.emit(ToolCall(call_id=call_id, agent=agent, tool=tool, arguments=shown))

    @property
    def caller(self) -> str | None:
        """The agent that waits for a tool's answer; None: nobody does, or several do."""
        waiting = {agent for (agent, _), calls in self._open.items() if calls}
        return waiting.pop() if len(waiting) == 1 else None

    async def answered(self, agent: str, given_id: str, tool: str, answer: str, *, success: bool) -> None:
        """A tool has answered, or failed. Where its call is known, the tool's name is that of the call."""
        waiting = self._open.get((agent, given_id))
        call_id, tool = waiting.popleft() if waiting else (self._unique(given_id), tool)
        text = whole_characters(answer)
        await self._port.emit(
            ToolResult(
                call_id=call_id,
                agent=agent,
                tool=tool,
                success=success,
                code=None if success else self._port.tool_failure(text),
                preview=text[:MAX_PREVIEW_CHARS],
                length=len(text),
                artifact_id=self._kept(text) if len(text) > MAX_PREVIEW_CHARS else None,
            )
        )

    def _kept(self, text: str) -> str | None:
        limit = self._port.start.limits.max_artifact_bytes
        return self._port.artifact(TEXT, text.encode()[:limit].decode(errors="ignore").encode())

    def _unique(self, given: str) -> str:
        call_id = given if given and given not in self._used else uuid.uuid4().hex
        self._used.add(call_id)
        return call_id
