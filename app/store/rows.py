"""Between rows and what the port speaks of; and what no column takes is made fit for it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from sqlalchemy import String

from app.protocol.common import ContentType, Status, Usage, whole_characters
from app.protocol.snapshot import ChartView, MessageView, ToolCallView
from app.store import tables
from app.store.base import ConversationRecord

Row = Mapping[Any, Any]

_DIGEST = 16


def text(value: str) -> str:
    """A text that every database takes: NUL and halves of surrogate pairs become U+FFFD."""
    return whole_characters(value).replace("\0", "\ufffd")


def name(value: str, column: Any) -> str:
    """A text that fits into a column, cut where it is too long."""
    return text(value)[: _length_of(column)]


def key(value: str, column: Any) -> str:
    """An id that fits into a column; what is too long is cut, and stays different from others."""
    value, length = text(value), _length_of(column)
    if len(value) <= length:
        return value
    digest = hashlib.blake2b(value.encode(), digest_size=_DIGEST // 2).hexdigest()
    return f"{value[: length - _DIGEST - 1]}~{digest}"


def person(tenant: str | None, user_id: str, column: Any) -> str:
    """By which to keep what is somebody's: ids are unique within a tenant alone. No id has the sign in between."""
    return key(user_id if tenant is None else f"{tenant}\x1f{user_id}", column)


def _length_of(column: Any) -> int:
    kind = column.type
    assert isinstance(kind, String)
    assert kind.length is not None
    return kind.length


def clean(value: Any) -> Any:
    """A JSON value whose texts every database takes."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, dict):
        return {text(str(each)): clean(inner) for each, inner in value.items()}
    if isinstance(value, list | tuple):
        return [clean(inner) for inner in value]
    return value


def row_of(record: ConversationRecord) -> dict[str, Any]:
    """A conversation as its row."""
    columns = tables.conversations.c
    return {
        "conversation_id": record.conversation_id,
        "owner": name(record.owner, columns.owner),
        "tenant": None if record.tenant is None else name(record.tenant, columns.tenant),
        "title": text(record.title),
        "team": name(record.team, columns.team),
        "content_type": str(record.content_type),
        "status": str(record.status),
        "demo": record.demo,
        "created_at": record.created_at,
        "updated_at": record.updated_at,
        "messages": record.messages,
        "prompt_tokens": record.usage.prompt_tokens,
        "completion_tokens": record.usage.completion_tokens,
        "estimated": record.usage.estimated,
        "cost_usd": record.usage.cost_usd,
        "state": clean(record.state),
    }


def record_from(row: Row) -> ConversationRecord:
    """A conversation from its row."""
    return ConversationRecord(
        conversation_id=row["conversation_id"],
        owner=row["owner"],
        tenant=row["tenant"],
        title=row["title"],
        team=row["team"],
        content_type=ContentType(row["content_type"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        status=Status(row["status"]),
        demo=row["demo"],
        messages=row["messages"],
        usage=_usage_from(row),
        state=row["state"],
    )


def _usage_from(row: Row) -> Usage:
    return Usage(
        prompt_tokens=row["prompt_tokens"],
        completion_tokens=row["completion_tokens"],
        estimated=row["estimated"],
        cost_usd=row["cost_usd"],
    )


def fields_of(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Some fields of a message, by the names of :class:`MessageView`, as columns."""
    columns, found = tables.messages.c, {}
    for field, value in changes.items():
        if field == "usage":
            value = value.model_dump() if isinstance(value, Usage) else value
        elif isinstance(value, str):
            kind = columns[field].type
            value = name(value, columns[field]) if getattr(kind, "length", None) else text(value)
        found[field] = value
    return found


def message_row_of(conversation_id: str, view: MessageView) -> dict[str, Any]:
    """A message as its row, but for its place."""
    fields = {field: getattr(view, field) for field in MessageView.model_fields}
    message_id = key(fields.pop("message_id"), tables.messages.c.message_id)
    return {"conversation_id": conversation_id, "message_id": message_id, **fields_of(fields)}


_MESSAGE_FIELDS = tuple(MessageView.model_fields)


def message_from(row: Row) -> MessageView:
    """A message from its row."""
    return MessageView.model_validate({field: row[field] for field in _MESSAGE_FIELDS})


def tool_call_row_of(conversation_id: str, call: ToolCallView, timestamp: str) -> dict[str, Any]:
    """A tool call as its row, but for its place."""
    columns = tables.tool_calls.c
    return {
        "conversation_id": conversation_id,
        "call_id": key(call.call_id, columns.call_id),
        "agent": name(call.agent, columns.agent),
        "tool": name(call.tool, columns.tool),
        "arguments": text(call.arguments),
        "success": call.success,
        "code": call.code,
        "preview": text(call.preview),
        "length": call.length,
        "artifact_id": call.artifact_id,
        "timestamp": timestamp,
    }


def tool_call_from(row: Row) -> ToolCallView:
    """A tool call from its row."""
    return ToolCallView(**{field: row[field] for field in ToolCallView.model_fields})


def chart_row_of(conversation_id: str, chart: ChartView, timestamp: str) -> dict[str, Any]:
    """A chart as its row, but for its place."""
    columns = tables.charts.c
    return {
        "conversation_id": conversation_id,
        "chart_id": key(chart.chart_id, columns.chart_id),
        "url": text(chart.url),
        "symbol": text(chart.symbol),
        "title": text(chart.title),
        "agent": None if chart.agent is None else name(chart.agent, columns.agent),
        "timestamp": timestamp,
    }


def chart_from(row: Row) -> ChartView:
    """A chart from its row."""
    return ChartView(**{field: row[field] for field in ChartView.model_fields})
