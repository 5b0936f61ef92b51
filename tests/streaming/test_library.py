"""The conversations in memory: found, brought in from the store, and let go."""

from __future__ import annotations

import pytest

from app.errors import ConversationUnknown, InvalidState, LimitExceeded, StoreUnavailable
from app.protocol.common import Position, Status
from app.streaming.conversation import Conversation
from tests.streaming.fakes import a_reader
from tests.streaming.house import House


@pytest.fixture
def house() -> House:
    return House()


def ended(house: House) -> str:
    """A conversation that has ended, and is in memory no more."""
    session = house.run()
    house.say("m1", "Because.")
    house.complete(session)
    assert house.manager.library.let_go(session.conversation)
    return session.conversation.id


def test_what_has_left_memory_comes_back_as_it_was(house: House) -> None:
    """With a new epoch: a reader with an older position gets a snapshot, and so does one that asks for a time."""
    session = house.run()
    house.say("m1", "Because.")
    house.complete(session)
    before, conversation_id = session.conversation.snapshot(), session.conversation.id
    updated_at = session.conversation.fold.updated_at
    assert house.manager.library.let_go(session.conversation)
    again = house.manager.get(conversation_id)
    assert again is not session.conversation
    place = {"epoch": again.log.epoch, "offset": again.log.offset}
    assert again.snapshot() == {**before, **place}
    assert again.log.epoch != before["epoch"]
    assert again.fold.updated_at == updated_at
    ack = again.join(a_reader(house.transport).sid, Position(epoch=before["epoch"], offset=before["offset"]))
    assert (ack.recovered, ack.snapshot) == (False, again.snapshot())
    early = again.join(a_reader(house.transport).sid, Position(epoch=again.log.epoch, offset=0))
    assert not early.recovered


def test_it_is_brought_once_for_all_who_ask(house: House) -> None:
    """However many ask at the same time; and from then on it is in memory."""
    conversation_id = ended(house)
    found: list[Conversation] = []
    for _ in range(20):
        house.simulation.spawn(lambda: found.append(house.manager.get(conversation_id)))
    house.simulation.settle()
    assert len(found) == 20
    assert len(set(map(id, found))) == 1
    assert house.archive.loads == 1


def test_who_waits_for_another_ones_question_hears_of_its_failure(house: House) -> None:
    """And the next one asks anew."""
    conversation_id = ended(house)
    house.archive.error = StoreUnavailable("the database is away")
    tasks = [house.simulation.spawn(house.manager.get, conversation_id) for _ in range(3)]
    house.simulation.settle()
    assert [type(task.error) for task in tasks] == [StoreUnavailable] * 3
    for task in tasks:
        task.error = None
    house.archive.error = None
    assert house.manager.get(conversation_id).id == conversation_id


@pytest.mark.parametrize("key", ["", "-x", "a\0b", "x" * 65, "../etc", "é", "a b", "\ud800"])
def test_what_can_be_no_id_is_not_asked_for(house: House, key: str) -> None:
    """No database has to make sense of it."""
    with pytest.raises(ConversationUnknown):
        house.manager.get(key)
    assert house.archive.loads == 0


def test_without_the_store_live_conversations_go_on(house: House) -> None:
    """Those that are not in memory are to be asked for again later."""
    conversation_id = ended(house)
    live = house.run()
    house.archive.error = StoreUnavailable("the database is away")
    with pytest.raises(StoreUnavailable):
        house.manager.get(conversation_id)
    with pytest.raises(StoreUnavailable):
        house.manager.send_message(conversation_id, "more")
    house.say("m2", "still here")
    house.complete(live)
    assert live.status is Status.COMPLETED
    house.run(conversation_id=live.conversation.id)
    assert house.runners.last.request.transcript[-1].content == "still here"


def test_a_conversation_without_a_session_can_be_continued_but_not_steered(house: House) -> None:
    """It has its messages and its checkpoint."""
    session = house.run()
    house.say("m1", "Because.")
    house.runners.last.checkpoint({"turn": 1})
    house.complete(session)
    conversation_id = session.conversation.id
    assert house.manager.library.let_go(session.conversation)
    for act in (house.manager.pause, house.manager.resume, house.manager.stop, house.manager.session):
        with pytest.raises(InvalidState, match="completed"):
            act(conversation_id)
    house.send(conversation_id, "And then?")
    request = house.runners.last.request
    assert [each.content for each in request.transcript] == ["Why?", "Because."]
    assert (request.checkpoint, request.resumed) == ({"turn": 1}, False)


def test_one_that_nobody_watches_leaves_again(house: House) -> None:
    """After the linger, counted from the last time that somebody asked for it; one that is watched stays."""
    quiet, watched = ended(house), ended(house)
    house.manager.get(quiet)
    reader = a_reader(house.transport)
    house.manager.join(reader.sid, watched)
    house.manager.attach(reader.sid, watched)
    house.tick(599)
    house.manager.get(quiet)
    house.tick(599)
    assert {each.id for each in house.manager.conversations()} == {quiet, watched}
    house.tick(2)
    assert [each.id for each in house.manager.conversations()] == [watched]
    assert house.transport.names().count("heartbeat") == 2  # of the one that is watched


def test_memory_does_not_grow_with_the_store() -> None:
    """What comes in makes what was not asked for longest go; never what runs or is watched."""
    house = House(max_conversations=3)
    stored = [ended(house) for _ in range(10)]
    for conversation_id in stored:
        house.manager.get(conversation_id)
        house.simulation.advance(1)
        assert len(house.manager.conversations()) <= 3
    assert [each.id for each in house.manager.conversations()] == stored[-3:]
    for conversation_id in stored[-3:]:
        house.manager.join(a_reader(house.transport).sid, conversation_id)
    with pytest.raises(LimitExceeded):
        house.manager.get(stored[0])


def test_nobody_comes_in_through_a_door_that_has_been_closed(house: House) -> None:
    """Two objects for one conversation would be two logs in one room."""
    session = house.run()
    house.complete(session)
    with session.conversation.stay():
        assert not house.manager.library.let_go(session.conversation)
    assert house.manager.library.let_go(session.conversation)
    with pytest.raises(StoreUnavailable) as caught:
        session.conversation.follow()
    assert caught.value.retryable


def test_what_the_server_died_under_has_ended(house: House) -> None:
    """Its open text is kept as a partial message; its status says why."""
    session = house.run()
    house.say("m1", "Whole.")
    house.runners.last.start("m2")
    house.runners.last.delta("m2", "Half a")
    house.simulation.settle()
    other = house.restarted()
    snapshot = other.manager.get(session.conversation.id).snapshot()
    assert (snapshot["status"], snapshot["error"]["code"]) == ("error", "interrupted")
    states = [(each["content"], each["state"], each["reason"]) for each in snapshot["messages"]]
    assert states == [
        ("Why?", "complete", None),
        ("Whole.", "complete", None),
        ("Half a", "partial", "interrupted"),
    ]
    assert other.archive.kept[session.conversation.id].snapshot.status is Status.ERROR
