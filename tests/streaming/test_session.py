"""A session: pace, grants, pause, stop, lost runners, and the order of what the room hears."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from app.errors import InvalidState, RunError, RunnerLost, SessionTimeout
from app.protocol.common import Status, Usage
from app.protocol.events import (
    AgentMessage,
    AgentStep,
    ConversationComplete,
    ConversationError,
    ConversationStatus,
    MessageDelta,
    MessageReset,
    StillWorking,
)
from tests.streaming.stage import Stage

MakeStage = Callable[..., Stage]


# --- the way through --------------------------------------------------------------------------------------------------


def test_a_whole_run_goes_from_initializing_over_active_to_completed(stage: Stage) -> None:
    """The room hears the statuses in order, the user's words first, the text, and the end last."""
    stage.run.event(ConversationStatus(status=Status.ACTIVE, session_id="s1", team="debate", model="m"))
    stage.run.start("m1")
    stage.run.deltas("m1", 3)
    stage.run.finish("m1")
    stage.run.complete()
    stage.settle()

    assert stage.transport.statuses() == ["initializing", "active", "completed"]
    assert stage.transport.names() == [
        "conversation_status",
        "agent_message",
        "conversation_status",
        "message_start",
        "message_delta",
        "agent_message",
        "conversation_complete",
        "conversation_status",
    ]
    assert stage.session.ended
    assert stage.session.status is Status.COMPLETED
    assert stage.conversation.fold.usage == stage.run.usage
    assert stage.session.tokens_dropped == 0
    stage.check_reader()


def test_a_run_that_speaks_is_active_even_if_it_does_not_say_so(stage: Stage) -> None:
    """Text never appears under `initializing`."""
    stage.run.delta("m1", "hello")
    stage.settle()
    assert stage.transport.statuses() == ["initializing", "active"]
    assert stage.transport.names()[-1] == "message_delta"


def test_an_empty_run_that_completes_passes_through_active(stage: Stage) -> None:
    """`initializing` cannot become `completed`."""
    stage.run.end()
    stage.settle()
    assert stage.transport.statuses() == ["initializing", "active", "completed"]


def test_a_second_active_status_is_told_only_for_its_model(stage: Stage) -> None:
    """After a failover the page learns the new model; an empty repetition is no news."""
    for model in ("m", None, "n"):
        stage.run.event(ConversationStatus(status=Status.ACTIVE, session_id="s1", team="debate", model=model))
    stage.settle()
    assert [each["model"] for each in stage.transport.payloads(ConversationStatus)] == [None, "m", "n"]


def test_neighbouring_deltas_are_joined_into_one_frame(stage: Stage) -> None:
    """What has arrived together leaves together, and counts its deltas."""
    for text in ("a", "b", "c"):
        stage.run.delta("m1", text)
    stage.run.delta("m2", "d")
    stage.settle()
    deltas = [(each["message_id"], each["delta"], each["tokens"]) for each in stage.transport.payloads(MessageDelta)]
    assert deltas == [("m1", "abc", 3), ("m2", "d", 1)]


def test_a_word_that_nothing_waits_before_is_there_at_once(make_stage: MakeStage) -> None:
    """In the task that has read it; behind an event that waits it waits, too, and nothing changes places."""
    stage = make_stage(tokens_per_s=0)
    stage.begin()
    stage.run.delta("m1", "one ")
    stage.settle()
    stage.run.delta("m1", "two ")
    assert stage.text("m1") == "one two "
    stage.run.event(AgentStep(agent="a", emoji="🙂", turn=2, max_turns=3))
    stage.run.delta("m1", "three ")
    assert stage.text("m1") == "one two "
    stage.session.pause()
    stage.run.delta("m1", "four")
    stage.settle()
    assert stage.text("m1") == "one two "
    stage.session.resume()
    stage.settle()
    assert stage.text("m1") == "one two three four"
    stage.check_reader()


def test_a_failed_run_ends_as_error_and_is_told_once(stage: Stage) -> None:
    """The run tells the room of its error itself; the open text becomes a partial message."""
    stage.run.start("m1")
    stage.run.delta("m1", "half")
    stage.run.fail("team_failed")
    stage.settle()
    assert stage.status is Status.ERROR
    assert [each["code"] for each in stage.transport.payloads(ConversationError)] == ["team_failed"]
    assert stage.messages()["m1"].state == "partial"
    assert stage.transport.payloads(ConversationStatus)[-1]["code"] == "team_failed"


def test_a_new_session_goes_on_where_the_last_one_ended(stage: Stage) -> None:
    """Offsets go on, and the reader stays in step."""
    stage.run.end()
    stage.settle()
    session = stage.new_session("s2")
    session.open_room()
    session.launch()
    stage.run.delta("m9", "again")
    stage.run.end()
    stage.settle()
    assert stage.transport.statuses()[3:] == ["initializing", "active", "completed"]
    stage.check_reader()


# --- pace and grants --------------------------------------------------------------------------------------------------


def test_a_session_keeps_its_pace(make_stage: MakeStage) -> None:
    """A burst of one second's worth, then the pace."""
    stage = make_stage(tokens_per_s=50)
    stage.begin()
    stage.run.deltas("m1", 400)
    stage.settle()
    assert stage.session.metrics.tokens_delivered == 50
    stage.advance(2)
    assert stage.session.metrics.tokens_delivered == pytest.approx(150, abs=3)
    stage.advance(5.1)
    assert stage.session.metrics.tokens_delivered == 400


def test_events_that_are_no_tokens_cost_no_pace(make_stage: MakeStage) -> None:
    """A token is one model delta: steps and tool calls do not slow the text behind them."""
    stage = make_stage(tokens_per_s=1)
    stage.begin()
    for turn in range(1, 20):
        stage.run.event(AgentStep(agent="Ann", turn=turn))
    stage.run.delta("m1", "hello")
    stage.settle()
    assert stage.text("m1") == "hello"


def test_a_piece_that_was_merged_of_many_tokens_is_shown_at_the_pace(make_stage: MakeStage) -> None:
    """A fast model's reply comes in large pieces: they are divided between words, and nothing is lost."""
    stage = make_stage(tokens_per_s=20)
    stage.begin()
    words = "".join(f"word{number} " for number in range(120))
    stage.run.delta("m1", words, tokens=120)
    stage.run.finish("m1")
    stage.run.complete()
    stage.settle()
    assert stage.session.metrics.tokens_delivered == 20
    assert words.startswith(stage.text("m1"))
    assert stage.text("m1").endswith(" ")
    stage.advance(2)
    assert stage.session.metrics.tokens_delivered == pytest.approx(60, abs=2)
    stage.advance(3.2)
    assert stage.text("m1") == words
    assert stage.status is Status.COMPLETED


def test_a_piece_that_cannot_be_divided_leaves_a_debt(make_stage: MakeStage) -> None:
    """One letter for 120 tokens is shown at once; its time is waited for before anything else, the end too."""
    stage = make_stage(tokens_per_s=20)
    stage.begin()
    stage.run.delta("m1", "x", tokens=120)
    stage.run.finish("m1")
    stage.run.complete()
    stage.settle()
    assert stage.text("m1") == "x"
    stage.advance(4.9)
    assert stage.messages()["m1"].state == "open"
    stage.advance(0.3)
    assert stage.status is Status.COMPLETED


def test_the_end_waits_for_the_text_before_it(make_stage: MakeStage) -> None:
    """A run that is done long before its text is shown completes when it is."""
    stage = make_stage(tokens_per_s=50)
    stage.begin()
    stage.run.deltas("m1", 150)
    stage.run.complete()
    stage.settle()
    assert not stage.session.ended
    stage.advance(3)
    assert stage.status is Status.COMPLETED


@pytest.mark.parametrize("tokens_per_s", [0, 50])
def test_grants_never_exceed_the_buffer(make_stage: MakeStage, tokens_per_s: float) -> None:
    """A runner that uses every grant at once never finds the buffer full, and is never forgotten."""
    stage = make_stage(tokens_per_s=tokens_per_s, buffer_tokens=100)
    stage.begin()
    sent = 0
    while sent < 2000:
        sent += stage.run.deltas("m1", 2000 - sent)
        assert stage.session._outlet.buffer.tokens <= 80  # the high-water mark
        stage.advance(0.5)
    stage.run.complete()
    stage.advance(60)
    assert stage.status is Status.COMPLETED
    assert stage.session.metrics.tokens_delivered == 2000


def test_a_full_buffer_takes_events_that_are_no_tokens(make_stage: MakeStage) -> None:
    """With HIGH_WATER=1 the grant is the whole buffer; the events that go ahead of their credit must still fit.

    They used to count as tokens, and such a run was aborted for sending "more than it was granted".
    """
    stage = make_stage(tokens_per_s=1, buffer_tokens=10, high_water=1.0)
    stage.begin()
    stage.session.pause()
    for number in range(10):
        stage.run.delta("m1", str(number))
    stage.run.event(AgentStep(agent="Ann", turn=1))
    stage.run.finish("m1")
    stage.settle()
    assert stage.status is Status.PAUSED
    stage.session.resume()
    stage.run.complete()
    stage.advance(20)
    assert stage.status is Status.COMPLETED
    assert stage.text("m1") == "0123456789"


def test_a_runner_that_breaks_its_word_is_aborted_without_a_hole(make_stage: MakeStage) -> None:
    """More tokens than granted end the run; what is shown is a beginning of the text, not a text with a hole.

    Pieces that came after the one that did not fit used to be shown when there was room again.
    """
    stage = make_stage(tokens_per_s=50, buffer_tokens=100)
    stage.begin()
    stage.session.pause()
    stage.run.start("m1")
    for _ in range(9):
        stage.run.delta("m1", "0123456789", tokens=10)
    stage.run.delta("m1", "<too long>", tokens=50)
    stage.run.delta("m1", "<small>", tokens=1)
    stage.settle()
    assert stage.status is Status.ERROR
    assert stage.text("m1") == "0123456789" * 9
    assert stage.run.calls[-1] == "stop"


def test_a_piece_larger_than_the_buffer_is_the_runs_fault_alone(make_stage: MakeStage) -> None:
    """The reader of the runner link must not see an exception: it would end the runner with all its other runs."""
    stage = make_stage(buffer_tokens=10)
    stage.begin()
    stage.run.delta("m1", "x", tokens=11)
    stage.settle()
    assert stage.status is Status.ERROR


def test_a_run_that_speaks_at_once_gets_its_grants(make_stage: MakeStage) -> None:
    """What a run sends before `start` has even returned counts, and what it may send next is granted.

    The grant used to be skipped because there was no handle yet, and nothing else would have made it.
    """
    stage = make_stage(tokens_per_s=0, buffer_tokens=10)
    stage.reader.follow(stage.conversation)
    stage.session.open_room()

    def speak(run: Any) -> None:
        run.deltas("m1", 100)
        stage.simulation.sleep(1)

    stage.runners.on_start = speak
    stage.session.launch()
    stage.settle()
    assert stage.run.credit > 0


# --- pause and resume -------------------------------------------------------------------------------------------------


def test_pause_holds_and_resume_goes_on_with_the_next_token(make_stage: MakeStage) -> None:
    """Nothing leaves while paused, whatever comes; nothing is lost or doubled afterwards."""
    stage = make_stage(tokens_per_s=50)
    stage.begin()
    stage.run.deltas("m1", 200)
    stage.settle()
    ack = stage.session.pause()
    assert ack.status is Status.PAUSED
    assert stage.run.paused
    shown = stage.text("m1")
    stage.run.delta("m1", "late ")  # it was on its way when the gate closed
    stage.advance(100)
    assert stage.text("m1") == shown
    assert stage.transport.names()[-1] == "conversation_status"

    assert stage.session.resume().status is Status.ACTIVE
    assert not stage.run.paused
    stage.advance(10)
    assert stage.text("m1") == stage.run.said["m1"]
    stage.check_reader()


def test_pause_before_the_first_token_and_before_the_launch(make_stage: MakeStage) -> None:
    """A run that was paused before it began is launched once, by resume."""
    stage = make_stage(tokens_per_s=0)
    stage.reader.follow(stage.conversation)
    stage.session.open_room()
    stage.session.pause()
    stage.session.launch()
    stage.settle()
    assert not stage.runners.runs
    stage.session.resume()
    stage.settle()
    assert len(stage.runners.runs) == 1
    stage.run.complete()
    stage.settle()
    assert stage.transport.statuses() == ["initializing", "paused", "active", "completed"]


@pytest.mark.parametrize("seed", range(30))
def test_two_resumes_launch_one_run(make_stage: MakeStage, seed: int) -> None:
    """Resume, pause and resume from several clients while the launch is owed: one run, not two.

    The launch used to happen after the resume, outside of the order of commands: a pause and a second resume
    in between found it still owed, and both launched: every token came twice.
    """
    stage = make_stage(tokens_per_s=0, choices=random.Random(seed))
    stage.session.open_room()
    stage.session.pause()
    stage.session.launch()
    for command in (stage.session.resume, stage.session.pause, stage.session.resume, stage.session.resume):
        stage.later(_unless_illegal, command)
    stage.settle()
    if stage.status is Status.PAUSED:
        stage.session.resume()
    stage.settle()
    assert len(stage.runners.runs) == 1


def test_a_run_that_ends_while_paused_completes_after_resume(stage: Stage) -> None:
    """The end waits with the text."""
    stage.session.pause()
    stage.run.delta("m1", "held")
    stage.run.complete()
    stage.settle()
    assert stage.status is Status.PAUSED
    stage.session.resume()
    stage.settle()
    assert stage.status is Status.COMPLETED
    assert stage.text("m1") == "held"


def test_a_run_that_fails_while_paused_ends_at_once(stage: Stage) -> None:
    """Error status overtakes the pause; what came before it is logged first."""
    stage.session.pause()
    stage.run.start("m1")
    stage.run.delta("m1", "held")
    stage.run.fail()
    stage.settle()
    assert stage.status is Status.ERROR
    assert stage.text("m1") == "held"


def test_pausing_restarts_the_clock_of_the_pause(stage: Stage) -> None:
    """A team that was silent before it was paused may be paused for the whole of the allowed time."""
    stage.advance(200)
    stage.session.pause()
    assert stage.session.last_event_at == stage.simulation.now


@pytest.mark.parametrize("command", ["pause", "resume", "stop"])
@pytest.mark.parametrize("state", ["new", "active", "paused", "completed", "stopped", "error"])
def test_commands_obey_the_table(make_stage: MakeStage, command: str, state: str) -> None:
    """Pause and stop are for running sessions, resume for paused ones; else nothing changes."""
    stage = make_stage(tokens_per_s=0)
    if state != "new":
        stage.begin()
        stage.run.delta("m1", "x")
        stage.settle()
    match state:
        case "paused":
            stage.session.pause()
        case "completed":
            stage.run.complete()
        case "stopped":
            stage.session.stop()
        case "error":
            stage.run.fail()
    stage.settle()
    before = stage.conversation.snapshot()
    if (command, state) in {("pause", "active"), ("resume", "paused"), ("stop", "active"), ("stop", "paused")}:
        getattr(stage.session, command)()
    else:
        with pytest.raises(InvalidState):
            getattr(stage.session, command)()
        assert stage.conversation.snapshot() == before


# --- stop -------------------------------------------------------------------------------------------------------------


def test_stop_logs_buffered_text_as_a_partial_message_and_tells_the_usage(make_stage: MakeStage) -> None:
    """Everything that was received is shown at once, whatever the pace; then the status, then the ack."""
    stage = make_stage(tokens_per_s=50)
    stage.begin()
    stage.run.start("m1")
    stage.run.deltas("m1", 300)
    stage.settle()
    ack = stage.session.stop()
    assert ack.status is Status.STOPPED
    assert ack.tokens == stage.run.usage
    assert stage.run.calls == ["stop"]
    message = stage.messages()["m1"]
    assert (message.content, message.state, message.reason) == (stage.run.said["m1"], "partial", "stopped")
    assert stage.transport.statuses()[-1] == "stopped"
    assert stage.session.tokens_dropped == 0
    stage.check_reader()


def test_text_that_arrives_while_stopping_is_kept(make_stage: MakeStage) -> None:
    """Until the model's request is closed, what it says is logged."""
    stage = make_stage(tokens_per_s=50, answer_s=1.0)
    stage.begin()
    stage.run.start("m1")
    stage.run.deltas("m1", 100)
    stopping = stage.later(stage.session.stop)
    stage.settle()
    stage.run.delta("m1", "last")
    stage.advance(1)
    assert stopping.done
    assert stage.text("m1") == stage.run.said["m1"]


def test_stop_while_paused(stage: Stage) -> None:
    """Held text is logged, too."""
    stage.run.start("m1")
    stage.session.pause()
    stage.run.delta("m1", "held")
    stage.session.stop()
    assert stage.status is Status.STOPPED
    assert stage.text("m1") == "held"


def test_stop_of_a_paused_run_that_has_ended_by_itself(stage: Stage) -> None:
    """The run's end waits behind the pause; a stop must not wait for a consumer that nobody wakes.

    It did, for ever, and with it every later command.
    """
    stage.run.start("m1")
    stage.session.pause()
    stage.run.delta("m1", "held")
    stage.run.complete()
    stage.settle()
    ack = stage.session.stop()
    assert ack.status is Status.STOPPED
    assert stage.text("m1") == "held"
    assert not stage.transport.payloads(ConversationComplete)


def test_stop_of_a_run_that_has_ended_but_is_still_shown(make_stage: MakeStage) -> None:
    """The rest of the text is shown at once; the run did not complete for those who stopped it."""
    stage = make_stage(tokens_per_s=50)
    stage.begin()
    stage.run.start("m1")
    stage.run.deltas("m1", 300)
    stage.run.complete()
    stage.settle()
    now = stage.simulation.now
    stage.session.stop()
    assert stage.simulation.now == now
    assert stage.status is Status.STOPPED
    assert not stage.transport.payloads(ConversationComplete)
    assert stage.text("m1") == stage.run.said["m1"]


def test_stop_after_the_room_has_heard_of_completion(stage: Stage) -> None:
    """Between `conversation_complete` and the end of the run, a stop comes too late: there is one end, not two."""
    stage.run.event(ConversationComplete(summary="done"))
    stage.settle()
    with pytest.raises(InvalidState, match="completed"):
        stage.session.stop()
    assert stage.status is Status.COMPLETED


@pytest.mark.parametrize("seed", range(60))
def test_stop_while_completing(make_stage: MakeStage, seed: int) -> None:
    """Stop and completion at the same time: either the one or the other, never both.

    The outcome used to be logged, then the status `stopped`, when the stop came while the last frames were sent.
    """
    stage = make_stage(tokens_per_s=0, choices=random.Random(seed))
    stage.begin()
    stopping = stage.later(_unless_illegal, stage.session.stop)
    stage.run.delta("m1", "x")
    stage.run.complete()
    stage.settle()
    assert stopping.done
    completed = bool(stage.transport.payloads(ConversationComplete))
    assert stage.status is (Status.COMPLETED if completed else Status.STOPPED)
    assert (stopping.result is None) == completed


def test_stop_before_launch(make_stage: MakeStage) -> None:
    """Nothing was spent, and nothing is started afterwards."""
    stage = make_stage()
    stage.session.open_room()
    ack = stage.session.stop()
    assert ack.tokens == Usage()
    stage.session.launch()
    stage.settle()
    assert not stage.runners.runs
    assert stage.transport.statuses() == ["initializing", "stopped"]


def test_several_stops_at_once(make_stage: MakeStage) -> None:
    """One is acked, the others are told that it is stopped; the run is stopped once."""
    stage = make_stage(answer_s=1.0)
    stage.begin()
    stage.run.delta("m1", "x")
    stops = [stage.later(_unless_illegal, stage.session.stop) for _ in range(3)]
    stage.advance(2)
    assert [bool(each.result) for each in stops] == [True, False, False]
    assert stage.run.calls == ["stop"]


def test_stop_when_the_runner_dies_over_it(make_stage: MakeStage) -> None:
    """The tokens are then counted from the deltas, and nothing is resumed."""
    stage = make_stage(tokens_per_s=0, answer_s=1.0)
    stage.begin()
    stage.run.deltas("m1", 3)
    stopping = stage.later(stage.session.stop)
    stage.settle()
    stage.run.lose()
    stage.advance(2)
    assert stopping.result.tokens == Usage(completion_tokens=3, estimated=True)
    assert len(stage.runners.runs) == 1
    assert stage.status is Status.STOPPED


def test_stop_between_a_lost_runner_and_its_successor_still_tells_the_tokens(stage: Stage) -> None:
    """What the dead runner's run spent is estimated, not forgotten."""
    stage.run.deltas("m1", 3)
    stage.runners.failing = RunnerLost("none to be had")
    stage.run.lost = True
    stage.session._max_restarts = 9
    stage.run.sink.on_lost()
    ack = stage.session.stop()
    assert ack.tokens == Usage(completion_tokens=3, estimated=True)


# --- a lost runner ----------------------------------------------------------------------------------------------------


def test_a_lost_runner_is_replaced_from_the_last_checkpoint(stage: Stage) -> None:
    """The room hears of the error and of the withdrawn text, and the run goes on with checkpoint and transcript."""
    stage.run.start("m1")
    stage.run.delta("m1", "whole")
    stage.run.finish("m1")
    stage.run.checkpoint({"turn": 1})
    stage.run.start("m2", agent="Bob")
    stage.run.delta("m2", "half", agent="Bob")
    stage.run.lose()
    stage.settle()

    assert stage.transport.names()[-2:] == ["conversation_error", "message_reset"]
    (error,) = stage.transport.payloads(ConversationError)
    assert (error["code"], error["recovering"], error["retryable"]) == ("runner_lost", True, True)
    (reset,) = stage.transport.payloads(MessageReset)
    assert (reset["message_id"], reset["agent"]) == ("m2", "Bob")
    again = stage.runners.runs[1].request
    assert again.resumed
    assert again.checkpoint == {"turn": 1}
    assert [(each.agent, each.content) for each in again.transcript] == [("user", "Why?"), ("Ann", "whole")]
    assert stage.checkpoints == [("c1", {"turn": 1})]
    assert stage.status is Status.ACTIVE

    stage.run.delta("m3", "anew")
    stage.run.complete()
    stage.settle()
    assert list(stage.messages()) == ["s1-user", "m1", "m3"]
    assert stage.status is Status.COMPLETED
    stage.check_reader()


def test_what_a_checkpoint_does_not_know_is_withdrawn_with_its_runner(stage: Stage) -> None:
    """The agents of a nested team speak within one turn: who repeats it says that again, and it stood there twice."""
    stage.run.checkpoint({"turn": 0})
    for number in (1, 2):
        stage.run.start(f"m{number}")
        stage.run.delta(f"m{number}", f"text {number}")
        stage.run.finish(f"m{number}")
    stage.run.lose()
    stage.settle()
    assert [each["message_id"] for each in stage.transport.payloads(MessageReset)] == ["m1", "m2"]
    assert [each.content for each in stage.run.request.transcript] == ["Why?"]
    assert list(stage.messages()) == ["s1-user"]
    stage.check_reader()


def test_a_second_loss_adds_to_the_transcript(stage: Stage) -> None:
    """The user's words are in it once, each finished message once."""
    for number in (1, 2):
        stage.run.start(f"m{number}")
        stage.run.delta(f"m{number}", f"text {number}")
        stage.run.finish(f"m{number}")
        stage.run.lose()
        stage.settle()
    assert [each.content for each in stage.run.request.transcript] == ["Why?", "text 1", "text 2"]


def test_news_of_a_dead_run_are_not_heard(stage: Stage) -> None:
    """What a runner says after its session has a new run is dropped."""
    old = stage.run
    old.lose()
    stage.settle()
    old.sink.on_event(MessageDelta.name, {"message_id": "m1", "agent": "Ann", "delta": "ghost", "tokens": 1}, 1, False)
    old.sink.on_ended("completed", None, None, False, Usage())
    stage.settle()
    assert not stage.text("m1")
    assert not stage.session.ended


def test_too_many_losses_end_the_session(stage: Stage) -> None:
    """After `runner_restarts` the error is final; the text is kept as partial and the tokens are estimated."""
    for _ in range(2):
        stage.run.lose()
        stage.settle()
    stage.run.start("m1")
    stage.run.delta("m1", "half")
    stage.run.lose()
    stage.settle()
    assert stage.status is Status.ERROR
    assert [each["recovering"] for each in stage.transport.payloads(ConversationError)] == [True, True, False]
    assert stage.transport.payloads(ConversationStatus)[-1]["code"] == "runner_lost"
    assert stage.messages()["m1"].state == "partial"
    assert stage.conversation.fold.usage == Usage(completion_tokens=1, estimated=True)
    stage.check_reader()


def test_a_runner_that_cannot_be_started_ends_the_session(make_stage: MakeStage) -> None:
    """`runner_lost`, and the room is told."""
    stage = make_stage()
    stage.runners.failing = RunnerLost("no agent process")
    stage.begin()
    assert stage.status is Status.ERROR
    assert [each["code"] for each in stage.transport.payloads(ConversationError)] == ["runner_lost"]


def test_a_replacement_that_fails_unexpectedly_ends_the_session(stage: Stage) -> None:
    """No file descriptors left, say: the session must not wait for its timeout with nobody at work."""
    stage.runners.failing = OSError("too many open files")
    stage.run.lose()
    stage.settle()
    assert stage.status is Status.ERROR


def test_a_runner_lost_while_paused_does_not_end_the_pause(make_stage: MakeStage) -> None:
    """The error is told at once; held text stays held until resume, then its withdrawal follows and a new run.

    The recovery used to flush the buffer into the room in mid-pause.
    """
    stage = make_stage(tokens_per_s=50)
    stage.begin()
    stage.run.start("m1")
    stage.run.deltas("m1", 300)
    stage.settle()
    stage.session.pause()
    head = stage.conversation.log.offset
    stage.run.lose()
    stage.advance(10)
    assert stage.conversation.log.offset == head + 1
    assert stage.transport.names()[-1] == "conversation_error"
    assert len(stage.runners.runs) == 1

    stage.session.resume()
    stage.settle()
    assert len(stage.runners.runs) == 2
    assert stage.transport.names()[-1] == "message_reset"
    stage.run.delta("m2", "anew")
    stage.run.complete()
    stage.settle()
    assert stage.status is Status.COMPLETED
    assert "m1" not in stage.messages()


def test_a_runner_lost_after_completion_is_not_replaced(stage: Stage) -> None:
    """Between `conversation_complete` and the end of the run nothing is left to resume: the run is not done twice."""
    stage.run.event(ConversationComplete(summary="done", usage=Usage(prompt_tokens=1, completion_tokens=2)))
    stage.run.lose()
    stage.settle()
    assert len(stage.runners.runs) == 1
    assert stage.status is Status.COMPLETED
    assert stage.conversation.fold.usage == Usage(prompt_tokens=1, completion_tokens=2)


def test_the_tokens_of_a_lost_run_count(stage: Stage) -> None:
    """The session has spent what all its runs have spent; what the dead one spent is estimated."""
    stage.run.deltas("m1", 10)
    stage.run.lose()
    stage.settle()
    stage.run.complete()
    stage.settle()
    assert stage.conversation.fold.usage == Usage(prompt_tokens=7, completion_tokens=15, estimated=True)


def test_a_lost_runner_leaves_no_debt_of_grants(make_stage: MakeStage) -> None:
    """The new run counts from zero: it is granted as if there had been none before it."""
    stage = make_stage(tokens_per_s=0, buffer_tokens=100)
    stage.begin()
    for _ in range(20):
        stage.run.deltas("m1", 80)
        stage.settle()
    stage.run.lose()
    stage.settle()
    sent = 0
    for _ in range(20):
        sent += stage.run.deltas("m2", 80)
        stage.settle()
    assert sent > 500


# --- abort, timeout, breakage -----------------------------------------------------------------------------------------


def test_abort_ends_with_the_given_error(stage: Stage) -> None:
    """As a timeout does: the error, the partial text, the status, and the run is stopped."""
    stage.run.start("m1")
    stage.run.delta("m1", "half")
    stage.session.abort(SessionTimeout("nothing has happened"))
    assert stage.transport.names()[-3:] == ["agent_message", "conversation_error", "conversation_status"]
    assert stage.transport.payloads(ConversationStatus)[-1]["code"] == "session_timeout"
    assert stage.messages()["m1"].reason == "session_timeout"
    assert stage.run.calls == ["stop"]


def test_abort_of_an_ended_session_is_no_error(stage: Stage) -> None:
    """Nothing is logged twice."""
    stage.session.stop()
    head = stage.conversation.log.offset
    stage.session.abort(RunError("late"))
    assert stage.conversation.log.offset == head


def test_abort_of_a_session_that_never_began(make_stage: MakeStage) -> None:
    """Nothing is logged, nobody waits, and it cannot begin any more.

    Such an abort used to wait for ever, and a shutdown with it, until its deadline.
    """
    stage = make_stage()
    stage.session.abort(RunError("the server is going down"))
    assert stage.session.ended
    stage.session.open_room()
    stage.session.launch()
    stage.settle()
    assert stage.conversation.log.offset == 0
    assert not stage.runners.runs


def test_text_on_its_way_to_the_room_is_an_event_for_the_timeout(make_stage: MakeStage) -> None:
    """A slow pace may show for minutes what the run said at once: that session is not silent."""
    stage = make_stage(tokens_per_s=1)
    stage.begin()
    stage.run.deltas("m1", 700)
    stage.advance(600)
    assert stage.simulation.now - stage.session.last_event_at < 5


def test_an_unintelligible_event_ends_its_session_and_its_run(stage: Stage) -> None:
    """The session breaks, the room is told, and the run does not go on spending."""
    stage.run.sink.on_event(MessageDelta.name, {"message_id": "m1", "tokens": 1}, 1, False)
    stage.settle()
    assert stage.status is Status.ERROR
    assert stage.session.ended
    assert stage.run.calls == ["stop"]
    with pytest.raises(InvalidState):
        stage.session.stop()


def test_so_does_an_unintelligible_word_in_the_middle(stage: Stage) -> None:
    """Whoever has read it from the runner goes on reading."""
    stage.run.deltas("m1", 2)
    stage.settle()
    stage.run.sink.on_event(MessageDelta.name, {"message_id": "m1", "tokens": 1}, 1, False)
    stage.settle()
    assert stage.status is Status.ERROR
    assert stage.run.calls == ["stop"]


def test_a_broken_session_that_cannot_even_say_so_is_ended(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever fails, commands do not wait for ever, and the session's place is free."""

    def fail(*_: object) -> None:
        raise OSError("no log")

    monkeypatch.setattr(stage.conversation, "append", fail)
    monkeypatch.setattr(stage.conversation, "move_to", fail)
    stage.run.delta("m1", "x")
    stage.settle()
    assert stage.session.ended
    stage.session.abort(RunError("again"))


def test_a_failing_room_or_recorder_does_not_harm_the_log(make_stage: MakeStage) -> None:
    """The log is the truth: what it holds is not half-written because a socket or the database failed.

    An exception there used to end the session, and the end, failing in the same way, never came.
    """

    def record(*_: object) -> None:
        raise OSError("the database is gone")

    stage = make_stage(tokens_per_s=0, record=record)
    stage.begin()
    stage.transport.failing = OSError("the room is gone")
    stage.run.delta("m1", "x")
    stage.run.complete()
    stage.settle()
    assert stage.status is Status.COMPLETED
    assert stage.text("m1") == "x"


# --- small ones -------------------------------------------------------------------------------------------------------


def test_a_terminal_status_means_ended(make_stage: MakeStage) -> None:
    """Who has heard `completed` may start the next session at once.

    The session used to count as running until a moment after its last status had been sent.
    """
    stage = make_stage(tokens_per_s=0)
    seen: list[bool] = []
    emit = stage.transport.emit_to_room

    def spy(conversation_id: str, name: str, payload: dict[str, Any]) -> None:
        emit(conversation_id, name, payload)
        if payload.get("status") == "completed":
            seen.append(stage.session.ended)

    stage.transport.emit_to_room = spy  # type: ignore[method-assign]  # the test listens
    stage.begin()
    stage.run.complete()
    stage.settle()
    assert seen == [True]


def test_a_silent_team_is_said_to_be_still_working(stage: Stage) -> None:
    """At least every two seconds of silence, as a transient event; not while paused or when ended."""
    stage.advance(1.3)
    stage.session.say_still_working(stage.simulation.now)
    assert not stage.transport.payloads(StillWorking)
    stage.advance(0.2)
    stage.session.say_still_working(stage.simulation.now)
    stage.session.say_still_working(stage.simulation.now)
    (said,) = stage.transport.payloads(StillWorking)
    assert "offset" not in said
    assert said["message"] == "still working"
    assert said["silent_s"] == pytest.approx(1.5)
    stage.session.pause()
    stage.advance(10)
    stage.session.say_still_working(stage.simulation.now)
    stage.session.stop()
    stage.advance(10)
    stage.session.say_still_working(stage.simulation.now)
    assert len(stage.transport.payloads(StillWorking)) == 1


def test_the_figures_of_a_session(make_stage: MakeStage) -> None:
    """What `GET /api/websocket/sessions` shows."""
    from app.streaming.metrics import SESSION_FIGURES

    stage = make_stage(tokens_per_s=50)
    stage.begin()
    stage.run.deltas("m1", 100)
    stage.advance(1)
    shown = stage.session.describe(stage.simulation.now)
    assert set(shown["metrics"]) == set(SESSION_FIGURES)
    assert shown["state"] == "streaming"
    assert shown["watchers"] == 1
    assert shown["metrics"]["tokens_received"] == 100
    assert shown["metrics"]["tokens_dropped"] == 0
    assert shown["metrics"]["buffer_peak"] == 0.1
    assert shown["metrics"]["latency_ms_p99"] >= shown["metrics"]["latency_ms_p50"] >= 0


def test_the_users_words_are_the_first_message(stage: Stage) -> None:
    """In the conversation's own log, with the role `user`, never marked as demo."""
    (first,) = stage.transport.payloads(AgentMessage)
    assert (first["agent"], first["role"], first["content"], first["demo"]) == ("user", "user", "Why?", False)


def _unless_illegal(command: Callable[[], Any]) -> Any:
    try:
        return command()
    except InvalidState:
        return None


def test_a_message_without_end_ends_its_run() -> None:
    """What came is kept as a partial message; the model is let go."""
    stage = Stage(tokens_per_s=0)
    stage.session._max_message_chars = 1000
    stage.begin()
    stage.run.start("m1")
    for _ in range(30):
        stage.run.delta("m1", "x" * 100)
    stage.settle()
    assert stage.status is Status.ERROR
    assert "stop" in stage.run.calls
    message = stage.messages()["m1"]
    assert message.state == "partial"
    assert message.reason == "message_too_long"
    assert 1000 < len(message.content) <= 1200
    stage.check_reader()
