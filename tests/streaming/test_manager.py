"""The manager: what it refuses, its bounds, housekeeping, shutdown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from app.errors import (
    ColloquyError,
    ContentEmpty,
    ContentTooLarge,
    ConversationUnknown,
    Interrupted,
    InvalidPayload,
    InvalidState,
    LimitExceeded,
    RunnerLost,
    TeamUnknown,
)
from app.protocol.commands import RunOptions
from app.protocol.common import ContentType, Position, Status
from app.protocol.events import ConversationError, ConversationStatus, Heartbeat, Presence, StillWorking
from app.streaming.bounds import Bounds
from tests.streaming.fakes import TEAM, FakeTeams, a_reader
from tests.streaming.house import House


@pytest.fixture
def house() -> House:
    return House()


# --- starting ---------------------------------------------------------------------------------------------------------


def test_start_begin_and_find(house: House) -> None:
    """Nothing is logged before `begin`; then the run gets team, content, limits, providers and its grant."""
    session = house.start("What now?\nreally", content_type=ContentType.ARTICLE)
    conversation = session.conversation
    assert conversation.log.offset == 0
    house.manager.begin(session)
    house.simulation.settle()
    request = house.runners.last.request
    assert (request.session, request.conversation) == (session.id, conversation.id)
    assert (request.content, request.content_type) == ("What now?\nreally", ContentType.ARTICLE)
    assert (request.allowed, request.demo, len(request.providers)) == (800, False, 1)
    assert house.manager.get(conversation.id) is conversation
    assert house.manager.session(conversation.id) is session
    assert house.manager.conversations() == [conversation]
    assert house.manager.sessions() == house.manager.sessions(running=True) == [session]
    assert conversation.fold.title == "What now?"


def test_ids_cannot_be_guessed(house: House) -> None:
    """128 random bits, different each time."""
    ids = {house.start().conversation.id for _ in range(50)}
    assert len(ids) == 50
    assert min(map(len, ids)) >= 20


@pytest.mark.parametrize(
    ("content", "title"),
    [
        ("  \n one \ntwo", "one"),
        ("x" * 80, "x" * 80),
        ("x" * 90, "x" * 79 + "…"),
        ("a " * 60, ("a " * 60)[:79].rstrip() + "…"),
    ],
)
def test_the_title_is_the_first_line(house: House, content: str, title: str) -> None:
    """At most 80 characters."""
    assert house.start(content).conversation.fold.title == title


def test_without_a_model_the_run_is_a_demo(house: House) -> None:
    """And only then."""
    house.models.found = ()
    house.run()
    assert house.runners.last.request.demo


def test_a_users_team_may_bring_its_own_model() -> None:
    """So it is asked, also where no model is configured."""
    house = House(teams=FakeTeams(TEAM.model_copy(update={"isolated": True})))
    house.models.found = ()
    house.run()
    assert not house.runners.last.request.demo


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("", ContentEmpty),
        (" \n\t ", ContentEmpty),
        ("x" * 101, ContentTooLarge),
        ("é" * 51, ContentTooLarge),  # 51 characters, 102 bytes
        ("half a pair: \ud83d", InvalidPayload),  # no runner and no database could take it
    ],
)
def test_bad_content_is_refused_and_nothing_has_changed(content: str, error: type[ColloquyError]) -> None:
    """Empty, over-long in bytes, or no Unicode."""
    house = House(max_content_bytes=100)
    with pytest.raises(error):
        house.start(content)
    assert house.manager.conversations() == []
    house.start("é" * 50)


def test_unknown_team_and_unknown_conversation(house: House) -> None:
    """Are told apart, and change nothing."""
    with pytest.raises(TeamUnknown):
        house.manager.start(team="nobody", content="x", owner="local")
    with pytest.raises(ConversationUnknown):
        house.start(conversation_id="nowhere")
    for ask in (
        house.manager.get,
        house.manager.session,
        house.manager.pause,
        house.manager.resume,
        house.manager.stop,
    ):
        with pytest.raises(ConversationUnknown):
            ask("nowhere")
    with pytest.raises(ConversationUnknown):
        house.manager.send_message("nowhere", "x")
    with pytest.raises(ConversationUnknown):
        house.manager.join("sid", "nowhere")
    with pytest.raises(ConversationUnknown):
        house.manager.leave("sid", "nowhere")
    assert house.manager.conversations() == []


def test_a_conversation_runs_once_at_a_time(house: House) -> None:
    """From `start` on, before anything is logged, until its end."""
    session = house.start()
    conversation_id = session.conversation.id
    with pytest.raises(InvalidState):
        house.start(conversation_id=conversation_id)
    house.manager.begin(session)
    house.simulation.settle()
    with pytest.raises(InvalidState, match="initializing"):
        house.start(conversation_id=conversation_id)
    house.complete(session)
    assert house.run(conversation_id=conversation_id).conversation is session.conversation
    assert house.transport.statuses() == ["initializing", "active", "completed", "initializing"]


def test_the_next_user_turn_has_team_history_and_checkpoint(house: House) -> None:
    """The same team goes on from what it had."""
    first = house.run()
    house.runners.last.start("m")
    house.runners.last.delta("m", "Because.")
    house.runners.last.finish("m")
    house.runners.last.checkpoint({"turn": 1})
    house.complete(first)
    conversation_id = first.conversation.id
    house.send(conversation_id, "And then?", content_type=ContentType.TEXT)
    request = house.runners.last.request
    assert (request.team.name, request.content, request.checkpoint) == ("debate", "And then?", {"turn": 1})
    assert [each.content for each in request.transcript] == ["Why?", "Because."]
    assert not request.resumed


def test_options_bound_one_run(house: House) -> None:
    """The pace of this session, not of others."""
    slow = house.start(options=RunOptions(tokens_per_s=5, max_turns=2))
    assert slow.config.tokens_per_s == 5
    assert slow.run_request.options.max_turns == 2
    assert house.start().config.tokens_per_s == 0


def test_a_start_that_fails_leaves_no_conversation_behind(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """It used to stay, without a session, and every look at its session was a KeyError."""

    def fail(*_: Any, **__: Any) -> Any:
        raise OSError("broken")

    monkeypatch.setattr("app.streaming.starting.StreamingSession", fail)
    with pytest.raises(OSError, match="broken"):
        house.start()
    assert house.manager.conversations() == []


def test_a_launch_that_fails_ends_the_session(house: House) -> None:
    """Whatever the reason; the room is told, without its details."""
    house.models.error = RuntimeError("secret details")
    session = house.run()
    assert session.status is Status.ERROR
    (error,) = house.transport.payloads(ConversationError)
    assert error["code"] == "run_failed"
    assert "secret" not in error["error"]


def test_no_runner_to_be_had(house: House) -> None:
    """Ends as `runner_lost`."""
    house.runners.failing = RunnerLost("none")
    assert house.run().status is Status.ERROR
    assert house.transport.payloads(ConversationStatus)[-1]["code"] == "runner_lost"


# --- bounds -----------------------------------------------------------------------------------------------------------


def test_only_so_many_sessions_run_at_once() -> None:
    """The next one is refused, retryably, until one has ended."""
    house = House(max_running_sessions=2)
    first = house.run()
    house.start()
    with pytest.raises(LimitExceeded) as caught:
        house.start()
    assert caught.value.retryable
    house.complete(first)
    house.start()


def test_the_oldest_ended_and_unwatched_conversation_leaves_memory() -> None:
    """Not one that runs, not one that somebody watches, not one that the store lacks something of."""
    house = House(max_conversations=3)
    running, watched, idle = house.run(), house.run(), house.run()
    reader = a_reader(house.transport)
    house.manager.join(reader.sid, watched.conversation.id)
    house.complete(watched)
    house.complete(idle)
    newest = house.start()
    assert house.manager.conversations() == [running.conversation, watched.conversation, newest.conversation]
    with pytest.raises(LimitExceeded):
        house.start()
    house.manager.leave(reader.sid, watched.conversation.id)
    house.archive.unwritten.add(watched.conversation.id)
    with pytest.raises(LimitExceeded):
        house.start()
    house.archive.unwritten.clear()
    house.start()
    assert watched.conversation not in house.manager.conversations()
    assert set(house.archive.kept) >= {idle.conversation.id, watched.conversation.id}


# --- steering and watching --------------------------------------------------------------------------------------------


def test_commands_reach_the_latest_session(house: House) -> None:
    """Pause, resume and stop, by the conversation's id."""
    session = house.run()
    conversation_id = session.conversation.id
    assert house.manager.pause(conversation_id).session_id == session.id
    assert house.manager.resume(conversation_id).status is Status.ACTIVE
    assert house.manager.stop(conversation_id).tokens == house.runners.last.usage
    again = house.run(conversation_id=conversation_id)
    assert house.manager.pause(conversation_id).session_id == again.id


def test_join_attach_and_leave(house: House) -> None:
    """By the conversation's id; a position is passed on."""
    session = house.run()
    conversation_id = session.conversation.id
    reader = a_reader(house.transport)
    ack = house.manager.join(reader.sid, conversation_id)
    house.manager.attach(reader.sid, conversation_id)
    reader.state = ack.snapshot
    house.complete(session)
    assert reader.read() == session.conversation.snapshot()
    assert house.manager.leave(reader.sid, conversation_id)
    assert not house.manager.leave(reader.sid, conversation_id)
    position = Position(epoch=ack.epoch, offset=ack.offset)
    assert house.manager.join(reader.sid, conversation_id, position).recovered


# --- housekeeping -----------------------------------------------------------------------------------------------------


def test_a_silent_session_times_out(house: House) -> None:
    """After 300 s without any event, and not before; its place is free."""
    session = house.run()
    house.tick(299)
    assert not session.ended
    house.runners.last.delta("m1", "x")
    house.tick(299)
    assert not session.ended
    house.tick(2)
    assert session.status is Status.ERROR
    assert house.transport.payloads(ConversationStatus)[-1]["code"] == "session_timeout"
    assert house.runners.last.calls == ["stop"]


def test_a_timeout_is_called_once(house: House) -> None:
    """Also while the runner takes its time to stop."""
    house.runners.answer_s = 3
    house.run()
    for _ in range(5):
        house.tick(301)
    assert house.runners.last.calls == ["stop"]


def test_a_paused_session_has_more_time(house: House) -> None:
    """`pause_timeout_s`, from the pause on."""
    session = house.run()
    house.simulation.advance(200)
    session.pause()
    house.tick(3599)
    assert session.status is Status.PAUSED
    house.tick(2)
    assert session.status is Status.ERROR


def test_a_session_that_nobody_begins_is_given_up(house: House) -> None:
    """Its ack was lost, say. It used to hold its place, and its conversation, for ever."""
    session = house.start()
    house.tick(301)
    assert session.ended
    assert session.conversation.log.offset == 0
    assert house.manager.sessions(running=True) == []
    house.run(conversation_id=session.conversation.id)


def test_a_silent_team_is_said_to_work(house: House) -> None:
    """By the ticker, while the session runs."""
    session = house.run()
    house.tick(2.5)
    assert len(house.transport.payloads(StillWorking)) == 1
    house.complete(session)
    house.tick(2.5)
    assert len(house.transport.payloads(StillWorking)) == 1


def test_watched_rooms_get_heartbeats(house: House) -> None:
    """Every 30 s; unwatched ones do not."""
    watched, _ = house.run(), house.run()
    house.manager.join(a_reader(house.transport).sid, watched.conversation.id)
    for _ in range(122):
        house.tick(0.5)
    beats = house.transport.payloads(Heartbeat)
    assert [each["conversation_id"] for each in beats] == [watched.conversation.id] * 2


def test_presence_is_told_by_the_ticker(house: House) -> None:
    """Within a tick of the change."""
    session = house.run()
    reader = a_reader(house.transport)
    house.manager.join(reader.sid, session.conversation.id)
    house.manager.attach(reader.sid, session.conversation.id)
    house.tick()
    house.tick()
    assert [each["watchers"] for each in house.transport.payloads(Presence)] == [1]


def test_an_ended_unwatched_conversation_leaves_memory_after_a_while(house: House) -> None:
    """The store keeps it. The time runs from the end, if that came after the last watcher left.

    Who closed the page of a long run used to lose the log in the moment of its end.
    """
    session = house.run()
    conversation = session.conversation
    for _ in range(10):
        house.runners.last.delta("m1", "x")
        house.tick(100)
    house.complete(session)
    house.tick(1)
    assert len(conversation.log)
    reader = a_reader(house.transport)
    reader.follow(conversation)
    house.tick(700)
    assert len(conversation.log)
    conversation.leave(reader.sid)
    house.tick(599)
    assert house.manager.conversations() == [conversation]
    house.archive.unwritten.add(conversation.id)
    house.tick(2)
    assert house.manager.conversations() == [conversation]
    house.archive.unwritten.clear()
    house.tick()
    assert house.manager.conversations() == []


def test_one_conversations_trouble_is_not_the_others(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failing housekeeping used to skip all that came after it, in every round."""
    broken, silent = house.run(), house.run()

    def fail(*_: object) -> None:
        raise OSError("broken")

    monkeypatch.setattr(broken.conversation, "announce", fail)
    house.tick(301)
    assert silent.ended


def test_the_ticker_runs_until_shutdown(house: House) -> None:
    """And survives what fails in a round."""
    ticker = house.simulation.spawn(house.manager.run_ticker)
    session = house.run()
    house.simulation.advance(302)
    assert session.ended
    house.manager.shutdown(house.simulation.now + 1)
    house.simulation.advance(1)
    assert ticker.done
    assert ticker.error is None


def test_check_log(house: House) -> None:
    """A health check that leaves nothing behind."""
    assert house.manager.check_log() is None
    assert house.manager.conversations() == []


# --- shutdown ---------------------------------------------------------------------------------------------------------


def test_shutdown_interrupts_everything_and_takes_nothing_new(house: House) -> None:
    """Running, paused and not yet begun; the rooms are told, the model's requests closed."""
    running, paused, ended, unbegun = house.run(), house.run(), house.run(), house.start()
    paused.pause()
    house.complete(ended)
    started = house.simulation.now
    house.manager.shutdown(started + 2.5)
    assert house.simulation.now - started < 0.1
    assert [each.status for each in (running, paused, ended)] == [Status.ERROR, Status.ERROR, Status.COMPLETED]
    assert {each["code"] for each in house.transport.payloads(ConversationError)} == {"interrupted"}
    assert all("stop" in run.calls for run in house.runners.runs if run.request.session != ended.id)
    assert house.manager.sessions(running=True) == []
    with pytest.raises(Interrupted):
        house.start()
    house.manager.begin(unbegun)
    house.simulation.settle()
    assert unbegun.conversation.log.offset == 0


def test_shutdown_ends_at_its_deadline(house: House) -> None:
    """Whatever a runner does."""
    house.runners.answer_s = 100
    house.run()
    started = house.simulation.now
    house.manager.shutdown(started + 2.5)
    assert house.simulation.now - started == pytest.approx(2.5, abs=0.05)


def test_defaults_of_the_bounds_are_the_settings() -> None:
    """One place says them, the other must not differ."""
    from app.settings import Settings

    for name, figure in ((name, getattr(Bounds(), name)) for name in Bounds.__dataclass_fields__):
        assert Settings.model_fields[name].default == figure, name


def test_nothing_of_a_forgotten_conversation_is_kept() -> None:
    """Not even what earlier sessions were asked for: the request of one that is sent again starts a new one."""
    house = House(max_conversations=1)
    first = house.run(client_id="a")
    house.complete(first)
    house.complete(house.run(conversation_id=first.conversation.id, client_id="b"))
    house.complete(house.run())
    again = house.start(client_id="a")
    assert (again.id, again.conversation.id) != (first.id, first.conversation.id)
    assert house.manager.get(again.conversation.id) is again.conversation


def test_states_of_teams_that_are_too_large_are_counted(house: House) -> None:
    """The runner sends an empty one; the next turn begins with the messages."""
    session = house.run()
    house.runners.last.checkpoint({"turn": 1})
    house.runners.last.checkpoint({})
    house.complete(session)
    house.run(conversation_id=session.conversation.id)
    assert not house.runners.last.request.checkpoint
    assert house.manager.figures()["checkpoints_refused"] == 1


def test_all_logs_together_are_bounded() -> None:
    """Logs of ended, unwatched conversations go first; who lacks something gets a snapshot."""
    house = House(max_total_log_bytes=6_000)
    ended, running = house.run(), house.run()
    for run in house.runners.runs:
        for _ in range(10):
            run.delta("m1", "x" * 100)
    house.complete(ended)
    house.simulation.settle()
    position = Position(epoch=running.conversation.log.epoch, offset=2)
    house.tick()
    assert len(ended.conversation.log) == 0
    assert running.conversation.log.covers(position)
    figures = house.manager.figures()
    assert figures["log_bytes"] == running.conversation.log.size_bytes <= 6_000
    assert figures["log_entries_dropped"] == ended.conversation.log.offset


def test_ids_can_be_typed(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """None begins with a dash: a command line would take it for an option."""
    drawn = iter(["-first", "_second", "third", "session"])
    monkeypatch.setattr("app.streaming.starting.secrets.token_urlsafe", lambda _: next(drawn))
    assert house.start().conversation.id == "third"


class Allowing:
    """An allowance of so many runs of one person, and of tokens."""

    def __init__(self, theirs: int = 0, tokens: int = 0) -> None:
        self.theirs, self.tokens = theirs, tokens
        self.of_conversation = 0
        self.left: int | None = None
        self.ended: list[str] = []

    def most_running(self) -> int:
        return 3

    def most_running_of(self, owner: str) -> int:
        return self.theirs if owner == "ada" else 0

    def most_tokens_of_conversation(self) -> int:
        return self.of_conversation

    def tokens_left(self, owner: tuple[str | None, str], ended: Iterable[str]) -> int | None:
        return self.left

    def check_tokens(self, owner: tuple[str | None, str], received: int, ended: Iterable[str]) -> None:
        self.ended = list(ended)
        if self.tokens and owner == (None, "ada") and received >= self.tokens:
            raise LimitExceeded("spent")


def test_a_run_is_told_what_it_may_spend() -> None:
    """What its conversation has left, or less where the caller wants less; and whether others spend with it."""
    allowing = Allowing()
    house = House(allowance=allowing)
    allowing.of_conversation = 100
    first = house.run()
    assert (first.run_request.max_tokens, first.run_request.metered) == (100, False)
    house.complete(first)  # seven and five
    allowing.left = 1000
    second = house.run(conversation_id=first.conversation.id, options=RunOptions(max_tokens=500))
    assert (second.run_request.max_tokens, second.run_request.metered) == (88, True)
    third = house.run(options=RunOptions(max_tokens=50))
    assert (third.run_request.max_tokens, third.run_request.metered) == (50, True)


def test_parallel_runs_of_one_person_spend_from_one_day() -> None:
    """What one of them waits to spend is not there for the others; a run that goes on elsewhere has spent before."""
    allowing = Allowing()
    allowing.left = 100
    house = House(allowance=allowing)
    house.run()
    house.run()
    one, other = house.runners.runs
    one.sink.on_spent(0, 60)
    other.sink.on_spent(0, 60)
    assert one.allowed_to_spend == [(100, 60)]
    assert other.allowed_to_spend == [(40, 60)]
    one.sink.on_spent(50, 0)
    one.lose()
    house.simulation.settle()
    again = house.runners.runs[-1]
    again.sink.on_spent(0, 10)
    assert again.allowed_to_spend == [(50, 10)]
    other.sink.on_spent(0, 0)
    assert other.allowed_to_spend[-1] == (40, 0)


def test_one_person_runs_so_many_and_all_together_so_many() -> None:
    """Also who goes on with what has ended; whose conversation it is counts, not who speaks."""
    house = House(allowance=Allowing(theirs=2))
    mine = [house.manager.start(team="debate", content="Why?", owner="ada") for _ in range(2)]
    with pytest.raises(LimitExceeded, match="one person"):
        house.manager.start(team="debate", content="Why?", owner="ada")
    house.start()
    with pytest.raises(LimitExceeded, match="3 conversations"):
        house.start()
    house.manager.begin(mine[0])
    house.simulation.settle()
    house.complete(mine[0])
    house.manager.start(team="debate", content="Why?", owner="ada")
    with pytest.raises(LimitExceeded):
        house.manager.send_message(mine[0].conversation.id, "And now?")


def test_who_has_spent_their_tokens_starts_nothing() -> None:
    """What is running counts; what was taken before is given again; who is somebody else goes on."""
    allowing = Allowing(tokens=3)
    house = House(allowance=allowing)
    session = house.manager.start(team="debate", content="Why?", owner="ada", client_id="once")
    house.manager.begin(session)
    house.simulation.settle()
    session.metrics.tokens_received = 3
    with pytest.raises(LimitExceeded):
        house.manager.start(team="debate", content="Why?", owner="ada")
    assert house.manager.start(team="debate", content="Why?", owner="ada", client_id="once") is session
    house.start()
    house.complete(session)
    house.manager.start(team="debate", content="Why?", owner="ada")
    assert allowing.ended == [session.conversation.id]
