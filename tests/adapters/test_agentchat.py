"""All kinds of AutoGen teams through the adapter, in one process, against the scripted model server."""

from __future__ import annotations

import json

import pytest

from app.providers.network import Network
from app.runner.wire import Checkpoint, Ended, TranscriptMessage
from tests.adapters.room import MODEL, play
from tests.runner.harness import provider
from tests.support.model_server import ModelServer


@pytest.mark.parametrize(
    ("factory", "agents", "steps"),
    [
        ("single", ["solo"], True),
        ("terminated", ["a", "b", "a"], True),
        ("quiet", ["quiet", "quiet"], True),
        ("selected", None, True),
        ("own_client", ["own"], True),
        ("tools", ["helper"], True),
        ("swallowing", ["odd"], True),
    ],
)
async def test_teams_of_all_kinds(
    factory: str, agents: list[str] | None, steps: bool, network: Network, model: ModelServer
) -> None:
    """They run to their end, message by message; those that can step leave a checkpoint before and after each turn."""
    room = await play(network, model, factory)
    assert isinstance(room.heard[-1], Ended)
    assert room.heard[-1].outcome == "completed"
    said = [message["agent"] for message in room.payloads("agent_message")]
    assert said == agents or (agents is None and len(said) == 2)
    assert [step["turn"] for step in room.payloads("agent_step")] == list(range(1, len(said) + 1))
    checkpoints = [message for message in room.heard if isinstance(message, Checkpoint)]
    assert len(checkpoints) == (1 + len(said) if steps else 0)
    assert room.payloads("conversation_status")[0]["status"] == "active"


@pytest.mark.parametrize("factory", ["single", "quiet", "swallowing", "parallel"])
async def test_little_credit_is_enough(factory: str, network: Network, model: ModelServer) -> None:
    """No team gets stuck with five tokens at a time, whatever becomes of its deltas."""
    room = await play(network, model, factory, allowed=5)
    assert room.heard[-1].outcome == "completed"  # type: ignore[attr-defined]


async def test_agents_that_speak_at_once(network: Network, model: ModelServer) -> None:
    """Each message has its own text, though both begin with the same word at the same time."""
    room = await play(network, model, "parallel")
    said = [message["agent"] for message in room.payloads("agent_message")]
    assert said[0] == "first"
    assert sorted(said[1:3]) == ["left", "right"]
    assert said[3] == "last"
    assert [step["turn"] for step in room.payloads("agent_step")] == [1, 2, 3, 4]


async def test_an_agent_that_revises_its_words(network: Network, model: ModelServer) -> None:
    """What was streamed is withdrawn, and the message is what the agent settled on."""
    room = await play(network, model, "revising")
    assert len(room.payloads("message_reset")) == 1
    assert room.payloads("agent_message")[0]["content"] == "I say something else."


async def test_an_agent_that_fails(network: Network, model: ModelServer) -> None:
    """A typed error that names the mistake."""
    room = await play(network, model, "failing")
    ended = room.heard[-1]
    assert isinstance(ended, Ended)
    assert (ended.outcome, ended.code) == ("error", "team_failed")
    assert "ZeroDivisionError" in (ended.message or "")


async def test_a_team_that_cannot_step_restarts_from_its_transcript(network: Network, model: ModelServer) -> None:
    """The messages so far are its task."""
    since = model.stats()["total"]
    transcript = (
        TranscriptMessage(agent="user", role="user", content="A question."),
        TranscriptMessage(agent="a", role="agent", content="An answer."),
    )
    await play(network, model, "terminated", transcript=transcript, resumed=True)
    messages = model.stats(since=since)["requests"][0]["messages"]
    assert [message["content"] for message in messages if message["role"] == "user"] == ["A question.", "An answer."]


async def test_condensed_history_is_flagged(network: Network, model: ModelServer) -> None:
    """What the model reads fits its context, and the message says that something was left out."""
    since = model.stats()["total"]
    small = provider(model.url, MODEL, context_tokens=1024)
    room = await play(network, model, "single", content="word " * 4000, providers=(small,))
    assert room.payloads("agent_message")[0]["truncated"] is True
    assert "[… condensed …]" in str(model.stats(since=since)["requests"][0]["messages"])


@pytest.mark.parametrize("team", ["structured", "structured_team"])
async def test_agents_that_answer_with_an_object_need_no_registration(
    team: str, network: Network, model: ModelServer
) -> None:
    """AutoGen wants teams to be told of such types; for a single agent nobody could."""
    room = await play(network, model, team)
    assert room.ended.outcome == "completed"
    agent, text = room.said()[0]
    assert (agent, json.loads(text)["summary"]) == ("judge", "Three agents have argued.")
