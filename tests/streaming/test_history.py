"""What a run is resumed with."""

from __future__ import annotations

import pytest

from app.protocol.common import ContentType
from app.protocol.events import AgentMessage
from app.runner.wire import StartRun
from app.streaming import history
from app.streaming.history import RunHistory
from tests.streaming.fakes import TEAM


def said(run_history: RunHistory, content: str) -> None:
    message = AgentMessage(message_id=content, agent="Ann", role="agent", content=content)
    run_history.note(message.name, message.to_wire())


def test_the_transcript_is_bounded_in_messages_and_in_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest go; the last one is always kept."""
    monkeypatch.setattr(history, "_MAX_TRANSCRIPT", 3)
    monkeypatch.setattr(history, "_MAX_TRANSCRIPT_CHARS", 10)
    run_history = RunHistory(None)
    a_run = StartRun(session="s1", conversation="c1", team=TEAM, content="Why?", content_type=ContentType.TEXT)
    for content in ("one", "two", "six", "ten"):
        said(run_history, content)
    resumed = run_history.resume(a_run, 1)
    assert [message.content for message in resumed.transcript] == [a_run.content, "two", "six", "ten"]
    for content in ("seven", "eight", "much more than ten"):
        said(run_history, content)
    assert [message.content for message in run_history.resume(resumed, 1).transcript[4:]] == ["much more than ten"]
