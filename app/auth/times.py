"""Points in time as the tables have them: UTC, ISO 8601, milliseconds, ``Z``; they sort as text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def now() -> datetime:
    return datetime.now(UTC)


def iso(moment: datetime) -> str:
    try:
        moment = moment.astimezone(UTC)
    except OverflowError:  # in another zone, at either end of the calendar
        moment = moment.replace(tzinfo=UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def now_iso(*, ahead_s: float = 0.0) -> str:
    """This moment, or one so many seconds ahead (or, below 0, ago)."""
    return iso(now() + timedelta(seconds=ahead_s))


def earlier(moment: str, by_s: float) -> str:
    return iso(datetime.fromisoformat(moment) - timedelta(seconds=by_s))


def epoch_s(moment: str) -> float:
    """Seconds of the Unix epoch."""
    return datetime.fromisoformat(moment).timestamp()
