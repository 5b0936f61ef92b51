"""Answers typed at the terminal: which line is whose, and what is not shown."""

from __future__ import annotations

import os
import pty
import sys
import termios
from collections.abc import Iterator
from typing import Any

import pytest

from app.cli.answers import Answers
from app.client import ClientError, Happening, Replaced
from app.protocol.events import InputRequest, InputResolved
from app.protocol.snapshot import InputView, Snapshot
from tests.support.waiting import wait_until


class Stage:
    """A terminal, a stand-in for the stream that is answered, and one for the screen."""

    def __init__(self) -> None:
        self.person, self.terminal = pty.openpty()
        self.given: list[tuple[str, str]] = []
        self.said: list[str] = []
        self.refusals: dict[str, ClientError] = {}

    def fileno(self) -> int:
        return self.terminal

    def provide_input(self, request_id: str, content: str) -> None:
        self.given.append((request_id, content))
        if content in self.refusals:
            raise self.refusals[content]

    def say(self, sentence: str, *, warning: bool = False) -> None:
        self.said.append(sentence)

    def type(self, line: str) -> None:
        os.write(self.person, line.encode() + b"\n")

    @property
    def shows(self) -> bool:
        return bool(termios.tcgetattr(self.terminal)[3] & termios.ECHO)


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    made = Stage()
    monkeypatch.setattr(sys, "stdin", made)
    yield made
    os.close(made.person)
    os.close(made.terminal)


def answers(stage: Stage, *, wanted: bool = True) -> Answers:
    either: Any = stage
    return Answers(either, either, wanted=wanted)


def happening(body: Any) -> Happening:
    return Happening(getattr(body, "name", "client:replaced"), body, {})


def asks(request_id: str, **more: Any) -> Happening:
    return happening(InputRequest(request_id=request_id, agent="Ann", **more))


def test_a_line_goes_to_who_has_asked_first(stage: Stage) -> None:
    """What somebody else has answered is no longer asked."""
    with answers(stage) as typed:
        for request_id in ("r1", "r2", "r3"):
            typed.hear(asks(request_id))
        typed.hear(happening(InputResolved(request_id="r1", resolution="answered", by="ann")))
        stage.type("two")
        stage.type("three")
        stage.type("too much")
        wait_until(lambda: "nobody asks; this line goes to nobody" in stage.said, "the third line")
    assert stage.given == [("r2", "two"), ("r3", "three")]


def test_what_was_no_answer_is_asked_for_again(stage: Stage) -> None:
    """The person is told why; an answer that comes too late is over."""
    stage.refusals = {
        "perhaps": ClientError("invalid_payload", "yes or no"),
        "late": ClientError("input_resolved", "too late"),
    }
    with answers(stage) as typed:
        typed.hear(happening(Replaced(waiting("r1", "r2"), "joined")))
        for line in ("perhaps", "yes", "late"):
            stage.type(line)
        wait_until(lambda: len(stage.given) == 3, "three lines")
    assert stage.given == [("r1", "perhaps"), ("r1", "yes"), ("r2", "late")]
    assert stage.said == ["yes or no", "too late"]


def waiting(*request_ids: str) -> Snapshot:
    pending = tuple(InputView(request_id=each, agent="Ann", kind="permission") for each in request_ids)
    return Snapshot(conversation_id="c", epoch="e", offset=1, created_at="t", pending_inputs=pending)


def test_a_secret_is_not_shown(stage: Stage) -> None:
    """While it is asked for; and the terminal is left as it was."""
    with answers(stage) as typed:
        typed.hear(asks("r1", secret=True))
        typed.hear(asks("r2"))
        assert not stage.shows
        stage.type("sesame")
        wait_until(lambda: stage.shows, "the echo")
        typed.hear(happening(InputResolved(request_id="r2", resolution="timeout")))
        typed.hear(asks("r3", secret=True))
        assert not stage.shows
    assert stage.shows
    assert stage.given == [("r1", "sesame")]


def test_nothing_is_read_where_nobody_wants_to_answer(stage: Stage) -> None:
    """The question is for others."""
    with answers(stage, wanted=False) as typed:
        typed.hear(asks("r1", secret=True))
        assert stage.shows
    assert stage.given == []
