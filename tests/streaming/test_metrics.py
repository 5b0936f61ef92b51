"""The figures of one session."""

from __future__ import annotations

import pytest

from app.streaming.metrics import SessionMetrics, percentile


@pytest.mark.parametrize(
    ("values", "part", "expected"),
    [([], 0.5, None), ([1.0], 0.0, 1.0), ([1.0], 1.0, 1.0), ([1.0, 2.0, 3.0, 4.0], 0.5, 3.0), ([1.0, 2.0], 0.99, 2.0)],
)
def test_percentile(values: list[float], part: float, expected: float | None) -> None:
    """None for no values; never out of range."""
    assert percentile(values, part) == expected


def test_delivery_rate_looks_ten_seconds_back() -> None:
    """Less right after the start, so that a young session is not shown as slow."""
    metrics = SessionMetrics(started_at=100)
    assert metrics.tokens_per_s(100) == 0
    metrics.delivered(20, 1, 0.0, 101)
    assert metrics.tokens_per_s(102) == 10
    metrics.delivered(50, 1, 0.0, 110)
    assert metrics.tokens_per_s(110) == 7
    assert metrics.tokens_per_s(115) == 5
    assert metrics.tokens_per_s(200) == 0


def test_a_rate_keeps_nothing_older_than_its_window() -> None:
    """What thousands of ended sessions hold is small."""
    metrics = SessionMetrics(started_at=0)
    for second in range(100):
        metrics.delivered(1, 1, 0.0, second)
    assert len(metrics._recent) == 11


def test_latencies_are_those_of_the_last_frames() -> None:
    """In milliseconds; old ones are forgotten, so memory stays flat."""
    metrics = SessionMetrics(started_at=0)
    assert metrics.latency_ms(0.5) is None
    metrics.delivered(1, 1, 9.0, 1)
    for number in range(1000):
        metrics.delivered(1, 1, number / 1000, 1)
    assert metrics.latency_ms(1.0) == 999
    assert metrics.latency_ms(0.5) == 500
    assert (metrics.tokens_delivered, metrics.frames) == (1001, 1001)
