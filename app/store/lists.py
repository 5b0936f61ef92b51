"""Pages of conversations and messages. Each function returns work for :meth:`app.store.database.Database.read`."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, func, or_, select, tuple_

from app.errors import InvalidPayload
from app.store import rows, tables
from app.store.base import ConversationPage, ListQuery, MessagePage, MessageQuery, Reader, StoredMessage
from app.store.search import found_by
from app.streaming.states import RUNNING

_conversations, _messages, _shares = tables.conversations, tables.messages, tables.shares

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", re.ASCII)
_ID = re.compile(r"[\w-]{1,64}", re.ASCII)
_MOST_EXPIRED = 1000


def readable(reader: Reader) -> ColumnElement[bool]:
    """Whether somebody may read a conversation: their own, or shared with them, within their tenant."""
    table = _conversations
    tenant = table.c.tenant.is_(None) if reader.tenant is None else table.c.tenant == rows.text(reader.tenant)
    user_id = rows.text(reader.user_id)
    shared = select(_shares.c.conversation_id).where(_shares.c.user_id == user_id)
    return and_(tenant, or_(table.c.owner == user_id, table.c.conversation_id.in_(shared)))


def page_of(reader: Reader, query: ListQuery) -> Callable[[Connection], ConversationPage]:
    """See :meth:`app.store.base.ConversationStore.find`."""
    table = _conversations
    after = _place_in(query.cursor) if query.cursor is not None else None
    limit = max(1, query.limit)
    if query.search is not None and not query.search.strip():
        query = replace(query, search=None)

    def work(connection: Connection) -> ConversationPage:
        matching = _matching(reader, query, connection.dialect.name)
        total: int | None = None
        if query.search is None:
            wanted: Select[Any] = select(table).where(*matching)
            total = connection.execute(select(func.count()).select_from(table).where(*matching)).scalar_one()
        else:  # one look into the index for both
            every = select(table.c.row_id).where(*matching).cte("every")
            counted = select(func.count()).select_from(every).scalar_subquery().label("total")
            wanted = select(table, counted).join(every, every.c.row_id == table.c.row_id)
        if after is not None:
            wanted = wanted.where(tuple_(table.c.updated_at, table.c.conversation_id) < tuple_(*after))
        wanted = wanted.order_by(table.c.updated_at.desc(), table.c.conversation_id.desc()).limit(limit + 1)
        found = connection.execute(wanted).mappings().all()
        if total is None:
            total = found[0]["total"] if found else 0
        records = tuple(rows.record_from(row) for row in found[:limit])
        cursor = _cursor(records[-1].updated_at, records[-1].conversation_id) if len(found) > limit else None
        return ConversationPage(records, total, cursor)

    return work


def _matching(reader: Reader, query: ListQuery, dialect: str) -> list[ColumnElement[bool]]:
    table = _conversations
    found = [readable(reader)]
    if query.team is not None:
        found.append(table.c.team == rows.text(query.team))
    if query.status is not None:
        found.append(table.c.status == str(query.status))
    if query.since is not None:
        found.append(table.c.updated_at >= rows.text(query.since))
    if query.until is not None:
        found.append(table.c.updated_at < rows.text(query.until))
    if query.search is not None:
        found.append(found_by(query.search, dialect))
    return found


def _cursor(updated_at: str, conversation_id: str) -> str:
    packed = json.dumps([updated_at, conversation_id], separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def _place_in(cursor: str) -> tuple[str, str]:
    """:raises InvalidPayload: for anything that :func:`_cursor` has not made."""
    try:
        packed = base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        place = json.loads(packed)
    except (UnicodeError, binascii.Error, ValueError, RecursionError):
        place = None
    if isinstance(place, list) and len(place) == 2 and all(isinstance(each, str) for each in place):
        updated_at, conversation_id = place
        if _TIME.fullmatch(updated_at) and _ID.fullmatch(conversation_id):
            return updated_at, conversation_id
    raise InvalidPayload("cursor: not one that an earlier page has given")


def messages_of(conversation_id: str, query: MessageQuery) -> Callable[[Connection], MessagePage]:
    """See :meth:`app.store.base.ConversationStore.messages`."""
    table = _messages
    conversation_id, limit = rows.text(conversation_id), max(1, query.limit)
    wanted: Select[Any] = select(table).where(table.c.conversation_id == conversation_id)
    if query.since is not None:
        wanted = wanted.where(func.coalesce(table.c.updated_at, table.c.timestamp) >= query.since)
    if query.after is not None:
        wanted = wanted.where(table.c.ordinal > query.after)
    if query.before is not None:
        border = select(table.c.ordinal).where(
            table.c.conversation_id == conversation_id,
            table.c.message_id == rows.key(query.before, table.c.message_id),
        )
        wanted = wanted.where(table.c.ordinal < border.scalar_subquery())
    if query.role is not None:
        wanted = wanted.where(table.c.role == rows.text(query.role))
    if query.agent is not None:
        wanted = wanted.where(table.c.agent == rows.text(query.agent))
    wanted = wanted.order_by(table.c.ordinal.desc() if query.newest else table.c.ordinal).limit(limit + 1)
    counted = select(func.count()).select_from(table).where(table.c.conversation_id == conversation_id)

    def work(connection: Connection) -> MessagePage:
        found = connection.execute(wanted).mappings().all()
        total = connection.execute(counted).scalar_one()
        page = found[:limit]
        if query.newest:
            page = page[::-1]
        messages = tuple(StoredMessage(row["ordinal"], rows.message_from(row)) for row in page)
        return MessagePage(messages, len(found) > limit, total)

    return work


def expired(changed_before: str | None, keep_newest: int | None) -> Callable[[Connection], tuple[str, ...]]:
    """See :meth:`app.store.base.ConversationStore.expired`."""
    table = _conversations
    place = func.row_number().over(
        partition_by=(table.c.tenant, table.c.owner),
        order_by=(table.c.updated_at.desc(), table.c.conversation_id.desc()),
    )
    ended = table.c.status.not_in([str(status) for status in RUNNING])
    numbered = select(table.c.conversation_id, table.c.updated_at, place.label("place")).where(ended).subquery()
    reasons: list[ColumnElement[bool]] = []
    if changed_before is not None:
        reasons.append(numbered.c.updated_at < changed_before)
    if keep_newest is not None:
        reasons.append(numbered.c.place > keep_newest)
    wanted = select(numbered.c.conversation_id).where(or_(*reasons)) if reasons else None

    def work(connection: Connection) -> tuple[str, ...]:
        if wanted is None:
            return ()
        oldest = wanted.order_by(numbered.c.updated_at).limit(_MOST_EXPIRED)
        return tuple(connection.execute(oldest).scalars())

    return work


def orphans(connection: Connection) -> tuple[str, ...]:
    """See :meth:`app.store.base.ConversationStore.orphans`."""
    deleted = select(tables.users.c.user_id).where(tables.users.c.login == tables.users.c.user_id)
    wanted = select(_conversations.c.conversation_id).where(_conversations.c.owner.in_(deleted)).limit(_MOST_EXPIRED)
    return tuple(connection.execute(wanted).scalars())
