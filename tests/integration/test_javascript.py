"""The real socket.io-client, in Node.js: bare, and under Colloquy's own client."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

from tests.conftest import TIMEOUT_SCALE
from tests.integration.conftest import TEXT
from tests.support.model_server import ModelServer
from tests.support.processes import ROOT
from tests.support.server import ColloquyServer

AGENTS = ["Financial Analyst", "Market Context", "Risk Challenger"]


def watch(server: ColloquyServer, kind: str, content: str = TEXT) -> Any:
    """Run ``watch.mjs``; what it has seen."""
    node = shutil.which("node")
    assert node, "Node.js is missing"
    script = ROOT / "tests" / "integration" / "watch.mjs"
    ended = subprocess.run(
        [node, str(script), server.url, kind, content],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60 * TIMEOUT_SCALE,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout.splitlines()[-1])


def test_a_strangers_javascript_client_sees_everything(server: ColloquyServer, model: ModelServer) -> None:
    """Nothing but socket.io-client and the protocol's names."""
    seen = watch(server, "plain")
    assert seen == {
        "refused": "unknown_command",
        "holes": 0,
        "agents": AGENTS,
        "same": True,
        "status": ["initializing", "active", "completed"],
    }


def test_our_javascript_client_survives_a_cut_connection(server: ColloquyServer, model: ModelServer) -> None:
    """It comes back by itself, with its position, and holds the server's text."""
    model.control(token_delay_ms=20)
    seen = watch(server, "library")
    assert seen["reconnects"] == 1
    assert (seen["status"], seen["agents"]) == ("completed", AGENTS)
    assert set(seen["states"]) == {"complete"}
    final = server.get(f"/api/conversations/{seen['conversation']}")
    assert seen["contents"] == [message["content"] for message in final["messages"]]


def contents_of(server: ColloquyServer, conversation_id: str) -> list[str]:
    """The messages' texts, as the server holds them."""
    final = server.get(f"/api/conversations/{conversation_id}")
    return [message["content"] for message in final["messages"]]


def test_what_is_typed_arrives_once_and_in_order(server: ColloquyServer, model: ModelServer) -> None:
    """The answers to a start and to a message are lost, two more are typed offline: four turns, no more."""
    seen = watch(server, "typed")
    assert seen["said"] == [TEXT, "two", "three", "four"]
    assert seen["contents"] == contents_of(server, seen["conversation"])
    assert (seen["waiting"], seen["left"], seen["ids"]) == (2, 0, 4)
    assert seen["sent"] >= 6  # the two whose answer was lost went twice
    assert (seen["same"], seen["acks"], seen["gaps"]) == (True, True, 0)


def test_a_reader_that_was_away_catches_up_in_batches(server: ColloquyServer, model: ModelServer) -> None:
    """From the state that it had kept, without a snapshot."""
    model.control(token_delay_ms=1, tokens=1500)
    seen = watch(server, "missed")
    assert seen["contents"] == contents_of(server, seen["conversation"])
    assert (seen["replaced"], seen["gaps"]) == ([seen["from"]], 0)  # only by what it had kept
    assert seen["batches"] >= 1
    assert seen["offset"] > seen["from"]
