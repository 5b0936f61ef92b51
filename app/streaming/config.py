"""How a session streams: the numbers of FEATURES B1."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StreamingConfig:
    """Flow control of one session.

    :param buffer_tokens: capacity of the token buffer, in tokens.
    :param tokens_per_s: pace at which a session hands tokens on; 0 means unlimited.
    :param high_water: fill, as a part of the capacity, at which reading from the model pauses.
    :param low_water: fill at which it goes on.
    :param session_timeout_s: a session without any event for so long ends with an error.
    :param heartbeat_s: interval of heartbeats in watched rooms.
    :raises ValueError: when a figure is out of range or the marks are not in order.
    """

    buffer_tokens: int = 1000
    tokens_per_s: float = 50.0
    high_water: float = 0.8
    low_water: float = 0.3
    session_timeout_s: float = 300.0
    heartbeat_s: float = 30.0

    def __post_init__(self) -> None:
        if self.buffer_tokens < 1:
            raise ValueError("buffer_tokens must be at least 1")
        if not 0 <= self.tokens_per_s < float("inf"):
            raise ValueError("tokens_per_s must be a finite number, not negative; 0 means unlimited")
        if not 0 <= self.low_water < self.high_water <= 1:
            raise ValueError("the marks must satisfy 0 <= low_water < high_water <= 1")
        if self.session_timeout_s <= 0 or self.heartbeat_s <= 0:
            raise ValueError("session_timeout_s and heartbeat_s must be positive")

    @property
    def high_water_tokens(self) -> int:
        """The high-water mark in tokens, at least 1."""
        return max(1, int(self.buffer_tokens * self.high_water))

    @property
    def low_water_tokens(self) -> int:
        """The low-water mark in tokens, always below the high one."""
        return min(int(self.buffer_tokens * self.low_water), self.high_water_tokens - 1)
