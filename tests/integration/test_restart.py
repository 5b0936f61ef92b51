"""The server ends in mid-sentence, and is started again: whoever was there finds the way back to all that was said."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import pytest

from app.client import Client
from tests.conftest import TIMEOUT_SCALE
from tests.integration.conftest import MODES, TEXT
from tests.support.http import http_json
from tests.support.model_server import ModelServer
from tests.support.processes import ROOT, alive
from tests.support.server import ColloquyServer
from tests.support.waiting import wait_until
from tests.support.watcher import Watcher, check_chain, folded, server_texts

AGENTS = ["Financial Analyst", "Market Context", "Risk Challenger"]


class House:
    """An address and a data directory that outlive their server."""

    def __init__(self, mode: str, model: ModelServer, data_dir: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._env = {"ASYNC_MODE": mode, "STREAM_TOKENS_PER_S": "0", "DATA_DIR": str(data_dir)}
        self._model = model
        self.server = self.open()

    def open(self, **env: str) -> ColloquyServer:
        """Start a server."""
        args = ("--port", str(self.port))
        self.server = ColloquyServer(model_url=self._model.url, env=self._env | env, args=args)
        self.server.start()
        return self.server

    def end(self, how: signal.Signals) -> None:
        """End it; none of its children is left behind."""
        children = self.server.children()
        self.server.signal(how)
        assert self.server.wait(10 * TIMEOUT_SCALE) is not None
        wait_until(lambda: not alive(children), "the end of its children", 5)
        self.server.__exit__(None, None, None)

    def snapshot(self, conversation_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.server.get(f"/api/conversations/{conversation_id}")
        return found

    def stored(self, conversation_id: str) -> list[str]:
        """The texts of its messages, as the store has them."""
        page = self.server.get(f"/api/conversations/{conversation_id}/messages")
        return [each["message"] for each in page["messages"]]


@pytest.fixture(params=MODES)
def house(request: pytest.FixtureRequest, model: ModelServer, tmp_path: Path) -> Iterator[House]:
    made = House(request.param, model, tmp_path)
    yield made
    made.server.__exit__(None, None, None)


class JavaScriptReader:
    """Our JavaScript client in a Node.js of its own; it follows to the end of the run that completes."""

    def __init__(self, house: House, conversation_id: str) -> None:
        node = shutil.which("node")
        assert node, "Node.js is missing"
        script = ROOT / "tests" / "integration" / "watch.mjs"
        self._child = subprocess.Popen(
            [node, str(script), house.server.url, "restart", conversation_id],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._child.stdout is not None
        self.first_line = self._child.stdout.readline()  # it follows

    def result(self) -> Any:
        out, err = self._child.communicate(timeout=60 * TIMEOUT_SCALE)
        assert self._child.returncode == 0, err
        return json.loads(out.splitlines()[-1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._child.poll() is None:
            self._child.kill()
        self._child.communicate()


def in_the_second_turn(watcher: Watcher, house: House) -> None:
    """The first turn is in the store (what was said in the last tenths of a second need not be), the second is not."""
    watcher.wait_for_event("agent_step", agent=AGENTS[1])
    seen = len(watcher.events("message_delta"))
    watcher.wait_for(lambda _: len(watcher.events("message_delta")) >= seen + 5, "some words of the second turn")
    house.stored(watcher.events("message_delta")[-1][1]["conversation_id"])


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=["kill", "term"])
def test_everybody_finds_the_way_back(house: House, model: ModelServer, how: signal.Signals) -> None:
    """Killed, the run goes on by itself from its last finished turn; after an orderly end one click goes on with it.

    A raw Socket.IO client, the Python client and the JavaScript client: each shows what the store has, to the letter.
    """
    model.control(token_delay_ms=15, tokens=40)
    with ExitStack() as closing:
        with Watcher(house.server.url) as watcher:
            ack = watcher.must("start_stream", {"content": TEXT})
            conversation_id = ack["conversation_id"]
            client = Client(house.server.url, reconnection_delay_s=0.1, reconnection_delay_max_s=0.5)
            closing.enter_context(client)
            stream = client.join(conversation_id)
            reader = closing.enter_context(JavaScriptReader(house, conversation_id))
            in_the_second_turn(watcher, house)
        place = {"epoch": ack["epoch"], "offset": watcher.events("message_delta")[-1][1]["offset"]}
        house.end(how)
        house.open()
        with Watcher(house.server.url) as again:
            back = again.must("join", {"conversation_id": conversation_id, "position": place})
            assert (back["recovered"], back["epoch"] != ack["epoch"]) == (False, True)
            if how is signal.SIGTERM:
                assert (back["snapshot"]["status"], back["snapshot"]["error"]["code"]) == ("error", "interrupted")
                wait_until(lambda: stream.following and stream.status == "error", "the Python client", 20)
                stream.continue_()
            wait_until(lambda: house.snapshot(conversation_id)["status"] == "completed", "the end of the run", 30)
            snapshot = house.snapshot(conversation_id)
            again.wait_for(
                lambda events: any(each[1].get("offset") == snapshot["offset"] for each in events), "the tail"
            )
            check_chain(again.events(), back["offset"])
            texts = {key: each["content"] for key, each in folded(back, again.events()).items()}
            assert texts == server_texts(snapshot)
        wait_until(lambda: stream.status == "completed", "the end, in Python", 20)
        stored = house.stored(conversation_id)
        assert [each.content for each in stream.state.messages] == stored
        assert reader.result()["contents"] == stored
    told = [(each["agent"], each["state"], each["reason"]) for each in snapshot["messages"]]
    assert told == [
        ("user", "complete", None),
        (AGENTS[0], "complete", None),
        (AGENTS[1], "partial", "interrupted"),
        (AGENTS[1], "complete", None),
        (AGENTS[2], "complete", None),
    ]
    broken, whole = snapshot["messages"][2]["content"], snapshot["messages"][3]["content"]
    assert broken
    assert broken != whole


def test_what_has_ended_is_reread_as_it_was(house: House, model: ModelServer) -> None:
    """To the last field; what was paused, and so may not go on by itself, has ended as `interrupted`."""
    model.control(token_delay_ms=1, tokens=10)
    with Watcher(house.server.url) as watcher:
        done = watcher.must("start_stream", {"content": TEXT})["conversation_id"]
        watcher.wait_for_end()
        model.control(token_delay_ms=30, tokens=300)
        running = watcher.must("start_stream", {"content": "Paused", "team": "chat"})["conversation_id"]
        watcher.wait_for(
            lambda _: any(payload["conversation_id"] == running for _, payload in watcher.events("message_delta")),
            "the second run's first words",
        )
        watcher.must("pause_stream", {"conversation_id": running})
        before = house.snapshot(done)
        house.stored(running)  # which lets what was said so far be written
    house.end(signal.SIGKILL)
    house.open()
    after = house.snapshot(done)
    place = ("epoch", "offset")
    assert {name: value for name, value in after.items() if name not in place} == {
        name: value for name, value in before.items() if name not in place
    }
    broken = house.snapshot(running)
    assert (broken["status"], broken["error"]["code"]) == ("error", "interrupted")
    assert [each["state"] for each in broken["messages"]] == ["complete", "partial"]
    rows = house.server.get("/api/conversations?status=error")["conversations"]
    assert [each["conversation_id"] for each in rows] == [running]
    url = f"{house.server.url}/api/conversations/{running}"
    model.control(token_delay_ms=1, tokens=10)
    assert http_json("POST", f"{url}/continue")["status"] == "initializing"
    wait_until(lambda: house.snapshot(running)["status"] == "completed", "the end", 20)
    http_json("DELETE", url)
    house.end(signal.SIGTERM)
    house.open()
    assert house.server.get("/api/conversations")["total"] == 1


@pytest.mark.matrix
def test_one_that_kills_the_server_is_given_up(house: House, model: ModelServer) -> None:
    """It goes on by itself three times; then it is left as `interrupted`, and the server stays."""
    model.control(token_delay_ms=15, tokens=40)
    with Watcher(house.server.url) as watcher:
        conversation_id = watcher.must("start_stream", {"content": TEXT})["conversation_id"]
        in_the_second_turn(watcher, house)
    statuses = []
    for _ in range(4):
        house.end(signal.SIGKILL)
        model.control(first_token_delay_ms=60_000)
        house.open()
        statuses.append(house.snapshot(conversation_id)["status"])
    assert statuses[3] == "error"
    assert "error" not in statuses[:3]
