"""The log: epoch, chain of offsets, bounds, lost positions, merged deltas."""

from __future__ import annotations

from typing import Any

import pytest

from app.protocol.common import Position
from app.protocol.events import AgentStep, MessageDelta
from app.streaming.log import ConversationLog, LogEntry, PositionLost, merge_deltas


def a_log(max_entries: int = 100, max_bytes: int = 100_000, epoch: str | None = "e1") -> ConversationLog:
    return ConversationLog("c1", max_entries=max_entries, max_bytes=max_bytes, epoch=epoch)


def add(log: ConversationLog, message_id: str = "m1", text: str = "x", *, demo: bool = False) -> LogEntry:
    event = MessageDelta(message_id=message_id, agent="Ann", delta=text)
    return log.append(event.name, event.to_wire(), timestamp="2026-01-01T00:00:00.000Z", demo=demo)


def test_entries_form_a_chain_within_an_epoch() -> None:
    """Each begins where the last one ended, and says so inside its payload."""
    log = a_log()
    entries = [add(log) for _ in range(3)]
    assert [(each.prev_offset, each.offset) for each in entries] == [(0, 1), (1, 2), (2, 3)]
    assert log.offset == 3
    assert entries[2].payload == {
        "message_id": "m1",
        "agent": "Ann",
        "delta": "x",
        "tokens": 1,
        "conversation_id": "c1",
        "epoch": "e1",
        "prev_offset": 2,
        "offset": 3,
        "timestamp": "2026-01-01T00:00:00.000Z",
        "demo": False,
    }


def test_a_payload_cannot_forge_its_envelope() -> None:
    """What a run sends under the envelope's names is replaced."""
    forged: dict[str, Any] = {"agent": "Ann", "turn": 1, "offset": 99, "epoch": "mine", "conversation_id": "other"}
    entry = a_log().append(AgentStep.name, forged, timestamp="t", demo=False)
    assert (entry.payload["offset"], entry.payload["epoch"], entry.payload["conversation_id"]) == (1, "e1", "c1")


def test_every_log_has_an_epoch_of_its_own() -> None:
    """Offsets of another log must never be taken for one's own."""
    assert len({a_log(epoch=None).epoch for _ in range(50)}) == 50


def test_after_a_position() -> None:
    """Exactly what came later."""
    log = a_log()
    for _ in range(5):
        add(log)
    assert [each.offset for each in list(log.after(2))] == [3, 4, 5]
    assert list(log.after(5)) == []
    assert len(list(log.after(0))) == 5


@pytest.mark.parametrize("position", [Position(epoch="e2", offset=2), Position(epoch="e1", offset=6)])
def test_positions_of_another_log_or_ahead_are_lost(position: Position) -> None:
    """An equal offset of another epoch proves nothing."""
    log = a_log()
    for _ in range(5):
        add(log)
    assert not log.covers(position)


def test_the_oldest_entries_are_dropped_and_positions_before_them_lost() -> None:
    """The reader that has seen the last dropped entry is the last one that can be served."""
    log = a_log(max_entries=3)
    for _ in range(10):
        add(log)
    assert (len(log), log.dropped_entries, log.offset) == (3, 7, 10)
    assert [each.offset for each in list(log.after(7))] == [8, 9, 10]
    with pytest.raises(PositionLost):
        list(log.after(6))


def test_bytes_are_bounded_but_the_newest_entry_stays() -> None:
    """Even one that exceeds the bound alone."""
    log = a_log(max_bytes=5000)
    for _ in range(100):
        add(log, text="x" * 100)
    assert log.size_bytes <= 5000
    assert 5 < len(log) < 100
    add(log, text="x" * 50_000)
    assert len(log) == 1
    add(log)
    assert log.size_bytes == sum(each.size_bytes for each in log.after(log.offset - 1))


def test_a_forgotten_log_goes_on_with_its_offsets() -> None:
    """Readers at the head stay in step, readers behind are told."""
    log = a_log()
    for _ in range(4):
        add(log)
    log.forget()
    assert (len(log), log.size_bytes, log.offset) == (0, 0, 4)
    assert list(log.after(4)) == []
    with pytest.raises(PositionLost):
        list(log.after(3))
    assert add(log).prev_offset == 4
    assert len(list(log.after(4))) == 1


def test_neighbouring_deltas_of_a_message_are_merged() -> None:
    """Same text, same tokens, and one frame covers the offsets of all."""
    log = a_log()
    for text in ("a", "b", "c"):
        add(log, text=text)
    (merged,) = merge_deltas(list(log.after(0)))
    assert (merged.prev_offset, merged.offset) == (0, 3)
    assert (merged.payload["delta"], merged.payload["tokens"]) == ("abc", 3)
    assert (merged.payload["prev_offset"], merged.payload["offset"]) == (0, 3)


def test_other_messages_other_demos_and_other_events_are_not_merged() -> None:
    """Whatever stands between two deltas keeps them apart."""
    log = a_log()
    add(log, "m1")
    add(log, "m2")
    add(log, "m2", demo=True)
    log.append(AgentStep.name, {"agent": "Ann", "turn": 1}, timestamp="t", demo=True)
    add(log, "m2", demo=True)
    entries = list(log.after(0))
    assert merge_deltas(entries) == entries


def test_a_merged_frame_has_the_time_of_its_first_delta() -> None:
    """Where there was no `message_start`, it opens the message; a merged frame must not open it later than the log did.

    Who caught up used to show another time than who was there, and than the server's snapshot.
    """
    log = a_log()
    for time in ("t1", "t2"):
        log.append(
            MessageDelta.name, MessageDelta(message_id="m", agent="A", delta="x").to_wire(), timestamp=time, demo=False
        )
    (merged,) = merge_deltas(list(log.after(0)))
    assert merged.payload["timestamp"] == "t1"


def test_merging_changes_no_entry() -> None:
    """Entries belong to the log, and others read them."""
    log = a_log()
    first = add(log, text="a")
    add(log, text="b")
    merge_deltas(list(log.after(0)))
    assert first.payload["delta"] == "a"
    assert merge_deltas([]) == []
