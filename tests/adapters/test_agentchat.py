"""All kinds of AutoGen teams through the adapter, in one process, against the scripted model server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from app.protocol.common import Payload
from app.providers.network import Network
from app.runner.run import Run
from app.runner.wire import Checkpoint, Ended, Limits, RunEvent, StartRun, TeamSpec, TranscriptMessage
from tests.runner.harness import provider
from tests.support.model_server import ModelServer

MODEL = "scripted?tokens=12&token_delay_ms=1"


class Room:
    """A link that keeps what it is given, and grants at once what was sent."""

    def __init__(self) -> None:
        self.heard: list[Payload] = []
        self.texts: dict[str, str] = {}
        self.tokens = 0

    def send(self, message: Payload, session: str | None = None) -> None:
        self.heard.append(message)
        if isinstance(message, RunEvent):
            self.tokens += message.tokens
            if message.name == "message_reset":
                self.texts.pop(message.payload["message_id"])

    def send_delta(self, session: str, message_id: str, agent: str, text: str, tokens: int, *, demo: bool) -> None:
        self.texts[message_id] = self.texts.get(message_id, "") + text
        self.tokens += tokens

    def payloads(self, name: str) -> list[dict[str, Any]]:
        return [m.payload for m in self.heard if isinstance(m, RunEvent) and m.name == name]


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture
async def network() -> AsyncIterator[Network]:
    network = Network()
    yield network
    await network.aclose()


async def play(network: Network, model: ModelServer, factory: str, allowed: int = 10_000, **fields: Any) -> Room:
    """Run a team of ``own_teams`` to its end, with a reader that takes everything."""
    values: dict[str, Any] = {
        "content": "A question.",
        "content_type": "text",
        "providers": (provider(model.url, fields.pop("model_name", MODEL)),),
        "limits": Limits(word_delay_ms=0),
        **fields,
    }
    team = TeamSpec(name="mine", factory=f"tests.adapters.own_teams:{factory}")
    room = Room()
    run = Run(StartRun(session="s", conversation="c", team=team, allowed=allowed, **values), room, network)  # type: ignore[arg-type]
    living = asyncio.create_task(run.live())
    async with asyncio.timeout(20):
        while not living.done():
            run.gate.grant(room.tokens + allowed)
            await asyncio.wait([living], timeout=0.01)
    for message in room.payloads("agent_message"):
        assert room.texts.get(message["message_id"], "") == message["content"]
    assert run.gate.credit + room.tokens >= allowed  # nothing is left reserved
    return room


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
    """They run to their end, message by message; those that can step leave a checkpoint after each turn."""
    room = await play(network, model, factory)
    assert isinstance(room.heard[-1], Ended)
    assert room.heard[-1].outcome == "completed"
    said = [message["agent"] for message in room.payloads("agent_message")]
    assert said == agents or (agents is None and len(said) == 2)
    assert [step["turn"] for step in room.payloads("agent_step")] == list(range(1, len(said) + 1))
    checkpoints = [message for message in room.heard if isinstance(message, Checkpoint)]
    assert len(checkpoints) == (len(said) if steps else 0)
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
