"""The store in the memory of one process: gone with it."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

from app.protocol.snapshot import MessageView
from app.store.base import ConversationRecord


class MemoryStore:
    """Implements :class:`app.store.base.ConversationStore`.

    Bounded from outside: the manager deletes conversations. Each keeps its newest messages, and always the last one.

    :param max_messages: of one conversation.
    :param max_chars: their text.
    """

    def __init__(self, max_messages: int = 500, max_chars: int = 8_000_000) -> None:
        self.max_messages = max_messages
        self.max_chars = max_chars
        self._records: dict[str, ConversationRecord] = {}
        self._messages: dict[str, dict[str, MessageView]] = {}
        self._checkpoints: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()  # guards the three above

    def save(self, record: ConversationRecord) -> None:
        with self._lock:
            self._records.pop(record.conversation_id, None)
            self._records[record.conversation_id] = replace(record)

    def get(self, conversation_id: str) -> ConversationRecord | None:
        with self._lock:
            found = self._records.get(conversation_id)
            return replace(found) if found else None

    def newest(self, limit: int) -> list[ConversationRecord]:
        with self._lock:
            return [replace(record) for record in list(reversed(self._records.values()))[:limit]]

    def add_message(self, conversation_id: str, message: MessageView) -> None:
        with self._lock:
            messages = self._messages.setdefault(conversation_id, {})
            messages[message.message_id] = message
            chars = sum(len(each.content) for each in messages.values())
            while len(messages) > self.max_messages or (chars > self.max_chars and len(messages) > 1):
                chars -= len(messages.pop(next(iter(messages))).content)

    def messages(self, conversation_id: str) -> list[MessageView]:
        with self._lock:
            return list(self._messages.get(conversation_id, {}).values())

    def save_checkpoint(self, conversation_id: str, state: dict[str, Any]) -> None:
        with self._lock:
            self._checkpoints[conversation_id] = state

    def checkpoint(self, conversation_id: str) -> dict[str, Any] | None:
        with self._lock:
            return self._checkpoints.get(conversation_id)

    def delete(self, conversation_id: str) -> None:
        with self._lock:
            self._records.pop(conversation_id, None)
            self._messages.pop(conversation_id, None)
            self._checkpoints.pop(conversation_id, None)
