"""What an entry of the log means for the store."""

from __future__ import annotations

from typing import Any

from app.protocol.common import Status, Usage
from app.protocol.events import (
    AgentMessage,
    ChartGenerated,
    ConversationStatus,
    ConversationUpdated,
    InputResolved,
    MessageQueued,
    MessageReset,
    MessageStart,
    MessageUnqueued,
    MessageUpdated,
    ToolCall,
    ToolResult,
)
from app.protocol.snapshot import ChartView, MessageView, ToolCallView
from app.store.base import (
    Change,
    ChartWritten,
    MessageChanged,
    MessageWithdrawn,
    MessageWritten,
    RunEnded,
    ToolCallWritten,
)
from app.streaming.conversation import Conversation
from app.streaming.log import LogEntry
from app.streaming.states import TERMINAL

_PEOPLE_DO = frozenset(
    each.name for each in (ConversationUpdated, InputResolved, MessageQueued, MessageUnqueued, MessageUpdated)
)


def was_acknowledged(entry: LogEntry) -> bool:
    """Whether somebody has been told that this is done: a start, a stop, a pause, their words, an answer, a change.

    A crash must not undo it.
    """
    if entry.name == ConversationStatus.name:
        return bool(entry.payload["status"] != Status.ACTIVE)
    return entry.name in _PEOPLE_DO or (entry.name == AgentMessage.name and entry.payload["role"] == "user")


def changes_of(conversation: Conversation, entry: LogEntry) -> list[Change]:
    """What an entry means for the store; the conversation's fold has it already."""
    payload, fold, where = entry.payload, conversation.fold, conversation.id
    match entry.name:
        case AgentMessage.name | MessageStart.name:
            view = fold.message(payload["message_id"])
            return [MessageWritten(where, view or _view(payload))]
        case MessageReset.name:
            return [MessageWithdrawn(where, payload["message_id"])]
        case MessageUpdated.name:
            known = {name: value for name, value in payload["changes"].items() if name in MessageView.model_fields}
            known |= {"updated_at": payload["timestamp"]}
            if "content" in known:
                known["updated_by"] = payload["updated_by"]
            return [MessageChanged(where, payload["message_id"], known)]
        case ToolCall.name | ToolResult.name:
            call = fold.tool_call(payload["call_id"])
            return [ToolCallWritten(where, call, payload["timestamp"])] if isinstance(call, ToolCallView) else []
        case ChartGenerated.name:
            chart = fold.chart(payload["chart_id"])
            return [ChartWritten(where, chart, payload["timestamp"])] if isinstance(chart, ChartView) else []
        case ConversationStatus.name if payload["status"] in TERMINAL:
            return [_run_of(conversation, payload)]
    return []


def _run_of(conversation: Conversation, payload: dict[str, Any]) -> RunEnded:
    return RunEnded(
        conversation_id=conversation.id,
        session_id=payload["session_id"],
        owner=conversation.owner,
        team=payload["team"],
        model=conversation.fold.standing()["model"],
        status=Status(payload["status"]),
        code=payload["code"],
        ended_at=payload["timestamp"],
        usage=Usage(**payload["usage"]) if payload["usage"] else Usage(),
        tenant=conversation.access.tenant,
    )


def _view(payload: dict[str, Any]) -> MessageView:
    """A message that the fold has let go already."""
    fields = {name: value for name, value in payload.items() if name in MessageView.model_fields}
    state = "partial" if payload.get("partial") else "complete" if "partial" in payload else "open"
    return MessageView.model_validate(fields | {"state": state})
