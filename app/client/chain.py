"""Which of the events that have come are new, in order, and without a hole."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

LoggedEvent = tuple[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Sorted:
    """What has come, sorted out.

    :param fresh: to be applied, in order.
    :param seen: how many were seen before.
    :param offset: where the reader stands after them.
    :param hole: something is missing behind that.
    """

    fresh: tuple[LoggedEvent, ...]
    seen: int
    offset: int
    hole: bool


def sort_out(epoch: str, offset: int, events: Iterable[LoggedEvent], span: dict[str, Any]) -> Sorted:
    """Sort out events that follow one another, against the place (``epoch``, ``offset``) where a reader stands.

    :param span: ``epoch``, ``prev_offset`` and ``offset`` of all that they cover together: a filter may have left out
        more than there is between them.
    """
    fresh: list[LoggedEvent] = []
    seen = 0
    for name, payload in events:
        if payload["epoch"] != epoch:
            return Sorted(tuple(fresh), seen, offset, hole=True)
        if payload["offset"] <= offset:
            seen += 1
        elif payload["prev_offset"] == offset:
            fresh.append((name, payload))
            offset = payload["offset"]
        else:
            return Sorted(tuple(fresh), seen, offset, hole=True)
    hole = span["epoch"] != epoch or span["prev_offset"] > offset
    return Sorted(tuple(fresh), seen, offset if hole else max(offset, span["offset"]), hole)
