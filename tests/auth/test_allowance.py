"""What one person's runs may be and spend."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from app.auth.allowance import PersonsAllowance
from app.auth.identity import GUEST_ID, Person
from app.auth.in_force import LIMITS, LimitsInForce
from app.errors import LimitExceeded, StoreUnavailable
from app.protocol.common import Usage


class Books:
    """What is written of the days."""

    def __init__(self, most: int) -> None:
        self.days: dict[tuple[Person, str], Usage] = {}
        self.settled: list[str] = []
        self.asked = 0
        self.away = False
        self.now = datetime(2026, 11, 21, 23, 0, tzinfo=UTC)
        self.limits = LimitsInForce(dict.fromkeys(LIMITS, 3))
        self.limits.set("max_tokens_per_day", most)
        self.allowance = PersonsAllowance(self.limits, self.spent, self.settled.append, lambda: self.now)

    def spent(self, owner: Person, day: str) -> Usage:
        self.asked += 1
        if self.away:
            raise StoreUnavailable("away")
        return self.days.get((owner, day), Usage())


def test_what_is_spent_and_what_runs_count_together() -> None:
    """Until midnight, UTC; then there are new ones."""
    books = Books(100)
    books.days[(None, "ada"), "2026-11-21"] = Usage(prompt_tokens=60, completion_tokens=30)
    books.allowance.check_tokens((None, "ada"), 9, ["c1"])
    assert books.settled == ["c1"]
    with pytest.raises(LimitExceeded) as refused:
        books.allowance.check_tokens((None, "ada"), 10, [])
    assert refused.value.retry_after_s == 3600
    for somebody_else in ((None, "bob"), ("acme", "ada")):
        books.allowance.check_tokens(somebody_else, 99, [])
    books.now = datetime(2026, 11, 22, tzinfo=UTC)
    books.allowance.check_tokens((None, "ada"), 10, [])


def test_without_a_limit_nobody_is_asked() -> None:
    """Nor for the guest. Where nobody can say, it is refused."""
    books = Books(0)
    books.away = True
    books.allowance.check_tokens((None, "ada"), 10**9, ["c1"])
    books.limits.set("max_tokens_per_day", 100)
    books.allowance.check_tokens((None, GUEST_ID), 10**9, ["c1"])
    assert (books.asked, books.settled) == (0, [])
    with pytest.raises(StoreUnavailable):
        books.allowance.check_tokens((None, "ada"), 0, [])


def test_runs_of_all_and_of_one() -> None:
    """As the limits in force have them; the guest is one of all."""
    books = Books(0)
    books.limits.set("max_running_per_user", 7)
    books.limits.set("max_running_sessions", 9)
    assert books.allowance.most_running() == 9
    assert books.allowance.most_running_of("ada") == 7
    assert books.allowance.most_running_of(GUEST_ID) == 0
