"""The store, on SQLite and on PostgreSQL: the same tests."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import insert

from app.auth.accounts import Accounts
from app.auth.passwords import Passwords
from app.concurrency import AsyncMode
from app.errors import InvalidPayload
from app.protocol.common import ContentType, Status, Usage
from app.protocol.snapshot import ChartView, MessageView, ToolCallView
from app.store import tables
from app.store.base import (
    ChartWritten,
    CheckpointWritten,
    ConversationChanged,
    ConversationRecord,
    ListQuery,
    MessageChanged,
    MessageQuery,
    MessageWithdrawn,
    MessageWritten,
    Reader,
    RunEnded,
    ToolCallWritten,
)
from app.store.database import Database
from app.store.sql import SqlStore

ANN = Reader("ann")


def at(second: float) -> str:
    return f"2026-01-01T00:00:{second:06.3f}Z"


def a_record(conversation_id: str = "c1", **more: Any) -> ConversationRecord:
    fields: dict[str, Any] = {
        "owner": "ann",
        "title": "A question",
        "team": "debate",
        "content_type": ContentType.TEXT,
        "created_at": at(0),
        "updated_at": at(0),
    }
    return ConversationRecord(conversation_id, **(fields | more))


def a_message(message_id: str, content: str = "text", **more: Any) -> MessageView:
    fields: dict[str, Any] = {"agent": "Ann", "state": "complete", "timestamp": at(1)}
    return MessageView(message_id=message_id, content=content, **(fields | more))


def conversation(store: SqlStore, conversation_id: str = "c1", *texts: str, **more: Any) -> None:
    """One with these messages."""
    written = [MessageWritten(conversation_id, a_message(f"m{number}", text)) for number, text in enumerate(texts)]
    store.write([ConversationChanged(a_record(conversation_id, **more)), *written])


def found(store: SqlStore, reader: Reader = ANN, **query: Any) -> list[str]:
    return [record.conversation_id for record in store.find(reader, ListQuery(**query)).records]


def test_a_record_is_kept_and_replaced(store: SqlStore) -> None:
    """Field by field."""
    record = a_record(
        tenant="acme",
        status=Status.ACTIVE,
        demo=True,
        messages=3,
        usage=Usage(prompt_tokens=2**40, completion_tokens=7, estimated=True),
        state={"agents": [{"name": "Änn"}], "outcome": None},
    )
    store.write([ConversationChanged(record)])
    assert store.get("c1") == record
    record.status, record.updated_at, record.title = Status.STOPPED, at(5), "Another"
    store.write([ConversationChanged(record)])
    assert store.get("c1") == record
    assert store.get("c2") is None


def test_messages_come_back_as_they_were_written(store: SqlStore) -> None:
    """Every field, also of one that broke off; in the order of their first appearance."""
    full = a_message(
        "m1",
        "Grüße 🙂",
        role="system",
        content_type="text",
        state="partial",
        confidence=0.25,
        usage=Usage(prompt_tokens=1),
        model="m",
        reason="stopped",
        truncated=True,
        cut_off=True,
        demo=True,
        feedback="up",
        updated_at=at(3),
        updated_by="bob",
    )
    store.write([ConversationChanged(a_record()), MessageWritten("c1", full), MessageWritten("c1", a_message("m2"))])
    again = full.model_copy(update={"content": "more", "usage": None, "confidence": None})
    store.write([MessageWritten("c1", a_message("m3")), MessageWritten("c1", again)])
    page = store.messages("c1", MessageQuery())
    assert [each.view.message_id for each in page.messages] == ["m1", "m2", "m3"]
    assert page.messages[0].view == again
    assert store.message("c1", "m1") == again
    assert store.message("c1", "m9") is None
    assert (page.total, page.more) == (3, False)


def test_a_withdrawn_message_is_gone_and_may_begin_again_behind_the_others(store: SqlStore) -> None:
    conversation(store, "c1", "one", "two")
    store.write([MessageWithdrawn("c1", "m0"), MessageWithdrawn("c1", "never was")])
    store.write([MessageWritten("c1", a_message("m0", "again"))])
    page = store.messages("c1", MessageQuery())
    assert [each.view.message_id for each in page.messages] == ["m1", "m0"]


def test_single_fields_are_changed(store: SqlStore) -> None:
    """An unknown message is no error."""
    conversation(store, "c1", "one")
    changes = {"content": "edited", "feedback": "down", "updated_at": at(9), "updated_by": "bob"}
    store.write([MessageChanged("c1", "m0", changes), MessageChanged("c1", "m9", changes)])
    assert store.message("c1", "m0") == a_message("m0").model_copy(update=changes)


def test_pages_of_messages(store: SqlStore) -> None:
    """Forward by ordinal, or the newest; filtered by role, agent and time."""
    store.write(
        [
            ConversationChanged(a_record()),
            *(
                MessageWritten(
                    "c1",
                    a_message(
                        f"m{number}",
                        role="user" if number % 3 == 0 else "agent",
                        agent=f"A{number % 2}",
                        timestamp=at(number),
                        updated_at=at(30) if number == 1 else None,
                    ),
                )
                for number in range(10)
            ),
        ]
    )

    def ids(**query: Any) -> list[str]:
        return [each.view.message_id for each in store.messages("c1", MessageQuery(**query)).messages]

    first = store.messages("c1", MessageQuery(limit=4))
    assert [each.view.message_id for each in first.messages] == ["m0", "m1", "m2", "m3"]
    assert (first.more, first.total) == (True, 10)
    assert ids(after=first.messages[-1].ordinal, limit=4) == ["m4", "m5", "m6", "m7"]
    last = store.messages("c1", MessageQuery(limit=4, newest=True))
    assert [each.view.message_id for each in last.messages] == ["m6", "m7", "m8", "m9"]
    assert last.more
    assert ids(before="m6", limit=4, newest=True) == ["m2", "m3", "m4", "m5"]
    assert ids(before="m1") == ["m0"]
    assert ids(before="none such") == ids(before="m0") == []
    assert ids(role="user") == ["m0", "m3", "m6", "m9"]
    assert ids(agent="A1", role="agent") == ["m1", "m5", "m7"]
    assert ids(since=at(8)) == ["m1", "m8", "m9"]
    assert store.messages("c9", MessageQuery()).total == 0


def test_lists_are_those_of_a_reader(store: SqlStore, database: Database) -> None:
    """Their own and what is shared with them, within their tenant; nothing else, whatever is asked."""
    conversation(store, "mine", updated_at=at(1))
    conversation(store, "shared", owner="bob", updated_at=at(3))
    conversation(store, "other", owner="bob", updated_at=at(2))
    conversation(store, "acme", tenant="acme", updated_at=at(4))
    share = {"conversation_id": "shared", "user_id": "ann", "role": "viewer", "created_by": "bob", "created_at": at(0)}
    database.write(lambda connection: connection.execute(insert(tables.shares), [share]))
    assert found(store) == ["shared", "mine"]
    assert found(store, Reader("bob")) == ["shared", "other"]
    assert found(store, Reader("ann", "acme")) == ["acme"]
    assert found(store, Reader("")) == []
    assert store.find(ANN, ListQuery()).total == 2


def test_lists_are_filtered(store: SqlStore) -> None:
    conversation(store, "c1", updated_at=at(1), team="chat")
    conversation(store, "c2", updated_at=at(2), status=Status.ERROR)
    conversation(store, "c3", updated_at=at(3), team="chat", status=Status.ERROR)
    assert found(store, team="chat") == ["c3", "c1"]
    assert found(store, status=Status.ERROR) == ["c3", "c2"]
    assert found(store, team="chat", status=Status.ERROR) == ["c3"]
    assert found(store, since=at(2)) == ["c3", "c2"]
    assert found(store, until=at(2)) == ["c1"]


@pytest.mark.parametrize("search", [None, "common"])
def test_pages_go_through_everything_once(store: SqlStore, search: str | None) -> None:
    """Also where many were changed in the same millisecond; the total is that of all pages."""
    for number in range(25):
        conversation(store, f"c{number:02}", "common words", updated_at=at(number // 10))
    seen: list[str] = []
    cursor, pages = None, 0
    while True:
        page = store.find(ANN, ListQuery(limit=7, cursor=cursor, search=search))
        seen += [record.conversation_id for record in page.records]
        pages += 1
        assert page.total == 25
        cursor = page.cursor
        if cursor is None:
            break
    assert pages == 4
    assert seen == sorted(seen, key=lambda each: (int(each[1:]) // 10, each), reverse=True)
    assert len(set(seen)) == 25


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "é",
        "A" * 10_000,
        base64.urlsafe_b64encode(b'["2026-01-01T00:00:00.000Z"]').decode(),
        base64.urlsafe_b64encode(b"[1,2]").decode(),
        base64.urlsafe_b64encode(b'["x","c1"]').decode(),
        base64.urlsafe_b64encode(b'["2026-01-01T00:00:00.000Z","a\\u0000b"]').decode(),
        base64.urlsafe_b64encode(b"[" * 5000).decode(),
    ],
)
def test_a_cursor_that_is_none_is_refused(store: SqlStore, cursor: str) -> None:
    with pytest.raises(InvalidPayload, match="cursor"):
        store.find(ANN, ListQuery(cursor=cursor))


def test_search_finds_words(store: SqlStore) -> None:
    """All of them in the title or in one message; the last one may be a beginning; case and accents do not matter."""
    conversation(store, "c1", "The bank keeps its dividend", "Risk is low", title="Über Banken", updated_at=at(1))
    conversation(store, "c2", "dividend yield", "a bank", title="Something else", updated_at=at(2))
    assert found(store, search="dividend") == ["c2", "c1"]
    assert found(store, search="bank dividend") == ["c1"]
    assert found(store, search="DIVI") == ["c2", "c1"]
    assert found(store, search="divi yield") == []
    assert found(store, search="über ban") == ["c1"]
    assert found(store, search="keeps risk") == []
    assert found(store, search="its, (dividend)!") == ["c1"]
    assert found(store, search="   ") == ["c2", "c1"]
    assert found(store, search="dividend", until=at(2)) == ["c1"]
    assert found(store, Reader("bob"), search="dividend") == []
    assert store.find(ANN, ListQuery(search="dividend", limit=1)).total == 2


@pytest.mark.parametrize(
    "search", ['"', "a OR z", "NEAR(a z)", "text:x", "^z", "z*", "';--", "a & b | !c", "\0", "\ud800", "(((", "%", ":*"]
)
def test_nothing_typed_into_the_search_is_an_error(store: SqlStore, search: str) -> None:
    """No language of queries shows through."""
    conversation(store, "c1", "nothing of that")
    assert found(store, search=search) == []


def test_search_follows_what_happens_to_a_message(store: SqlStore) -> None:
    """Not while it is being written; then until it is edited, withdrawn or deleted."""
    conversation(store, "c1", title="unicorn")
    store.write([MessageWritten("c1", a_message("m1", "aardvark", state="open"))])
    assert found(store, search="aardvark") == []
    store.write([MessageWritten("c1", a_message("m1", "aardvark buffalo", state="partial"))])
    assert found(store, search="aardvark") == ["c1"]
    store.write([MessageChanged("c1", "m1", {"content": "buffalo cheetah"})])
    assert found(store, search="aardvark") == []
    assert found(store, search="cheetah") == ["c1"]
    store.write([MessageWithdrawn("c1", "m1")])
    assert found(store, search="cheetah") == []
    store.write([ConversationChanged(a_record(title="dragon"))])
    assert found(store, search="unicorn") == []
    assert found(store, search="dragon") == ["c1"]
    assert store.delete("c1")
    conversation(store, "c2", title="dolphin")  # SQLite gives it the number of the deleted one
    assert found(store, search="dragon") == []
    assert found(store, search="dolphin") == ["c2"]


def test_a_message_longer_than_any_index_takes_is_kept(store: SqlStore) -> None:
    """PostgreSQL's index has room for a megabyte."""
    text = " ".join(f"word{number}" for number in range(400_000))
    conversation(store, "c1", text, "x" * 3_000_000)
    assert store.message("c1", "m0") == a_message("m0", text)
    assert found(store, search="word7") == ["c1"]


def test_a_conversation_by_its_title(store: SqlStore) -> None:
    """The newest of that name, among one's own."""
    conversation(store, "c1", title="name", updated_at=at(1))
    conversation(store, "c2", title="name", updated_at=at(2))
    conversation(store, "c3", title="name", updated_at=at(3), owner="bob")
    assert store.named(ANN, "name") == "c2"
    assert store.named(ANN, "nam") is None


def test_tool_calls_and_charts(store: SqlStore) -> None:
    """The newest, oldest first; a result replaces the call that is still running."""
    calls = [ToolCallView(call_id=f"t{number}", agent="Ann", tool="quote", timestamp=at(1)) for number in range(5)]
    charts = [ChartView(chart_id=f"p{number}", url="/charts/1", agent=None, timestamp=at(1)) for number in range(3)]
    store.write(
        [
            ConversationChanged(a_record()),
            *(ToolCallWritten("c1", call, at(1)) for call in calls),
            *(ChartWritten("c1", chart, at(1)) for chart in charts),
        ]
    )
    answered = calls[3].model_copy(update={"success": True, "preview": "1"})
    store.write([ToolCallWritten("c1", answered, at(2))])
    assert store.tool_calls("c1", limit=3) == (calls[2], answered, calls[4])
    assert store.charts("c1", limit=2) == tuple(charts[1:])


def test_runs_are_counted_once(store: SqlStore) -> None:
    """However often they are written: an attempt may have succeeded although it looked otherwise."""
    run = RunEnded(
        "c1", "s1", "ann", "debate", "m", Status.STOPPED, None, at(1), Usage(prompt_tokens=3, completion_tokens=4)
    )
    store.write([ConversationChanged(a_record()), run, run])
    store.write([run])
    other = RunEnded("c1", "s2", "ann", "debate", None, Status.ERROR, "x", at(2), Usage(completion_tokens=10))
    store.write([other])
    assert store.spent_today((None, "ann"), "2026-01-01") == Usage(prompt_tokens=3, completion_tokens=14)
    assert store.spent_today((None, "ann"), "2026-01-02") == Usage()
    theirs = replace(other, session_id="s3", tenant="acme")  # the same name elsewhere is somebody else
    store.write([theirs])
    assert store.spent_today(("acme", "ann"), "2026-01-01") == Usage(completion_tokens=10)
    assert store.spent_today((None, "ann"), "2026-01-01") == Usage(prompt_tokens=3, completion_tokens=14)


def test_feedback_and_checkpoints(store: SqlStore) -> None:
    conversation(store, "c1", "one")
    store.rate("c1", "m0", "ann", "up", at(1))
    store.rate("c1", "m0", "ann", "down", at(2))
    store.rate("c1", "m0", "ann", None, at(3))
    store.rate("c9", "m0", "ann", "up", at(1))
    store.write([CheckpointWritten("c1", "debate", {"turn": 1, "odd": "\0\ud800"}, at(1))])
    store.write([CheckpointWritten("c1", "chat", {"turn": 2, "odd": "\0\ud800"}, at(1))])
    assert store.checkpoint("c1") == ("chat", {"turn": 2, "odd": "\0\ud800"})
    store.write([CheckpointWritten("c1", "chat", {}, at(1))])
    assert store.checkpoint("c1") is None


def test_what_belongs_to_no_conversation_is_left_out(store: SqlStore) -> None:
    """It was deleted while this was on its way."""
    conversation(store, "c1")
    assert store.delete("c1")
    assert not store.delete("c1")
    store.write(
        [
            MessageWritten("c1", a_message("m1")),
            ToolCallWritten("c1", ToolCallView(call_id="t", agent="A", tool="x"), at(1)),
            CheckpointWritten("c1", "debate", {"a": 1}, at(1)),
            ConversationChanged(a_record("c2")),
            MessageWritten("c2", a_message("m1")),
        ]
    )
    assert store.get("c1") is None
    assert store.messages("c1", MessageQuery()).total == 0
    assert store.messages("c2", MessageQuery()).total == 1


def test_odd_characters_and_long_names_are_made_fit(store: SqlStore) -> None:
    """Neither stops what comes behind it."""
    odd = "a\0b\ud800c"
    long = "n" * 1000
    store.write(
        [
            ConversationChanged(a_record(title=odd, state={"error": {"error": odd}, odd: [odd]})),
            MessageWritten("c1", a_message("i" * 100, odd, agent=long, model=long, reason=odd)),
            MessageWritten("c1", a_message("i" * 101, "two")),
            MessageChanged("c1", "i" * 101, {"content": odd, "updated_by": long}),
            ToolCallWritten("c1", ToolCallView(call_id=long, agent=odd, tool=long, arguments=odd), at(1)),
            ChartWritten("c1", ChartView(chart_id=odd, url=odd, agent=long), at(1)),
        ]
    )
    clean = "a\ufffdb\ufffdc"
    record = store.get("c1")
    assert record is not None
    assert (record.title, record.state) == (clean, {"error": {"error": clean}, clean: [clean]})
    first, second = (each.view for each in store.messages("c1", MessageQuery()).messages)
    assert (first.content, first.agent, first.model, first.reason) == (clean, "n" * 255, "n" * 255, clean)
    assert (second.content, second.updated_by) == (clean, "n" * 255)
    assert first.message_id != second.message_id
    assert len(store.tool_calls("c1")) == len(store.charts("c1")) == 1


def test_unfinished_and_expired(store: SqlStore) -> None:
    """What the server died under, and what retention lets go: by age, and beyond so many of each owner."""
    for number in range(4):
        conversation(store, f"c{number}", updated_at=at(number), status=Status.COMPLETED)
    conversation(store, "b0", owner="bob", updated_at=at(0), status=Status.ERROR)
    conversation(store, "r0", updated_at=at(0), status=Status.PAUSED)
    assert [record.conversation_id for record in store.unfinished()] == ["r0"]
    assert set(store.expired(changed_before=at(2), keep_newest=None)) == {"c0", "c1", "b0"}
    assert set(store.expired(changed_before=None, keep_newest=3)) == {"c0"}
    assert set(store.expired(changed_before=at(1), keep_newest=1)) == {"c0", "c1", "c2", "b0"}
    assert store.expired(changed_before=None, keep_newest=None) == ()


def test_what_a_deleted_account_leaves_is_found(store: SqlStore, database: Database) -> None:
    """Also what runs; other people's is not, nor that of who has no account."""
    accounts = Accounts(database, Passwords(AsyncMode("threading")))
    gone, stays = (accounts.register(login, "correct horse battery") for login in ("ada", "eve"))
    conversation(store, "a0", owner=gone.user_id, status=Status.COMPLETED)
    conversation(store, "a1", owner=gone.user_id, status=Status.PAUSED)
    conversation(store, "e0", owner=stays.user_id, status=Status.COMPLETED)
    conversation(store, "j0", owner="ada", status=Status.COMPLETED)
    assert store.orphans() == ()
    accounts.delete(gone.user_id)
    assert set(store.orphans()) == {"a0", "a1"}


def test_what_is_asked_about_nonsense_is_answered(store: SqlStore) -> None:
    """Ids come from addresses: no character of theirs is an error."""
    for odd in ("\0", "\ud800", "x" * 5000, "' OR 1=1 --"):
        assert store.get(odd) is None
        assert store.messages(odd, MessageQuery(role=odd, agent=odd)).total == 0
        assert store.message("c1", odd) is None
        assert store.checkpoint(odd) is None
        assert store.named(ANN, odd) is None
        assert not store.delete(odd)
        assert found(store, Reader(odd, odd), team=odd) == []
