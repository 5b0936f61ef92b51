"""Lets go of what was kept for long enough, and of what belongs to nobody any more."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from app.errors import StoreUnavailable
from app.streaming.conversation import iso
from app.streaming.editing import Editing
from app.streaming.ports import Archive, Clock, Concurrency

logger = logging.getLogger(__name__)

ROUND_S = 60.0


class Retention:
    """Deletes ended conversations for good, by their age and beyond a number; never one that runs or is watched.
    And all of those whose owner has deleted their account.

    :param days: since the last change; 0: whatever their age.
    :param most: of each owner; 0: however many.
    """

    def __init__(
        self, editing: Editing, archive: Archive, clock: Clock, concurrency: Concurrency, *, days: float, most: int
    ) -> None:
        self._editing = editing
        self._archive = archive
        self._clock = clock
        self._concurrency = concurrency
        self._days = days
        self._most = most
        self._over = False

    def stop(self) -> None:
        """The server ends."""
        self._over = True

    def run(self) -> None:
        """One round at once, and then every minute; for a background task."""
        while not self._over:
            try:
                self.round()
            except StoreUnavailable:
                pass
            except Exception:
                logger.exception("retention failed")
            self._concurrency.sleep(ROUND_S)

    def round(self) -> int:
        """Delete what is due; how many it were."""
        gone = self._each(self._archive.orphans(), self._editing.remove)
        if gone:
            logger.info("%d conversations were deleted: their owner's account was", gone)
        return gone + (self._expire() if self._days or self._most else 0)

    def _expire(self) -> int:
        now = datetime.fromisoformat(self._clock.now_iso())
        before = None
        if self._days:
            age = timedelta(days=min(self._days, 365_000))
            earliest = datetime(1, 1, 1, tzinfo=UTC)
            before = iso(now - age if now - earliest > age else earliest)
        due = self._archive.expired(changed_before=before, keep_newest=self._most or None)
        gone = self._each(due, self._editing.expire)
        if gone:
            logger.info("%d conversations were deleted: their time is over", gone)
        return gone

    def _each(self, ids: Sequence[str], delete: Callable[[str], bool]) -> int:
        gone = 0
        for conversation_id in ids:
            if self._over:
                break
            gone += delete(conversation_id)
        return gone
