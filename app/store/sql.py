"""Conversations in a database, by SQLAlchemy Core. Implements :class:`app.store.base.ConversationStore`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from sqlalchemy import delete, select

from app.protocol.common import Usage
from app.protocol.snapshot import ChartView, MessageView, ToolCallView
from app.store import lists, rows, tables, writes
from app.store.base import (
    Change,
    ConversationPage,
    ConversationRecord,
    ListQuery,
    MessagePage,
    MessageQuery,
    Reader,
)
from app.store.database import Database
from app.store.purge import Purge
from app.streaming.ports import Concurrency
from app.streaming.states import RUNNING

_conversations, _messages = tables.conversations, tables.messages


class SqlStore:
    """See the port. Every method waits for the database in a native thread; nothing is kept here."""

    def __init__(self, database: Database, concurrency: Concurrency) -> None:
        self._database = database
        self._purge = Purge(database, concurrency)

    def write(self, changes: Sequence[Change]) -> None:
        self._database.write(lambda connection: writes.carry_out(connection, changes))

    def get(self, conversation_id: str) -> ConversationRecord | None:
        wanted = select(_conversations).where(_conversations.c.conversation_id == rows.text(conversation_id))
        found = self._database.read(lambda connection: connection.execute(wanted).mappings().one_or_none())
        return None if found is None else rows.record_from(found)

    def find(self, reader: Reader, query: ListQuery) -> ConversationPage:
        page = lists.page_of(reader, query)
        return self._database.read(page)

    def named(self, reader: Reader, title: str) -> str | None:
        table = _conversations
        wanted = (
            select(table.c.conversation_id)
            .where(lists.readable(reader), table.c.title == rows.text(title))
            .order_by(table.c.updated_at.desc(), table.c.conversation_id.desc())
            .limit(1)
        )
        return self._database.read(lambda connection: connection.execute(wanted).scalar_one_or_none())

    def messages(self, conversation_id: str, query: MessageQuery) -> MessagePage:
        return self._database.read(lists.messages_of(conversation_id, query))

    def message(self, conversation_id: str, message_id: str) -> MessageView | None:
        table = _messages
        wanted = select(table).where(
            table.c.conversation_id == rows.text(conversation_id),
            table.c.message_id == rows.key(message_id, table.c.message_id),
        )
        found = self._database.read(lambda connection: connection.execute(wanted).mappings().one_or_none())
        return None if found is None else rows.message_from(found)

    def tool_calls(self, conversation_id: str, limit: int = 100) -> tuple[ToolCallView, ...]:
        found = self._newest(tables.tool_calls, conversation_id, limit)
        return tuple(rows.tool_call_from(each) for each in found)

    def charts(self, conversation_id: str, limit: int = 100) -> tuple[ChartView, ...]:
        return tuple(rows.chart_from(each) for each in self._newest(tables.charts, conversation_id, limit))

    def _newest(self, table: Any, conversation_id: str, limit: int) -> list[Any]:
        wanted = (
            select(table)
            .where(table.c.conversation_id == rows.text(conversation_id))
            .order_by(table.c.ordinal.desc())
            .limit(max(0, limit))
        )
        found = self._database.read(lambda connection: connection.execute(wanted).mappings().all())
        return list(reversed(found))

    def artifact(self, conversation_id: str, artifact_id: str) -> tuple[str, bytes] | None:
        table = tables.artifacts
        wanted = select(table.c.media_type, table.c.data).where(
            table.c.conversation_id == rows.text(conversation_id), table.c.artifact_id == rows.text(artifact_id)
        )
        found = self._database.read(lambda connection: connection.execute(wanted).one_or_none())
        return None if found is None else (found.media_type, bytes(found.data))

    def checkpoint(self, conversation_id: str) -> tuple[str, dict[str, Any]] | None:
        table = tables.checkpoints
        wanted = select(table.c.team, table.c.state).where(table.c.conversation_id == rows.text(conversation_id))
        found = self._database.read(lambda connection: connection.execute(wanted).one_or_none())
        return None if found is None else (found.team, found.state)

    def rate(
        self, conversation_id: str, message_id: str, user_id: str, value: Literal["up", "down"] | None, at: str
    ) -> None:
        self._database.write(
            lambda connection: writes.rate(connection, conversation_id, message_id, user_id, value, at)
        )

    def delete(self, conversation_id: str) -> bool:
        table = _conversations
        gone = delete(table).where(table.c.conversation_id == rows.text(conversation_id))
        deleted = self._database.write(lambda connection: connection.execute(gone).rowcount > 0)
        if deleted:
            self._purge.soon()
        return deleted

    def unfinished(self) -> tuple[ConversationRecord, ...]:
        table = _conversations
        wanted = select(table).where(table.c.status.in_([str(status) for status in RUNNING]))
        found = self._database.read(lambda connection: connection.execute(wanted).mappings().all())
        return tuple(rows.record_from(each) for each in found)

    def expired(self, *, changed_before: str | None, keep_newest: int | None) -> tuple[str, ...]:
        return self._database.read(lists.expired(changed_before, keep_newest))

    def orphans(self) -> tuple[str, ...]:
        return self._database.read(lists.orphans)

    def spent_today(self, person: tuple[str | None, str], day: str) -> Usage:
        table = tables.usage_days
        wanted = select(table).where(table.c.user_id == rows.person(*person, table.c.user_id), table.c.day == day)
        found = self._database.read(lambda connection: connection.execute(wanted).one_or_none())
        if found is None:
            return Usage()
        return Usage(prompt_tokens=found.prompt_tokens, completion_tokens=found.completion_tokens)
