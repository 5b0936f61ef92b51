"""A place in a log, and what is read from there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.streaming.log import ConversationLog, LogEntry
from app.streaming.view import ALL, View


@dataclass(frozen=True, slots=True)
class Portion:
    """What a reader is given next: everything after ``prev_offset`` up to ``offset``.

    :param entries: what it wants to see of that, neighbouring deltas of one message merged, in an unbroken chain of
        ``prev_offset``; never empty but with a snapshot.
    :param snapshot: not None: what followed is no longer kept, and this replaces everything.
    """

    epoch: str
    prev_offset: int
    offset: int
    entries: tuple[LogEntry, ...] = ()
    snapshot: dict[str, Any] | None = None


class Cursor:
    """Reads a log forward. Belongs to the task of its conversation.

    :param offset: everything up to here is known to the reader …
    :param knows_from: … from this offset on; 0 where it began with a snapshot.
    """

    def __init__(self, offset: int, view: View = ALL, *, knows_from: int = 0) -> None:
        self.offset = offset
        self.told = offset  # of the last entry that the reader was given: what is filtered out moves only `offset`
        self.view = view
        self._knows_from = knows_from

    def read(self, log: ConversationLog, max_bytes: int) -> Portion | None:
        """What follows, at most about so many bytes; None at the head.

        :raises PositionLost: when it is no longer kept.
        """
        while entries := log.merged_after(self.offset, max_bytes):
            self.offset = entries[-1].offset
            seen = entries if self.view.whole else self.view.seen(entries, knows_from=self._knows_from, after=self.told)
            if seen:
                portion = Portion(log.epoch, self.told, seen[-1].offset, tuple(seen))
                self.told = seen[-1].offset
                return portion
        return None

    def move(self, offset: int) -> None:
        """The reader knows everything up to here: from a snapshot, or from the room."""
        self.offset = self.told = offset
