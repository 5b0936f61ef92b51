"""What passes from a run to its session."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.protocol.common import Status, Usage
from app.protocol.events import AgentStep, ConversationComplete, Event, MessageDelta
from app.streaming.feed import Ending, Frame, Item, SessionSink, cut_item, join_frames


def an_item(event: Event, *, demo: bool = False) -> Item:
    return Item((event.name, event.to_wire(), demo), came_at=0.0)


def a_delta(text: str, message_id: str = "m1", *, demo: bool = False) -> Item:
    return an_item(MessageDelta(message_id=message_id, agent="Ann", delta=text), demo=demo)


def texts(frames: list[Frame]) -> list[str]:
    return [payload.get("delta", name) for name, payload, _ in frames]


def test_deltas_of_one_message_are_joined() -> None:
    """Up to the next other event, message or demo mark."""
    step = an_item(AgentStep(agent="Ann", turn=1))
    items = [a_delta("a"), a_delta("b"), step, a_delta("c"), a_delta("d", "m2"), a_delta("e", "m2", demo=True)]
    frames, ending = join_frames(items, cut_short=False)
    assert texts(frames) == ["ab", AgentStep.name, "c", "d", "e"]
    assert frames[0][1]["tokens"] == 2
    assert ending is None


def test_nothing_comes_after_the_end() -> None:
    """What a late producer put behind it is not shown."""
    end = Ending(Status.COMPLETED)
    frames, ending = join_frames([a_delta("a"), Item(None, 0.0, end), a_delta("late")], cut_short=False)
    assert texts(frames) == ["a"]
    assert ending is end


def test_a_run_that_was_cut_short_did_not_complete() -> None:
    """Its own `conversation_complete` is dropped, its text is kept."""
    items = [a_delta("a"), an_item(ConversationComplete()), a_delta("b")]
    assert texts(join_frames(items, cut_short=True)[0]) == ["ab"]
    assert texts(join_frames(items, cut_short=False)[0]) == ["a", ConversationComplete.name, "b"]


class _Hearer:
    """Stands in for a session, and writes down what it hears."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def feed(self, name: str, payload: dict[str, Any], tokens: int, demo: bool) -> None:
        self.heard.append((name, payload, tokens, demo))

    def keep(self, checkpoint: dict[str, Any]) -> None:
        self.heard.append(checkpoint)

    def ran_out(self, ending: Ending) -> None:
        self.heard.append(ending)

    def runner_lost(self) -> None:
        self.heard.append("lost")


@pytest.mark.parametrize(
    ("outcome", "code", "status"),
    [("completed", None, Status.COMPLETED), ("stopped", None, Status.STOPPED), ("error", "team_failed", Status.ERROR)],
)
def test_the_end_of_a_run_is_translated(outcome: str, code: str | None, status: Status) -> None:
    """Only an error carries an error, and the run has told the room of it already."""
    hearer = _Hearer()
    usage = Usage(prompt_tokens=3)
    SessionSink(hearer).on_ended(outcome, code, "it failed" if code else None, False, usage)
    (ending,) = hearer.heard
    assert (ending.status, ending.usage, ending.said) == (status, usage, code is not None)
    assert (ending.error.error_code if ending.error else None) == code


def test_a_cut_sink_hears_nothing() -> None:
    """The session has a newer run, or has ended."""
    hearer = _Hearer()
    sink = SessionSink(hearer)
    sink.on_event("x", {}, 1, False)
    sink.cut()
    sink.on_event("y", {}, 1, False)
    sink.on_checkpoint({})
    sink.on_ended("completed", None, None, False, Usage())
    sink.on_lost()
    assert hearer.heard == [("x", {}, 1, False)]


def test_a_loss_is_told_once_and_is_the_last_news() -> None:
    """Nothing more comes from a dead runner."""
    hearer = _Hearer()
    sink = SessionSink(hearer)
    sink.on_lost()
    sink.on_lost()
    sink.on_ended("completed", None, None, False, Usage())
    assert hearer.heard == ["lost"]


@given(text=st.text(min_size=0, max_size=60), tokens=st.integers(2, 50), data=st.data())
def test_a_divided_delta_is_the_same_delta(text: str, tokens: int, data: st.DataObject) -> None:
    """Two parts, neither empty, that together are the text and the tokens."""
    first = data.draw(st.integers(1, tokens - 1))
    payload = {"message_id": "m", "agent": "a", "delta": text, "tokens": tokens}
    parts = cut_item(Item((MessageDelta.name, payload, False), 0.0), tokens, first)
    if parts is None:
        assert len(text) < 2 or first * len(text) // tokens >= len(text)
        return
    frames = [part.frame for part in parts]
    assert all(frame is not None and frame[1]["delta"] for frame in frames)
    assert "".join(frame[1]["delta"] for frame in frames if frame) == text
    assert [frame[1]["tokens"] for frame in frames if frame] == [first, tokens - first]
