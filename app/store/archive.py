"""What memory asks of the store: conversations to bring back, checkpoints, deletions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app.errors import StoreUnavailable
from app.protocol.common import Status, whole_characters
from app.protocol.snapshot import MessageView, Snapshot
from app.store.base import ConversationRecord, ConversationStore, MessageQuery
from app.store.recorder import Recorder
from app.streaming.access import Access
from app.streaming.ports import Kept, Rating

LoadAccess = Callable[[str, str, str | None], Access]
"""(conversation id, its owner, their tenant) → who may come in. May wait for the database."""

_KEEP_S = 0.25  # no acknowledgement waits longer for the database
_STANDING = ("session_id", "agents", "model", "progress", "outcome", "error", "fallback", "pending_inputs", "queued")


def owner_alone(_: str, owner: str, tenant: str | None) -> Access:
    """Nothing is shared."""
    return Access(owner, tenant)


@dataclass(frozen=True, slots=True)
class Shared:
    """Who may come into a conversation that is not in memory."""

    access: Access


class StoredArchive:
    """Implements :class:`app.streaming.ports.Archive`.

    :param max_messages: how many of the newest come back into memory; ``max_chars``: their text, the last one always.
    """

    def __init__(
        self,
        store: ConversationStore,
        recorder: Recorder,
        *,
        load_access: LoadAccess = owner_alone,
        max_messages: int,
        max_chars: int,
    ) -> None:
        self._store = store
        self._recorder = recorder
        self._load_access = load_access
        self._max_messages = max_messages
        self._max_chars = max_chars

    def load(self, conversation_id: str) -> Kept | None:
        self.write(conversation_id)
        record = self._store.get(conversation_id)
        if record is None:
            return None
        page = self._store.messages(conversation_id, MessageQuery(limit=self._max_messages, newest=True))
        views = [each.view for each in page.messages]
        chars = sum(len(view.content) for view in views)
        while chars > self._max_chars and len(views) > 1:
            chars -= len(views.pop(0).content)
        snapshot = Snapshot(
            conversation_id=record.conversation_id,
            epoch="",
            offset=0,
            title=record.title,
            team=record.team,
            content_type=record.content_type,
            created_at=record.created_at,
            status=record.status,
            demo=record.demo,
            messages=tuple(views),
            omitted_messages=max(0, page.total - len(views)),
            usage=record.usage,
            tool_calls=self._store.tool_calls(conversation_id),
            charts=self._store.charts(conversation_id),
        )
        snapshot = Snapshot.model_validate({**snapshot.model_dump(by_alias=True), **_standing(record)})
        return Kept(
            snapshot,
            record.updated_at,
            self.shared(record).access,
            int(record.state.get("recoveries", 0)),
            record.state.get("requests", {}),
        )

    def shared(self, record: ConversationRecord) -> Shared:
        """Who may come into a stored conversation. Waits for the database."""
        return Shared(self._load_access(record.conversation_id, record.owner, record.tenant))

    def settled(self, conversation_id: str) -> bool:
        return self._recorder.flush(conversation_id, timeout_s=0)

    def save_checkpoint(self, conversation_id: str, team: str, state: dict[str, Any]) -> None:
        self._recorder.checkpoint(conversation_id, team, state)

    def save_artifact(self, conversation_id: str, artifact_id: str, media_type: str, data: bytes) -> None:
        self._recorder.artifact(conversation_id, artifact_id, media_type, data)

    def checkpoint(self, conversation_id: str, team: str) -> dict[str, Any] | None:
        self.write(conversation_id)
        found = self._store.checkpoint(conversation_id)
        return found[1] if found is not None and found[0] == team else None

    def message(self, conversation_id: str, message_id: str) -> MessageView | None:
        if whole_characters(message_id) != message_id:
            return None
        self.write(conversation_id)
        return self._store.message(conversation_id, message_id)

    def rate(self, conversation_id: str, message_id: str, user_id: str, value: Rating | None, at: str) -> None:
        self._store.rate(conversation_id, message_id, user_id, value, at)

    def write(self, conversation_id: str) -> None:
        if not self._recorder.flush(conversation_id):
            problem = self._recorder.state().message or "the database is too slow"
            raise StoreUnavailable(f"what is newest could not be written: {problem}")

    def keep(self, conversation_id: str) -> None:
        self._recorder.flush(conversation_id, _KEEP_S, hurry=False)

    def delete(self, conversation_id: str) -> None:
        self.write(conversation_id)
        self._store.delete(conversation_id)
        self._recorder.forget(conversation_id)

    def unfinished(self) -> dict[str, Status]:
        return {record.conversation_id: record.status for record in self._store.unfinished()}

    def expired(self, *, changed_before: str | None, keep_newest: int | None) -> tuple[str, ...]:
        return self._store.expired(changed_before=changed_before, keep_newest=keep_newest)

    def orphans(self) -> tuple[str, ...]:
        return self._store.orphans()


def _standing(record: ConversationRecord) -> dict[str, Any]:
    """The rest of its snapshot; what an older version has not kept is left out."""
    return {name: record.state[name] for name in _STANDING if record.state.get(name) is not None}
