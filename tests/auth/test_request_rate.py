"""HTTP requests in a minute."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from app.auth import request_rate, windows
from app.auth.identity import GUEST, NOBODY, Principal
from app.auth.in_force import LIMITS, LimitsInForce
from app.auth.request_rate import RequestRate
from app.errors import LimitExceeded
from tests.support.clock import HandClock

ADA = Principal("ada", "user")
THERE = {"REMOTE_ADDR": "203.0.113.7"}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> HandClock:
    """The library asks the calendar by itself."""
    clock = HandClock()
    for module in (windows, request_rate):
        monkeypatch.setattr(module, "time", SimpleNamespace(time=clock.time))
    return clock


@pytest.fixture
def limits() -> LimitsInForce:
    found = LimitsInForce(dict.fromkeys(LIMITS, 1))
    found.set("max_requests_per_minute", 5)
    return found


def test_so_many_in_a_minute_and_then_again(clock: HandClock, limits: LimitsInForce) -> None:
    """One person's do not concern another's, nor an address; who waits as long as they were told gets in."""
    rate = RequestRate(limits)
    for _ in range(5):
        rate.count_person(ADA)
        rate.count_address(THERE)
    with pytest.raises(LimitExceeded) as refused:
        rate.count_person(ADA)
    with pytest.raises(LimitExceeded):
        rate.count_address(THERE)
    rate.count_person(Principal("bob", "user"))
    rate.count_address({"REMOTE_ADDR": "203.0.113.8"})
    assert refused.value.retry_after_s == 60
    clock.unix += 59.9
    with pytest.raises(LimitExceeded) as refused:
        rate.count_person(ADA)
    assert refused.value.retry_after_s == 0.5
    clock.unix += refused.value.retry_after_s
    rate.count_person(ADA)
    clock.unix += 120
    for _ in range(5):
        rate.count_person(ADA)


def test_who_is_excepted_is_not_counted(clock: HandClock, limits: LimitsInForce) -> None:
    """The guest, and this machine. 0 is no limit; a limit that changes holds at once."""
    rate = RequestRate(limits)
    for _ in range(20):
        rate.count_person(GUEST)
        rate.count_person(NOBODY)
        rate.count_address({"REMOTE_ADDR": "127.0.0.1"})
    limits.set("max_requests_per_minute", 0)
    for _ in range(20):
        rate.count_person(ADA)
    limits.set("max_requests_per_minute", 1)
    rate.count_person(ADA)
    with pytest.raises(LimitExceeded):
        rate.count_person(ADA)
