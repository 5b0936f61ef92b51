"""Tool calls and their answers as events. A long answer is kept whole beside the log."""

from __future__ import annotations

from app.adapters.base import RunPort
from app.protocol.common import whole_characters
from app.protocol.events import ToolCall, ToolResult

MAX_ARGUMENT_CHARS = 4000
MAX_PREVIEW_CHARS = 1000


async def tool_called(port: RunPort, call_id: str, agent: str, tool: str, arguments: str) -> None:
    """An agent calls a tool."""
    shown = whole_characters(arguments)[:MAX_ARGUMENT_CHARS]
    await port.emit(ToolCall(call_id=call_id, agent=agent, tool=tool, arguments=shown))


async def tool_returned(port: RunPort, call_id: str, agent: str, tool: str, answer: str, *, success: bool) -> None:
    """The tool has answered."""
    answer = whole_characters(answer)
    artifact_id = None
    if len(answer) > MAX_PREVIEW_CHARS:
        artifact_id = port.artifact("text/plain; charset=utf-8", answer.encode())
    await port.emit(
        ToolResult(
            call_id=call_id,
            agent=agent,
            tool=tool,
            success=success,
            preview=answer[:MAX_PREVIEW_CHARS],
            length=len(answer),
            artifact_id=artifact_id,
        )
    )
