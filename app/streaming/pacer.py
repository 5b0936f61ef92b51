"""A token bucket: the pace of a session."""

from __future__ import annotations

_ROUNDING = 1e-6  # tokens: what waiting for exactly `delay_s` may miss by; else the wait begins again, for 1e-18 s


class Pacer:
    """Lets ``tokens_per_s`` tokens pass, with one second's worth as burst.

    Merged pieces cannot be cut, so a piece may take more than there is; the debt is waited for afterwards.
    Not safe for use from several threads: it belongs to the session's consumer.

    :param tokens_per_s: pace; 0 means unlimited.
    :param now: the clock's reading at the start, in seconds.
    """

    def __init__(self, tokens_per_s: float, now: float) -> None:
        self.tokens_per_s = tokens_per_s
        self._level = self._burst = max(1.0, tokens_per_s)
        self._then = now

    def available(self, now: float) -> int | None:
        """Tokens that may pass now; None: as many as there are."""
        if not self.tokens_per_s:
            return None
        self._level = min(self._burst, self._level + (now - self._then) * self.tokens_per_s)
        self._then = now
        return max(0, int(self._level + _ROUNDING))

    def take(self, tokens: int) -> None:
        """Note that ``tokens`` have passed."""
        if self.tokens_per_s:
            self._level -= tokens

    def delay_s(self, tokens: int) -> float:
        """Seconds until ``tokens`` (at most a burst) may pass, from the last reading of :meth:`available`."""
        if not self.tokens_per_s:
            return 0.0
        return max(0.0, (min(tokens, self._burst) - self._level) / self.tokens_per_s)
