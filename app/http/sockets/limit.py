"""How many commands a connection may send."""

from __future__ import annotations

from app.errors import LimitExceeded
from app.streaming.ports import Clock

_HOPELESS = 100


class CommandLimit:
    """A token bucket with two seconds' worth as burst. Belongs to the connection's reader.

    :param per_s: commands per second; 0: unlimited.
    """

    def __init__(self, per_s: float, clock: Clock) -> None:
        self._clock = clock
        self._refused = 0
        self._set(per_s)

    def _set(self, per_s: float) -> None:
        self.per_s = per_s
        self._level = self._burst = max(1.0, 2 * per_s)
        self._then = self._clock.monotonic()

    def lower(self, per_s: float) -> None:
        """Allow fewer; never more."""
        if per_s > 0 and (not self.per_s or per_s < self.per_s):
            self._set(per_s)

    def take(self) -> None:
        """Count one command. :raises LimitExceeded: it is one too many."""
        if not self.per_s:
            return
        now = self._clock.monotonic()
        self._level = min(self._burst, self._level + (now - self._then) * self.per_s)
        self._then = now
        if self._level < 1:
            self._refused += 1
            raise LimitExceeded("too many commands; wait a moment")
        self._level -= 1
        self._refused = 0

    @property
    def hopeless(self) -> bool:
        """Whether the last hundred were all refused: this client does not listen."""
        return self._refused >= _HOPELESS
