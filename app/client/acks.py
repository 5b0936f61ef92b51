"""Tells the server what has arrived, so that it knows how much a lagging connection still has under way."""

from __future__ import annotations

from collections.abc import Callable

from app.client.worker import Later

ACK_EVERY_S = 0.25
"""At most one acknowledgement in so many seconds …"""
ACK_EVERY_BYTES = 65_536
"""… or for so many bytes, whichever comes first."""


class Acknowledger:
    """Throttles the acknowledgements of one conversation. On receipt, never after somebody has looked at the events.

    Guarded by the client's lock.
    """

    def __init__(
        self,
        send: Callable[[int], None],
        call_later: Callable[[float, Callable[[], None]], Later],
        monotonic: Callable[[], float],
    ) -> None:
        self._send = send
        self._call_later = call_later
        self._monotonic = monotonic
        self._offset: int | None = None
        self._bytes = 0
        self._sent_at = float("-inf")
        self._later: Later | None = None

    def received(self, offset: int, size: int) -> None:
        """Everything up to ``offset`` is here, and came in ``size`` bytes."""
        self._offset = offset
        self._bytes += size
        self.flush()

    def flush(self) -> None:
        """Send what is due now; the rest within :data:`ACK_EVERY_S`."""
        if self._offset is None:
            return
        now = self._monotonic()
        wait_s = self._sent_at + ACK_EVERY_S - now
        if wait_s <= 0 or self._bytes >= ACK_EVERY_BYTES:
            offset = self._offset
            self.forget()
            self._sent_at = now
            self._send(offset)
        elif self._later is None:
            self._later = self._call_later(wait_s, self._due)

    def forget(self) -> None:
        """Nothing is to be told: another connection, or nobody follows any more."""
        if self._later is not None:
            self._later.cancel()
        self._later = None
        self._offset = None
        self._bytes = 0

    def _due(self) -> None:
        self._later = None
        self.flush()
