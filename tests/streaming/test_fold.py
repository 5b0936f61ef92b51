"""The one reducer: each event, trimming, and that a snapshot plus what follows it is the later snapshot."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from app.protocol.common import AgentCard, Status, Usage
from app.protocol.events import (
    LOGGED,
    AgentMessage,
    AgentStep,
    ChartGenerated,
    ConversationComplete,
    ConversationError,
    ConversationStatus,
    ConversationUpdated,
    Event,
    FallbackMode,
    FrameworkEvent,
    InputRequest,
    InputResolved,
    MessageDelta,
    MessageQueued,
    MessageReset,
    MessageStart,
    MessageUnqueued,
    MessageUpdated,
    Progress,
    ToolCall,
    ToolResult,
)
from app.protocol.snapshot import MessageView, ProgressView, Snapshot
from app.streaming.fold import ConversationFold
from app.streaming.log import ConversationLog
from tests.streaming.readers import fold_event

EVERYTHING: list[Event] = [
    ConversationStatus(status=Status.INITIALIZING, session_id="s1", team="debate", agents=(AgentCard(name="Ann"),)),
    AgentMessage(message_id="u1", agent="user", role="user", content="Why?", content_type="text"),
    ConversationStatus(status=Status.ACTIVE, session_id="s1", team="debate", model="m"),
    AgentStep(agent="Ann", turn=1, max_turns=3),
    MessageStart(message_id="m1", agent="Ann"),
    MessageDelta(message_id="m1", agent="Ann", delta="He"),
    MessageDelta(message_id="m1", agent="Ann", delta="llo", tokens=2),
    Progress(current_turn=1, max_turns=3, percentage=33.3, message="thinking"),
    AgentMessage(message_id="m1", agent="Ann", content="Hello!", confidence=0.7, usage=Usage(prompt_tokens=3)),
    MessageStart(message_id="m2", agent="Bob"),
    MessageDelta(message_id="m2", agent="Bob", delta="withdrawn"),
    ConversationError(error="gone", code="runner_lost", recovering=True),
    MessageReset(message_id="m2", agent="Bob", reason="runner_lost"),
    FallbackMode(mode="provider", reason="model_stalled", from_="a", to="n"),
    MessageDelta(message_id="m3", agent="Bob", delta="no start"),
    FallbackMode(mode="demo", reason="backend_unavailable", from_="n", to="demo"),
    AgentMessage(
        message_id="m3", agent="Bob", content="no st", partial=True, reason="stopped", truncated=True, cut_off=True
    ),
    MessageUpdated(message_id="m3", agent="Bob", changes={"feedback": "up"}, updated_by="local"),
    MessageUpdated(message_id="m1", agent="Ann", changes={"content": "Hello.", "confidence": 0.8}),
    ToolCall(call_id="c1", agent="Ann", tool="get_crypto_price", arguments='{"symbol": "BTC"}'),
    ToolResult(call_id="c1", agent="Ann", tool="get_crypto_price", success=True, preview="1"),
    ToolResult(call_id="c2", agent="Ann", tool="search", success=False),
    ChartGenerated(chart_id="h1", url="/charts/h1", symbol="BTC"),
    InputRequest(request_id="r1", agent="Ann", prompt="Which?"),
    InputRequest(request_id="r2", agent="Ann", prompt="May I?", kind="permission"),
    InputResolved(request_id="r1", resolution="answered", by="local"),
    ConversationComplete(consensus="yes", summary="all agree", usage=Usage(prompt_tokens=5)),
    ConversationStatus(status=Status.COMPLETED, session_id="s1", team="debate", usage=Usage(prompt_tokens=5)),
    ConversationStatus(status=Status.INITIALIZING, session_id="s2", team="chat"),
    MessageStart(message_id="m4", agent="Ann"),
    ConversationStatus(
        status=Status.ERROR, session_id="s2", team="chat", code="x", usage=Usage(completion_tokens=2, estimated=True)
    ),
    InputRequest(request_id="r2", agent="Ann", prompt="May I?", kind="permission", deadline="t9"),
    MessageQueued(message_id="q1", content="And then?", by="local"),
    MessageQueued(message_id="q2", content="And why?", by="ann"),
    MessageQueued(message_id="q3", content="Never mind.", by="ann"),
    MessageUnqueued(message_id="q3", by="ann"),
    AgentMessage(message_id="q1", agent="user", role="user", content="And then?", content_type="text"),
    FrameworkEvent(framework="autogen", event={"type": "termination"}),
    ConversationUpdated(changes={"title": "Another title"}, updated_by="local"),
]


class Folded:
    """A log and its fold."""

    def __init__(self, max_messages: int = 100) -> None:
        self.log = ConversationLog("c1", max_entries=1000, max_bytes=1_000_000, epoch="e1")
        self.fold = ConversationFold("c1", "e1", created_at="t0", title="A question", max_messages=max_messages)

    def add(self, *events: Event, demo: bool = False) -> Folded:
        for event in events:
            entry = self.log.append(event.name, event.to_wire(), timestamp=f"t{self.log.offset + 1}", demo=demo)
            self.fold.apply(event.name, entry.payload)
        return self

    @property
    def now(self) -> Snapshot:
        return self.fold.snapshot()

    def wire(self) -> dict[str, Any]:
        return self.now.model_dump(mode="json", by_alias=True)


def test_a_new_conversation_is_idle_and_empty() -> None:
    """At offset 0, with its title and time."""
    assert Folded().now == Snapshot(conversation_id="c1", epoch="e1", offset=0, title="A question", created_at="t0")


def test_status_carries_session_team_agents_and_model() -> None:
    """Agents and model stay when a later status does not repeat them."""
    now = Folded().add(*EVERYTHING[:3]).now
    assert (now.status, now.session_id, now.team, now.model) == (Status.ACTIVE, "s1", "debate", "m")
    assert now.agents == (AgentCard(name="Ann"),)


def test_deltas_are_appended_to_the_open_message() -> None:
    """Which stays open until the whole message comes."""
    folded = Folded().add(*EVERYTHING[:7])
    assert folded.now.messages[-1] == MessageView(message_id="m1", agent="Ann", content="Hello", timestamp="t5")
    assert [each.message_id for each in folded.fold.open_messages()] == ["m1"]
    assert folded.now.speaking == "Ann"


def test_the_whole_message_replaces_the_open_text() -> None:
    """With what only it knows: confidence, usage."""
    folded = Folded().add(*EVERYTHING[:9])
    message = folded.now.messages[-1]
    assert (message.content, message.state, message.confidence) == ("Hello!", "complete", 0.7)
    assert message.usage == Usage(prompt_tokens=3)
    assert folded.fold.open_messages() == []
    assert folded.fold.progress == ProgressView(current_turn=1, max_turns=3, percentage=33.3, message="thinking")


def test_a_message_may_come_whole_or_without_a_start() -> None:
    """A delta opens its message, a whole message needs no other event."""
    now = Folded().add(AgentMessage(message_id="a", agent="Ann", content="whole"), EVERYTHING[14]).now
    assert [(each.content, each.state) for each in now.messages] == [("whole", "complete"), ("no start", "open")]


def test_reset_withdraws_the_message() -> None:
    """As if it had never been; an unknown one is no error."""
    folded = Folded().add(*EVERYTHING[9:11])
    folded.add(EVERYTHING[12], EVERYTHING[12])
    assert folded.now.messages == ()
    assert folded.fold.message_count() == 0


def test_a_partial_message_says_why() -> None:
    """And whether what the model read was condensed."""
    message = Folded().add(EVERYTHING[16]).now.messages[0]
    assert (message.state, message.reason) == ("partial", "stopped")
    assert (message.truncated, message.cut_off) == (True, True)


def test_fallback_to_another_provider_changes_the_model() -> None:
    """It is no demo."""
    now = Folded().add(*EVERYTHING[:3], EVERYTHING[13]).now
    assert (now.model, now.demo) == ("n", False)
    assert now.fallback is not None
    assert (now.fallback.from_, now.fallback.to, now.fallback.mode) == ("a", "n", "provider")


def test_fallback_to_demo_marks_the_conversation() -> None:
    """Until its next session begins."""
    folded = Folded().add(*EVERYTHING[:3], EVERYTHING[15])
    assert folded.now.demo
    folded.add(EVERYTHING[28])
    assert not folded.now.demo


def test_messages_keep_the_demo_mark_of_their_own_events() -> None:
    """Not that of the conversation."""
    folded = Folded().add(AgentMessage(message_id="a", agent="Ann", content="x"), demo=True)
    folded.add(AgentMessage(message_id="b", agent="Ann", content="y"))
    assert [each.demo for each in folded.now.messages] == [True, False]


def test_the_end_of_a_session_sums_its_usage() -> None:
    """Over all sessions of the conversation."""
    folded = Folded().add(*EVERYTHING)
    assert folded.fold.usage == Usage(prompt_tokens=5, completion_tokens=2, estimated=True)
    assert folded.now.speaking is None


def test_a_new_session_clears_what_belonged_to_the_last_one() -> None:
    """Outcome, error, fallback, progress, model; not the messages."""
    folded = Folded().add(*EVERYTHING[:28])
    assert folded.now.outcome is not None
    assert folded.now.error is not None
    count = len(folded.now.messages)
    folded.add(EVERYTHING[28])
    now = folded.now
    assert (now.outcome, now.error, now.fallback, now.model, now.progress) == (None, None, None, None, ProgressView())
    assert len(now.messages) == count
    assert now.agents == (AgentCard(name="Ann"),)


def test_a_conversation_can_be_renamed() -> None:
    """Everything else stays."""
    before = Folded().add(*EVERYTHING[:-1]).now
    after = Folded().add(*EVERYTHING).now
    assert after == before.model_copy(update={"title": "Another title", "offset": before.offset + 1})


def test_an_unknown_event_only_moves_the_offset() -> None:
    """So that a newer producer does not break an older server."""
    folded = Folded()
    before = folded.wire()
    entry = folded.log.append("not_yet_invented", {"x": 1}, timestamp="t1", demo=False)
    folded.fold.apply(entry.name, entry.payload)
    assert folded.wire() == {**before, "offset": 1}
    assert folded.fold.updated_at == "t1"


def test_the_events_here_are_all_there_are() -> None:
    """A new logged event must be folded, or shown here to change nothing."""
    assert {type(event) for event in EVERYTHING} == set(LOGGED)


@pytest.mark.parametrize("start", range(len(EVERYTHING) + 1))
def test_a_snapshot_and_what_follows_is_the_later_snapshot(start: int) -> None:
    """Whoever joins anywhere ends up with the same as who was there from the beginning."""
    folded = Folded().add(*EVERYTHING[:start])
    state = copy.deepcopy(folded.wire())
    restored = ConversationFold.from_snapshot(folded.now)
    for event in EVERYTHING[start:]:
        entry = folded.log.append(event.name, event.to_wire(), timestamp="t", demo=start % 2 == 0)
        folded.fold.apply(event.name, entry.payload)
        fold_event(state, event.name, entry.payload)
        assert state == folded.wire()
        restored.apply(event.name, entry.payload)
        assert restored.snapshot() == folded.now


def test_old_messages_are_counted_instead_of_kept() -> None:
    """The newest stay; the number of all is right."""
    folded = Folded(max_messages=3)
    for number in range(10):
        folded.add(AgentMessage(message_id=f"m{number}", agent="Ann", content="x"))
    now = folded.now
    assert [each.message_id for each in now.messages] == ["m7", "m8", "m9"]
    assert now.omitted_messages == 7
    assert folded.fold.message_count() == 10


def test_a_restored_fold_keeps_its_bounds() -> None:
    """What the snapshot holds counts."""
    folded = Folded()
    for number in range(4):
        folded.add(AgentMessage(message_id=f"m{number}", agent="Ann", content="four"))
    entry = folded.log.append(
        AgentMessage.name,
        AgentMessage(message_id="m5", agent="Ann", content="four").to_wire(),
        timestamp="t",
        demo=False,
    )
    for bounds in ({"max_messages": 2}, {"max_chars": 10}):
        restored = ConversationFold.from_snapshot(folded.now, **bounds)
        restored.apply(AgentMessage.name, entry.payload)
        assert [each.message_id for each in restored.snapshot().messages] == ["m3", "m5"]
        assert restored.message_count() == 5


def test_an_open_message_is_never_trimmed_and_protects_no_other() -> None:
    """One that stays open for long used to keep everything after it in memory, without any bound."""
    folded = Folded(max_messages=3).add(MessageStart(message_id="open", agent="Ann"))
    for number in range(10):
        folded.add(AgentMessage(message_id=f"m{number}", agent="Bob", content="x"))
    folded.add(MessageDelta(message_id="open", agent="Ann", delta="still here"))
    now = folded.now
    assert [each.message_id for each in now.messages] == ["open", "m8", "m9"]
    assert now.messages[0].content == "still here"
    assert folded.fold.message_count() == 11


def test_the_oldest_text_is_dropped_when_all_is_too_long() -> None:
    """Whatever was said anew, changed or withdrawn; the newest finished message is kept, however long."""
    folded = Folded()
    folded.fold.max_chars = 100
    for number in range(10):
        folded.add(AgentMessage(message_id=f"m{number}", agent="Ann", content="x" * 30))
        folded.add(AgentMessage(message_id=f"m{number}", agent="Ann", content="y" * 30))
    assert [each.message_id for each in folded.now.messages] == ["m7", "m8", "m9"]
    assert folded.now.omitted_messages == 7
    folded.add(MessageReset(message_id="m9", agent="Ann", reason="r"))
    folded.add(MessageUpdated(message_id="m8", agent="Ann", changes={"content": "z" * 60}))
    folded.add(AgentMessage(message_id="n", agent="Ann", content="x" * 10))
    assert [each.message_id for each in folded.now.messages] == ["m7", "m8", "n"]
    folded.add(AgentMessage(message_id="long", agent="Ann", content="x" * 500))
    assert [each.message_id for each in folded.now.messages] == ["long"]
    assert folded.fold.message_count() == folded.now.omitted_messages + 1
