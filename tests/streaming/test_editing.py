"""Changes that people make: titles, messages, opinions, deletions."""

from __future__ import annotations

import pytest

from app.errors import ContentEmpty, ConversationUnknown, InvalidPayload, InvalidState, MessageUnknown, StoreUnavailable
from app.protocol.events import ConversationDeleted, ConversationUpdated, MessageUpdated
from app.protocol.snapshot import MessageView
from app.streaming.conversation import Conversation
from app.streaming.editing import Editing
from tests.streaming.fakes import a_reader
from tests.streaming.house import House


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
def editing(house: House) -> Editing:
    return house.manager.editing


@pytest.fixture
def ended(house: House) -> Conversation:
    session = house.run()
    house.say("m1", "Because.")
    house.runners.last.checkpoint({"turn": 1})
    house.complete(session)
    return session.conversation


def test_a_title_is_one_line(house: House, editing: Editing, ended: Conversation) -> None:
    """Whatever white space it came with; everybody hears of it."""
    assert editing.rename(ended, "  Another\n title ", "ann") == "Another title"
    assert ended.snapshot()["title"] == "Another title"
    (told,) = house.transport.payloads(ConversationUpdated)
    assert (told["changes"], told["updated_by"]) == ({"title": "Another title"}, "ann")


@pytest.mark.parametrize("title", ["", " \n", "x" * 201, "a\0b", "\ud800", "\x1b[2J", "a\u202eb"])
def test_what_is_no_title_is_refused(editing: Editing, ended: Conversation, title: str) -> None:
    """Control characters, halves of characters, none at all."""
    with pytest.raises(InvalidPayload):
        editing.rename(ended, title, "ann")
    assert ended.fold.title == "Why?"


def test_an_edited_message_is_what_the_next_turn_reads(house: House, editing: Editing, ended: Conversation) -> None:
    """The team's own memory has it otherwise, and is dropped."""
    view = editing.edit(ended, "m1", "Because not.", "ann")
    assert (view.content, view.updated_by) == ("Because not.", "ann")
    (told,) = house.transport.payloads(MessageUpdated)
    assert (told["message_id"], told["agent"], told["changes"]) == ("m1", "Ann", {"content": "Because not."})
    house.run("And then?", conversation_id=ended.id)
    request = house.runners.last.request
    assert [each.content for each in request.transcript] == ["Why?", "Because not."]
    assert request.checkpoint is None
    assert house.archive.states[ended.id][1] == {}


def test_a_run_that_has_read_it_otherwise_leaves_no_checkpoint(house: House, editing: Editing) -> None:
    """An earlier message is edited while the next one is being written."""
    session = house.run()
    house.say("m1", "Because.")
    editing.edit(session.conversation, "m1", "Because not.", "ann")
    house.runners.last.checkpoint({"turn": 1})
    house.simulation.settle()
    assert house.archive.states[session.conversation.id][1] == {}
    house.complete(session)
    house.run("And then?", conversation_id=session.conversation.id)
    house.runners.last.checkpoint({"turn": 2})
    house.simulation.settle()
    assert house.archive.states[session.conversation.id][1]["state"] == {"turn": 2}


def test_an_open_message_is_left_to_its_agent(house: House, editing: Editing) -> None:
    """What comes next would undo it."""
    session = house.run()
    house.runners.last.start("m1")
    house.runners.last.delta("m1", "Half")
    house.simulation.settle()
    with pytest.raises(InvalidState):
        editing.edit(session.conversation, "m1", "x", "ann")
    with pytest.raises(InvalidState):
        editing.rate(session.conversation, "m1", "up", "ann")


def test_a_message_that_memory_no_longer_keeps_can_be_changed(
    house: House, editing: Editing, ended: Conversation
) -> None:
    """The store has it; everybody hears of it."""
    house.archive.old["old"] = MessageView(
        message_id="old", agent="Bob", content="Old.", state="complete", timestamp="t"
    )
    assert editing.edit(ended, "old", "New.", "ann").content == "New."
    assert house.transport.payloads(MessageUpdated)[-1]["agent"] == "Bob"
    with pytest.raises(MessageUnknown):
        editing.edit(ended, "nowhere", "New.", "ann")
    with pytest.raises(ContentEmpty):
        editing.edit(ended, "old", " ", "ann")
    with pytest.raises(InvalidPayload):
        editing.edit(ended, "old", "a\0b", "ann")


def test_an_opinion_is_kept_and_told(house: House, editing: Editing, ended: Conversation) -> None:
    """And can be taken back; nothing is told of what could not be kept."""
    assert editing.rate(ended, "m1", "up", "ann").feedback == "up"
    assert house.archive.ratings == {(ended.id, "m1", "ann"): "up"}
    assert editing.rate(ended, "m1", None, "ann").feedback is None
    house.archive.error = StoreUnavailable("away")
    with pytest.raises(StoreUnavailable):
        editing.rate(ended, "m1", "down", "ann")
    assert [each["changes"] for each in house.transport.payloads(MessageUpdated)] == [
        {"feedback": "up"},
        {"feedback": None},
    ]


def test_deleting_really_deletes(house: House, editing: Editing) -> None:
    """A run is stopped; who watches is told, through whatever door; nothing is left in memory or in the store."""
    session = house.run()
    conversation = session.conversation
    reader, told = a_reader(house.transport), []
    house.manager.join(reader.sid, conversation.id)
    house.manager.attach(reader.sid, conversation.id)
    _, follower = conversation.follow()
    editing.when_deleted(told.append)
    editing.delete(conversation)
    assert session.ended
    assert house.runners.last.calls == ["stop"]
    assert house.transport.received[reader.sid][-1][0] == ConversationDeleted.name
    assert reader.sid not in house.transport.rooms[conversation.id]
    assert follower.closed
    assert isinstance(follower.parting, ConversationDeleted)
    assert told == [conversation.id]
    assert house.manager.conversations() == house.manager.sessions() == []
    assert house.archive.kept == {}
    with pytest.raises(ConversationUnknown):
        house.manager.get(conversation.id)
    with pytest.raises(ConversationUnknown):
        editing.delete(conversation)


def test_a_deletion_without_the_database_stops_no_run(house: House, editing: Editing) -> None:
    """It was refused, and the run had ended all the same."""
    session = house.run()
    house.archive.error = StoreUnavailable("away")
    with pytest.raises(StoreUnavailable):
        editing.delete(session.conversation)
    assert not session.ended
    assert house.runners.last.calls == []


def test_a_deletion_that_fails_can_be_tried_again(house: House, editing: Editing, ended: Conversation) -> None:
    """The database is away: it can be tried again, and what is logged meanwhile is recorded."""
    house.archive.error = StoreUnavailable("away")
    with pytest.raises(StoreUnavailable):
        editing.delete(ended)
    house.archive.error = None
    editing.rename(ended, "Still here", "ann")
    assert house.archive.kept[ended.id].snapshot.title == "Still here"
    house.complete(house.run("More", conversation_id=ended.id))
    editing.delete(ended)
    assert house.archive.kept == {}


def test_no_session_begins_in_what_is_being_deleted(house: House, editing: Editing, ended: Conversation) -> None:
    """It would run for a conversation that is no more."""
    ended.closing = True
    with pytest.raises(ConversationUnknown):
        house.start(conversation_id=ended.id)
