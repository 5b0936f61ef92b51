"""Whether a client that says nothing is still there."""

from __future__ import annotations

from enum import Enum, auto

_AGAIN_S = 1.0


class Idle(Enum):
    """What is to be done now."""

    NOTHING = auto()
    PING = auto()
    GONE = auto()


class IdleWatch:
    """Asks for a ping after so much silence, and says when it was not answered. Belongs to the connection's writer.

    Silence is the lack of messages; a ping is answered by whatever the client sends, its library's pong included.

    :param now: the clock's reading, in seconds, here and below.
    """

    def __init__(self, now: float, *, idle_ping_s: float, ping_timeout_s: float) -> None:
        self._idle_ping_s = idle_ping_s
        self._ping_timeout_s = ping_timeout_s
        self._silent_since = now
        self._pinged_at: float | None = None

    def said(self, now: float) -> None:
        """A message has come. May be called by the reader."""
        self._silent_since = now

    def look(self, now: float, *, heard_at: float, unsent_bytes: int) -> tuple[Idle, float]:
        """What to do, and after how many seconds to look again.

        :param heard_at: when anything at all came last.
        :param unsent_bytes: what is on its way to the client: a ping behind it cannot be answered yet.
        """
        if self._pinged_at is not None and heard_at >= self._pinged_at:
            self._pinged_at = None
        if self._pinged_at is not None:
            left_s = self._pinged_at + self._ping_timeout_s - now
            if left_s > 0:
                return Idle.NOTHING, left_s
            return (Idle.NOTHING, _AGAIN_S) if unsent_bytes else (Idle.GONE, 0.0)
        left_s = self._silent_since + self._idle_ping_s - now
        if left_s > 0:
            return Idle.NOTHING, left_s
        self._pinged_at = self._silent_since = now
        return Idle.PING, self._ping_timeout_s
