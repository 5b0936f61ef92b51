"""Agents that wait for a person: who answers, until when, and what becomes of a question with its run."""

from __future__ import annotations

from typing import Any

import pytest

from app.errors import AnsweredAlready, ContentTooLarge, InputUnknown, InvalidPayload
from app.protocol.commands import ProvideInput
from app.protocol.common import Status
from app.protocol.events import ConversationError, InputRequest, InputResolved, StillWorking
from app.streaming.recovery import Recovery
from app.streaming.session import StreamingSession
from tests.streaming.house import House


@pytest.fixture
def house() -> House:
    return House(input_timeout_s=60)


def asking(house: House, request_id: str = "r1", **more: Any) -> StreamingSession:
    """A running session whose agent has asked."""
    session = house.run()
    ask(house, request_id, **more)
    return session


def ask(house: House, request_id: str, **more: Any) -> None:
    house.runners.last.event(InputRequest(request_id=request_id, agent="Ann", prompt="Which?", **more))
    house.simulation.settle()


def give(house: House, session: StreamingSession, content: str | None = "this one", **more: Any) -> str:
    command = {"request_id": "r1", "content": content} | {key: more[key] for key in more if key != "by"}
    answer = ProvideInput(conversation_id=session.conversation.id, **command)
    return house.manager.provide_input(answer, more.get("by", "ann")).resolution


def resolved(house: House) -> list[tuple[str, str, str | None, str | None]]:
    told = house.transport.payloads(InputResolved)
    return [(each["request_id"], each["resolution"], each["by"], each["content"]) for each in told]


def pending(session: StreamingSession) -> list[str]:
    return [each.request_id for each in session.conversation.fold.pending_inputs()]


def heard(house: House) -> list[tuple[str, str, str]]:
    """What the last run was told."""
    return [(each.request_id, each.resolution, each.content) for each in house.runners.last.answers]


def test_an_answer_reaches_the_run_and_the_room(house: House) -> None:
    """The question has its deadline, stands in the snapshot, and is gone from it when it is answered."""
    session = asking(house)
    (request,) = house.transport.payloads(InputRequest)
    assert request["deadline"] == "2026-01-01T00:01:00.000Z"
    assert pending(session) == ["r1"]
    assert give(house, session) == "answered"
    assert heard(house) == [("r1", "answered", "this one")]
    assert resolved(house) == [("r1", "answered", "ann", "this one")]
    assert pending(session) == []


def test_the_first_answer_wins(house: House) -> None:
    """Later ones are refused, whoever gives them; the same one sent again is the same one."""
    session = asking(house)
    tasks = [house.simulation.spawn(lambda by=by: give(house, session, by, by=by, client_id=by)) for by in ("a", "b")]
    house.simulation.settle()
    assert [task.result for task in tasks] == ["answered", None]
    assert isinstance(tasks[1].error, AnsweredAlready)
    tasks[1].error = None
    assert give(house, session, "a", by="a", client_id="a") == "answered"
    with pytest.raises(AnsweredAlready, match="already"):
        give(house, session, "c")
    assert len(heard(house)) == len(resolved(house)) == 1


def test_what_is_no_answer_changes_nothing(house: House) -> None:
    """The question can still be answered; an empty text is an answer."""
    session = asking(house)
    for content, granted in ((None, None), (None, True), ("x", False)):
        with pytest.raises(InvalidPayload):
            give(house, session, content, granted=granted)
    with pytest.raises(ContentTooLarge):
        give(house, session, "x" * 70_000)
    with pytest.raises(InvalidPayload):
        give(house, session, "half \ud800")
    with pytest.raises(InputUnknown):
        give(house, session, request_id="r9")
    assert resolved(house) == []
    assert give(house, session, "") == "answered"


@pytest.mark.parametrize(
    ("content", "granted", "wanted"),
    [
        (None, True, "granted"),
        (None, False, "denied"),
        (" Yes ", None, "granted"),
        ("n", None, "denied"),
        ("not today", False, "denied"),
        ("no, wait", True, "granted"),
    ],
)
def test_a_permission_is_granted_or_denied(
    house: House, content: str | None, granted: bool | None, wanted: str
) -> None:
    """`granted` says so; without it the content has to."""
    session = asking(house, kind="permission")
    with pytest.raises(InvalidPayload):
        give(house, session, "perhaps")
    assert give(house, session, content, granted=granted) == wanted
    assert heard(house) == [("r1", wanted, content or "")]


def test_a_secret_is_for_the_agent_alone(house: House) -> None:
    """No event has it, and so no log and no store."""
    session = asking(house, secret=True)
    give(house, session, "open sesame")
    assert heard(house) == [("r1", "answered", "open sesame")]
    assert "sesame" not in str(house.transport.sent)
    assert resolved(house) == [("r1", "answered", "ann", None)]


def test_nobody_answers_in_time(house: House) -> None:
    """The run is told so and goes on; who answers then is told, too."""
    session = asking(house)
    house.tick(59)
    assert resolved(house) == []
    house.tick(1.5)
    assert resolved(house) == [("r1", "timeout", None, None)]
    assert heard(house) == [("r1", "timeout", "")]
    with pytest.raises(AnsweredAlready, match="in time"):
        give(house, session)
    assert session.status is Status.ACTIVE


def test_a_person_may_take_longer_than_a_team() -> None:
    """SESSION_TIMEOUT_S (300) ends a silent team, not one that waits; and the room hears who waits."""
    house = House(input_timeout_s=0)
    session = asking(house)
    (request,) = house.transport.payloads(InputRequest)
    assert request["deadline"] is None
    house.tick(2000)
    house.tick(2000)
    assert session.status is Status.ACTIVE
    working = house.transport.payloads(StillWorking)[-1]
    assert (working["message"], working["silent_s"]) == ("Ann waits for an answer", 4000.0)
    house.runners.last.start("m2", agent="Bob")
    house.runners.last.start("m3", agent="Cid")
    give(house, session)
    house.tick(20)
    assert house.transport.payloads(StillWorking)[-1]["message"] == "Bob and Cid are writing"
    house.tick(279)
    assert session.status is Status.ACTIVE
    house.tick(2)
    assert session.status is Status.ERROR


def test_time_stands_still_in_a_pause(house: House) -> None:
    """The resume tells the new deadline; the answer may come in between."""
    session = asking(house)
    ask(house, "r2")
    house.tick(50)
    house.manager.pause(session.conversation.id)
    house.tick(500)
    assert resolved(house) == []
    assert give(house, session) == "answered"
    house.manager.resume(session.conversation.id)
    again = house.transport.payloads(InputRequest)[-1]
    assert (again["request_id"], again["deadline"]) == ("r2", "2026-01-01T00:09:20.000Z")
    assert pending(session) == ["r2"]
    house.tick(9)
    assert len(resolved(house)) == 1
    house.tick(2)
    assert resolved(house)[-1] == ("r2", "timeout", None, None)


def test_a_stop_ends_the_question(house: House) -> None:
    """Before the room hears of the end."""
    session = asking(house)
    house.manager.stop(session.conversation.id)
    assert resolved(house) == [("r1", "cancelled", None, None)]
    assert house.transport.names()[-2:] == ["input_resolved", "conversation_status"]
    with pytest.raises(AnsweredAlready, match="no longer"):
        give(house, session)


def test_a_run_that_ends_by_itself_takes_its_questions_along(house: House) -> None:
    """Another agent has come to the end."""
    session = asking(house)
    house.complete(session)
    assert resolved(house) == [("r1", "cancelled", None, None)]
    assert session.status is Status.COMPLETED


def test_when_the_runner_dies_the_agent_asks_anew(house: House) -> None:
    """Under another id; an answer to the old question comes too late."""
    session = asking(house)
    house.runners.last.lose()
    house.simulation.settle()
    assert resolved(house) == [("r1", "cancelled", None, None)]
    ask(house, "r2")
    with pytest.raises(AnsweredAlready):
        give(house, session)
    assert give(house, session, request_id="r2") == "answered"
    assert heard(house) == [("r2", "answered", "this one")]


def test_a_question_that_waits_behind_a_pause_dies_with_its_run(house: House) -> None:
    """It was asked by a run that is no more before anybody was told: nobody is."""
    session = house.run()
    house.runners.last.delta("m1", "Hello")
    house.simulation.settle()
    house.manager.pause(session.conversation.id)
    ask(house, "r1")
    assert pending(session) == []
    house.runners.last.lose()
    house.simulation.settle()
    house.manager.resume(session.conversation.id)
    house.simulation.settle()
    ask(house, "r2")
    assert [each["request_id"] for each in house.transport.payloads(InputRequest)] == ["r2"]
    assert pending(session) == ["r2"]


def test_a_restart_asks_anew(house: House) -> None:
    """The old question is resolved as cancelled, and the run goes on from its checkpoint."""
    session = house.run()
    house.say("m1", "Turn 1.")
    house.runners.last.checkpoint({"turn": 1})
    ask(house, "r1")
    again = house.restarted(input_timeout_s=60)
    again.simulation.spawn(Recovery(again.manager, again.archive, again.simulation, resume=True).run)
    again.simulation.settle()
    assert resolved(again) == [("r1", "cancelled", None, None)]
    assert again.transport.payloads(ConversationError)[-1]["recovering"]
    ask(again, "r2")
    assert pending(again.manager.session(session.conversation.id)) == ["r2"]
    with pytest.raises(InputUnknown):
        give(again, session)
    assert give(again, session, request_id="r2") == "answered"


def test_who_comes_from_the_store_asks_nothing(house: House) -> None:
    """A conversation without a run has no question."""
    session = asking(house)
    house.complete(session)
    assert house.manager.library.let_go(session.conversation)
    with pytest.raises(InputUnknown):
        give(house, session)
