"""Joins neighbouring deltas of one message: fewer frames, the same text, the same positions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from app.protocol.events import MessageDelta
from app.streaming.entry import LogEntry


def merge_deltas(entries: Iterable[LogEntry], max_bytes: int | None = None) -> list[LogEntry]:
    """The entries with neighbouring deltas of the same message joined. Linear in what it reads.

    :param max_bytes: stop before the sum of sizes exceeds this; the first entry is always taken.
    """
    return list(_merged(entries, max_bytes))


def _merged(entries: Iterable[LogEntry], max_bytes: int | None) -> Iterator[LogEntry]:
    run: list[LogEntry] = []  # neighbouring deltas of one message
    taken_bytes = 0
    for entry in entries:
        joins = bool(run) and _joinable(run[-1], entry)
        taken_bytes += len(entry.payload["delta"]) if joins else entry.size_bytes
        if max_bytes is not None and taken_bytes > max_bytes and run:
            break
        if run and not joins:
            yield _joined(run)
            run = []
        run.append(entry)
    if run:
        yield _joined(run)


def _joinable(last: LogEntry, entry: LogEntry) -> bool:
    return (
        entry.name == last.name == MessageDelta.name
        and entry.payload["message_id"] == last.payload["message_id"]
        and entry.payload["demo"] == last.payload["demo"]
    )


def _joined(run: list[LogEntry]) -> LogEntry:
    if len(run) == 1:
        return run[0]
    first, last = run[0], run[-1]
    text = "".join(entry.payload["delta"] for entry in run)
    payload = {
        **first.payload,  # the first one's time and agent: it may be what opens the message
        "delta": text,
        "tokens": sum(entry.payload["tokens"] for entry in run),
        "offset": last.offset,
    }
    size_bytes = first.size_bytes - len(first.payload["delta"]) + len(text)
    return LogEntry(first.prev_offset, last.offset, first.name, payload, size_bytes, last.end_bytes)
