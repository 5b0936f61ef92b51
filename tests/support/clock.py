"""A clock that is set by hand."""

from __future__ import annotations

from datetime import UTC, datetime


class HandClock:
    """Time stands still until somebody moves it."""

    now = 100.0
    unix = 1_800_000_000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        """Seconds of the Unix epoch."""
        return self.unix

    def now_iso(self) -> str:
        found = datetime.fromtimestamp(self.unix, UTC).isoformat(timespec="milliseconds")
        return found.replace("+00:00", "Z")
