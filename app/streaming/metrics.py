"""The figures of one session (FEATURES B11)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from app.streaming.buffer import TokenBuffer

SESSION_FIGURES: dict[str, str] = {
    "tokens_received": "tokens that came from the runner",
    "tokens_delivered": "tokens that were logged and sent to the room",
    "tokens_dropped": "tokens that were lost on the way: always 0",
    "frames": "events that were logged; neighbouring deltas are joined into one",
    "tokens_per_s": "tokens delivered per second, over the last 10 seconds",
    "latency_ms_p50": "time of a token from the runner link to the room, median of the last 1,000 frames, in ms",
    "latency_ms_p99": "the same, 99th percentile",
    "buffer_fill": "fill of the token buffer, 0 to 1",
    "buffer_peak": "its highest fill so far, 0 to 1",
    "buffer_waits": "how often the buffer reached its high-water mark and the model had to wait",
    "runner_restarts": "how often the run was resumed after its runner had died",
    "duration_s": "time since the session's start, in seconds",
}
"""Name and meaning of every figure that ``GET /api/websocket/sessions`` reports for a session."""

DELIVERY_FIGURES: dict[str, str] = {
    "log_bytes": "size of all logs, roughly; bounded by `MAX_TOTAL_LOG_BYTES`",
    "log_entries": "entries that all logs keep for replay",
    "log_entries_dropped": "entries that logs no longer keep: who still lacks one gets a snapshot",
    "text_chars": "text of all messages in memory, of a conversation at most `MAX_CONVERSATION_CHARS`",
    "checkpoints_refused": "states of teams that were larger than `MAX_CHECKPOINT_BYTES`",
    "readers": "readers of conversations, through whatever door",
    "readers_lagging": "Socket.IO readers that are behind, and catch up from the log",
    "readers_lagged": "how often a Socket.IO reader fell behind",
}
"""Name and meaning of every figure under ``delivery`` of ``GET /api/websocket/status``."""

_WINDOW_S = 10.0


def percentile(ordered: list[float], part: float) -> float | None:
    """The value below which ``part`` (0 to 1) of the ordered values lie; None for no values."""
    if not ordered:
        return None
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


@dataclass(slots=True)
class SessionMetrics:
    """Counted by the session; times in seconds of the injected clock."""

    started_at: float
    tokens_received: int = 0
    tokens_delivered: int = 0
    frames: int = 0
    runner_restarts: int = 0
    _latencies_s: deque[float] = field(default_factory=lambda: deque(maxlen=1000))
    _recent: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=2000))

    def delivered(self, tokens: int, frames: int, latency_s: float, now: float) -> None:
        """Note that ``tokens`` left in ``frames`` frames, the oldest of them ``latency_s`` after it came."""
        self.tokens_delivered += tokens
        self.frames += frames
        self._latencies_s.append(latency_s)
        self._recent.append((now, tokens))
        while self._recent[0][0] < now - _WINDOW_S:
            self._recent.popleft()

    def tokens_per_s(self, now: float) -> float:
        """Delivery rate over the last 10 seconds."""
        since = max(self.started_at, now - _WINDOW_S)
        tokens = sum(tokens for at, tokens in self._recent if at >= since)
        return tokens / (now - since) if now > since else 0.0

    def latency_ms(self, part: float) -> float | None:
        """Percentile of the latency from runner link to room, in milliseconds."""
        value = percentile(sorted(self._latencies_s), part)
        return None if value is None else round(value * 1000, 3)

    def figures(self, now: float, buffer: TokenBuffer[Any], tokens_dropped: int) -> dict[str, Any]:
        """All figures under their names in ``SESSION_FIGURES``."""
        return {
            "tokens_received": self.tokens_received,
            "tokens_delivered": self.tokens_delivered,
            "tokens_dropped": tokens_dropped,
            "frames": self.frames,
            "tokens_per_s": round(self.tokens_per_s(now), 2),
            "latency_ms_p50": self.latency_ms(0.5),
            "latency_ms_p99": self.latency_ms(0.99),
            "buffer_fill": round(buffer.fill, 4),
            "buffer_peak": round(buffer.metrics.peak_tokens / buffer.capacity, 4),
            "buffer_waits": buffer.metrics.waits,
            "runner_restarts": self.runner_restarts,
            "duration_s": round(now - self.started_at, 3),
        }
