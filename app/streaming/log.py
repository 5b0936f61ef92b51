"""The conversation's log: the truth that every reader follows."""

from __future__ import annotations

import json
import secrets
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from app.protocol.common import Position
from app.protocol.events import MessageDelta

_ENVELOPE_BYTES = 250  # what the envelope of an entry weighs, roughly


class PositionLost(Exception):
    """What follows this position is no longer kept, or never was in this log. The reader needs a snapshot."""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One logged event, with its envelope: it covers everything after ``prev_offset`` up to ``offset``."""

    prev_offset: int
    offset: int
    name: str
    payload: dict[str, Any]
    size_bytes: int


class ConversationLog:
    """Entries in order, at rising offsets, within one epoch. Keeps the newest within its bounds.

    Not safe for use from several threads: it belongs to its conversation's task.

    :param max_entries: entries kept for replay.
    :param max_bytes: their size, roughly; the oldest are dropped first.
    """

    def __init__(self, conversation_id: str, *, max_entries: int, max_bytes: int, epoch: str | None = None) -> None:
        self.conversation_id = conversation_id
        self.epoch = epoch or secrets.token_hex(4)
        self.max_entries = max_entries
        self.max_bytes = max_bytes
        self.dropped_entries = 0
        self._entries: deque[LogEntry] = deque()
        self._bytes = 0
        self._offset = 0

    @property
    def offset(self) -> int:
        """The newest entry's offset; 0 when nothing was ever appended."""
        return self._offset

    @property
    def size_bytes(self) -> int:
        return self._bytes

    def __len__(self) -> int:
        return len(self._entries)

    def append(self, name: str, payload: dict[str, Any], *, timestamp: str, demo: bool) -> LogEntry:
        """Put an event at the next offset, inside its envelope."""
        before, self._offset = self._offset, self._offset + 1
        enveloped = {
            **payload,
            "conversation_id": self.conversation_id,
            "epoch": self.epoch,
            "prev_offset": before,
            "offset": self._offset,
            "timestamp": timestamp,
            "demo": demo,
        }
        entry = LogEntry(before, self._offset, name, enveloped, _size_of(name, payload))
        self._entries.append(entry)
        self._bytes += entry.size_bytes
        while len(self._entries) > self.max_entries or (self._bytes > self.max_bytes and len(self._entries) > 1):
            self._bytes -= self._entries.popleft().size_bytes
            self.dropped_entries += 1
        return entry

    def after(self, position: Position) -> list[LogEntry]:
        """Everything after a position.

        :raises PositionLost: when the epoch is another one, the offset lies ahead, or the next entry is no longer kept.
        """
        if position.epoch != self.epoch or position.offset > self._offset:
            raise PositionLost
        if position.offset == self._offset:
            return []
        oldest = self._entries[0].prev_offset if self._entries else self._offset
        if position.offset < oldest:
            raise PositionLost
        missed = self._offset - position.offset
        return list(self._entries)[-missed:]

    def forget(self) -> None:
        """Drop all entries; the offset stays, so that readers behind it are told to take a snapshot."""
        self.dropped_entries += len(self._entries)
        self._entries.clear()
        self._bytes = 0


def merge_deltas(entries: Iterable[LogEntry]) -> list[LogEntry]:
    """Join neighbouring deltas of the same message: fewer frames, the same text, the same positions."""
    merged: list[LogEntry] = []
    for entry in entries:
        last = merged[-1] if merged else None
        if (
            last is not None
            and entry.name == last.name == MessageDelta.name
            and entry.payload["message_id"] == last.payload["message_id"]
            and entry.payload["demo"] == last.payload["demo"]
        ):
            payload = {
                **last.payload,  # the first one's time and agent: it may be what opens the message
                "delta": last.payload["delta"] + entry.payload["delta"],
                "tokens": last.payload["tokens"] + entry.payload["tokens"],
                "offset": entry.offset,
            }
            merged[-1] = LogEntry(
                last.prev_offset, entry.offset, entry.name, payload, last.size_bytes + len(entry.payload["delta"])
            )
        else:
            merged.append(entry)
    return merged


def _size_of(name: str, payload: dict[str, Any]) -> int:
    if name == MessageDelta.name:
        return _ENVELOPE_BYTES + len(payload["delta"])
    return _ENVELOPE_BYTES + len(json.dumps(payload))
