"""Conversations: listed, begun, read, renamed, deleted."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, url_for

from app.auth.audit import Audited
from app.auth.identity import Principal
from app.auth.permissions import Action, role_in
from app.errors import (
    ContentEmpty,
    ContentTooLarge,
    ConversationUnknown,
    InvalidPayload,
    LimitExceeded,
    StoreUnavailable,
    TeamUnknown,
)
from app.http.audit import note
from app.http.body import parse_body, parse_query
from app.http.caller import permit, permitted
from app.http.contract import contract
from app.http.conversation_shapes import (
    MOST_ROWS,
    ConversationList,
    ConversationRow,
    ListWish,
    NewConversation,
    NewTitle,
    Started,
)
from app.protocol.snapshot import Snapshot
from app.services import Services, services
from app.store.base import ConversationRecord, ListQuery, Reader
from app.store.pending import record_of
from app.streaming.access import Role
from app.streaming.conversation import Conversation, iso
from app.streaming.session import StreamingSession

conversations = Blueprint("conversations", __name__)


@conversations.get("/api/conversations")
@contract(ConversationList, query=ListWish, errors=(InvalidPayload, StoreUnavailable))
def list_conversations() -> dict[str, Any]:
    """Your conversations and those that are shared with you, the last changed first, in pages."""
    principal = permit(Action.LIST)
    wish = parse_query(ListWish)
    parts = services()
    _let_newest_be_written(parts, principal)
    query = ListQuery(
        search=wish.search,
        team=wish.team,
        status=wish.status,
        since=iso(wish.since) if wish.since else None,
        until=iso(wish.until) if wish.until else None,
        limit=min(MOST_ROWS, max(1, wish.limit)),
        cursor=wish.cursor,
    )
    page = parts.store.find(Reader(principal.id, principal.tenant), query)
    found = [row for record in page.records if (row := _row(parts, principal, record)) is not None]
    return {"conversations": found, "total": page.total, "next_cursor": page.cursor}


@conversations.post("/api/conversations")
@contract(
    Started,
    status=201,
    body=NewConversation,
    errors=(InvalidPayload, ContentEmpty, ContentTooLarge, TeamUnknown, LimitExceeded),
)
def start_conversation() -> tuple[dict[str, Any], int, dict[str, str]]:
    """Begin a conversation. Its events are told by every door from its first on; nobody has to listen."""
    principal = permit(Action.START)
    wish = parse_body(NewConversation)
    manager = services().manager
    session = manager.start(
        team=wish.team or services().teams.default,
        content=wish.content,
        content_type=wish.content_type,
        owner=principal.id,
        tenant=principal.tenant,
        options=wish.options,
        client_id=wish.client_id,
    )
    manager.begin(session)
    answer = started(session)
    services().archive.keep(session.conversation.id)
    place = url_for("conversations.show_conversation", conversation_id=session.conversation.id)
    return answer, 201, {"Location": place}


@conversations.get("/api/conversations/<conversation_id>")
@contract(Snapshot, errors=(ConversationUnknown, StoreUnavailable))
def show_conversation(conversation_id: str) -> dict[str, Any]:
    """One conversation as it stands: the same snapshot that a join answers."""
    _, conversation = permitted(Action.WATCH, conversation_id)
    return conversation.snapshot()


@conversations.patch("/api/conversations/<conversation_id>")
@contract(ConversationRow, body=NewTitle, errors=(InvalidPayload, ConversationUnknown, StoreUnavailable))
def rename_conversation(conversation_id: str) -> dict[str, Any]:
    """Give it another title; all who watch get `conversation_updated`."""
    principal, conversation = permitted(Action.MANAGE, conversation_id)
    services().manager.editing.rename(conversation, parse_body(NewTitle).title, principal.id)
    return _live_row(principal, conversation)


@conversations.delete("/api/conversations/<conversation_id>")
@contract(status=204, errors=(ConversationUnknown, StoreUnavailable))
def delete_conversation(conversation_id: str) -> Response:
    """Delete it, for good: a run is stopped, all who watch are told, and nothing of it is left."""
    _, conversation = permitted(Action.MANAGE, conversation_id)
    services().manager.editing.delete(conversation)
    note(Audited.CONVERSATION_DELETED, conversation.id)
    return Response(status=204)


def started(session: StreamingSession) -> dict[str, Any]:
    """A run that was asked for, as an answer."""
    body = Started(conversation_id=session.conversation.id, session_id=session.id, status=session.reached)
    return body.model_dump(mode="json")


def _let_newest_be_written(parts: Services, principal: Principal) -> None:
    """What this caller has just done shall be in the list: a round of the recorder writes whatever waits."""
    mine = [each for each in parts.manager.conversations() if each.owner == principal.id]
    if mine:
        parts.recorder.flush(max(mine, key=lambda each: each.fold.updated_at).id)


def _row(parts: Services, principal: Principal, record: ConversationRecord) -> dict[str, Any] | None:
    """None: it was taken away from them a moment ago."""
    conversation = parts.manager.in_memory(record.conversation_id)
    if conversation is not None:
        return _live_row(principal, conversation) if role_in(principal, conversation) is not None else None
    mine = record.owner == principal.id and record.tenant == principal.tenant
    role = Role.OWNER if mine else role_in(principal, parts.archive.shared(record))
    return None if role is None else _shape(record, role, 0)


def _live_row(principal: Principal, conversation: Conversation) -> dict[str, Any]:
    record = conversation.read(lambda: record_of(conversation))
    return _shape(record, role_in(principal, conversation) or Role.VIEWER, conversation.watchers)


def _shape(record: ConversationRecord, role: Role, watchers: int) -> dict[str, Any]:
    row = ConversationRow(
        conversation_id=record.conversation_id,
        title=record.title,
        team=record.team,
        status=record.status,
        demo=record.demo,
        created_at=record.created_at,
        updated_at=record.updated_at,
        messages=record.messages,
        watchers=watchers,
        owner=record.owner,
        role=role.value,
        usage=record.usage,
    )
    return row.model_dump(mode="json")
