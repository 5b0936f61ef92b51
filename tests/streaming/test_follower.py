"""Readers that pull: every door but Socket.IO."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app.protocol.common import Filter, Position
from app.protocol.events import AgentMessage, AgentStep, MessageDelta, StillWorking
from app.streaming.conversation import Conversation
from app.streaming.follower import Follower, View
from tests.streaming.fakes import RecordingTransport, a_conversation
from tests.streaming.simulation import START, Simulation


@pytest.fixture
def conversation(simulation: Simulation, transport: RecordingTransport) -> Conversation:
    return a_conversation(simulation, transport, max_log_entries=50)


def say(conversation: Conversation, text: str = "x", message_id: str = "m1") -> None:
    conversation.append_event(MessageDelta(message_id=message_id, agent="Ann", delta=text))


def read_all(follower: Follower) -> list[str]:
    texts = []
    while (portion := follower.read()) is not None:
        texts += [entry.payload.get("delta", entry.name) for entry in portion.entries]
    return texts


def test_a_snapshot_then_what_follows(conversation: Conversation) -> None:
    """Without a position; merged, and nothing at the head."""
    say(conversation, "a")
    ack, follower = conversation.follow()
    assert ack.snapshot is not None
    assert (ack.offset, ack.recovered) == (1, False)
    assert follower.read() is None
    say(conversation, "b")
    say(conversation, "c")
    portion = follower.read()
    assert portion is not None
    assert (portion.prev_offset, portion.offset, len(portion.entries)) == (1, 3, 1)
    assert portion.entries[0].payload["delta"] == "bc"
    assert follower.read() is None
    follower.close()


def test_from_a_position(conversation: Conversation) -> None:
    """What was missed, and no snapshot; a position of another log gets a snapshot."""
    for text in "abc":
        say(conversation, text)
    ack, follower = conversation.follow(Position(epoch=conversation.log.epoch, offset=1))
    assert (ack.offset, ack.recovered, ack.snapshot) == (1, True, None)
    assert read_all(follower) == ["bc"]
    ack, other = conversation.follow(Position(epoch="another", offset=1))
    assert ack.snapshot is not None
    assert read_all(other) == []
    follower.close()
    other.close()


def test_from_a_time(conversation: Conversation, simulation: Simulation) -> None:
    """What was logged then or later; an older time than is kept gets a snapshot."""
    for number in range(5):
        say(conversation, str(number), message_id=f"m{number}")
        simulation.advance(10)
    ack, follower = conversation.follow(since=START + timedelta(seconds=20))
    assert (ack.recovered, ack.offset) == (True, 2)
    assert read_all(follower) == ["2", "3", "4"]
    ack, early = conversation.follow(since=START - timedelta(days=1))
    assert (ack.recovered, ack.offset) == (True, 0)
    for number in range(60):
        say(conversation, "x", message_id=f"n{number}")
    ack, lost = conversation.follow(since=START)
    assert not ack.recovered
    assert ack.snapshot is not None
    for each in (follower, early, lost):
        each.close()


def test_what_is_no_longer_kept_is_replaced_by_a_snapshot(conversation: Conversation) -> None:
    """Said once, as a portion; then the tail."""
    _, follower = conversation.follow()
    for number in range(60):
        say(conversation, "x", message_id=f"m{number}")
    portion = follower.read()
    assert portion is not None
    assert portion.snapshot is not None
    assert (portion.offset, portion.entries) == (60, ())
    say(conversation, "on")
    assert read_all(follower) == ["on"]
    follower.close()


def test_waiting_ends_with_an_append_a_wake_up_or_the_end(conversation: Conversation, simulation: Simulation) -> None:
    """And with its time."""
    _, follower = conversation.follow()
    assert follower.wait(5)  # there might have been something already
    assert follower.wait(5) is False
    assert simulation.now == 5
    simulation.spawn(say, conversation)
    assert follower.wait(5)
    assert simulation.now == 5
    simulation.spawn(conversation.dismiss)
    assert follower.wait() is False
    assert follower.closed
    assert follower.read() is None


def test_a_follower_is_a_watcher_until_it_is_closed(conversation: Conversation, simulation: Simulation) -> None:
    """Closing twice counts once."""
    _, follower = conversation.follow()
    _, other = conversation.follow()
    assert conversation.watchers == 2
    simulation.advance(3)
    follower.close()
    follower.close()
    assert conversation.watchers == 1
    other.close()
    assert conversation.unwatched_since == 3


def test_a_filter_leaves_no_hole(conversation: Conversation) -> None:
    """What is left out is spanned by the next entry's prev_offset."""
    _, follower = conversation.follow(view=View(Filter(types=("agent_step",))))
    say(conversation)
    say(conversation)
    assert follower.read() is None
    conversation.append_event(AgentStep(agent="Ann", turn=1))
    portion = follower.read()
    assert portion is not None
    assert [(each.prev_offset, each.offset, each.payload["prev_offset"]) for each in portion.entries] == [(0, 3, 0)]
    follower.close()


@pytest.mark.parametrize(
    ("wanted", "seen"),
    [
        (Filter(roles=("user",)), ["user"]),
        (Filter(roles=("agent",)), ["step", "delta", "agent"]),
        (Filter(types=("agent_message",)), ["user", "agent"]),
        (Filter(types=("agent_message",), agents=("Ann",)), ["agent"]),
        (Filter(agents=("Nobody",)), []),
        (Filter(), ["user", "step", "delta", "agent"]),
    ],
)
def test_filters(conversation: Conversation, wanted: Filter, seen: list[str]) -> None:
    """By type, role, agent, and together."""
    _, follower = conversation.follow(view=View(wanted))
    conversation.append_event(AgentMessage(message_id="u", agent="user", role="user", content="user"))
    conversation.append_event(AgentStep(agent="Ann", turn=1))
    say(conversation, "delta")
    conversation.append_event(AgentMessage(message_id="m1", agent="Ann", content="agent"))
    portion = follower.read()
    found = [] if portion is None else [each.payload for each in portion.entries]
    assert [each.get("content") or each.get("delta") or "step" for each in found] == seen
    follower.close()


def test_changes_only_keeps_the_whole_text_for_who_has_not_seen_its_beginning(
    conversation: Conversation, simulation: Simulation
) -> None:
    """A reader that begins at a time in mid-message."""
    say(conversation, "Hel")
    simulation.advance(10)
    _, late = conversation.follow(since=START + timedelta(seconds=5), view=View(changes_only=True))
    _, early = conversation.follow(view=View(changes_only=True))
    say(conversation, "lo")
    conversation.append_event(AgentMessage(message_id="m1", agent="Ann", content="Hello"))
    assert read_all(late) == ["lo", "agent_message"]
    assert read_all(early) == ["lo", "message_updated"]
    late.close()
    early.close()


def test_a_silent_team_is_told_at_every_door(conversation: Conversation) -> None:
    """Once, the newest, to who is at the head and wants to see it; what was said after it makes it old."""
    _, follower = conversation.follow()
    _, picky = conversation.follow(view=View(filter=Filter(types=(AgentStep.name,))))
    assert not follower.wait(0) or not follower.wait(0)
    for silent_s in (2.0, 4.0):
        conversation.announce_to_all(StillWorking(conversation_id=conversation.id, current_turn=1, silent_s=silent_s))
    assert follower.wait(0)
    told = follower.aside()
    assert told is not None
    assert (told[0], told[1]["silent_s"]) == ("progress", 4.0)
    assert told[1]["timestamp"]
    assert (follower.aside(), picky.aside()) == (None, None)
    conversation.announce_to_all(StillWorking(conversation_id=conversation.id, current_turn=1, silent_s=6.0))
    say(conversation)
    assert read_all(follower) == ["x"]
    assert follower.aside() is None
