"""The recorder: what the log becomes in the store."""

from __future__ import annotations

from typing import Any

import pytest

from app.protocol.common import Status, Usage
from app.protocol.events import AgentMessage, ConversationStatus, FallbackMode, MessageDelta, MessageStart
from app.store.memory import MemoryStore
from app.store.recorder import Recorder
from app.streaming.conversation import Conversation
from tests.streaming.fakes import RecordingTransport, a_conversation
from tests.streaming.simulation import Simulation


class CountingStore(MemoryStore):
    """Counts what is written."""

    writes = 0

    def save(self, record: Any) -> None:
        self.writes += 1
        super().save(record)


@pytest.fixture
def store() -> CountingStore:
    return CountingStore()


@pytest.fixture
def conversation(store: CountingStore) -> Conversation:
    simulation = Simulation()
    return a_conversation(simulation, RecordingTransport(simulation), record=Recorder(store))


def a_status(status: Status, **more: Any) -> ConversationStatus:
    return ConversationStatus(status=status, session_id="s1", team="debate", **more)


def test_the_store_holds_what_the_snapshot_shows(store: CountingStore, conversation: Conversation) -> None:
    """The same messages, field by field, and the conversation's own row."""
    conversation.open_session(a_status(Status.INITIALIZING))
    conversation.move_to(Status.ACTIVE, a_status(Status.ACTIVE))
    conversation.append_event(MessageStart(message_id="m1", agent="Ann"))
    conversation.append_event(MessageDelta(message_id="m1", agent="Ann", delta="Hel"))
    usage = Usage(prompt_tokens=3, completion_tokens=1)
    conversation.append_event(
        AgentMessage(message_id="m1", agent="Ann", content="Hello", confidence=0.5, usage=usage, model="m")
    )
    conversation.append_event(
        AgentMessage(message_id="m2", agent="Bob", content="ha", partial=True, reason="stopped", truncated=True),
        demo=True,
    )
    conversation.append_event(FallbackMode(mode="demo", reason="backend_unavailable"))
    conversation.move_to(Status.STOPPED, a_status(Status.STOPPED, usage=usage))

    snapshot = conversation.fold.snapshot()
    stored = store.messages(conversation.id)
    assert [each.message_id for each in stored] == ["m1", "m2"]
    assert [each.state for each in stored] == ["complete", "partial"]
    for mine, shown in zip(stored, snapshot.messages, strict=True):
        assert mine.model_copy(update={"timestamp": ""}) == shown.model_copy(update={"timestamp": ""})
    record = store.get(conversation.id)
    assert record is not None
    assert (record.status, record.team, record.owner, record.title) == (
        Status.STOPPED,
        "debate",
        "local",
        "A question",
    )
    assert (record.demo, record.messages, record.usage) == (True, 2, usage)
    assert (record.created_at, record.updated_at) == (snapshot.created_at, conversation.fold.updated_at)


def test_deltas_are_not_written(store: CountingStore, conversation: Conversation) -> None:
    """A write per token would cost more than the token."""
    conversation.open_session(a_status(Status.INITIALIZING))
    before = store.writes
    for _ in range(50):
        conversation.append_event(MessageDelta(message_id="m1", agent="Ann", delta="x"))
    assert store.writes == before
    assert store.messages(conversation.id) == []
