"""The limit of commands per connection."""

from __future__ import annotations

import pytest

from app.errors import LimitExceeded
from app.http.sockets.limit import CommandLimit


class HandClock:
    """A clock that is set by hand."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now

    def now_iso(self) -> str:
        return "2026-11-21T00:00:00.000Z"


def taken(limit: CommandLimit, attempts: int) -> int:
    """How many of so many attempts are allowed."""
    allowed = 0
    for _ in range(attempts):
        try:
            limit.take()
            allowed += 1
        except LimitExceeded:
            pass
    return allowed


def test_a_burst_and_then_the_rate() -> None:
    """Two seconds' worth at once, and then what comes back with time, never more than the burst."""
    clock = HandClock()
    limit = CommandLimit(5, clock)
    assert taken(limit, 20) == 10
    clock.now += 1
    assert taken(limit, 20) == 5
    clock.now += 1000
    assert taken(limit, 50) == 10


def test_unlimited() -> None:
    """0: no limit; a client may still ask for one."""
    limit = CommandLimit(0, HandClock())
    assert taken(limit, 1000) == 1000
    limit.lower(1)
    assert taken(limit, 10) == 2


@pytest.mark.parametrize(("asked", "burst"), [(2, 4), (50, 20), (0, 20), (-1, 20)])
def test_a_client_may_only_lower_it(asked: float, burst: int) -> None:
    """More than the setting is not given."""
    limit = CommandLimit(10, HandClock())
    limit.lower(asked)
    assert taken(limit, 100) == burst


def test_who_does_not_listen_is_hopeless() -> None:
    """After a hundred refusals in a row; one allowed command in between begins anew."""
    clock = HandClock()
    limit = CommandLimit(1, clock)
    taken(limit, 2 + 99)
    assert not limit.hopeless
    clock.now += 1
    limit.take()
    taken(limit, 99)
    assert not limit.hopeless
    taken(limit, 1)
    assert limit.hopeless
