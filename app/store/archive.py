"""What the manager needs to know of earlier sessions, out of the store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from app.errors import StoreUnavailable
from app.protocol.snapshot import MessageView
from app.store.base import ConversationStore, MessageQuery
from app.store.recorder import Recorder


class StoredArchive:
    """Implements :class:`app.streaming.ports.Archive`.

    :param team_of: the team that a conversation's session belongs to.
    :param max_messages: how many of the newest a session is begun with; ``max_chars``: their text, the last one always.
    """

    def __init__(
        self,
        store: ConversationStore,
        recorder: Recorder,
        team_of: Callable[[str], str],
        *,
        max_messages: int,
        max_chars: int,
    ) -> None:
        self._store = store
        self._recorder = recorder
        self._team_of = team_of
        self._max_messages = max_messages
        self._max_chars = max_chars

    def messages(self, conversation_id: str) -> list[MessageView]:
        self._recorder.flush(conversation_id)
        try:
            page = self._store.messages(conversation_id, MessageQuery(limit=self._max_messages, newest=True))
        except StoreUnavailable:
            return []
        views = [each.view for each in page.messages]
        chars = sum(len(view.content) for view in views)
        while chars > self._max_chars and len(views) > 1:
            chars -= len(views.pop(0).content)
        return views

    def checkpoint(self, conversation_id: str) -> dict[str, Any] | None:
        try:
            found = self._store.checkpoint(conversation_id)
        except StoreUnavailable:
            return None
        return None if found is None else found[1]

    def save_checkpoint(self, conversation_id: str, state: dict[str, Any]) -> None:
        self._recorder.checkpoint(conversation_id, self._team_of(conversation_id), state)

    def delete(self, conversation_id: str) -> None:
        """Memory has forgotten a conversation; the store keeps it."""
