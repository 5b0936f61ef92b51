"""The conversation's log: the truth that every reader follows."""

from __future__ import annotations

import json
import secrets
from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Any

from app.protocol.common import Position
from app.protocol.events import MessageDelta
from app.streaming.entry import LogEntry
from app.streaming.merge import merge_deltas

__all__ = ["ConversationLog", "LogEntry", "PositionLost", "merge_deltas"]

_ENVELOPE_BYTES = 250  # what the envelope of an entry weighs, roughly
_MAX_MERGED = 16


class PositionLost(Exception):
    """What follows this position is no longer kept, or never was in this log. The reader needs a snapshot."""


class ConversationLog:
    """Entries in order, at rising offsets, within one epoch. Keeps the newest within its bounds.

    Not safe for use from several threads: it belongs to its conversation's task.

    :param max_entries: entries kept for replay.
    :param max_bytes: their size, roughly; the oldest are dropped first.
    :param offset: where it begins: above 0 where something came before that this log never had.
    """

    def __init__(
        self,
        conversation_id: str,
        *,
        max_entries: int,
        max_bytes: int,
        epoch: str | None = None,
        offset: int = 0,
    ) -> None:
        self.conversation_id = conversation_id
        self.epoch = epoch or secrets.token_hex(4)
        self.max_entries = max_entries
        self.max_bytes = max_bytes
        self.dropped_entries = 0
        self._entries: deque[LogEntry] = deque()
        self._bytes = 0
        self._end_bytes = 0
        self._offset = offset
        self._merged: dict[tuple[int, int], list[LogEntry]] = {}  # what many readers ask for between two appends

    @property
    def offset(self) -> int:
        """The newest entry's offset; 0 when nothing was ever appended."""
        return self._offset

    @property
    def size_bytes(self) -> int:
        return self._bytes

    def __len__(self) -> int:
        return len(self._entries)

    def append(
        self, name: str, payload: dict[str, Any], *, timestamp: str, demo: bool, confirms_from: int | None = None
    ) -> LogEntry:
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
        size_bytes = _size_of(name, payload)
        self._bytes += size_bytes
        self._end_bytes += size_bytes
        entry = LogEntry(before, self._offset, name, enveloped, size_bytes, self._end_bytes, confirms_from)
        self._entries.append(entry)
        self._merged.clear()
        while len(self._entries) > self.max_entries or (self._bytes > self.max_bytes and len(self._entries) > 1):
            self._bytes -= self._entries.popleft().size_bytes
            self.dropped_entries += 1
        return entry

    def covers(self, position: Position) -> bool:
        """Whether everything after a position can still be read."""
        return position.epoch == self.epoch and self._oldest <= position.offset <= self._offset

    def after(self, offset: int) -> Iterator[LogEntry]:
        """Everything after an offset of this epoch, oldest first.

        :raises PositionLost: when the offset lies ahead, or the next entry is no longer kept.
        """
        if not self._oldest <= offset <= self._offset:
            raise PositionLost
        return self._from(offset - self._oldest)

    def merged_after(self, offset: int, max_bytes: int) -> list[LogEntry]:
        """What follows an offset, neighbouring deltas merged, at most about so many bytes; empty at the head.

        :raises PositionLost: as :meth:`after`.
        """
        found = self._merged.get((offset, max_bytes))
        if found is None:
            found = merge_deltas(self.after(offset), max_bytes)
            if len(self._merged) >= _MAX_MERGED:
                self._merged.clear()
            self._merged[offset, max_bytes] = found
        return found

    def _from(self, index: int) -> Iterator[LogEntry]:
        count = len(self._entries)
        if index < count // 2:
            return islice(self._entries, index, None)
        return reversed(list(islice(reversed(self._entries), count - index)))

    def before(self, timestamp: str) -> int:
        """The offset after which everything was logged at this time or later.

        :param timestamp: UTC, ISO 8601, milliseconds, ``Z``: as in the entries.
        :raises PositionLost: when entries of that time may no longer be kept.
        """
        if self._oldest > 0 and (not self._entries or self._entries[0].payload["timestamp"] >= timestamp):
            raise PositionLost
        for entry in reversed(self._entries):
            if entry.payload["timestamp"] < timestamp:
                return entry.offset
        return self._oldest

    def bytes_after(self, offset: int) -> int:
        """Size of what was logged after an offset, roughly; of all that is kept, where it is older than that."""
        if offset >= self._offset:
            return 0
        index = offset - self._oldest - 1
        if index < 0:
            return self._bytes
        return self._end_bytes - self._entries[index].end_bytes

    @property
    def _oldest(self) -> int:
        """The offset after which everything is kept."""
        return self._offset - len(self._entries)

    def forget(self) -> None:
        """Drop all entries; the offset stays, so that readers behind it are told to take a snapshot."""
        self.dropped_entries += len(self._entries)
        self._entries.clear()
        self._merged.clear()
        self._bytes = 0


def _size_of(name: str, payload: dict[str, Any]) -> int:
    if name == MessageDelta.name:
        return _ENVELOPE_BYTES + len(payload["delta"])
    return _ENVELOPE_BYTES + len(json.dumps(payload))
