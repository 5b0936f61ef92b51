"""What the recorder's changes do in the database. Runs in a native thread: no lock, no log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any, Literal

from sqlalchemy import Connection, Table, bindparam, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from app.store import rows, tables
from app.store.base import (
    ArtifactWritten,
    Change,
    ChartWritten,
    CheckpointWritten,
    ConversationChanged,
    MessageChanged,
    MessageWithdrawn,
    MessageWritten,
    RunEnded,
    ToolCallWritten,
)

_conversations, _messages = tables.conversations, tables.messages


def carry_out(connection: Connection, changes: Sequence[Change]) -> None:
    """See :meth:`app.store.base.ConversationStore.write`."""
    known: set[str] | None = None
    for kind, group in groupby(changes, type):
        batch: Any = list(group)
        if kind is ConversationChanged:
            _write_conversations(connection, batch)
            known = None
            continue
        if known is None:
            known = _known(
                connection, {each.conversation_id for each in changes if not isinstance(each, ConversationChanged)}
            )
        batch = [each for each in batch if each.conversation_id in known]
        if batch:
            _BY_KIND[kind](connection, batch)


def _known(connection: Connection, ids: set[str]) -> set[str]:
    wanted = select(_conversations.c.conversation_id).where(_conversations.c.conversation_id.in_(ids))
    return set(connection.execute(wanted).scalars())


def _write_conversations(connection: Connection, batch: list[ConversationChanged]) -> None:
    found = {each.record.conversation_id: rows.row_of(each.record) for each in batch}
    _upsert(connection, _conversations, list(found.values()), keys=("conversation_id",), keep=("created_at",))


def _withdraw(connection: Connection, batch: list[MessageWithdrawn]) -> None:
    table = _messages
    gone = delete(table).where(
        table.c.conversation_id == bindparam("of_conversation"), table.c.message_id == bindparam("of_message")
    )
    connection.execute(gone, [_place(each.conversation_id, each.message_id) for each in batch])


def _write_messages(connection: Connection, batch: list[MessageWritten]) -> None:
    _write_numbered(
        connection,
        _messages,
        "message_id",
        [rows.message_row_of(each.conversation_id, each.message) for each in batch],
    )


def _write_tool_calls(connection: Connection, batch: list[ToolCallWritten]) -> None:
    found = [rows.tool_call_row_of(each.conversation_id, each.call, each.timestamp) for each in batch]
    _write_numbered(connection, tables.tool_calls, "call_id", found, keep=("timestamp",))


def _write_charts(connection: Connection, batch: list[ChartWritten]) -> None:
    found = [rows.chart_row_of(each.conversation_id, each.chart, each.timestamp) for each in batch]
    _write_numbered(connection, tables.charts, "chart_id", found, keep=("timestamp",))


def _write_artifacts(connection: Connection, batch: list[ArtifactWritten]) -> None:
    table = tables.artifacts
    found = [
        {
            "conversation_id": each.conversation_id,
            "artifact_id": each.artifact_id,
            "media_type": each.media_type,
            "data": each.data,
            "timestamp": each.timestamp,
        }
        for each in batch
    ]
    _upsert(connection, table, found, keys=("conversation_id", "artifact_id"))


def _write_numbered(
    connection: Connection, table: Table, name: str, batch: list[dict[str, Any]], keep: tuple[str, ...] = ()
) -> None:
    """Insert or replace rows that have a place in their conversation: a new one goes behind the others."""
    newest = {(row["conversation_id"], row[name]): row for row in batch}  # in the order of first appearance
    conversations = {conversation for conversation, _ in newest}
    of, key, ordinal = table.c.conversation_id, table.c[name], table.c.ordinal
    there = select(of, key).where(of.in_(conversations), key.in_({each for _, each in newest}))
    known = {(row[0], row[1]) for row in connection.execute(there)}
    old = [row for place, row in newest.items() if place in known]
    new = [row for place, row in newest.items() if place not in known]
    if old:
        changed = [column for column in old[0] if column not in ("conversation_id", name, *keep)]
        statement = (
            update(table)
            .where(of == bindparam("of_conversation"), key == bindparam("of_key"))
            .values({column: bindparam(f"new_{column}") for column in changed})
        )
        connection.execute(
            statement,
            [
                {"of_conversation": row["conversation_id"], "of_key": row[name]}
                | {f"new_{column}": row[column] for column in changed}
                for row in old
            ],
        )
    if new:
        top = select(of, func.max(ordinal)).where(of.in_({row["conversation_id"] for row in new})).group_by(of)
        last: dict[str, int] = {row[0]: row[1] for row in connection.execute(top)}
        for row in new:
            last[row["conversation_id"]] = row["ordinal"] = last.get(row["conversation_id"], 0) + 1
        connection.execute(insert(table), new)


def _change_messages(connection: Connection, batch: list[MessageChanged]) -> None:
    table = _messages
    for each in batch:
        if fields := rows.fields_of(each.changes):
            place = rows.key(each.message_id, table.c.message_id)
            connection.execute(
                update(table)
                .where(table.c.conversation_id == each.conversation_id, table.c.message_id == place)
                .values(fields)
            )


def _write_runs(connection: Connection, batch: list[RunEnded]) -> None:
    """A run counts once, however often it is written."""
    runs = {each.session_id: each for each in batch}
    there = set(
        connection.execute(select(tables.runs.c.session_id).where(tables.runs.c.session_id.in_(runs))).scalars()
    )
    new = [run for session_id, run in runs.items() if session_id not in there]
    if not new:
        return
    connection.execute(insert(tables.runs), [_run_row(each) for each in new])
    days = tables.usage_days
    spent: dict[tuple[str, str], list[int]] = {}
    for run in new:
        day = spent.setdefault((rows.person(run.tenant, run.owner, days.c.user_id), run.ended_at[:10]), [0, 0])
        day[0] += run.usage.prompt_tokens
        day[1] += run.usage.completion_tokens
    statement = _insert(connection, days)
    statement = statement.on_conflict_do_update(
        index_elements=[days.c.user_id, days.c.day],
        set_={
            "prompt_tokens": days.c.prompt_tokens + statement.excluded.prompt_tokens,
            "completion_tokens": days.c.completion_tokens + statement.excluded.completion_tokens,
        },
    )
    for (user_id, day_of), (prompt, completion) in spent.items():
        values = {"user_id": user_id, "day": day_of, "prompt_tokens": prompt, "completion_tokens": completion}
        connection.execute(statement, values)


def _run_row(run: RunEnded) -> dict[str, Any]:
    columns = tables.runs.c
    return {
        "session_id": run.session_id,
        "conversation_id": run.conversation_id,
        "team": rows.name(run.team, columns.team),
        "model": None if run.model is None else rows.name(run.model, columns.model),
        "status": str(run.status),
        "code": None if run.code is None else rows.name(run.code, columns.code),
        "ended_at": run.ended_at,
        "prompt_tokens": run.usage.prompt_tokens,
        "completion_tokens": run.usage.completion_tokens,
        "estimated": run.usage.estimated,
        "cost_usd": run.usage.cost_usd,
    }


def _write_checkpoints(connection: Connection, batch: list[CheckpointWritten]) -> None:
    table = tables.checkpoints
    newest = {each.conversation_id: each for each in batch}
    gone = [each.conversation_id for each in newest.values() if not each.state]
    if gone:
        connection.execute(delete(table).where(table.c.conversation_id.in_(gone)))
    kept = [
        {
            "conversation_id": each.conversation_id,
            "team": rows.name(each.team, table.c.team),
            "state": each.state,
            "saved_at": each.saved_at,
        }
        for each in newest.values()
        if each.state
    ]
    if kept:
        _upsert(connection, table, kept, keys=("conversation_id",))


def rate(
    connection: Connection,
    conversation_id: str,
    message_id: str,
    user_id: str,
    value: Literal["up", "down"] | None,
    at: str,
) -> None:
    """See :meth:`app.store.base.ConversationStore.rate`."""
    table = tables.feedback
    place = {
        "conversation_id": conversation_id,
        "message_id": rows.key(message_id, table.c.message_id),
        "user_id": rows.name(user_id, table.c.user_id),
    }
    if value is None:
        connection.execute(delete(table).where(*(table.c[name] == each for name, each in place.items())))
    elif _known(connection, {conversation_id}):
        _upsert(connection, table, [{**place, "value": value, "at": at}], keys=tuple(place))


def _upsert(
    connection: Connection,
    table: Table,
    found: list[dict[str, Any]],
    *,
    keys: tuple[str, ...],
    keep: tuple[str, ...] = (),
) -> None:
    statement = _insert(connection, table)
    changed = {name: statement.excluded[name] for name in found[0] if name not in keys and name not in keep}
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=changed), found)


def _insert(connection: Connection, table: Table) -> Any:
    """An INSERT that can say what happens on a conflict: each dialect has its own."""
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)


def _place(conversation_id: str, message_id: str) -> dict[str, str]:
    return {"of_conversation": conversation_id, "of_message": rows.key(message_id, _messages.c.message_id)}


_BY_KIND: dict[type[Change], Callable[[Connection, Any], None]] = {
    MessageWritten: _write_messages,
    MessageWithdrawn: _withdraw,
    MessageChanged: _change_messages,
    ToolCallWritten: _write_tool_calls,
    ChartWritten: _write_charts,
    ArtifactWritten: _write_artifacts,
    RunEnded: _write_runs,
    CheckpointWritten: _write_checkpoints,
}
