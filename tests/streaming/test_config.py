"""The numbers of FEATURES B1."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.streaming.config import StreamingConfig


def test_defaults_are_those_of_the_requirement() -> None:
    """1000 tokens, 50 tokens/s, pause at 80 %, resume at 30 %, timeout 300 s, heartbeat 30 s."""
    assert dataclasses.asdict(StreamingConfig()) == {
        "buffer_tokens": 1000,
        "tokens_per_s": 50.0,
        "high_water": 0.8,
        "low_water": 0.3,
        "session_timeout_s": 300.0,
        "heartbeat_s": 30.0,
    }
    assert (StreamingConfig().high_water_tokens, StreamingConfig().low_water_tokens) == (800, 300)


@pytest.mark.parametrize(
    "wrong",
    [
        {"buffer_tokens": 0},
        {"tokens_per_s": -1},
        {"tokens_per_s": float("inf")},
        {"tokens_per_s": float("nan")},
        {"low_water": 0.8},
        {"low_water": 0.9},
        {"low_water": -0.1},
        {"high_water": 1.1},
        {"high_water": 0.0},
        {"session_timeout_s": 0},
        {"heartbeat_s": -1},
    ],
)
def test_wrong_figures_are_refused(wrong: dict[str, Any]) -> None:
    """Out of range, or marks out of order."""
    with pytest.raises(ValueError, match=r"must"):
        StreamingConfig(**wrong)


def test_a_config_cannot_be_changed() -> None:
    """It is shared by all sessions."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        StreamingConfig().buffer_tokens = 5  # type: ignore[misc]  # that is the point


@given(
    st.integers(1, 5000),
    st.floats(0, 1, exclude_max=True),
    st.floats(0, 1, exclude_min=True),
)
def test_marks_in_tokens_are_always_usable(buffer: int, low: float, high: float) -> None:
    """However small the buffer: low below high, high within the capacity."""
    if low >= high:
        return
    config = StreamingConfig(buffer_tokens=buffer, low_water=low, high_water=high)
    assert 0 <= config.low_water_tokens < config.high_water_tokens <= buffer
