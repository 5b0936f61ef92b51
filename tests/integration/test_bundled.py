"""Teams of every generation on the bundled model: the real one, in its own process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.adapters.generations import GENERATIONS, Generation
from tests.conftest import TIMEOUT_SCALE
from tests.support.processes import ROOT
from tests.support.server import ColloquyServer
from tests.support.watcher import Watcher, check_chain, folded, tokens_of

pytestmark = [pytest.mark.matrix, pytest.mark.timeout(300)]

TIMEOUT_S = 90 * TIMEOUT_SCALE  # the model has to be loaded, and answers with a few words in a second


@pytest.fixture(scope="module")
def bundled() -> Iterator[ColloquyServer]:
    """The teams of the grid, each generation's single agent, its several, and the one that asks."""
    teams = [f"{each.name}-{kind}={getattr(each, kind)}" for each in GENERATIONS.values() for kind in ("solo", "team")]
    teams.append(f"classic-asking={GENERATIONS['classic'].asking}")
    teams.append(f"agentchat-asking={GENERATIONS['agentchat'].asking}")
    env = {"LOCAL_MODEL": "true", "TEAMS": ",".join(teams), "MAX_REPLY_TOKENS": "24", "PYTHONPATH": str(ROOT)}
    with ColloquyServer(env=env) as server:
        yield server


@pytest.fixture
def watcher(bundled: ColloquyServer) -> Iterator[Watcher]:
    with Watcher(bundled.url, timeout_s=TIMEOUT_S) as connected:
        yield connected


@pytest.fixture(params=GENERATIONS)
def generation(request: pytest.FixtureRequest) -> Generation:
    return GENERATIONS[request.param]


def begin(watcher: Watcher, team: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Start it; its ack, and the payload that names it."""
    ack = watcher.must("start_stream", {"content": "Say what a bank does.", "team": team})
    return ack, {"conversation_id": ack["conversation_id"]}


def test_everybody_speaks(generation: Generation, watcher: Watcher) -> None:
    """In their order; what was streamed is what they have said, and it has cost something."""
    ack, _ = begin(watcher, f"{generation.name}-team")
    assert watcher.wait_for_end() == "completed"
    check_chain(watcher.events(), ack["offset"])
    folded(ack, watcher.events())
    said = [payload for _, payload in watcher.events("agent_message") if payload["role"] == "agent"]
    assert [message["agent"] for message in said] == list(generation.agents)
    assert all(message["content"].strip() and message["usage"]["completion_tokens"] for message in said)
    assert not watcher.events("fallback_mode")


def test_a_stop_and_on_from_there(generation: Generation, watcher: Watcher) -> None:
    """What had come is kept; with one click the others speak, once each."""
    ack, one = begin(watcher, f"{generation.name}-team")
    watcher.wait_for_tokens(3)
    stopped = watcher.must("stop_stream", one)
    assert stopped["tokens"]["completion_tokens"] >= 3
    assert watcher.wait_for_end() == "stopped"
    [first] = [each for each in folded(ack, watcher.events()).values() if each["agent"] == generation.agents[0]]
    assert first["content"]
    again = watcher.must("continue_stream", one)
    assert watcher.wait_for_end(again["session_id"]) == "completed"
    check_chain(watcher.events(), ack["offset"])
    whole = [each for each in folded(ack, watcher.events()).values() if each["state"] == "complete"]
    assert [each["agent"] for each in whole] == ["user", *generation.agents]


def test_a_pause(generation: Generation, watcher: Watcher) -> None:
    """Nothing more is shown until it is resumed."""
    ack, one = begin(watcher, f"{generation.name}-solo")
    watcher.wait_for_tokens(2)
    watcher.must("pause_stream", one)
    shown = tokens_of(watcher.events())
    for _ in range(20):
        watcher.must("ping", {})
    assert tokens_of(watcher.events()) == shown
    watcher.must("resume_stream", one)
    assert watcher.wait_for_end() == "completed"
    folded(ack, watcher.events())


@pytest.mark.parametrize("team", ["agentchat-asking", "classic-asking"])
def test_a_person_is_asked(team: str, watcher: Watcher) -> None:
    """And the model answers, or the chat ends. ag2's agents ask by tools, which this model cannot be told to call."""
    _, one = begin(watcher, team)
    asked = watcher.wait_for_event("input_request")
    watcher.must("provide_input", one | {"request_id": asked["request_id"], "content": "exit"})
    assert watcher.wait_for_end() == "completed"
