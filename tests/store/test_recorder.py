"""The recorder: what the log becomes in the store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from app.concurrency import AsyncMode
from app.errors import StoreUnavailable
from app.protocol.common import ContentType, Status, Usage
from app.protocol.events import (
    AgentMessage,
    ChartGenerated,
    ConversationStatus,
    ConversationUpdated,
    Event,
    FallbackMode,
    InputResolved,
    MessageDelta,
    MessageQueued,
    MessageReset,
    MessageStart,
    MessageUnqueued,
    MessageUpdated,
    ToolCall,
    ToolResult,
)
from app.protocol.snapshot import MessageView
from app.store.base import Change, ListQuery, MessageQuery, MessageWritten, Reader
from app.store.database import Database, Refused
from app.store.recorder import Recorder, StoreState
from app.store.sql import SqlStore
from tests.streaming.fakes import RecordingTransport, a_conversation
from tests.streaming.simulation import Simulation


def a_status(status: Status, **more: Any) -> ConversationStatus:
    return ConversationStatus(status=status, session_id="s1", team="debate", **more)


class FlakyStore:
    """The real store, which can be away, slow, or refuse."""

    def __init__(self, store: SqlStore, simulation: Simulation) -> None:
        self._store = store
        self._simulation = simulation
        self.away = False
        self.slow_s = 0.0
        self.refuses: Callable[[Change], bool] = lambda change: False
        self.writes: list[tuple[float, list[Change]]] = []
        self.attempts = 0

    def write(self, changes: Sequence[Change]) -> None:
        self.attempts += 1
        if self.slow_s:
            self._simulation.sleep(self.slow_s)
        if self.away:
            raise StoreUnavailable("the database failed: connection refused")
        if any(map(self.refuses, changes)):
            raise Refused("the database failed: invalid byte sequence")
        self._store.write(changes)
        self.writes.append((self._simulation.now, list(changes)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class Scene:
    """A conversation, its recorder, and a store that can be away."""

    def __init__(self, store: SqlStore, max_unsaved_bytes: int = 1_000_000) -> None:
        self.simulation = Simulation()
        self.store = FlakyStore(store, self.simulation)
        self.told: list[StoreState] = []
        self.recorder = Recorder(
            self.store,  # type: ignore[arg-type]  # it passes on what it does not know
            self.simulation,
            self.simulation,
            max_unsaved_bytes=max_unsaved_bytes,
            changed=self.told.append,
        )
        self.conversation = a_conversation(self.simulation, RecordingTransport(self.simulation), record=self.recorder)
        self.writer = self.simulation.spawn(self.recorder.run)

    def begin(self) -> None:
        self.conversation.open_session(a_status(Status.INITIALIZING))
        self.conversation.move_to(Status.ACTIVE, a_status(Status.ACTIVE))

    def settle(self, seconds: float = 1.2) -> None:
        """Let the recorder write what there is."""
        self.simulation.advance(seconds)

    def stored(self) -> list[MessageView]:
        return [each.view for each in self.store.messages(self.conversation.id, MessageQuery()).messages]

    def texts(self) -> dict[str, str]:
        return {view.message_id: view.content for view in self.stored()}

    def end(self) -> None:
        self.recorder.flush_all(self.simulation.now + 5)
        self.simulation.settle()
        assert self.writer.done
        assert self.writer.error is None


@pytest.fixture
def store(sqlite: Database) -> SqlStore:
    """What the recorder does is the same with every database."""
    return SqlStore(sqlite, AsyncMode("threading"))


@pytest.fixture
def scene(store: SqlStore) -> Any:
    made = Scene(store)
    yield made
    made.store.away = False
    made.end()


def delta(message_id: str, text: str) -> MessageDelta:
    return MessageDelta(message_id=message_id, agent="Ann", delta=text)


def test_the_store_holds_what_the_snapshot_shows(scene: Scene) -> None:
    """The same messages, field by field and in the same order, the tool calls, the charts, and the conversation."""
    conversation = scene.conversation
    scene.begin()
    conversation.append_event(MessageStart(message_id="m1", agent="Ann"))
    conversation.append_event(MessageStart(message_id="m2", agent="Bob"))
    conversation.append_event(delta("m1", "Hel"))
    usage = Usage(prompt_tokens=3, completion_tokens=1)
    conversation.append_event(
        AgentMessage(message_id="m2", agent="Bob", content="ha", partial=True, reason="stopped", truncated=True),
        demo=True,
    )
    conversation.append_event(
        AgentMessage(message_id="m1", agent="Ann", content="Hello", confidence=0.5, usage=usage, model="m")
    )
    conversation.append_event(MessageStart(message_id="m3", agent="Bob"))
    conversation.append_event(delta("m3", "never mind"))
    conversation.append_event(MessageReset(message_id="m3", agent="Bob", reason="runner_lost"))
    conversation.append_event(ToolCall(call_id="t1", agent="Ann", tool="quote", arguments="{}"))
    conversation.append_event(ToolResult(call_id="t1", agent="Ann", tool="quote", success=True, preview="1"))
    conversation.append_event(ChartGenerated(chart_id="c1", url="/charts/c1", symbol="X"))
    conversation.append_event(FallbackMode(mode="demo", reason="backend_unavailable"))
    conversation.append_event(ConversationUpdated(changes={"title": "Another name"}))
    conversation.append_event(
        MessageUpdated(message_id="m1", agent="Ann", changes={"feedback": "up"}, updated_by="local")
    )
    conversation.move_to(Status.STOPPED, a_status(Status.STOPPED, usage=usage))
    scene.settle()

    snapshot = conversation.fold.snapshot()
    assert tuple(scene.stored()) == snapshot.messages
    assert [view.message_id for view in scene.stored()] == ["m1", "m2"]
    assert scene.store.tool_calls(conversation.id) == snapshot.tool_calls
    assert scene.store.charts(conversation.id) == snapshot.charts
    record = scene.store.get(conversation.id)
    assert record is not None
    assert (record.status, record.team, record.owner, record.title) == (
        Status.STOPPED,
        "debate",
        "local",
        "Another name",
    )
    assert (record.demo, record.messages, record.usage) == (True, 2, usage)
    assert (record.created_at, record.updated_at) == (snapshot.created_at, conversation.fold.updated_at)
    shown = snapshot.model_dump(mode="json", by_alias=True)
    own = {"recoveries": 0, "requests": {"began_as": None, "sessions": {}, "options": {}}}
    assert record.state == {name: shown[name] for name in record.state if name not in own} | own
    assert set(record.state) >= {"agents", "model", "outcome", "error", "fallback", "progress", "session_id"}
    assert scene.store.spent_today((None, "local"), record.updated_at[:10]) == usage
    assert scene.recorder.state().waiting == 0


def test_open_text_is_kept_once_a_second(scene: Scene) -> None:
    """After a kill -9 the text so far is there; a write per token would cost more than the token."""
    scene.begin()
    scene.conversation.append_event(MessageStart(message_id="m1", agent="Ann"))
    scene.settle(2.0)
    before = len(scene.store.writes)
    for _ in range(50):
        scene.conversation.append_event(delta("m1", "x"))
        scene.simulation.advance(0.1)
    scene.settle()
    assert scene.texts() == {"m1": "x" * 50}
    assert [view.state for view in scene.stored()] == ["open"]
    assert 4 <= len(scene.store.writes) - before <= 7


def test_what_comes_together_is_written_together(scene: Scene) -> None:
    """One transaction, and the newest of each thing once."""
    scene.begin()
    for number in range(5):
        scene.conversation.append_event(AgentMessage(message_id=f"m{number}", agent="Ann", content="old"))
        scene.conversation.append_event(AgentMessage(message_id=f"m{number}", agent="Ann", content="new"))
    scene.settle(0.5)
    (_, changes), *others = scene.store.writes
    assert not others
    written = [change.message.content for change in changes if isinstance(change, MessageWritten)]
    assert written == ["new"] * 5


@pytest.mark.parametrize(
    "told",
    [
        AgentMessage(message_id="m2", agent="user", role="user", content="and bonds?"),
        MessageQueued(message_id="m2", content="and bonds?", content_type=ContentType.TEXT, by="local"),
        MessageUnqueued(message_id="m2", by="local"),
        InputResolved(request_id="r1", resolution="answered", content="yes", by="local"),
        MessageUpdated(message_id="m1", agent="Ann", changes={"content": "edited"}, updated_by="local"),
        ConversationUpdated(changes={"title": "Another name"}, updated_by="local"),
        a_status(Status.STOPPED),
    ],
    ids=lambda event: event.name,
)
def test_what_somebody_was_told_is_done_is_written_at_once(scene: Scene, told: Event) -> None:
    """Else a server that is killed a moment after its ack has lost it. What was being gathered goes with it, but not
    the open texts of everybody who writes: they have their time.
    """
    scene.begin()
    scene.settle()
    scene.conversation.append_event(MessageStart(message_id="m0", agent="Bob"))
    scene.settle()
    scene.conversation.append_event(delta("m0", "so far"))
    scene.conversation.append_event(AgentMessage(message_id="m1", agent="Ann", content="Hello"))
    scene.simulation.settle()
    before = len(scene.store.writes)
    assert "m1" not in scene.texts()
    scene.conversation.append_event(told)
    scene.simulation.settle()
    ((at, changes),) = scene.store.writes[before:]
    assert at == scene.simulation.now
    assert "m1" in scene.texts()
    assert changes
    record = scene.store.get(scene.conversation.id)
    assert record is not None
    assert record.updated_at == scene.conversation.fold.updated_at


def test_a_new_conversation_is_written_at_once(scene: Scene) -> None:
    """With its first words."""
    scene.simulation.settle()
    scene.conversation.open_session(a_status(Status.INITIALIZING))
    scene.conversation.append_event(AgentMessage(message_id="m1", agent="user", role="user", content="Why?"))
    scene.simulation.settle()
    assert scene.simulation.now == 0.0
    assert scene.texts() == {"m1": "Why?"}


def test_a_message_that_begins_again_after_its_reset_comes_last(scene: Scene) -> None:
    """As in the fold; also when the outage lies in between."""
    conversation = scene.conversation
    scene.begin()
    scene.store.away = True
    conversation.append_event(AgentMessage(message_id="m1", agent="Ann", content="first try"))
    scene.settle(3.0)
    conversation.append_event(AgentMessage(message_id="m2", agent="Bob", content="two"))
    conversation.append_event(MessageReset(message_id="m1", agent="Ann", reason="runner_lost"))
    scene.settle(3.0)
    conversation.append_event(AgentMessage(message_id="m1", agent="Ann", content="second try"))
    scene.settle(3.0)
    scene.store.away = False
    scene.settle(5.0)
    assert list(scene.texts().items()) == [("m2", "two"), ("m1", "second try")]
    assert tuple(scene.stored()) == conversation.fold.snapshot().messages


def test_nothing_is_missing_after_an_outage(scene: Scene) -> None:
    """All is there within 5 s after the database is back, and everybody was told of both."""
    scene.begin()
    scene.settle()
    scene.store.away = True
    for number in range(60):
        scene.conversation.append_event(MessageStart(message_id=f"m{number}", agent="Ann"))
        scene.conversation.append_event(delta(f"m{number}", "x"))
        scene.conversation.append_event(AgentMessage(message_id=f"m{number}", agent="Ann", content=f"text {number}"))
        scene.simulation.advance(1.0)
    state = scene.recorder.state()
    assert (state.ok, state.message) == (False, "the database failed: connection refused")
    assert state.waiting == 1
    assert state.since is not None
    scene.store.away = False
    scene.settle(5.0)
    assert tuple(scene.stored()) == scene.conversation.fold.snapshot().messages
    assert [each.ok for each in scene.told] == [False, True]
    state = scene.recorder.state()
    assert (state.ok, state.waiting, state.waiting_bytes, state.lost) == (True, 0, 0, 0)


def test_attempts_during_an_outage_are_few(scene: Scene) -> None:
    """Every two seconds at last; whoever asks for a flush is refused at once and hurries nobody."""
    scene.begin()
    scene.store.away = True
    scene.settle(4.0)
    before = scene.store.attempts
    for _ in range(200):
        assert scene.recorder.flush(scene.conversation.id) is False
        scene.simulation.advance(0.1)
    assert scene.store.attempts - before <= 11


def test_what_waits_is_bounded_and_what_is_lost_is_counted(store: SqlStore) -> None:
    """The oldest goes first."""
    scene = Scene(store, max_unsaved_bytes=10_000)
    scene.begin()
    scene.settle()
    scene.store.away = True
    for number in range(20):
        scene.conversation.append_event(
            AgentMessage(message_id=f"m{number}", agent="Ann", content=str(number % 10) * 1000)
        )
        scene.simulation.advance(0.5)
    assert scene.recorder.state().waiting_bytes <= 10_000
    lost = scene.recorder.state().lost
    scene.store.away = False
    scene.settle(5.0)
    kept = list(scene.texts())
    assert kept == [f"m{number}" for number in range(lost, 20)]
    assert 10 <= lost < 20
    scene.end()


def test_one_poisonous_change_does_not_block_the_others(scene: Scene) -> None:
    """It is counted; whatever else came with it is written, and the store is not called unavailable."""
    scene.store.refuses = lambda change: isinstance(change, MessageWritten) and "poison" in change.message.content
    scene.begin()
    for number, text in enumerate(("one", "poison", "three")):
        scene.conversation.append_event(AgentMessage(message_id=f"m{number}", agent="Ann", content=text))
    scene.settle()
    assert scene.texts() == {"m0": "one", "m2": "three"}
    assert scene.recorder.state().refused == 1
    assert scene.recorder.state().ok


def test_flush_waits_for_what_waited(scene: Scene) -> None:
    """And not for what comes later."""
    scene.begin()
    scene.conversation.append_event(MessageStart(message_id="m1", agent="Ann"))
    scene.conversation.append_event(delta("m1", "so far"))
    scene.store.slow_s = 0.02
    began = scene.simulation.now
    assert scene.recorder.flush(scene.conversation.id)
    assert scene.simulation.now - began < 0.1
    assert scene.texts() == {"m1": "so far"}
    assert scene.recorder.flush("never heard of")


def test_an_ack_waits_for_what_it_promises_alone(scene: Scene) -> None:
    """Not for the text that agents go on writing, and it hurries nobody."""
    scene.begin()
    scene.settle()
    scene.conversation.append_event(MessageStart(message_id="m1", agent="Ann"))
    scene.settle()
    scene.conversation.append_event(delta("m1", "so far"))
    began = scene.simulation.now
    assert scene.recorder.flush(scene.conversation.id, hurry=False)
    assert (scene.simulation.now, scene.texts()["m1"]) == (began, "")
    scene.store.slow_s = 0.02
    scene.conversation.append_event(AgentMessage(message_id="m2", agent="user", role="user", content="And?"))
    assert scene.recorder.flush(scene.conversation.id, hurry=False)
    assert scene.simulation.now - began == pytest.approx(0.02)
    assert scene.texts()["m2"] == "And?"


def test_flush_gives_up_in_time(scene: Scene) -> None:
    scene.begin()
    scene.store.slow_s = 10.0
    began = scene.simulation.now
    assert not scene.recorder.flush(scene.conversation.id, timeout_s=0.5)
    assert scene.simulation.now - began == pytest.approx(0.5)
    scene.store.slow_s = 0.0
    scene.settle(15.0)


def test_nothing_of_a_forgotten_conversation_is_written(scene: Scene) -> None:
    """Not what waits, not what comes, not what failed before."""
    scene.begin()
    scene.store.away = True
    scene.settle()
    scene.conversation.append_event(AgentMessage(message_id="m1", agent="Ann", content="one"))
    scene.recorder.forget(scene.conversation.id)
    scene.conversation.append_event(AgentMessage(message_id="m2", agent="Ann", content="two"))
    scene.recorder.checkpoint(scene.conversation.id, "debate", {"turn": 1})
    scene.store.away = False
    scene.settle(5.0)
    assert scene.store.get(scene.conversation.id) is None
    assert scene.recorder.state().waiting == 0


def test_only_the_newest_checkpoint_is_kept(scene: Scene) -> None:
    """And an empty one drops it."""
    where = scene.conversation.id
    scene.begin()
    for turn in range(3):
        scene.recorder.checkpoint(where, "debate", {"turn": turn})
    scene.settle()
    assert scene.store.checkpoint(where) == ("debate", {"turn": 2})
    scene.recorder.checkpoint(where, "debate", {})
    scene.settle()
    assert scene.store.checkpoint(where) is None


def test_the_database_is_prepared_until_it_can_be_had(store: SqlStore) -> None:
    """What came before is written then."""
    simulation = Simulation()
    attempts: list[float] = []

    def prepare() -> None:
        attempts.append(simulation.now)
        if len(attempts) < 4:
            raise StoreUnavailable("the database failed: no such host")

    recorder = Recorder(store, simulation, simulation, prepare=prepare)
    recorder.prepare()
    assert not recorder.state().ok
    conversation = a_conversation(simulation, RecordingTransport(simulation), record=recorder)
    conversation.open_session(a_status(Status.INITIALIZING))
    simulation.spawn(recorder.run)
    simulation.advance(1.0)
    assert store.get(conversation.id) is None
    simulation.advance(5.0)
    assert store.get(conversation.id) is not None
    assert recorder.state().ok
    assert store.find(Reader("local"), ListQuery()).total == 1
    recorder.flush_all(simulation.now + 1)
    simulation.settle()


def test_the_end_does_not_wait_for_a_database_that_is_away(scene: Scene) -> None:
    """The server ends in its time, whatever is left."""
    scene.begin()
    scene.store.away = True
    scene.settle()
    began = scene.simulation.now
    assert not scene.recorder.flush_all(began + 1.0)
    assert scene.simulation.now - began == pytest.approx(1.0, abs=0.1)
