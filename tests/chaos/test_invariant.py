"""The judge itself: each way in which a reader may be wronged is noticed, and nothing else is."""

from __future__ import annotations

from typing import Any

import pytest

from app.streaming.conversation import Conversation
from tests.chaos.invariant import History
from tests.streaming.fakes import RecordingTransport, a_conversation
from tests.streaming.simulation import Simulation


@pytest.fixture
def conversation() -> Conversation:
    simulation = Simulation()
    return a_conversation(simulation, RecordingTransport(simulation))


@pytest.fixture
def history(conversation: Conversation) -> History:
    """A reader that has joined at the beginning."""
    history = History("reader", conversation.id)
    history.joined(None, conversation.join("sid").model_dump(mode="json"))
    return history


def delta(conversation: Conversation, before: int, after: int, text: str = "x", epoch: str = "") -> tuple[str, Any]:
    place = {"epoch": epoch or conversation.log.epoch, "prev_offset": before, "offset": after}
    said = {"message_id": "m1", "agent": "Ann", "delta": text, "tokens": 1}
    return "message_delta", {"conversation_id": conversation.id, "timestamp": "t", "demo": False, **place, **said}


def kinds(history: History) -> list[str]:
    return [violation.kind for violation in history.violations]


@pytest.mark.parametrize(
    ("places", "wrong"),
    [
        ([(0, 1), (1, 2), (2, 9)], []),
        ([(0, 1), (2, 3)], ["hole"]),
        ([(0, 1), (0, 1)], ["double"]),
        ([(0, 3), (2, 4)], ["double"]),
        ([(0, 1), (2, 3), (1, 2)], ["hole", "reordering"]),
    ],
)
def test_the_chain(
    conversation: Conversation, history: History, places: list[tuple[int, int]], wrong: list[str]
) -> None:
    """Holes, doubles and what comes too late."""
    for before, after in places:
        history.take(*delta(conversation, before, after))
    assert kinds(history) == wrong


def test_other_wrongs(conversation: Conversation, history: History) -> None:
    """Another log, and what comes to one who does not follow."""
    history.take(*delta(conversation, 0, 1, epoch="other"))
    history.lost()
    history.take(*delta(conversation, 0, 1))
    assert kinds(history) == ["epoch", "early"]


def test_an_answer_to_a_join_is_looked_at(conversation: Conversation, history: History) -> None:
    """Recovered, but somewhere else."""
    asked = history.position
    history.joined(asked, {"recovered": True, "snapshot": None, "epoch": conversation.log.epoch, "offset": 5})
    assert kinds(history) == ["ack"]


def test_the_end_is_compared_with_the_server(conversation: Conversation, history: History) -> None:
    """Somebody who is not there, and somebody who holds another text."""
    truth = dict(conversation.snapshot())
    history.check({**truth, "offset": 7}, "")
    history.check({**truth, "title": "another"}, "")
    assert kinds(history) == ["stuck", "text"]


def test_the_text_is_what_the_model_has_said(conversation: Conversation, history: History) -> None:
    """A server that all agree with may still be wrong."""
    history.take(*delta(conversation, 0, 1, text="word1 wurd2"))
    assert history.state is not None
    history.check(dict(history.state), "word1 word2 ")
    assert kinds(history) == ["script"]
