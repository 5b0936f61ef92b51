"""What waits to be written, of one conversation: coalesced, so that the newest of each thing is written once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from app.store.base import (
    ArtifactWritten,
    Change,
    ChartWritten,
    CheckpointWritten,
    ConversationChanged,
    ConversationRecord,
    MessageChanged,
    MessageWithdrawn,
    MessageWritten,
    RunEnded,
    ToolCallWritten,
)
from app.streaming.conversation import Conversation

_CHANGE_BYTES = 500  # what one change takes beside its text
_ORDER: tuple[type[Change], ...] = (
    ConversationChanged,
    MessageWithdrawn,
    MessageWritten,
    MessageChanged,
    ToolCallWritten,
    ChartWritten,
    ArtifactWritten,
    RunEnded,
    CheckpointWritten,
)

Key = tuple[str, str]


class Pending:
    """The changes of one conversation, in their order. Belongs to the recorder, under its lock.

    ``size_bytes``: roughly what they take. ``open``: messages whose text has grown since it was last written.
    ``source``: where ``row`` (something of the conversation itself has changed) and ``open`` are read from.
    """

    __slots__ = ("changes", "conversation_id", "open", "record", "row", "serial", "size_bytes", "source")

    def __init__(self, conversation_id: str, serial: int) -> None:
        self.conversation_id = conversation_id
        self.serial = serial
        """Number of the first entry that waits."""
        self.source: Conversation | None = None
        self.row = False
        self.record: ConversationRecord | None = None
        self.open: set[str] = set()
        self.changes: dict[Key, Change] = {}
        self.size_bytes = 0

    @property
    def only_grows(self) -> bool:
        """Nothing but text of open messages has come."""
        return not self.changes and not self.row and self.record is None

    def put(self, change: Change) -> None:
        """Add a change. It replaces an older one of the same thing, in its place."""
        key, old = _key_of(change), None
        if isinstance(change, ConversationChanged):
            self.record = change.record
            return
        if isinstance(change, MessageWithdrawn):  # whatever comes of that id later is another message, and comes last
            self._drop(("message", change.message_id))
            self.open.discard(change.message_id)
        elif isinstance(change, MessageChanged):
            old = self.changes.get(key)
            if isinstance(old, MessageWritten):
                change = replace(old, message=old.message.model_copy(update=change.changes))
            elif isinstance(old, MessageChanged):
                change = replace(change, changes={**old.changes, **change.changes})
        old = self.changes.get(key)
        self.size_bytes += _size_of(change) - (_size_of(old) if old is not None else 0)
        self.changes[key] = change

    def drop_oldest(self) -> bool:
        """Let the oldest change go; False if there is none."""
        if not self.changes:
            return False
        self._drop(next(iter(self.changes)))
        return True

    def _drop(self, key: Key) -> None:
        old = self.changes.pop(key, None)
        if old is not None:
            self.size_bytes -= _size_of(old)

    def absorb(self, newer: Pending) -> None:
        """Take in what has come since."""
        for change in newer.changes.values():
            self.put(change)
        self.record = newer.record or self.record
        self.row = self.row or newer.row
        self.open |= newer.open
        self.source = newer.source or self.source

    def complete(self) -> None:
        """Read what is to be read from the conversation, in its own task; then it is no longer held."""
        source, self.source = self.source, None
        if source is None:
            return
        wanted = sorted(self.open)
        record, views = source.read(lambda: (record_of(source), [source.fold.message(each) for each in wanted]))
        self.row, self.open = False, set()
        self.record = record
        for view in views:
            if view is not None:
                self.put(MessageWritten(self.conversation_id, view))

    def __iter__(self) -> Iterator[Change]:
        if self.record is not None:
            yield ConversationChanged(self.record)
        yield from self.changes.values()


def in_order(batch: Iterable[Pending]) -> list[Change]:
    """All changes; those of one kind together, where a conversation's own order allows it."""
    found = [change for pending in batch for change in pending]
    found.sort(key=lambda change: _ORDER.index(type(change)))
    return found


def record_of(conversation: Conversation) -> ConversationRecord:
    """The conversation's row, as it stands."""
    fold = conversation.fold
    return ConversationRecord(
        conversation_id=conversation.id,
        owner=conversation.owner,
        tenant=conversation.access.tenant,
        title=fold.title,
        team=fold.team,
        content_type=fold.content_type,
        created_at=fold.created_at,
        updated_at=fold.updated_at,
        status=fold.status,
        demo=fold.demo,
        messages=fold.message_count(),
        usage=fold.usage,
        state=fold.standing() | {"recoveries": conversation.recoveries, "requests": conversation.requests.to_json()},
    )


def _key_of(change: Change) -> Key:
    match change:
        case MessageWritten():
            return "message", change.message.message_id
        case MessageChanged():
            return "message", change.message_id
        case MessageWithdrawn():
            return "withdrawn", change.message_id
        case ToolCallWritten():
            return "call", change.call.call_id
        case ChartWritten():
            return "chart", change.chart.chart_id
        case ArtifactWritten():
            return "artifact", change.artifact_id
        case RunEnded():
            return "run", change.session_id
        case CheckpointWritten():
            return "checkpoint", ""
        case ConversationChanged():
            return "row", ""


def _size_of(change: Change) -> int:
    match change:
        case MessageWritten():
            return _CHANGE_BYTES + len(change.message.content)
        case MessageChanged():
            return _CHANGE_BYTES + sum(len(value) for value in change.changes.values() if isinstance(value, str))
        case ToolCallWritten():
            return _CHANGE_BYTES + len(change.call.arguments) + len(change.call.preview)
        case ArtifactWritten():
            return _CHANGE_BYTES + len(change.data)
        case CheckpointWritten():
            return _CHANGE_BYTES + _roughly(change.state)
        case _:
            return _CHANGE_BYTES


def _roughly(value: Any) -> int:
    """Characters of the texts in a JSON value, and a little for everything else."""
    size, todo = 0, [value]
    while todo:
        each = todo.pop()
        if isinstance(each, str):
            size += len(each)
        elif isinstance(each, dict):
            todo += each.values()
            size += sum(map(len, each))
        elif isinstance(each, list):
            todo += each
        size += 8
    return size
