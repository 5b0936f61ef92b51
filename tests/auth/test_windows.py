"""How often somebody may try, in a minute."""

from __future__ import annotations

import time

import pytest

from app.auth import windows
from app.auth.attempts import Attempts
from app.auth.windows import Windows
from app.errors import LimitExceeded


class Clock:
    """The wall clock, driven."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at = 1_700_000_000.0
        monkeypatch.setattr(time, "time", lambda: self.at)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_a_window_moves(clock: Clock) -> None:
    """Three in any minute, not three in each."""
    attempts = Attempts(3, "too many")
    for _ in range(3):
        attempts.take("a")
        clock.at += 10
    with pytest.raises(LimitExceeded) as refused:
        attempts.take("a")
    assert refused.value.retry_after_s == pytest.approx(30)
    attempts.take("b")
    clock.at += 30.1
    attempts.take("a")
    with pytest.raises(LimitExceeded):
        attempts.take("a")


def test_one_full_source_takes_from_no_other(clock: Clock) -> None:
    """An attempt that is refused is not counted anywhere."""
    attempts = Attempts(1, "too many")
    attempts.take("address 1", "login a")
    with pytest.raises(LimitExceeded):
        attempts.take("address 2", "login a")
    attempts.take("address 2", "login b")


def test_what_is_over_is_forgotten(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """After its minute, at the next hit of anybody; and there are never more than so many keys."""
    kept = Windows()
    for number in range(1000):
        assert kept.acquire_entry(str(number), 1, 60)
    assert len(kept) == 1000
    clock.at += 61
    assert kept.acquire_entry("new", 1, 60)
    assert len(kept) == 1
    monkeypatch.setattr(windows, "_MOST_KEYS", 10)
    for number in range(100):
        assert kept.acquire_entry(str(number), 1, 60)
    assert len(kept) == 10
    assert not kept.acquire_entry("99", 1, 60)
    assert kept.get_moving_window("99", 1, 60) == (clock.at, 1)
