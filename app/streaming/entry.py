"""One entry of a log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One logged event, with its envelope: it covers everything after ``prev_offset`` up to ``offset``.

    :param end_bytes: size of everything that was ever logged, up to and including this entry, roughly.
    :param confirms_from: of an ``agent_message`` whose text is what its deltas said: it began after this offset.
    """

    prev_offset: int
    offset: int
    name: str
    payload: dict[str, Any]
    size_bytes: int
    end_bytes: int = 0
    confirms_from: int | None = None
