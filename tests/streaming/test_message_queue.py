"""Messages that are sent while agents talk: in sight, in order, said once, and nothing is lost."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from app.errors import InvalidState, LimitExceeded, MessageUnknown, NotPermitted
from app.protocol.common import Status
from app.protocol.events import AgentMessage, MessageQueued, MessageUnqueued
from app.streaming.recovery import Recovery
from app.streaming.session import StreamingSession
from tests.streaming.house import House


@pytest.fixture
def house() -> House:
    return House(max_queued_messages=3)


def queued(session: StreamingSession) -> list[str]:
    return [each.content for each in session.conversation.fold.queued()]


def said(session: StreamingSession) -> list[str]:
    """What people have said so far, in its order."""
    return [each.content for each in session.conversation.fold.messages() if each.role == "user"]


def end(house: House, session: StreamingSession) -> None:
    """Let the latest run of its conversation come to its end."""
    house.complete(house.manager.session(session.conversation.id))


def test_a_message_waits_until_the_agents_have_finished(house: House) -> None:
    """All are told; then they are said one after the other, under the ids that their acks had."""
    session = house.run()
    talk = session.conversation.id
    acks = [house.manager.send_message(talk, content, by="ann").ack for content in ("And?", "Why?")]
    assert [(ack.queued, ack.place, ack.status) for ack in acks] == [
        (True, 1, "initializing"),
        (True, 2, "initializing"),
    ]
    told = house.transport.payloads(MessageQueued)
    assert [(each["message_id"], each["content"], each["by"]) for each in told] == [
        (acks[0].message_id, "And?", "ann"),
        (acks[1].message_id, "Why?", "ann"),
    ]
    end(house, session)
    assert (said(session), queued(session)) == (["Why?", "And?"], ["Why?"])
    assert house.runners.last.request.session == acks[0].session_id
    assert house.runners.last.request.content == "And?"
    assert house.transport.payloads(AgentMessage)[-1]["message_id"] == acks[0].message_id
    end(house, session)
    assert (said(session), queued(session)) == (["Why?", "And?", "Why?"], [])
    end(house, session)
    assert session.conversation.status is Status.COMPLETED
    assert len(house.runners.runs) == 3


def test_a_message_between_a_start_and_its_first_word_waits(house: House) -> None:
    """The session is there, though nothing of it is logged yet."""
    session = house.start()
    assert house.manager.send_message(session.conversation.id, "And?").ack.queued
    house.manager.begin(session)
    house.simulation.settle()
    end(house, session)
    assert said(session) == ["Why?", "And?"]


def test_sent_again_it_waits_once(house: House) -> None:
    """The ack tells how far it has come."""
    session = house.run()
    send = house.manager.send_message
    first = send(session.conversation.id, "And?", client_id="a").ack
    assert send(session.conversation.id, "And?", client_id="a").ack == first
    end(house, session)
    again = send(session.conversation.id, "And?", client_id="a").ack
    assert (again.session_id, again.queued, again.place) == (first.session_id, False, None)
    assert said(session) == ["Why?", "And?"]


def test_only_so_many_wait(house: House) -> None:
    """One more is refused, and may come again."""
    session = house.run()
    for number in range(3):
        house.manager.send_message(session.conversation.id, f"{number}")
    with pytest.raises(LimitExceeded, match="3 messages"):
        house.manager.send_message(session.conversation.id, "3")
    assert queued(session) == ["0", "1", "2"]


def test_its_author_takes_a_message_back_and_the_owner_may(house: House) -> None:
    """Nobody else; and not what was said already."""
    session = house.run()
    conversation = session.conversation
    ids = [house.manager.send_message(conversation.id, text, by="ann").ack.message_id or "" for text in "abc"]
    with pytest.raises(NotPermitted):
        house.manager.queue.take_back(conversation, ids[0], "bob")
    house.manager.queue.take_back(conversation, ids[0], "ann")
    house.manager.queue.take_back(conversation, ids[1], "local", anybodys=True)
    with pytest.raises(MessageUnknown):
        house.manager.queue.take_back(conversation, ids[0], "ann")
    assert [each["by"] for each in house.transport.payloads(MessageUnqueued)] == ["ann", "local"]
    assert queued(session) == ["c"]
    end(house, session)
    with pytest.raises(MessageUnknown):
        house.manager.queue.take_back(conversation, ids[2], "ann")
    assert said(session) == ["Why?", "c"]


def test_after_a_stop_nothing_is_said_by_itself(house: House) -> None:
    """Going on with the run goes on with what waits, behind it."""
    session = house.run()
    talk = session.conversation.id
    house.say("m1", "Because.")
    house.runners.last.checkpoint({"turn": 1})
    house.manager.send_message(talk, "And?")
    house.manager.stop(talk)
    house.tick(30)
    assert (session.conversation.status, queued(session)) == (Status.STOPPED, ["And?"])
    house.manager.begin(house.manager.continue_stream(talk))
    house.simulation.settle()
    assert house.runners.last.request.resumed
    end(house, session)
    assert (said(session), queued(session)) == (["Why?", "And?"], [])


def test_after_an_error_a_new_message_goes_behind_what_waits(house: House) -> None:
    """And sets it going: nothing is said out of its order."""
    session = house.run()
    talk = session.conversation.id
    house.manager.send_message(talk, "first")
    house.runners.last.fail()
    house.simulation.settle()
    assert queued(session) == ["first"]
    sent = house.manager.send_message(talk, "second")
    assert (sent.session, sent.ack.queued, sent.ack.place) == (None, True, 2)
    house.simulation.settle()
    assert (said(session), queued(session)) == (["Why?", "first"], ["second"])
    end(house, session)
    assert said(session) == ["Why?", "first", "second"]


def test_a_new_start_comes_before_what_waits(house: House) -> None:
    """Who starts a conversation anew wants that now; what waits follows."""
    session = house.run()
    talk = session.conversation.id
    house.manager.send_message(talk, "waits")
    house.manager.stop(talk)
    house.run("now", conversation_id=talk)
    assert (said(session), queued(session)) == (["Why?", "now"], ["waits"])
    end(house, session)
    assert said(session) == ["Why?", "now", "waits"]


class Full:
    """An allowance that lets nobody begin."""

    full = False

    def most_running(self) -> int:
        return 0 if self.full else 10

    def most_running_of(self, owner: str) -> int:
        return 0

    def most_tokens_of_conversation(self) -> int:
        return 0

    def tokens_left(self, owner: tuple[str | None, str], ended: Iterable[str]) -> int | None:
        return None

    def check_tokens(self, owner: tuple[str | None, str], received: int, ended: Iterable[str]) -> None:
        return None


def test_what_finds_no_room_is_tried_again() -> None:
    """It waits on meanwhile, in sight."""
    allowance = Full()
    house = House(allowance=allowance)
    session = house.run()
    house.manager.send_message(session.conversation.id, "And?")
    allowance.full = True
    end(house, session)
    house.tick(4)
    assert (session.conversation.status, queued(session)) == (Status.COMPLETED, ["And?"])
    allowance.full = False
    house.tick(7)
    assert said(session) == ["Why?", "And?"]


def test_what_waits_outlives_its_server(house: House) -> None:
    """The run goes on from its checkpoint, and then with what waits."""
    session = house.run()
    house.say("m1", "Because.")
    house.runners.last.checkpoint({"turn": 1})
    house.manager.send_message(session.conversation.id, "And?")
    house.simulation.settle()
    again = house.restarted()
    again.simulation.spawn(Recovery(again.manager, again.archive, again.simulation, resume=True).run)
    again.simulation.settle()
    now = again.manager.session(session.conversation.id)
    assert queued(now) == ["And?"]
    again.complete(now)
    assert said(now) == ["Why?", "And?"]


def test_what_a_dead_server_could_not_begin_is_gone_on_with(house: House) -> None:
    """The run had completed: one click says what waits."""
    session = house.run()
    house.manager.send_message(session.conversation.id, "And?")
    house.manager.send_message(session.conversation.id, "And then?")
    house.manager._admission.closing = True  # it dies between the end of a run and the next
    end(house, session)
    again = house.restarted()
    conversation = again.manager.get(session.conversation.id)
    assert conversation.status is Status.COMPLETED
    again.manager.begin(again.manager.continue_stream(conversation.id, client_id="c"))
    again.simulation.settle()
    latest = again.manager.session(conversation.id)
    assert again.manager.continue_stream(conversation.id, client_id="c") is latest
    assert (said(latest), queued(latest)) == (["Why?", "And?"], ["And then?"])
    again.complete(latest)
    latest = again.manager.session(conversation.id)
    again.complete(latest)
    with pytest.raises(InvalidState):
        again.manager.continue_stream(conversation.id)
    assert said(latest) == ["Why?", "And?", "And then?"]
