"""How many commands a connection may send: a token bucket."""

from __future__ import annotations

_BURST = 2.0  # seconds' worth
_PATIENCE = 10.0  # bursts that may be refused before the bucket is full again: beyond, it is a flood


class CommandBudget:
    """Lets ``per_s`` commands pass in a second, twice as many in a burst. Belongs to one connection's reader.

    :param per_s: 0: unlimited.
    :param now: the monotonic clock's reading, in seconds.
    """

    __slots__ = ("_burst", "_level", "_per_s", "_refused", "_then")

    def __init__(self, per_s: float, now: float) -> None:
        self._per_s = per_s
        self._level = self._burst = max(1.0, per_s * _BURST)
        self._refused = 0
        self._then = now

    def take(self, now: float, cost: float = 1.0) -> bool:
        """Whether one more may pass now."""
        if not self._per_s:
            return True
        self._level += (now - self._then) * self._per_s
        self._then = now
        if self._level >= self._burst:
            self._level, self._refused = self._burst, 0
        if self._level < cost:
            self._refused += 1
            return False
        self._level -= cost
        return True

    def wait_s(self, cost: float = 1.0) -> float:
        """When one more would pass, in seconds."""
        return max(0.0, (cost - self._level) / self._per_s) if self._per_s else 0.0

    @property
    def is_flooded(self) -> bool:
        """Its client goes on and on, though nearly everything is refused."""
        return self._refused > self._burst * _PATIENCE
