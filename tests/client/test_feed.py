"""Following one conversation, against a scripted server: holes, doubles, batches, resyncs, acknowledgements, ends."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.client.acks import ACK_EVERY_BYTES, ACK_EVERY_S, Acknowledger
from app.client.chain import sort_out
from app.client.errors import ClientError
from app.client.feed import Phase
from app.protocol.commands import Acknowledge, Join, StartStream
from app.protocol.common import Position, Status
from app.protocol.events import Batch, Heartbeat, Resync
from tests.client.scripted import AT, EPOCH, ID, Clock, Scripted, answer, folded, recovered, refused, script


def joined_at(offset: int) -> tuple[Scripted, list[tuple[str, dict[str, Any]]]]:
    """A feed that has joined at an offset, and the whole log."""
    events = script()
    all_ = Scripted()
    all_.feed.join(ID, position=None, since=None, view={})
    payload, ack = all_.wire.take(Join.name)
    assert payload == {"conversation_id": ID, "acks": True, "batch": True}
    ack(answer(folded(events[:offset])))
    all_.heard.replaced_.clear()
    return all_, events


def held(all_: Scripted) -> Any:
    return all_.feed.fold.snapshot()


def test_joins_in_mid_sentence_and_goes_on_from_there() -> None:
    """Snapshot and tail make the same as the whole log."""
    all_, events = joined_at(5)
    all_.says(*events[5:])
    assert held(all_) == folded(events)
    assert all_.feed.meter.tokens == 4
    assert (all_.feed.meter.gaps, all_.feed.meter.duplicates) == (0, 0)


def test_what_was_seen_is_dropped() -> None:
    """However often it comes."""
    all_, events = joined_at(4)
    all_.says(*events[2:7], *events[2:7])
    assert held(all_) == folded(events[:7])
    assert all_.feed.meter.duplicates == 2 + 5
    assert all_.feed.meter.gaps == 0


def test_a_hole_is_asked_for_from_the_last_position() -> None:
    """What comes meanwhile does not count, and comes again."""
    all_, events = joined_at(4)
    all_.says(events[5])
    payload, ack = all_.wire.take(Join.name)
    assert payload["position"] == {"epoch": EPOCH, "offset": 4}
    all_.says(events[6])
    ack(recovered(4))
    all_.says(*events[4:])
    assert held(all_) == folded(events)
    assert all_.feed.meter.gaps == 1
    assert all_.heard.replaced_ == []


def test_a_connection_that_came_back_resumes_from_the_position() -> None:
    """A late answer from the lost connection does not count."""
    all_, events = joined_at(4)
    all_.says(events[5])
    _, late = all_.wire.take(Join.name)
    all_.drops()
    late(answer(folded(events[:2])))
    assert all_.feed.fold.offset == 4
    all_.opens()
    payload, ack = all_.wire.take(Join.name)
    assert payload["position"] == {"epoch": EPOCH, "offset": 4}
    ack(recovered(4))
    all_.says(*events[4:])
    assert held(all_) == folded(events)


def test_a_late_answer_to_an_earlier_join_does_not_count() -> None:
    """The reader has turned to another place meanwhile."""
    all_ = Scripted()
    events = script()
    all_.feed.join(ID, position=None, since=None, view={})
    _, late = all_.wire.take(Join.name)
    all_.feed.join(ID, position=Position(epoch=EPOCH, offset=4), since=None, view={})
    _, ack = all_.wire.take(Join.name)
    late(answer(folded(events[:7])))
    assert all_.feed.phase is Phase.JOINING
    ack(recovered(4))
    assert all_.feed.fold.offset == 4
    all_.says(*events[4:])
    assert all_.feed.fold.offset == 9


def test_joins_that_bring_nothing_forward_end_in_a_snapshot() -> None:
    """So that a server which disagrees about the position is not asked for ever."""
    all_, events = joined_at(4)
    for with_position in (True, True, False):
        all_.says(events[7])
        payload, ack = all_.wire.take(Join.name)
        assert ("position" in payload) is with_position
        ack(recovered(4) if with_position else answer(folded(events)))
    assert held(all_) == folded(events)


def test_lost_connections_do_not_cost_the_position() -> None:
    """However many are lost before anything comes: what was missed comes as events."""
    all_, events = joined_at(4)
    for _ in range(5):
        all_.drops()
        all_.opens()
        payload, ack = all_.wire.take(Join.name)
        assert payload["position"] == {"epoch": EPOCH, "offset": 4}
        ack(recovered(4))
    all_.says(*events[4:])
    assert held(all_) == folded(events)
    assert all_.heard.replaced_ == []


def test_recovery_is_believed_only_from_where_we_stand() -> None:
    """Another epoch or another offset: the whole conversation is asked for."""
    for wrong in (recovered(4, "e2"), recovered(3)):
        all_, events = joined_at(4)
        all_.drops()
        all_.opens()
        all_.wire.take(Join.name)[1](wrong)
        payload, ack = all_.wire.take(Join.name)
        assert "position" not in payload
        ack(answer(folded(events)))
        assert held(all_) == folded(events)


def test_a_batch_is_unpacked_and_may_span_what_was_left_out() -> None:
    """Its entries one by one, what was seen of them dropped; then its own end."""
    all_, events = joined_at(4)
    entries = [{"name": name, "payload": payload} for name, payload in events[3:7]]
    payload = {
        "conversation_id": ID,
        "epoch": EPOCH,
        "prev_offset": 3,
        "offset": 9,
        "entries": entries,
        "timestamp": AT,
    }
    all_.says((Batch.name, payload))
    assert all_.feed.fold.offset == 9
    assert all_.feed.fold.text("m1") == "word0 word1 word2 word3 "
    assert [each.offset for each in all_.heard.applied_] == [5, 6, 7]
    assert (all_.feed.meter.batches, all_.feed.meter.duplicates, all_.feed.meter.gaps) == (1, 1, 0)


def test_a_resync_replaces_everything() -> None:
    """Also with another epoch."""
    all_, events = joined_at(4)
    snapshot = answer(folded(events, "e2"))["snapshot"]
    all_.says((Resync.name, {"conversation_id": ID, "reason": "position_lost", "snapshot": snapshot, "timestamp": AT}))
    assert held(all_) == folded(events, "e2")
    assert all_.heard.replaced_ == ["resynced"]


def heartbeat(offset: int, epoch: str = EPOCH) -> tuple[str, dict[str, Any]]:
    beat = {"conversation_id": ID, "epoch": epoch, "offset": offset, "status": "active", "timestamp": AT}
    return Heartbeat.name, beat


def test_a_heartbeat_reveals_a_lost_tail() -> None:
    """Only where nothing comes for a while; and at once where the log is another one."""
    all_, events = joined_at(4)
    all_.says(heartbeat(6))
    all_.says(events[4])
    all_.clock.pass_(2)  # on its way
    assert not all_.wire.sent or all_.wire.sent[0][0] == Acknowledge.name
    all_.clock.pass_(2)
    payload, ack = all_.wire.take(Join.name)
    assert payload["position"]["offset"] == 5
    ack(recovered(5))
    all_.says(*events[5:], heartbeat(9))
    all_.clock.pass_(2)
    all_.says(heartbeat(9, "e2"))
    assert all_.wire.take(Join.name)


def test_a_refused_join_is_tried_again_where_that_may_help() -> None:
    """With growing waits; else following is given up."""
    all_, events = joined_at(4)
    all_.drops()
    all_.opens()
    for wait_s in (0.25, 1.0, 3.0, 10.0, 10.0):
        all_.wire.take(Join.name)[1](refused("limit_exceeded", retryable=True))
        all_.clock.pass_(wait_s - 0.01)
        assert all_.wire.sent == []
        all_.clock.pass_(wait_s)
    all_.wire.take(Join.name)[1](refused("not_permitted"))
    all_.clock.pass_(60)
    assert all_.wire.sent == []
    assert [error.code for error in all_.heard.failed_] == ["not_permitted"]
    assert held(all_) == folded(events[:4])


def test_a_forgotten_conversation_keeps_its_text_marked_interrupted() -> None:
    """Where it was in the middle of a run."""
    all_, _ = joined_at(6)
    all_.drops()
    all_.opens()
    all_.wire.take(Join.name)[1](refused("conversation_unknown"))
    state = held(all_)
    assert (state.status, state.error.code, state.error.retryable) == (Status.ERROR, "interrupted", True)
    assert [(each.content, each.state, each.reason) for each in state.messages] == [
        ("word0 word1 word2 ", "partial", "interrupted")
    ]
    assert all_.heard.replaced_ == ["interrupted"]
    assert all_.feed.ended
    all_.opens()
    assert all_.wire.sent == []


def test_a_start_is_sent_again_until_it_is_answered() -> None:
    """With the same id; and then it is a conversation like any other."""
    all_ = Scripted()
    all_.feed.start({"content": "x", "client_id": "k1"})
    first, _ = all_.wire.take(StartStream.name)
    all_.drops()
    all_.opens()
    second, ack = all_.wire.take(StartStream.name)
    assert first == second == {"content": "x", "client_id": "k1", "acks": True, "batch": True}
    ack({**answer(folded([])), "session_id": "s1", "status": "initializing"})
    assert not all_.feed.ended
    assert all_.feed.awaited_session == "s1"
    all_.says(*script())
    assert all_.feed.awaited_session is None
    all_.drops()
    all_.opens()
    assert all_.wire.take(Join.name)[0]["position"]["offset"] == 9


def test_a_refused_start_is_not_repeated() -> None:
    """The caller is told, and the conversation that was followed before is followed on."""
    all_, _ = joined_at(9)
    all_.feed.start({"content": "x", "client_id": "k1", "conversation_id": ID})
    all_.wire.take(StartStream.name)[1](refused("invalid_state"))
    assert isinstance(all_.feed.refusal, ClientError)
    assert all_.feed.go_back()
    all_.wire.take(Join.name)[1](recovered(9))
    assert all_.feed.phase is Phase.FOLLOWING


def test_a_malformed_event_costs_a_snapshot_and_not_the_text() -> None:
    """A known event without its fields cannot be folded."""
    all_, events = joined_at(4)
    name, payload = events[4]
    all_.says((name, {key: value for key, value in payload.items() if key != "delta"}))
    payload, ack = all_.wire.take(Join.name)
    assert "position" not in payload
    ack(answer(folded(events)))
    assert held(all_) == folded(events)


def test_what_is_unknown_is_no_hole() -> None:
    """A later server may have further events and fields."""
    all_, events = joined_at(4)
    name, payload = events[4]
    all_.says(("mood_changed", {**payload, "mood": "good"}), *events[5:])
    assert all_.feed.fold.text("m1") == "word0 word2 word3 word4 word5 "
    all_, events = joined_at(4)
    all_.says((name, {**payload, "font": "bold"}), *events[5:])
    assert held(all_) == folded(events)


# --- acknowledgements -------------------------------------------------------------------------------------------------


def acks_of(all_: Scripted) -> list[int]:
    return [payload["offset"] for name, payload, _ in all_.wire.sent if name == Acknowledge.name]


def test_acknowledges_on_receipt_and_not_too_often() -> None:
    """The first at once, then at most every 250 ms with the last offset, or after 64 KB."""
    all_, events = joined_at(3)
    all_.says(*events[3:6])
    assert acks_of(all_) == [4]
    all_.says(events[6], size=ACK_EVERY_BYTES)
    assert acks_of(all_) == [4, 7]


def test_the_throttle_sends_the_last_offset_when_its_time_has_come() -> None:
    """And nothing after it was told to forget: another connection has another reader."""
    now, sent, clock = [0.0], [], Clock()
    acks = Acknowledger(sent.append, lambda after_s, task: clock.call(task, after_s=after_s), lambda: now[0])
    acks.received(1, 10)
    acks.received(2, 10)
    acks.received(3, 10)
    assert sent == [1]
    now[0] = ACK_EVERY_S
    clock.pass_(ACK_EVERY_S)
    assert sent == [1, 3]
    acks.received(4, 10)
    acks.forget()
    now[0] = 2 * ACK_EVERY_S
    clock.pass_(ACK_EVERY_S)
    acks.flush()
    assert sent == [1, 3]


# --- the chain --------------------------------------------------------------------------------------------------------


@given(st.integers(0, 8), st.lists(st.integers(0, 8), max_size=12))
def test_whatever_comes_only_what_follows_counts(start: int, order: list[int]) -> None:
    """In any order, with any doubles: the fresh events are exactly those from the place on, without a hole."""
    events = script()
    at = start
    for number in order:
        found = sort_out(EPOCH, at, [events[number]], events[number][1])
        assert [payload["offset"] for _, payload in found.fresh] == ([at + 1] if number == at else [])
        assert found.hole is (number > at)
        at = found.offset


def test_a_place_in_another_log_is_a_hole() -> None:
    """Offsets of different epochs have nothing to do with each other."""
    name, payload = script()[0]
    found = sort_out("e2", 0, [(name, payload)], payload)
    assert found.hole
    assert found.fresh == ()


@pytest.mark.parametrize(("prev", "hole"), [(4, False), (3, False), (5, True)])
def test_an_empty_span_moves_only_where_it_joins_on(prev: int, hole: bool) -> None:
    """A filter may leave out everything."""
    found = sort_out(EPOCH, 4, [], {"epoch": EPOCH, "prev_offset": prev, "offset": 9})
    assert (found.offset, found.hole) == (4 if hole else 9, hole)
