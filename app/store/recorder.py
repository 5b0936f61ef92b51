"""Follows the log and writes what is worth keeping into the store."""

from __future__ import annotations

from app.protocol.common import Usage
from app.protocol.events import AgentMessage, ConversationStatus, FallbackMode
from app.protocol.snapshot import MessageView
from app.store.base import ConversationRecord
from app.store.memory import MemoryStore
from app.streaming.conversation import Conversation
from app.streaming.log import LogEntry


class Recorder:
    """Called for each log entry, in its conversation's task. Deltas are not stored: their message is."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def __call__(self, conversation: Conversation, entry: LogEntry) -> None:
        if entry.name == AgentMessage.name:
            self._store.add_message(conversation.id, _view(entry))
        if entry.name in (AgentMessage.name, ConversationStatus.name, FallbackMode.name):
            self._store.save(record_of(conversation))


def record_of(conversation: Conversation) -> ConversationRecord:
    """The conversation's row, as it stands."""
    fold = conversation.fold
    return ConversationRecord(
        conversation_id=conversation.id,
        owner=conversation.owner,
        title=fold.title,
        team=fold.team,
        content_type=fold.content_type,
        created_at=fold.created_at,
        updated_at=fold.updated_at,
        status=fold.status,
        demo=fold.demo,
        messages=fold.message_count(),
        usage=fold.usage,
    )


def _view(entry: LogEntry) -> MessageView:
    payload = entry.payload
    return MessageView(
        message_id=payload["message_id"],
        agent=payload["agent"],
        role=payload["role"],
        content=payload["content"],
        content_type=payload["content_type"],
        state="partial" if payload["partial"] else "complete",
        confidence=payload["confidence"],
        usage=Usage(**payload["usage"]) if payload["usage"] else None,
        model=payload["model"],
        reason=payload["reason"],
        truncated=payload["truncated"],
        demo=payload["demo"],
        timestamp=payload["timestamp"],
    )
