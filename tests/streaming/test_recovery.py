"""After a crash: what the server died under goes on, or has ended; and one click goes on with what was stopped."""

from __future__ import annotations

from typing import Any

import pytest

from app.errors import InvalidState, StoreUnavailable
from app.protocol.commands import ProvideInput, RunOptions
from app.protocol.common import Status
from app.protocol.events import InputRequest, ToolCall
from app.runner.wire import BEGINS_AGAIN
from app.streaming.recovery import MAX_RECOVERIES, Recovery
from tests.streaming.house import House


@pytest.fixture
def house() -> House:
    return House()


def crashed(house: House, *, turns: int = 1) -> str:
    """A conversation whose server dies in the midst of a turn."""
    session = house.run()
    for turn in range(1, turns + 1):
        house.say(f"m{turn}", f"Turn {turn}.")
        house.runners.last.checkpoint({"turn": turn})
    house.runners.last.start("open")
    house.runners.last.delta("open", "Half a")
    house.simulation.settle()
    return session.conversation.id


def recover(house: House, *, resume: bool = True) -> Recovery:
    recovery = Recovery(house.manager, house.archive, house.simulation, resume=resume)
    house.simulation.spawn(recovery.run)
    house.simulation.settle()
    return recovery


def states(house: House, conversation_id: str) -> list[tuple[str, str]]:
    return [(each["content"], each["state"]) for each in house.manager.get(conversation_id).snapshot()["messages"]]


def test_a_run_goes_on_from_its_checkpoint(house: House) -> None:
    """In a new session; what was open is kept as it was, and the room hears that it goes on."""
    conversation_id = crashed(house)
    again = house.restarted()
    recover(again)
    request = again.runners.last.request
    assert (request.checkpoint, request.resumed, request.continued) == ({"turn": 1}, True, True)
    conversation = again.manager.get(conversation_id)
    assert conversation.snapshot()["error"]["recovering"]
    assert states(again, conversation_id) == [("Why?", "complete"), ("Turn 1.", "complete"), ("Half a", "partial")]
    again.say("m2", "Turn 2.")
    again.complete(again.manager.session(conversation_id))
    assert conversation.status is Status.COMPLETED
    assert states(again, conversation_id)[-1] == ("Turn 2.", "complete")


def test_one_that_had_hardly_begun_begins_again(house: House) -> None:
    """The server was killed right after the ack: there is no checkpoint yet, and nothing that would be repeated."""
    conversation_id = house.run(options=RunOptions(max_turns=2)).conversation.id
    again = house.restarted()
    recover(again)
    request = again.runners.last.request
    assert (request.checkpoint, request.options, request.content) == (None, RunOptions(max_turns=2), "Why?")
    assert "begins again" in again.manager.get(conversation_id).snapshot()["error"]["error"]
    again.complete(again.manager.session(conversation_id))
    assert states(again, conversation_id) == [("Why?", "complete")]


def test_one_whose_tool_was_at_work_has_ended(house: House) -> None:
    """Without a checkpoint: what the tool has done would be done twice."""
    house.run()
    house.runners.last.event(ToolCall(call_id="t1", agent="Ann", tool="buy", arguments="{}"))
    house.simulation.settle()
    again = house.restarted()
    recover(again)
    assert again.runners.runs == []


def test_without_a_checkpoint_it_has_ended(house: House) -> None:
    """As `interrupted`, in the store, too."""
    conversation_id = crashed(house, turns=0)
    again = house.restarted()
    recover(again)
    assert again.runners.runs == []
    assert again.archive.kept[conversation_id].snapshot.status is Status.ERROR


@pytest.mark.parametrize("died", ["server", "runner"])
def test_a_team_without_a_middle_begins_again_with_what_was_said(house: House, died: str) -> None:
    """MagenticOne, when its server is killed as well as when its runner is: it waited for a click."""
    wishes = RunOptions(max_tokens=500)
    session = house.run(options=wishes)
    house.runners.last.checkpoint(BEGINS_AGAIN)
    house.say("m1", "It costs 2.")
    conversation_id = session.conversation.id
    if died == "server":
        house = house.restarted()
        recover(house)
    else:
        house.runners.last.lose()
        house.simulation.settle()
    request = house.runners.last.request
    assert (request.checkpoint, request.resumed) == (None, True)
    assert [each.content for each in request.transcript] == ["Why?", "It costs 2."]
    assert request.options == wishes
    assert states(house, conversation_id) == [("Why?", "complete"), ("It costs 2.", "complete")]
    error = house.manager.get(conversation_id).snapshot()["error"]
    assert (error["recovering"], "begins again with what was said" in error["error"]) == (True, True)


def test_an_ack_tells_what_a_crash_does_not_undo(house: House) -> None:
    """A message that waits, a pause, an answer, a stop: each is waited for, as it stands then."""
    session = house.run()
    conversation_id, waited = session.conversation.id, house.archive.waited_for
    house.manager.send_message(conversation_id, "And?")
    assert [each.content for each in waited.pop().queued] == ["And?"]
    house.manager.pause(conversation_id)
    assert waited.pop().status is Status.PAUSED
    house.manager.resume(conversation_id)
    house.runners.last.event(InputRequest(request_id="r1", agent="Ann", prompt="Really?", kind="text"))
    house.simulation.settle()
    house.manager.provide_input(ProvideInput(conversation_id=conversation_id, request_id="r1", content="yes"), "local")
    assert waited.pop().pending_inputs == ()
    house.manager.stop(conversation_id)
    assert waited.pop().status is Status.STOPPED
    assert waited == []


def test_what_is_sent_again_across_a_crash_is_taken_once(house: House) -> None:
    """Its ack was lost with the server: the start leads to the run that goes on, messages wait or were said once."""
    session = house.run(client_id="start")
    conversation_id = session.conversation.id
    house.complete(session)
    house.send(conversation_id, "And?", client_id="said")
    house.runners.last.checkpoint({"turn": 1})
    house.simulation.settle()
    waits = house.manager.send_message(conversation_id, "And then?", client_id="waits").ack
    again = house.restarted()
    recover(again)
    runs = list(again.runners.runs)
    assert again.start(client_id="start") is again.manager.session(conversation_id)
    for _ in range(2):
        assert not again.manager.send_message(conversation_id, "And?", client_id="said").ack.queued
        assert again.manager.send_message(conversation_id, "And then?", client_id="waits").ack == waits.model_copy(
            update={"status": again.manager.get(conversation_id).status}
        )
    assert again.runners.runs == runs
    assert [each.content for each in again.manager.get(conversation_id).fold.queued()] == ["And then?"]
    assert again.start(client_id="another").conversation.id != conversation_id


def test_nothing_goes_on_by_itself_where_that_is_not_wanted(house: House) -> None:
    """RESUME_AFTER_CRASH=false: one click does."""
    conversation_id = crashed(house)
    again = house.restarted()
    recover(again, resume=False)
    assert again.runners.runs == []
    again.manager.begin(again.manager.continue_stream(conversation_id))
    again.simulation.settle()
    assert again.runners.last.request.checkpoint == {"turn": 1}


def test_what_was_paused_does_not_go_on_by_itself(house: House) -> None:
    """Somebody has stopped it from spending; it went on, and nobody was asked. One click does."""
    conversation_id = crashed(house)
    house.simulation.spawn(house.manager.pause, conversation_id)
    house.simulation.settle()
    assert house.manager.get(conversation_id).status is Status.PAUSED
    again = house.restarted()
    recover(again)
    assert again.runners.runs == []
    snapshot = again.manager.get(conversation_id).snapshot()
    assert (snapshot["status"], snapshot["error"]["code"]) == (Status.ERROR, "interrupted")
    again.manager.begin(again.manager.continue_stream(conversation_id))
    again.simulation.settle()
    assert again.runners.last.request.checkpoint == {"turn": 1}


def test_one_that_kills_its_server_is_given_up(house: House) -> None:
    """After so many attempts, each of which was written down before it was made; a person may try again."""
    conversation_id = crashed(house)
    for attempt in range(MAX_RECOVERIES):
        house = house.restarted()
        recover(house)
        assert len(house.runners.runs) == 1
        assert house.archive.kept[conversation_id].recoveries == attempt + 1
    house = house.restarted()
    recover(house)
    assert house.runners.runs == []
    assert house.manager.get(conversation_id).status is Status.ERROR
    house.manager.begin(house.manager.continue_stream(conversation_id))
    assert house.archive.kept[conversation_id].recoveries == 0


def test_not_more_go_on_at_once_than_may_run(house: House) -> None:
    """The others wait for their turn."""
    ids = [crashed(house) for _ in range(5)]
    again = house.restarted(max_running_sessions=2)
    recover(again)
    for _ in range(5):
        assert len(again.manager.sessions(running=True)) <= 2
        for session in again.manager.sessions(running=True):
            again.complete(session)
        again.simulation.advance(1.1)
    assert [again.manager.get(each).status for each in ids] == [Status.COMPLETED] * 5


def test_it_waits_for_the_store(house: House) -> None:
    """A database that comes later than the server."""
    crashed(house)
    again = house.restarted()
    again.archive.error = StoreUnavailable("not yet")
    recover(again)
    again.simulation.advance(5)
    assert again.runners.runs == []
    again.archive.error = None
    again.simulation.advance(1.1)
    assert len(again.runners.runs) == 1


def test_what_was_begun_meanwhile_is_left_alone(house: House) -> None:
    """The store calls it unfinished, too."""
    session = house.run()
    recover(house)
    assert house.manager.sessions() == [session]
    assert session.status is Status.INITIALIZING


# --- one click ----------------------------------------------------------------------------------------------------


def test_continue_goes_on_after_a_stop(house: House) -> None:
    """From the last finished turn, with nothing new said; sent twice, it goes on once."""
    conversation_id = crashed(house)
    house.manager.stop(conversation_id)
    session = house.manager.continue_stream(conversation_id, client_id="a")
    assert house.manager.continue_stream(conversation_id, client_id="a") is session
    house.manager.begin(session)
    house.simulation.settle()
    request = house.runners.last.request
    assert (request.content, request.checkpoint, request.resumed) == ("Why?", {"turn": 1}, True)
    assert states(house, conversation_id)[0] == ("Why?", "complete")
    assert sum(content == "Why?" for content, _ in states(house, conversation_id)) == 1


def test_continue_without_a_checkpoint_begins_with_the_messages(house: House) -> None:
    """The whole ones: the turn that broke off is repeated."""
    session = house.run()
    house.say("m1", "Whole.")
    house.runners.last.start("m2")
    house.runners.last.delta("m2", "Half a")
    house.simulation.settle()
    session.stop()
    house.manager.begin(house.manager.continue_stream(session.conversation.id))
    house.simulation.settle()
    request = house.runners.last.request
    assert [each.content for each in request.transcript] == ["Why?", "Whole."]
    assert (request.checkpoint, request.resumed) == (None, True)


def test_a_checkpoint_from_before_the_last_question_is_not_gone_on_from(house: House) -> None:
    """It would end at once, and leave the question unanswered."""
    first = house.run()
    house.say("m1", "An answer.")
    house.runners.last.checkpoint({"turn": 3})
    house.complete(first)
    second = house.run("And then?", conversation_id=first.conversation.id)
    assert house.runners.last.request.checkpoint == {"turn": 3}
    second.stop()
    house.manager.begin(house.manager.continue_stream(first.conversation.id))
    house.simulation.settle()
    request = house.runners.last.request
    assert (request.checkpoint, request.content) == (None, "And then?")
    assert [each.content for each in request.transcript] == ["Why?", "An answer.", "And then?"]


def test_a_run_that_goes_on_survives_its_runner(house: House) -> None:
    """From the same checkpoint, in the same session."""
    conversation_id = crashed(house)
    house.manager.stop(conversation_id)
    house.manager.begin(house.manager.continue_stream(conversation_id))
    house.simulation.settle()
    house.runners.last.lose()
    house.simulation.settle()
    request = house.runners.last.request
    assert (request.checkpoint, request.resumed, request.continued) == ({"turn": 1}, True, False)


def test_a_runner_that_dies_before_the_first_answer_leaves_the_question(house: House) -> None:
    """The state that the turn began with is from before the question: its team used to end at once."""
    first = house.run()
    house.runners.last.checkpoint({"turn": 3})
    house.complete(first)
    house.run("And then?", conversation_id=first.conversation.id)
    house.runners.last.lose()
    house.simulation.settle()
    request = house.runners.last.request
    assert (request.checkpoint, request.resumed) == (None, True)
    assert request.transcript[-1].content == "And then?"


@pytest.mark.parametrize("end", ["running", "completed"])
def test_continue_is_for_what_broke_off(house: House, end: str) -> None:
    """Not for what runs, nor for what has come to its end."""
    session = house.run()
    if end == "completed":
        house.complete(session)
    with pytest.raises(InvalidState):
        house.manager.continue_stream(session.conversation.id)


def test_the_state_that_outlives_the_server_is_never_ahead_of_the_log(house: House) -> None:
    """What waits for its pace is lost with the server: a state from after it would leave a hole in what was said."""
    slow: Any = {"options": {"tokens_per_s": 1}}
    session = house.run(options=RunOptions(**slow["options"]))
    run = house.runners.last
    run.start("m1")
    for _ in range(30):
        run.delta("m1", "word ")
    run.finish("m1")
    run.checkpoint({"turn": 1})
    house.simulation.settle()
    assert session.conversation.id not in house.archive.states
    house.simulation.advance(60)
    assert session.conversation.fold.text("m1") == "word " * 30
    _, state = house.archive.states[session.conversation.id]
    assert state["state"] == {"turn": 1}
    assert state["options"] == {"tokens_per_s": 1.0}


def test_what_a_checkpoint_does_not_know_is_said_again(house: House) -> None:
    """Whole messages of a turn that broke off count no more, so that nothing is said twice: after a crash, a stop."""
    conversation_id = crashed(house)
    house.say("inner", "Of a nested team.")
    again = house.restarted()
    recover(again)
    after_crash = [
        ("Why?", "complete"),
        ("Turn 1.", "complete"),
        ("Half a", "partial"),
        ("Of a nested team.", "partial"),
    ]
    assert states(again, conversation_id) == after_crash
    messages = again.manager.get(conversation_id).snapshot()["messages"]
    assert messages[-1]["reason"] == "turn_repeated"
    assert "Of a nested team." not in [each.content for each in again.runners.last.request.transcript]

    session = house.manager.session(conversation_id)
    house.simulation.spawn(session.stop)
    house.simulation.settle()
    house.manager.begin(house.manager.continue_stream(conversation_id))
    house.simulation.settle()
    assert states(house, conversation_id) == after_crash
