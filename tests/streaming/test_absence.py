"""Runs outlive their watchers, unless their team's rule says otherwise; and requests that come twice."""

from __future__ import annotations

import pytest

from app.protocol.common import Status
from app.protocol.events import ConversationStatus
from app.runner.wire import OnAbandoned, TeamSpec
from app.streaming.session import StreamingSession
from tests.streaming.fakes import TEAM, a_reader
from tests.streaming.test_manager import House


class RuledTeams:
    """A stand-in for the directory of teams, with one team that has a rule."""

    def __init__(self, rule: OnAbandoned | None) -> None:
        self.rule = rule

    def get(self, name: str) -> TeamSpec:
        return TEAM.model_copy(update={"on_abandoned": self.rule})


def a_run(action: str | None) -> tuple[House, StreamingSession]:
    """A watched run of a team whose rule comes into force after 60 s."""
    rule = OnAbandoned(action=action, after_s=60) if action else None  # type: ignore[arg-type]  # parametrized
    house = House(RuledTeams(rule))
    session = house.run()
    reader = a_reader(house.transport)
    house.manager.join(reader.sid, session.conversation.id)
    house.manager.attach(reader.sid, session.conversation.id)
    house.runners.last.delta("m1", "Hello")
    house.tick(100)
    assert session.status is Status.ACTIVE
    house.manager.gone(reader.sid, [session.conversation.id])
    return house, session


def test_without_a_rule_a_run_goes_on_unwatched() -> None:
    """No disconnect stops or pauses it."""
    house, session = a_run(None)
    house.tick(200)
    assert session.status is Status.ACTIVE
    assert "stop" not in house.runners.last.calls
    house.complete(session)
    assert session.status is Status.COMPLETED


def test_an_abandoned_run_is_stopped_where_the_rule_says_so() -> None:
    """Not before its time; and its status says why."""
    house, session = a_run("stop")
    house.tick(59)
    assert session.status is Status.ACTIVE
    house.tick(2)
    assert session.status is Status.STOPPED
    assert house.transport.payloads(ConversationStatus)[-1]["reason"] == "nobody had watched for 60 s"


def test_a_watcher_who_comes_back_in_time_keeps_the_run() -> None:
    """The time begins anew when the last one leaves."""
    house, session = a_run("stop")
    house.tick(50)
    reader = a_reader(house.transport)
    house.manager.join(reader.sid, session.conversation.id)
    house.manager.attach(reader.sid, session.conversation.id)
    house.tick(50)
    house.manager.gone(reader.sid, [session.conversation.id])
    house.tick(50)
    assert session.status is Status.ACTIVE


def test_an_abandoned_run_is_paused_and_goes_on_when_somebody_comes() -> None:
    """As the rule says."""
    house, session = a_run("pause")
    house.tick(61)
    assert session.status is Status.PAUSED
    reader = a_reader(house.transport)
    house.manager.join(reader.sid, session.conversation.id)
    house.manager.attach(reader.sid, session.conversation.id)
    house.tick(1)
    assert session.status is Status.ACTIVE


def test_a_pause_by_a_person_stays() -> None:
    """Whoever comes and goes."""
    house, session = a_run("pause")
    session.pause()
    house.tick(100)
    reader = a_reader(house.transport)
    house.manager.join(reader.sid, session.conversation.id)
    house.manager.attach(reader.sid, session.conversation.id)
    house.tick(1)
    assert session.status is Status.PAUSED


@pytest.mark.parametrize("known", [False, True])
def test_a_start_that_comes_twice_is_one_run(known: bool) -> None:
    """By the client's own id of it; also as the next turn of a known conversation."""
    house = House()
    conversation_id = None
    if known:
        first = house.run()
        house.complete(first)
        conversation_id = first.conversation.id
    session = house.start("Why?", client_id="a", conversation_id=conversation_id)
    again = house.start("Why?", client_id="a", conversation_id=conversation_id)
    assert again is session
    assert session.reached == "initializing"
    for each in (session, again):
        house.manager.begin(each)
    house.simulation.settle()
    house.complete(session)
    assert house.start("Why?", client_id="a", conversation_id=conversation_id) is session
    assert session.reached == "completed"  # who asks again is told how it stands
    assert [run.request.session for run in house.runners.runs].count(session.id) == 1
    other = house.start("Why?", client_id="b", conversation_id=conversation_id)
    assert other is not session


def test_a_message_that_comes_twice_is_one_turn() -> None:
    """The second gets the first one's session, though that is still running."""
    house = House()
    first = house.run()
    house.complete(first)
    conversation_id = first.conversation.id
    session = house.send(conversation_id, "And?", client_id="a")
    assert house.manager.send_message(conversation_id, "And?", client_id="a").session is session
