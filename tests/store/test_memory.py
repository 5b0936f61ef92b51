"""The store in memory."""

from __future__ import annotations

import pytest

from app.protocol.common import ContentType, Status
from app.protocol.snapshot import MessageView
from app.store.base import ConversationRecord
from app.store.memory import MemoryStore


def a_record(conversation_id: str = "c1", title: str = "A question") -> ConversationRecord:
    return ConversationRecord(
        conversation_id=conversation_id,
        owner="local",
        title=title,
        team="debate",
        content_type=ContentType.TEXT,
        created_at="t0",
        updated_at="t0",
    )


def a_message(message_id: str, content: str = "x") -> MessageView:
    return MessageView(message_id=message_id, agent="Ann", content=content, state="complete", timestamp="t")


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(max_messages=3)


def test_a_record_is_kept_and_replaced(store: MemoryStore) -> None:
    """By its id."""
    assert store.get("c1") is None
    store.save(a_record())
    store.save(a_record(title="Another"))
    found = store.get("c1")
    assert found is not None
    assert found.title == "Another"
    assert len(store.newest(10)) == 1


def test_records_are_copies(store: MemoryStore) -> None:
    """What a caller does with its record does not change the stored one, on the way in or out."""
    record = a_record()
    store.save(record)
    record.status = Status.ERROR
    found = store.get("c1")
    assert found is not None
    found.title = "changed"
    store.newest(1)[0].title = "changed"
    again = store.get("c1")
    assert again is not None
    assert (again.status, again.title) == (Status.IDLE, "A question")


def test_the_newest_are_those_changed_last(store: MemoryStore) -> None:
    """Newest first, at most so many."""
    for conversation_id in ("a", "b", "c", "a"):
        store.save(a_record(conversation_id))
    assert [each.conversation_id for each in store.newest(2)] == ["a", "c"]
    assert store.newest(0) == []


def test_messages_keep_the_order_of_their_first_appearance(store: MemoryStore) -> None:
    """A message of a known id is replaced in its place."""
    for message in (a_message("a"), a_message("b"), a_message("a", "changed")):
        store.add_message("c1", message)
    assert [(each.message_id, each.content) for each in store.messages("c1")] == [("a", "changed"), ("b", "x")]
    assert store.messages("c2") == []


def test_messages_are_bounded(store: MemoryStore) -> None:
    """The oldest go."""
    for number in range(10):
        store.add_message("c1", a_message(str(number)))
    assert [each.message_id for each in store.messages("c1")] == ["7", "8", "9"]


def test_their_text_is_bounded_too() -> None:
    """The oldest go, also when one grows that is there already; the last one is always kept."""
    store = MemoryStore(max_messages=3, max_chars=10)
    for number in range(3):
        store.add_message("c1", a_message(str(number), "five5"))
    assert [each.message_id for each in store.messages("c1")] == ["1", "2"]
    store.add_message("c1", a_message("2", "sixsix"))
    assert [each.message_id for each in store.messages("c1")] == ["2"]
    store.add_message("c1", a_message("3", "much longer than ten"))
    assert [each.message_id for each in store.messages("c1")] == ["3"]


def test_only_the_newest_checkpoint_counts(store: MemoryStore) -> None:
    """Of each conversation."""
    assert store.checkpoint("c1") is None
    store.save_checkpoint("c1", {"turn": 1})
    store.save_checkpoint("c1", {"turn": 2})
    store.save_checkpoint("c2", {"turn": 9})
    assert store.checkpoint("c1") == {"turn": 2}


def test_delete_forgets_everything_of_one_conversation(store: MemoryStore) -> None:
    """And an unknown one is no error."""
    for conversation_id in ("c1", "c2"):
        store.save(a_record(conversation_id))
        store.add_message(conversation_id, a_message("a"))
        store.save_checkpoint(conversation_id, {})
    store.delete("c1")
    store.delete("c1")
    assert (store.get("c1"), store.messages("c1"), store.checkpoint("c1")) == (None, [], None)
    assert store.get("c2") is not None
    assert store.messages("c2")
