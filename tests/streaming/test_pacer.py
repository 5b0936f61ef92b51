"""The token bucket."""

from __future__ import annotations

import pytest

from app.streaming.pacer import Pacer


def test_unlimited_pace_lets_everything_pass() -> None:
    """A pace of 0 means no limit, and no wait."""
    pacer = Pacer(0, now=5)
    pacer.take(10_000)
    assert pacer.available(5) is None
    assert pacer.delay_s(1000) == 0


def test_burst_is_one_seconds_worth() -> None:
    """At the start, and after any silence, however long."""
    pacer = Pacer(50, now=0)
    assert pacer.available(0) == 50
    pacer.take(50)
    assert pacer.available(0) == 0
    assert pacer.available(1000) == 50


def test_tokens_come_back_at_the_pace() -> None:
    """A tenth of a second is five tokens at 50 per second."""
    pacer = Pacer(50, now=0)
    pacer.available(0)
    pacer.take(50)
    assert pacer.available(0.1) == 5
    assert pacer.available(0.19) == 9


def test_a_debt_is_waited_for() -> None:
    """A piece of 80 tokens may pass at once; the next token waits until it is paid."""
    pacer = Pacer(50, now=0)
    pacer.available(0)
    pacer.take(80)
    assert pacer.available(0) == 0
    assert pacer.delay_s(1) == pytest.approx(31 / 50)
    assert pacer.available(0.5) == 0
    assert pacer.available(0.63) == 1


def test_nobody_waits_for_more_than_a_burst() -> None:
    """More than a burst never accumulates, so waiting for it would never end."""
    pacer = Pacer(10, now=0)
    pacer.available(0)
    pacer.take(10)
    assert pacer.delay_s(500) == pytest.approx(1.0)


def test_slow_paces_still_pass_one_token() -> None:
    """One token in ten seconds: the burst is one."""
    pacer = Pacer(0.1, now=0)
    assert pacer.available(0) == 1
    pacer.take(1)
    assert pacer.delay_s(1) == pytest.approx(10)
    assert pacer.available(10) == 1


@pytest.mark.parametrize("pace", [0.3, 3, 7, 30, 33.3, 50, 61, 999])
def test_waiting_as_long_as_told_is_enough(pace: float) -> None:
    """After `delay_s` the tokens are there: a rounding error must not make the consumer spin.

    The bucket used to be 1e-16 short, and to ask for a wait of 1e-18 s, again and again.
    """
    pacer, now = Pacer(pace, now=0), 0.0
    batch = max(1, int(pace * 0.05))
    for _ in range(2000):
        if (pacer.available(now) or 0) < batch:
            now += pacer.delay_s(batch)
            assert (pacer.available(now) or 0) >= batch
        pacer.take(batch)
