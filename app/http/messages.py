"""A conversation's messages: read, sent, edited, rated."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response

from app.auth.permissions import Action, permits
from app.errors import (
    ContentEmpty,
    ContentTooLarge,
    ConversationUnknown,
    InvalidPayload,
    InvalidState,
    LimitExceeded,
    MessageUnknown,
    StoreUnavailable,
)
from app.http.body import parse_body, parse_query
from app.http.caller import caller, permitted
from app.http.contract import contract
from app.http.conversation_shapes import (
    MOST_ROWS,
    MessageList,
    MessageWish,
    NewMessage,
    NewText,
    Opinion,
)
from app.http.message_view import shape
from app.http.reading import find_conversation
from app.protocol.commands import SendMessageAck
from app.protocol.dialects.messages import Message
from app.protocol.snapshot import MessageView
from app.services import services
from app.store.base import MessageQuery
from app.streaming.conversation import iso

messages = Blueprint("messages", __name__)


@messages.get("/api/conversations/<conversation_id>/messages")
@contract(MessageList, query=MessageWish, errors=(InvalidPayload, ConversationUnknown, StoreUnavailable))
def show_messages(conversation_id: str) -> dict[str, Any]:
    """A conversation's messages (by its id or its name), oldest first, in pages.

    Events after (`epoch`, `offset`) follow; what one of them tells may be in the answer already.
    """
    parts = services()
    conversation = find_conversation(parts, caller(), conversation_id, Action.WATCH)
    wish = parse_query(MessageWish)
    epoch, offset = conversation.log.epoch, conversation.log.offset
    parts.archive.write(conversation.id)
    query = MessageQuery(
        since=iso(wish.since) if wish.since else None,
        after=wish.after,
        before=wish.before,
        newest=wish.before is not None,
        role=wish.role,
        agent=wish.agent,
        limit=min(MOST_ROWS, max(1, wish.limit)),
    )
    page = parts.store.messages(conversation.id, query)
    found = [
        {
            **_shaped(each.view),
            "ordinal": each.ordinal,
            "state": each.view.state,
            "cut_off": each.view.cut_off,
            "kind": each.view.kind,
            "feedback": each.view.feedback,
        }
        for each in page.messages
    ]
    return {
        "conversation_id": conversation.id,
        "epoch": epoch,
        "offset": offset,
        "total": page.total,
        "messages": found,
        "next_after": page.messages[-1].ordinal if page.more and wish.before is None else None,
    }


@messages.post("/api/conversations/<conversation_id>/messages")
@contract(
    SendMessageAck,
    status=202,
    body=NewMessage,
    errors=(
        InvalidPayload,
        ContentEmpty,
        ContentTooLarge,
        ConversationUnknown,
        LimitExceeded,
        StoreUnavailable,
    ),
)
def send_message(conversation_id: str) -> tuple[dict[str, Any], int]:
    """The next user turn: the team goes on with the history. While agents talk it waits for its turn (`queued`)."""
    principal, conversation = permitted(Action.STEER, conversation_id)
    wish = parse_body(NewMessage)
    manager = services().manager
    sent = manager.send_message(conversation.id, wish.content, wish.content_type, wish.client_id, principal.id)
    if sent.session is not None:
        manager.begin(sent.session)
        services().archive.keep(conversation.id)
    return sent.ack.model_dump(mode="json"), 202


@messages.delete("/api/conversations/<conversation_id>/queue/<message_id>")
@contract(status=204, errors=(ConversationUnknown, MessageUnknown, StoreUnavailable))
def unqueue_message(conversation_id: str, message_id: str) -> Response:
    """Take back a message that waits: its author may, and the conversation's owner."""
    principal, conversation = permitted(Action.STEER, conversation_id)
    owns = permits(principal, Action.MANAGE, conversation)
    services().manager.queue.take_back(conversation, message_id, principal.id, anybodys=owns)
    return Response(status=204)


@messages.patch("/api/conversations/<conversation_id>/messages/<message_id>")
@contract(
    Message,
    body=NewText,
    errors=(
        InvalidPayload,
        ContentEmpty,
        ContentTooLarge,
        ConversationUnknown,
        MessageUnknown,
        InvalidState,
        StoreUnavailable,
    ),
)
def edit_message(conversation_id: str, message_id: str) -> dict[str, Any]:
    """Change what a message says; all who watch get `message_updated`, and the next turn reads it so."""
    principal, conversation = permitted(Action.EDIT, conversation_id)
    content = parse_body(NewText).content
    return _shaped(services().manager.editing.edit(conversation, message_id, content, principal.id))


@messages.put("/api/conversations/<conversation_id>/messages/<message_id>/feedback")
@contract(
    Message,
    body=Opinion,
    errors=(InvalidPayload, ConversationUnknown, MessageUnknown, InvalidState, StoreUnavailable),
)
def rate_message(conversation_id: str, message_id: str) -> dict[str, Any]:
    """Say what you think of a message; all who watch get `message_updated`."""
    principal, conversation = permitted(Action.RATE, conversation_id)
    value = parse_body(Opinion).value
    return _shaped(services().manager.editing.rate(conversation, message_id, value, principal.id))


def _shaped(view: MessageView) -> dict[str, Any]:
    return shape(view.model_dump(mode="json")).model_dump()
