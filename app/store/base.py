"""The port to whatever keeps conversations beyond their log."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from app.protocol.common import ContentType, Status, Usage
from app.protocol.snapshot import MessageView


@dataclass(slots=True)
class ConversationRecord:
    """A stored conversation. Times are UTC, ISO 8601."""

    conversation_id: str
    owner: str
    title: str
    team: str
    content_type: ContentType
    created_at: str
    updated_at: str
    status: Status = Status.IDLE
    demo: bool = False
    messages: int = 0
    usage: Usage = field(default_factory=Usage)


class ConversationStore(Protocol):
    """Conversations, their messages and their checkpoints. Safe to use from several threads or greenlets."""

    def save(self, record: ConversationRecord) -> None:
        """Insert or replace a conversation."""

    def get(self, conversation_id: str) -> ConversationRecord | None: ...

    def newest(self, limit: int) -> list[ConversationRecord]:
        """The conversations changed last, newest first."""

    def add_message(self, conversation_id: str, message: MessageView) -> None:
        """Append a finished or broken-off message. A message of a known id is replaced."""

    def messages(self, conversation_id: str) -> list[MessageView]:
        """In the order of their first appearance."""

    def save_checkpoint(self, conversation_id: str, state: dict[str, Any]) -> None:
        """Keep the team's state at the end of a turn; only the newest counts."""

    def checkpoint(self, conversation_id: str) -> dict[str, Any] | None: ...

    def delete(self, conversation_id: str) -> None:
        """Forget a conversation with all that belongs to it; an unknown one is no error."""
