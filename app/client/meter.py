"""What a stream counts, and its rate over the last seconds. Time is passed in."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

_WINDOW_S = 5.0


@dataclass(frozen=True, slots=True)
class Metrics:
    """How a stream is doing.

    :param tokens: tokens in the deltas that came.
    :param tokens_per_s: over the last 5 s.
    :param latency_ms: round trip of the last ping; None without a connection.
    :param delivery_ms: from the last event's timestamp to its arrival, with the clocks' difference taken out.
    :param offset: where this reader stands, in ``epoch``.
    :param head: where the log's end is, as far as is known.
    :param reconnects: how often the connection came back since the stream was made.
    :param gaps: holes that were noticed, and closed by joining again.
    :param duplicates: events that came twice, and were dropped.
    :param errors: errors that the conversation told of, and failures to follow it.
    :param acks: acknowledgements sent.
    :param batches: batches received.
    """

    tokens: int
    tokens_per_s: float
    latency_ms: float | None
    delivery_ms: float | None
    offset: int
    head: int
    epoch: str
    reconnects: int
    gaps: int
    duplicates: int
    errors: int
    acks: int
    batches: int


class Meter:
    """Counts."""

    def __init__(self) -> None:
        self.tokens = 0
        self.gaps = 0
        self.duplicates = 0
        self.errors = 0
        self.acks = 0
        self.batches = 0
        self.delivery_ms: float | None = None
        self._recent: deque[tuple[float, int]] = deque(maxlen=10_000)

    def add(self, tokens: int, now: float) -> None:
        """So many tokens have come."""
        self.tokens += tokens
        self._recent.append((now, tokens))

    def per_second(self, now: float) -> float:
        """Tokens per second over the last five seconds, or over the time since the first of them."""
        while self._recent and self._recent[0][0] <= now - _WINDOW_S:
            self._recent.popleft()
        if not self._recent:
            return 0.0
        return sum(tokens for _, tokens in self._recent) / max(now - self._recent[0][0], 1.0)
