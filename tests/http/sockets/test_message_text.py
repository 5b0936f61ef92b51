"""What a reader of messages is told has changed."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.http.sockets.message_text import Change, Texts, begins, changed_in
from app.protocol.dialects.messages import Message
from app.protocol.events import AgentMessage, Event, MessageDelta, MessageReset, MessageStart, MessageUpdated
from app.streaming.log import ConversationLog, LogEntry

EMPTY: dict[str, Any] = {"messages": []}


def log_of(*events: Event) -> list[LogEntry]:
    """The events as log entries; the time is the offset."""
    log = ConversationLog("c", max_entries=1000, max_bytes=10_000_000, epoch="e")
    return [
        log.append(event.name, event.to_wire(), timestamp=f"2026-11-21T00:00:00.{number:03}Z", demo=False)
        for number, event in enumerate(events, 1)
    ]


def begin(message_id: str = "m", agent: str = "Ann") -> Event:
    return MessageStart(message_id=message_id, agent=agent)


def say(delta: str, message_id: str = "m", agent: str = "Ann") -> Event:
    return MessageDelta(message_id=message_id, agent=agent, delta=delta)


def whole(content: str, message_id: str = "m", agent: str = "Ann") -> Event:
    return AgentMessage(message_id=message_id, agent=agent, content=content)


def changes(texts: Texts, entries: list[LogEntry], stored: Message | None = None) -> list[Change]:
    return list(texts.changes(entries, lambda _: stored))


def test_growth_in_portions() -> None:
    """Added once, with what there is by then; afterwards what was appended, and the whole."""
    entries = log_of(begin(), say("Ban"), say("k"), say("s."), whole("Banks."))
    texts = Texts(EMPTY)
    first, second, third = (changes(texts, part) for part in (entries[:3], entries[3:4], entries[4:]))
    assert [(each.added, each.message.message, each.offset) for each in first] == [(True, "Bank", 3)]
    assert [(each.added, each.appended, each.message.message) for each in second] == [(False, "s.", "Banks.")]
    assert [(each.added, each.appended) for each in third] == [(False, "")]
    assert second[0].message.timestamp == entries[0].payload["timestamp"]
    assert second[0].message.updated_at == entries[3].payload["timestamp"]


def test_a_whole_that_differs_replaces() -> None:
    """Nothing can be appended to what was wrong."""
    texts = Texts(EMPTY)
    changes(texts, log_of(begin(), say("Ban")))
    (change,) = changes(texts, log_of(whole("Cash.")))
    assert (change.appended, change.message.message) == (None, "Cash.")


def test_messages_that_take_turns() -> None:
    """Each change has the offset of its own last entry: the position never runs ahead of what was told."""
    entries = log_of(begin("a"), begin("b", "Bob"), say("1", "a"), say("2", "b", "Bob"), whole("1", "a"))
    told = changes(Texts(EMPTY), entries)
    assert [(each.message.id, each.added, each.offset) for each in told] == [
        ("a", True, 1),
        ("b", True, 2),
        ("a", False, 3),
        ("b", False, 4),
        ("a", False, 5),
    ]


def test_a_withdrawn_message() -> None:
    """Its text is gone; begun again under its id it is not added twice."""
    texts = Texts(EMPTY)
    changes(texts, log_of(begin(), say("Ban")))
    (gone,) = changes(texts, log_of(MessageReset(message_id="m", agent="Ann", reason="model_broken")))
    assert (gone.added, gone.appended, gone.message.message) == (False, None, "")
    (again,) = changes(texts, log_of(begin(), say("Cash")))
    assert (again.added, again.message.message) == (False, "Cash")


def test_what_stands_in_the_snapshot_goes_on() -> None:
    """An open message is not added again, and its text is complete."""
    view = {"message_id": "m", "agent": "Ann", "role": "agent", "content": "Ban", "state": "open", "timestamp": "t"}
    (change,) = changes(Texts({"messages": [view]}), log_of(say("ks.")))
    assert (change.added, change.appended, change.message.message) == (False, "ks.", "Banks.")


def test_feedback_on_a_finished_message() -> None:
    """It is looked up, since its text is no longer held."""
    texts = Texts(EMPTY)
    changes(texts, log_of(whole("Banks.")))
    now = Message(id="m", role="Ann", message="Banks.", timestamp="t", updated_at="u", feedback_received=True)
    entries = log_of(MessageUpdated(message_id="m", agent="Ann", changes={"feedback": "up"}, updated_by="local"))
    (change,) = changes(texts, entries, now)
    assert (change.message, change.edited, change.added) == (now, True, False)
    assert changes(texts, entries, None) == []  # forgotten meanwhile


def test_what_was_missed() -> None:
    """Which messages began in between, which went on, and which are no more."""
    entries = log_of(
        say("b", "old"), begin("new"), begin("lost"), MessageReset(message_id="lost", agent="Ann", reason="x")
    )
    seen: dict[str, LogEntry] = {}
    withdrawn: dict[str, dict[str, Any]] = {}
    changed_in(entries, seen, withdrawn)
    assert set(seen) == {"old", "new", "lost"}
    assert set(withdrawn) == {"lost"}
    assert not begins(seen["old"], {"timestamp": "earlier"})
    assert begins(seen["new"], {"timestamp": seen["new"].payload["timestamp"]})


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["say", "reset", "begin"]), st.text(max_size=3))),
    st.lists(st.integers(0, 30), max_size=5),
)
def test_however_it_is_cut(steps: list[tuple[str, str, str]], cuts: list[int]) -> None:
    """In whatever portions the log is read: a client that appends and replaces as told holds the log's texts."""
    made: list[Event] = []
    expected: dict[str, str] = {}
    for name, step, text in steps:
        if step == "say":
            made.append(say(text, name))
            expected[name] = expected.get(name, "") + text
        elif step == "begin":
            made.append(begin(name))
            expected[name] = ""
        elif name in expected:
            made.append(MessageReset(message_id=name, agent="Ann", reason="x"))
            expected[name] = ""
    entries = log_of(*made)
    texts = Texts(EMPTY)
    held: dict[str, str] = {}
    edges = sorted({0, len(entries), *(cut for cut in cuts if cut < len(entries))})
    for low, high in pairwise(edges):
        for change in changes(texts, entries[low:high]):
            assert change.added is (change.message.id not in held)
            appended = change.appended if change.message.id in held else None
            held[change.message.id] = change.message.message if appended is None else held[change.message.id] + appended
    assert held == expected
