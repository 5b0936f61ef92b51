"""How much one person's runs may be and spend. Implements :class:`app.streaming.ports.Allowance`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

from app.auth.identity import GUEST, GUEST_ID, Person
from app.auth.in_force import LimitsInForce
from app.errors import LimitExceeded
from app.protocol.common import Usage


class PersonsAllowance:
    """What the limits in force allow. The guest of this machine has none but that of the whole server.

    :param spent: what somebody's ended runs have spent on a day (``YYYY-MM-DD``); may wait for the database.
    :param settle: waits, for a short time, until what a conversation has spent is written.
    """

    def __init__(
        self,
        limits: LimitsInForce,
        spent: Callable[[Person, str], Usage],
        settle: Callable[[str], object],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._limits = limits
        self._spent = spent
        self._settle = settle
        self._now = now

    def most_running(self) -> int:
        return self._limits.value("max_running_sessions")

    def most_running_of(self, owner: str) -> int:
        return 0 if owner == GUEST_ID else self._limits.value("max_running_per_user")

    def most_tokens_of_conversation(self) -> int:
        return self._limits.value("max_tokens_per_conversation")

    def tokens_left(self, owner: Person, ended: Iterable[str]) -> int | None:
        most = self._limits.value("max_tokens_per_day")
        if not most or owner == GUEST.person:
            return None
        for conversation_id in ended:
            self._settle(conversation_id)
        usage = self._spent(owner, self._now().date().isoformat())
        return most - usage.prompt_tokens - usage.completion_tokens

    def check_tokens(self, owner: Person, received: int, ended: Iterable[str]) -> None:
        left = self.tokens_left(owner, ended)
        if left is None or received < left:
            return
        now, most = self._now(), self._limits.value("max_tokens_per_day")
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        raise LimitExceeded(
            f"the {most} tokens of this day (UTC) are spent", retry_after_s=(midnight - now).total_seconds()
        )
