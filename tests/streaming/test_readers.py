"""Readers that lag: they leave the room, read the log at their own pace, and come back. Nobody waits for them."""

from __future__ import annotations

import itertools

import pytest

from app.protocol.common import Filter, Position
from app.protocol.events import AgentMessage, AgentStep, Batch, MessageDelta, MessageUpdated, Presence, Resync
from app.streaming.conversation import Conversation
from app.streaming.readers import CatchUp, Place, ReaderOptions
from app.streaming.view import View
from tests.streaming.fakes import RecordingTransport, a_conversation
from tests.streaming.simulation import Simulation

SID = "slow"


@pytest.fixture
def conversation(simulation: Simulation, transport: RecordingTransport) -> Conversation:
    return a_conversation(simulation, transport)


def follow(
    conversation: Conversation,
    transport: RecordingTransport,
    options: ReaderOptions | None = None,
    position: Position | None = None,
    sid: str = SID,
) -> None:
    transport.connect(sid)
    conversation.join(sid, position, options=options or ReaderOptions())
    conversation.attach(sid)


def say(conversation: Conversation, text: str = "x", message_id: str = "m1") -> None:
    conversation.append_event(MessageDelta(message_id=message_id, agent="Ann", delta=text))


def chain_of(transport: RecordingTransport, sid: str = SID, start: int = 0) -> str:
    """The text that a connection has received; fails where its events do not follow on each other."""
    at, text = start, ""
    for name, payload in transport.received[sid]:
        entries = [(each["name"], each["payload"]) for each in payload["entries"]] if name == Batch.name else []
        for kind, body in entries or [(name, payload)]:
            if "prev_offset" not in body:
                continue
            assert body["prev_offset"] == at, "a hole, or something twice"
            at = body["offset"]
            text += body["delta"] if kind == MessageDelta.name else ""
    return text


# --- lag --------------------------------------------------------------------------------------------------------------


def test_a_reader_that_does_not_take_everything_leaves_the_room_and_catches_up(
    conversation: Conversation, transport: RecordingTransport, simulation: Simulation
) -> None:
    """It is sent nothing while it takes nothing, then what it missed, merged, and is in step again."""
    follow(conversation, transport)
    say(conversation, "a")
    transport.clogged.add(SID)
    for text in "bcdef":
        say(conversation, text)
    simulation.advance(10)
    assert [payload["delta"] for _, payload in transport.received[SID]] == ["a", "b"]
    assert conversation.readers.lagging() == 1
    transport.unclog(SID)
    conversation.drained(SID)
    simulation.advance(1)
    assert [payload["delta"] for _, payload in transport.received[SID]] == ["a", "b", "cdef"]
    assert conversation.readers.lagging() == 0
    say(conversation, "g")
    assert chain_of(transport) == "abcdefg"
    assert simulation.waiting() == []


def test_a_lagging_reader_costs_the_others_nothing(
    conversation: Conversation, transport: RecordingTransport, simulation: Simulation
) -> None:
    """They have every event as soon as it is logged."""
    follow(conversation, transport)
    follow(conversation, transport, sid="quick")
    transport.clogged.add(SID)
    for number in range(20):
        say(conversation, f"{number} ")
        assert transport.received["quick"][-1][1]["delta"] == f"{number} "
    assert len(transport.received[SID]) == 1


def test_at_most_one_write_per_interval_while_it_lags(simulation: Simulation, transport: RecordingTransport) -> None:
    """However often it drains: four a second."""
    conversation = a_conversation(simulation, transport, catch_up=CatchUp(interval_s=0.25))
    follow(conversation, transport)
    transport.clogged.add(SID)
    say(conversation, "first")
    for _ in range(200):
        transport.pending.discard(SID)  # it takes what it was handed, and clogs again with the next
        conversation.drained(SID)
        say(conversation, "x")
        simulation.advance(0.01)
    times = [at for at, _ in transport.writes[SID]]
    assert len(times) >= 6
    assert min(later - earlier for earlier, later in itertools.pairwise(times)) >= 0.25


def test_what_is_no_longer_kept_comes_as_a_snapshot(simulation: Simulation, transport: RecordingTransport) -> None:
    """An explicit resync, then the tail."""
    conversation = a_conversation(simulation, transport, max_log_entries=5)
    follow(conversation, transport)
    transport.clogged.add(SID)
    for number in range(20):
        say(conversation, f"{number} ")
    transport.unclog(SID)
    conversation.drained(SID)
    simulation.advance(1)
    name, payload = transport.received[SID][-1]
    assert name == Resync.name
    assert payload["snapshot"]["offset"] == 20
    assert payload["snapshot"]["messages"][0]["content"].endswith("18 19 ")
    say(conversation, "on")
    assert transport.received[SID][-1][1]["prev_offset"] == 20


def test_a_long_catch_up_comes_in_portions(simulation: Simulation, transport: RecordingTransport) -> None:
    """Each at most as large as the settings say, and never past what the client takes."""
    conversation = a_conversation(simulation, transport, catch_up=CatchUp(batch_bytes=2_000))
    for number in range(100):
        say(conversation, "x" * 100, message_id=f"m{number}")  # nothing to merge
    follow(conversation, transport, position=Position(epoch=conversation.log.epoch, offset=0))
    simulation.advance(1)
    assert len(transport.writes[SID]) > 10
    assert max(count for _, count in transport.writes[SID]) * 350 <= 2_000
    assert len(chain_of(transport)) == 10_000


def test_a_reader_that_is_gone_ends_its_task(
    conversation: Conversation, transport: RecordingTransport, simulation: Simulation
) -> None:
    """Also in the middle of its catch-up; and it is no watcher any more."""
    follow(conversation, transport)
    transport.clogged.add(SID)
    say(conversation, "a")
    say(conversation, "b")
    simulation.settle()
    assert simulation.waiting() != []
    transport.disconnect(SID)
    conversation.gone(SID)
    simulation.settle()
    assert simulation.waiting() == []
    assert conversation.watchers == 0


def test_a_join_anew_ends_the_catch_up_of_the_old_one(
    conversation: Conversation, transport: RecordingTransport, simulation: Simulation
) -> None:
    """Nothing comes twice."""
    follow(conversation, transport)
    transport.clogged.add(SID)
    say(conversation, "a")
    say(conversation, "b")
    simulation.settle()
    transport.unclog(SID)
    transport.received[SID].clear()
    follow(conversation, transport, position=Position(epoch=conversation.log.epoch, offset=1))
    conversation.drained(SID)
    simulation.advance(2)
    assert chain_of(transport, start=1) == "b"
    assert simulation.waiting() == []


def test_a_connection_found_dead_while_it_is_sent_to_does_not_stop_the_conversation(
    conversation: Conversation, transport: RecordingTransport
) -> None:
    """Whoever finds it out tells at once, from inside the send."""
    follow(conversation, transport)
    plain_emit = transport.emit_to_room

    def emit(conversation_id: str, name: str, payload: dict[str, object]) -> list[str]:
        behind = plain_emit(conversation_id, name, payload)
        conversation.gone(SID)
        return behind

    transport.emit_to_room = emit  # type: ignore[method-assign]
    say(conversation, "a")
    assert conversation.watchers == 0


# --- acknowledgements -------------------------------------------------------------------------------------------------


def test_a_reader_that_leaves_too_much_unacknowledged_leaves_the_room(
    simulation: Simulation, transport: RecordingTransport
) -> None:
    """Though its socket takes everything; with its acknowledgement it goes on, merged."""
    conversation = a_conversation(simulation, transport, catch_up=CatchUp(window_bytes=3_000))
    follow(conversation, transport, ReaderOptions(acks=True))
    for _ in range(20):
        say(conversation)
    conversation.look_after_readers(simulation.now)
    assert conversation.readers.lagging() == 1
    for _ in range(20):
        say(conversation)
    simulation.advance(5)
    assert len(transport.received[SID]) == 20
    conversation.acknowledge(SID, 20)
    simulation.advance(1)
    assert len(transport.received[SID]) == 21
    assert chain_of(transport) == "x" * 40
    assert conversation.readers.lagging() == 0


def test_catch_up_stays_inside_the_window(simulation: Simulation, transport: RecordingTransport) -> None:
    """What was handed and not acknowledged never exceeds it by more than one portion."""
    conversation = a_conversation(simulation, transport, catch_up=CatchUp(batch_bytes=1_000, window_bytes=3_000))
    for number in range(100):
        say(conversation, "x" * 100, message_id=f"m{number}")
    position = Position(epoch=conversation.log.epoch, offset=0)
    follow(conversation, transport, ReaderOptions(acks=True), position)
    seen = 0
    while len(transport.received[SID]) < 100:
        simulation.advance(1)
        handed = transport.received[SID][seen:]
        assert handed, "it acknowledged, and nothing came"
        assert len(handed) * 350 <= 3_000 + 1_000
        seen = len(transport.received[SID])
        conversation.acknowledge(SID, handed[-1][1]["offset"])
    assert len(chain_of(transport)) == 10_000


def test_who_acknowledges_nothing_is_cut_off(simulation: Simulation, transport: RecordingTransport) -> None:
    """After the time, if something was outstanding throughout; a reader with nothing outstanding never."""
    conversation = a_conversation(simulation, transport, catch_up=CatchUp(timeout_s=30))
    follow(conversation, transport, ReaderOptions(acks=True))
    simulation.advance(100)
    conversation.look_after_readers(simulation.now)
    assert transport.cut == []
    say(conversation)
    for _ in range(59):
        conversation.look_after_readers(simulation.now)
        simulation.advance(0.5)
    assert transport.cut == []
    for _ in range(4):
        conversation.look_after_readers(simulation.now)
        simulation.advance(0.5)
    assert SID in transport.cut


def test_an_acknowledgement_in_time_keeps_a_slow_reader(simulation: Simulation, transport: RecordingTransport) -> None:
    """It may stay behind for ever, as long as it moves."""
    conversation = a_conversation(simulation, transport, catch_up=CatchUp(timeout_s=30))
    follow(conversation, transport, ReaderOptions(acks=True))
    for number in range(1, 200):
        say(conversation)
        say(conversation)
        conversation.acknowledge(SID, number)
        conversation.look_after_readers(simulation.now)
        simulation.advance(1)
    assert transport.cut == []


@pytest.mark.parametrize("offset", [0, 3, 99])
def test_a_false_acknowledgement_changes_nothing(
    conversation: Conversation, transport: RecordingTransport, offset: int
) -> None:
    """One that lies ahead, or goes back."""
    follow(conversation, transport, ReaderOptions(acks=True))
    for _ in range(5):
        say(conversation)
    conversation.acknowledge(SID, 3)
    conversation.acknowledge(SID, offset)
    reader = conversation.readers.get(SID)
    assert reader is not None
    assert reader.acked == 3
    assert not conversation.acknowledge("stranger", 1)


# --- wishes -----------------------------------------------------------------------------------------------------------


def test_a_filtered_reader_sees_its_own_and_an_unbroken_chain(
    conversation: Conversation, transport: RecordingTransport, simulation: Simulation
) -> None:
    """Live, and beside others who see everything; transient events come, too."""
    follow(conversation, transport, ReaderOptions(view=View(Filter(agents=("Bob",)))))
    follow(conversation, transport, sid="whole")
    for agent in ("Ann", "Bob", "Ann", "Ann", "Bob"):
        conversation.append_event(AgentStep(agent=agent, turn=1))
        simulation.settle()
    conversation.announce(Presence(conversation_id="c1", watchers=2))
    logged = [payload for _, payload in transport.received[SID] if "offset" in payload]
    assert [(each["agent"], each["prev_offset"], each["offset"]) for each in logged] == [("Bob", 0, 2), ("Bob", 2, 5)]
    assert Presence.name in [name for name, _ in transport.received[SID]]
    assert len(transport.received["whole"]) == 6


def test_batched_updates(conversation: Conversation, transport: RecordingTransport, simulation: Simulation) -> None:
    """One event for all that came in the time that the reader has chosen."""
    follow(conversation, transport, ReaderOptions(batch=True, batch_s=1.0))
    for number in range(100):
        say(conversation, f"{number} ", message_id=f"m{number % 2}")
        simulation.advance(0.1)
    simulation.advance(2)
    assert {name for name, _ in transport.received[SID]} == {Batch.name}
    assert 9 <= len(transport.received[SID]) <= 12
    assert chain_of(transport).split() == [str(number) for number in range(100)]
    first = transport.received[SID][0][1]
    assert (first["prev_offset"], first["epoch"]) == (0, conversation.log.epoch)
    assert "timestamp" in first


def test_catch_up_as_one_event(conversation: Conversation, transport: RecordingTransport) -> None:
    """For a client that has asked for batches; a single event comes as itself."""
    for number in range(3):
        say(conversation, "x", message_id=f"m{number}")
    follow(conversation, transport, ReaderOptions(batch=True), Position(epoch=conversation.log.epoch, offset=0))
    say(conversation)
    assert [name for name, _ in transport.received[SID]] == [Batch.name, MessageDelta.name]
    assert [each["payload"]["offset"] for each in transport.received[SID][0][1]["entries"]] == [1, 2, 3]


def test_changes_only(conversation: Conversation, transport: RecordingTransport, simulation: Simulation) -> None:
    """A message that its deltas have told comes without its text; one that says more comes whole."""
    follow(conversation, transport, ReaderOptions(view=View(changes_only=True)))
    say(conversation, "Hello", message_id="m1")
    simulation.settle()
    conversation.append_event(AgentMessage(message_id="m1", agent="Ann", content="Hello", confidence=0.7))
    simulation.settle()
    say(conversation, "Hel", message_id="m2")
    simulation.settle()
    conversation.append_event(AgentMessage(message_id="m2", agent="Ann", content="Hello"))
    simulation.settle()
    names = [name for name, _ in transport.received[SID]]
    assert names == [MessageDelta.name, MessageUpdated.name, MessageDelta.name, AgentMessage.name]
    changes = transport.received[SID][1][1]["changes"]
    assert changes == {"state": "complete", "confidence": 0.7, "content_type": "markdown"}


def test_where_a_reader_is(conversation: Conversation, transport: RecordingTransport) -> None:
    """Answered, then in the room."""
    transport.connect(SID)
    conversation.join(SID)
    reader = conversation.readers.get(SID)
    assert reader is not None
    assert reader.place is Place.ANSWERED
    conversation.attach(SID)
    assert reader.place.value == "room"


def test_transient_events_are_not_heaped_up_on_a_reader_that_lags(
    conversation: Conversation, transport: RecordingTransport, simulation: Simulation
) -> None:
    """Presence and heartbeats that it could read only later are of no use to it."""
    follow(conversation, transport, ReaderOptions(view=View(changes_only=True)))
    transport.clogged.add(SID)
    say(conversation)
    simulation.settle()
    for _ in range(5):
        conversation.announce_heartbeat()
    assert len(transport.received[SID]) == 1
