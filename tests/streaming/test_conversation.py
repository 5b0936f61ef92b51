"""Appends, joins and the room of one conversation: snapshot, then tail, without a hole or a double."""

from __future__ import annotations

import random
from datetime import datetime

import pytest

from app.errors import InvalidState
from app.protocol.common import Position, Status
from app.protocol.events import (
    AgentMessage,
    ConversationStatus,
    Heartbeat,
    MessageDelta,
    Presence,
    Resync,
)
from app.streaming.conversation import Conversation, iso
from app.streaming.log import LogEntry
from tests.streaming.fakes import RecordingTransport, a_conversation, a_reader
from tests.streaming.simulation import Simulation


@pytest.fixture
def conversation(simulation: Simulation, transport: RecordingTransport) -> Conversation:
    return a_conversation(simulation, transport)


def say(conversation: Conversation, text: str, message_id: str = "m1") -> None:
    conversation.append_event(MessageDelta(message_id=message_id, agent="Ann", delta=text))


def a_status(status: Status) -> ConversationStatus:
    return ConversationStatus(status=status, session_id="s1", team="debate")


# --- writing ----------------------------------------------------------------------------------------------------------


def test_an_append_is_logged_folded_sent_and_recorded(simulation: Simulation, transport: RecordingTransport) -> None:
    """In this order, once each, with the same payload."""
    recorded: list[tuple[str, int]] = []

    def record(conversation: Conversation, entry: LogEntry) -> None:
        assert conversation.fold.offset == entry.offset
        assert transport.sent[-1] == (entry.name, entry.payload)
        recorded.append((entry.name, entry.offset))

    conversation = a_conversation(simulation, transport, record=record)
    say(conversation, "a")
    say(conversation, "b")
    assert recorded == [("message_delta", 1), ("message_delta", 2)]
    assert conversation.log.offset == 2
    assert conversation.snapshot()["messages"][0]["content"] == "ab"  # type: ignore[index]


@pytest.mark.parametrize("broken", ["room", "recorder"])
def test_a_failing_room_or_recorder_leaves_the_log_whole(
    simulation: Simulation, transport: RecordingTransport, broken: str
) -> None:
    """All events of an append are logged, also those after the one that failed."""

    def record(*_: object) -> None:
        if broken == "recorder":
            raise OSError("the database is gone")

    conversation = a_conversation(simulation, transport, record=record)
    if broken == "room":
        transport.failing = OSError("the sockets are gone")
    event = AgentMessage(message_id="m1", agent="Ann", content="x")
    conversation.append([(event.name, event.to_wire(), False)] * 3)
    assert conversation.log.offset == conversation.fold.offset == 3


def test_move_to_obeys_the_table(conversation: Conversation, transport: RecordingTransport) -> None:
    """An illegal change raises and logs nothing, not even what should have come along."""
    with pytest.raises(InvalidState):
        conversation.move_to(
            Status.PAUSED, a_status(Status.PAUSED), AgentMessage(message_id="m", agent="A", content="")
        )
    assert conversation.log.offset == 0
    assert transport.sent == []
    conversation.move_to(Status.INITIALIZING, a_status(Status.INITIALIZING))
    assert conversation.status is Status.INITIALIZING


def test_a_session_opens_from_idle_or_from_an_end(conversation: Conversation) -> None:
    """Never while one runs."""
    conversation.open_session(a_status(Status.INITIALIZING))
    for _ in range(2):
        with pytest.raises(InvalidState):
            conversation.open_session(a_status(Status.INITIALIZING))
        conversation.move_to(Status.STOPPED, a_status(Status.STOPPED))
        conversation.open_session(a_status(Status.INITIALIZING))
    with pytest.raises(InvalidState):
        conversation.open_session(a_status(Status.ACTIVE))
    assert conversation.log.offset == 5


def test_demo_marks_are_the_conversations_unless_given(
    conversation: Conversation, transport: RecordingTransport
) -> None:
    """The user's words are never a demo."""
    say(conversation, "a")
    conversation.append_event(AgentMessage(message_id="m2", agent="Ann", content="b"), demo=True)
    assert [payload["demo"] for _, payload in transport.sent] == [False, True]


# --- joining ----------------------------------------------------------------------------------------------------------


def test_join_answers_with_a_snapshot_and_the_tail_follows(
    conversation: Conversation, transport: RecordingTransport
) -> None:
    """What is appended between the answer and the attach comes first, merged; then the room."""
    say(conversation, "a")
    reader = a_reader(transport)
    assert not reader.join(conversation)
    say(conversation, "b")
    say(conversation, "c")
    assert reader.received == []
    conversation.attach(reader.sid)
    assert [payload["delta"] for _, payload in reader.received] == ["bc"]
    say(conversation, "d")
    assert reader.text() == {"m1": "abcd"}
    assert reader.read() == conversation.snapshot()


@pytest.mark.parametrize("seed", range(40))
def test_joining_amid_appends_in_every_order(seed: int) -> None:
    """Whatever runs between whatever: no hole, no double, the same picture."""
    choices = random.Random(seed)
    simulation = Simulation(choices)
    transport = RecordingTransport(simulation)
    conversation = a_conversation(simulation, transport)
    readers = [a_reader(transport) for _ in range(3)]

    def write(who: str) -> None:
        for number in range(15):
            say(conversation, f"{number} ", message_id=who)

    def come_and_go(index: int) -> None:
        reader = readers[index]
        reader.follow(conversation)
        for _ in range(4):
            simulation.switch()
            conversation.leave(reader.sid)
            reader.read()
            simulation.switch()
            assert reader.follow(conversation, reader.position)

    for who in ("Ann", "Bob"):
        simulation.spawn(write, who)
    for index in range(3):
        simulation.spawn(come_and_go, index)
    simulation.settle()
    simulation.raise_errors()
    assert not simulation.waiting()
    assert conversation.log.offset == 30
    for reader in readers:
        assert reader.read() == conversation.snapshot()


def test_a_position_that_is_still_kept_is_recovered(conversation: Conversation, transport: RecordingTransport) -> None:
    """What was missed follows as events, merged; there is no snapshot."""
    reader = a_reader(transport)
    reader.follow(conversation)
    say(conversation, "a")
    reader.read()
    conversation.leave(reader.sid)
    for text in ("b", "c", "d"):
        say(conversation, text)
    assert reader.follow(conversation, reader.position)
    assert len(reader.received) == 1
    assert reader.read() == conversation.snapshot()


def test_a_position_at_the_head_is_recovered_with_nothing(
    conversation: Conversation, transport: RecordingTransport
) -> None:
    """Also that of a conversation in which nothing was ever said."""
    reader = a_reader(transport)
    reader.follow(conversation)
    conversation.leave(reader.sid)
    assert reader.follow(conversation, Position(epoch=conversation.log.epoch, offset=0))
    assert reader.received == []


@pytest.mark.parametrize("offset", [1, 2, 99])
@pytest.mark.parametrize("same_epoch", [True, False])
def test_a_lost_position_gets_a_snapshot(
    simulation: Simulation, transport: RecordingTransport, offset: int, same_epoch: bool
) -> None:
    """Recovery is never claimed for another epoch, for entries that are gone, or for a place ahead."""
    conversation = a_conversation(simulation, transport, max_log_entries=3)
    for text in "abcdefgh":
        say(conversation, text)
    reader = a_reader(transport)
    epoch = conversation.log.epoch if same_epoch else "another"
    assert not reader.join(conversation, Position(epoch=epoch, offset=offset))
    conversation.attach(reader.sid)
    say(conversation, "i")
    assert reader.text() == {"m1": "abcdefghi"}


def test_a_place_that_is_lost_between_answer_and_attach_is_resynced(
    simulation: Simulation, transport: RecordingTransport
) -> None:
    """The log went on too far: an explicit resync, then the tail."""
    conversation = a_conversation(simulation, transport, max_log_entries=3)
    reader = a_reader(transport)
    reader.join(conversation)
    for text in "abcdefgh":
        say(conversation, text)
    conversation.attach(reader.sid)
    assert [name for name, _ in reader.received] == [Resync.name]
    say(conversation, "i")
    assert reader.read() == conversation.snapshot()
    assert reader.resyncs == 1


def test_joining_again_begins_again(conversation: Conversation, transport: RecordingTransport) -> None:
    """In between nothing comes from the room: it would come twice."""
    reader = a_reader(transport)
    reader.follow(conversation)
    say(conversation, "a")
    reader.join(conversation)
    say(conversation, "b")
    assert reader.received == []
    conversation.attach(reader.sid)
    conversation.attach(reader.sid)
    say(conversation, "c")
    assert reader.text() == {"m1": "abc"}
    assert conversation.watchers == 1


def test_a_connection_that_is_gone_before_attach_is_forgotten(
    conversation: Conversation, transport: RecordingTransport
) -> None:
    """It is no watcher, and nothing is kept of it."""
    reader = a_reader(transport)
    reader.join(conversation)
    transport.disconnect(reader.sid)
    conversation.gone(reader.sid)
    conversation.attach(reader.sid)
    assert conversation.watchers == 0
    assert not conversation.follows(reader.sid)


def test_leave(conversation: Conversation, transport: RecordingTransport, simulation: Simulation) -> None:
    """Nothing more comes; a second leave says so; the time without watchers begins with the last one."""
    first, second = a_reader(transport), a_reader(transport)
    first.follow(conversation)
    second.follow(conversation)
    simulation.advance(5)
    assert conversation.leave(first.sid)
    assert conversation.unwatched_since == 0
    simulation.advance(5)
    assert conversation.leave(second.sid)
    assert conversation.unwatched_since == 10
    assert not conversation.leave(second.sid)
    say(conversation, "a")
    assert (first.received, second.received) == ([], [])


def test_leaving_between_join_and_attach(conversation: Conversation, transport: RecordingTransport) -> None:
    """The attach that comes afterwards does nothing."""
    reader = a_reader(transport)
    reader.join(conversation)
    conversation.leave(reader.sid)
    conversation.attach(reader.sid)
    say(conversation, "a")
    assert reader.received == []
    assert conversation.watchers == 0


def test_a_released_conversation_keeps_its_picture(conversation: Conversation, transport: RecordingTransport) -> None:
    """Its entries are dropped: readers at the head stay in step, readers behind get a snapshot."""
    behind, ahead = a_reader(transport), a_reader(transport)
    behind.follow(conversation)
    conversation.leave(behind.sid)
    say(conversation, "a")
    ahead.follow(conversation)
    conversation.release()
    conversation.release()
    assert len(conversation.log) == 0
    assert not behind.follow(conversation, behind.position)
    say(conversation, "b")
    assert behind.read() == ahead.read() == conversation.snapshot()


# --- transient events -------------------------------------------------------------------------------------------------


def test_presence_is_told_when_it_changed(conversation: Conversation, transport: RecordingTransport) -> None:
    """Once for all changes since the last time."""
    conversation.announce_presence()
    assert transport.sent == []
    readers = [a_reader(transport) for _ in range(3)]
    for reader in readers:
        reader.follow(conversation)
    conversation.announce_presence()
    conversation.announce_presence()
    conversation.leave(readers[0].sid)
    conversation.announce_presence()
    assert [each["watchers"] for each in transport.payloads(Presence)] == [3, 2]
    assert all("timestamp" in each and "offset" not in each for each in transport.payloads(Presence))


def test_the_heartbeat_tells_the_head(conversation: Conversation, transport: RecordingTransport) -> None:
    """Without moving it."""
    say(conversation, "a")
    conversation.announce_heartbeat()
    (beat,) = transport.payloads(Heartbeat)
    assert (beat["epoch"], beat["offset"], beat["status"]) == (conversation.log.epoch, 1, "idle")
    assert conversation.log.offset == 1


@pytest.mark.parametrize(
    ("given", "logged"),
    [
        ("2026-11-21T10:00:00+01:00", "2026-11-21T09:00:00.000Z"),
        ("0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00.000Z"),
        ("9999-12-31T23:59:59-14:00", "9999-12-31T23:59:59.000Z"),
    ],
)
def test_times_as_the_log_has_them(given: str, logged: str) -> None:
    """Also at the ends of the calendar, where another zone's time has no name in UTC: clients ask for those, too."""
    assert iso(datetime.fromisoformat(given)) == logged
