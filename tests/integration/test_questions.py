"""Agents that ask, and messages that wait: a real AutoGen team whose second agent stands for a person."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.client import Client
from tests.conftest import TIMEOUT_SCALE
from tests.integration.conftest import MODES
from tests.integration.doors.clients import Socket
from tests.integration.test_agui import client
from tests.support.model_server import ModelServer
from tests.support.processes import ROOT
from tests.support.server import ColloquyServer
from tests.support.watcher import Watcher, check_chain

TEAM = """
from autogen_agentchat.agents import AssistantAgent, UserProxyAgent
from autogen_agentchat.teams import RoundRobinGroupChat

def team(model_client):
    writer = AssistantAgent("Writer", model_client, model_client_stream=True)
    return RoundRobinGroupChat([writer, UserProxyAgent("Person")], max_turns=2)
"""
TIMEOUT_S = 20 * TIMEOUT_SCALE


class House:
    """Servers that share a data directory and know the team `asking`."""

    def __init__(self, model: ModelServer, folder: Path, mode: str) -> None:
        (folder / "asking_team.py").write_text(TEAM)
        self._model = model
        self._env = {
            "ASYNC_MODE": mode,
            "STREAM_TOKENS_PER_S": "0",
            "TEAMS": "asking=asking_team:team",
            "PYTHONPATH": str(folder),
            "DATA_DIR": str(folder / "data"),
        }

    def server(self, **env: str) -> ColloquyServer:
        return ColloquyServer(model_url=self._model.url, env=self._env | env)


@pytest.fixture(params=MODES, scope="module")
def house(request: pytest.FixtureRequest, model: ModelServer, tmp_path_factory: pytest.TempPathFactory) -> House:
    return House(model, tmp_path_factory.mktemp("asking"), request.param)


@pytest.fixture(scope="module")
def asking(house: House) -> Iterator[ColloquyServer]:
    with house.server() as running:
        yield running


def begun(watcher: Watcher, **more: Any) -> tuple[str, dict[str, Any]]:
    """A conversation whose agent has asked: its id and the question."""
    talk = watcher.must("start_stream", {"content": "Write", "team": "asking", **more})["conversation_id"]
    return talk, watcher.wait_for_event("input_request")


def said(server: ColloquyServer, talk: str) -> list[tuple[str, str]]:
    snapshot = server.get(f"/api/conversations/{talk}")
    return [(each["agent"], each["content"]) for each in snapshot["messages"]]


def test_two_answer_at_once_and_one_of_them_wins(asking: ColloquyServer) -> None:
    """The other one is told so; both see who it was, and the team says the answer once."""
    with Watcher(asking.url, timeout_s=TIMEOUT_S) as one, Watcher(asking.url, timeout_s=TIMEOUT_S) as other:
        talk, question = begun(one)
        assert question["deadline"]
        assert question["agent"] == "Person"
        joined = other.must("join", {"conversation_id": talk})
        assert [each["request_id"] for each in joined["snapshot"]["pending_inputs"]] == [question["request_id"]]
        acks: dict[str, dict[str, Any]] = {}

        def answer(who: Watcher, content: str) -> None:
            given = {"conversation_id": talk, "request_id": question["request_id"], "content": content}
            acks[content] = who.command("provide_input", given)

        both = [threading.Thread(target=answer, args=each) for each in ((one, "red"), (other, "blue"))]
        for each in both:
            each.start()
        for each in both:
            each.join(TIMEOUT_S)
        good = [content for content, ack in acks.items() if ack["ok"]]
        assert len(good) == 1
        assert [ack["error"]["code"] for ack in acks.values() if not ack["ok"]] == ["input_resolved"]
        for watcher in (one, other):
            resolved = watcher.wait_for_event("input_resolved")
            assert (resolved["resolution"], resolved["content"], resolved["by"]) == ("answered", good[0], "local")
            assert watcher.wait_for_end() == "completed"
        check_chain(one.events(), 0)
        check_chain(other.events(), joined["offset"])
        assert [text for agent, text in said(asking, talk) if agent == "Person"] == good
        late = httpx.post(
            f"{asking.url}/api/conversations/{talk}/inputs/{question['request_id']}", json={"content": "green"}
        )
        assert (late.status_code, late.json()["error"]["code"]) == (409, "input_resolved")


def test_a_question_outlives_every_connection(asking: ColloquyServer) -> None:
    """Nobody is there; who comes back is asked, and may answer over HTTP."""
    with Watcher(asking.url, timeout_s=TIMEOUT_S) as watcher:
        talk, question = begun(watcher)
    with Watcher(asking.url, timeout_s=TIMEOUT_S) as watcher:
        (pending,) = watcher.must("join", {"conversation_id": talk})["snapshot"]["pending_inputs"]
        assert pending["request_id"] == question["request_id"]
        path = f"{asking.url}/api/conversations/{talk}/inputs/{pending['request_id']}"
        assert httpx.post(path, json={"granted": True}).status_code == 400
        given = httpx.post(path, json={"content": "over HTTP", "client_id": "mine"})
        assert (given.status_code, given.json()["resolution"]) == (200, "answered")
        assert httpx.post(path, json={"content": "over HTTP", "client_id": "mine"}).status_code == 200
        assert watcher.wait_for_end() == "completed"
    assert said(asking, talk)[-1] == ("Person", "over HTTP")


def test_a_stop_and_a_pause_while_an_agent_waits(asking: ColloquyServer) -> None:
    """A pause stops the clock and no answer; a stop ends the question."""
    with Watcher(asking.url, timeout_s=TIMEOUT_S) as watcher:
        talk, question = begun(watcher)
        watcher.must("pause_stream", {"conversation_id": talk})
        watcher.must("resume_stream", {"conversation_id": talk})
        again = watcher.events("input_request")[-1][1]
        assert again["request_id"] == question["request_id"]
        assert again["deadline"] > question["deadline"]
        watcher.must("stop_stream", {"conversation_id": talk})
        assert watcher.wait_for_event("input_resolved")["resolution"] == "cancelled"
        assert watcher.wait_for_end() == "stopped"


def test_the_python_client_answers_and_lets_messages_wait(asking: ColloquyServer) -> None:
    """What is sent while an agent waits is kept by the server, can be taken back, and is said in its order."""
    with Client(asking.url) as client:
        stream = client.start("Write", team="asking")
        events = stream.events(TIMEOUT_S)
        next(each for each in events if each.name == "input_request")
        acks = [stream.send(content).result(TIMEOUT_S) for content in ("one", "two", "three")]
        assert [(ack.queued, ack.place) for ack in acks] == [(True, 1), (True, 2), (True, 3)]
        assert client.queued == ()
        assert acks[1].message_id is not None
        stream.unqueue(acks[1].message_id)
        asked: list[str] = []
        while pending := [each.request_id for each in stream.state.pending_inputs if each.request_id not in asked]:
            asked += pending
            stream.provide_input(pending[0], f"answer {len(asked)}")
            next((each for each in events if each.name == "input_request"), None)
        people = [each.content for each in stream.state.messages if each.role == "user"]
        assert people == ["Write", "one", "three"]
        assert [each.content for each in stream.state.messages if each.agent == "Person"] == [
            f"answer {number}" for number in (1, 2, 3)
        ]
        assert (stream.status.value, stream.state.queued) == ("completed", ())


def test_the_other_doors_ask_and_are_answered(asking: ColloquyServer) -> None:
    """The bridge has all three commands; the task door asks, also who comes back to it."""
    address = asking.url.replace("http:", "ws:")
    with closing(Socket(f"{address}/ws/stream?client_id=asked")) as tasks:
        tasks.send({"type": "chat", "payload": {"message": "Write", "team": "asking"}})
        first = tasks.wait_for("input_request", agent="Person", secret=False)
    way = f"{address}/api/conversations/{first['conversation_id']}/stream"
    with closing(Socket(f"{address}/ws/stream?client_id=asked")) as tasks, closing(Socket(way)) as bridge:
        answer_by_doors(tasks, bridge, first)
    words = said(asking, first["conversation_id"])
    people = [text for agent, text in words if agent in ("user", "Person")]
    assert people == ["Write", "by the bridge", "one", "by the task"]


def answer_by_doors(tasks: Socket, bridge: Socket, first: dict[str, Any]) -> None:
    """Let two messages wait, take one back, and answer the question and the next one."""
    assert tasks.wait_for("input_request")["request_id"] == first["request_id"]
    assert bridge.wait_for("snapshot")["data"]["pending_inputs"][0]["request_id"] == first["request_id"]
    for content in ("one", "two"):
        bridge.send({"type": "send_message", "data": {"content": content}})
        ack = bridge.wait_for("ack", command="send_message")["data"]
        assert ack["queued"]
    bridge.send({"type": "unqueue_message", "data": {"messageId": ack["message_id"]}})
    bridge.wait_for("ack", command="unqueue_message")
    bridge.send({"type": "provide_input", "data": {"requestId": first["request_id"], "content": "by the bridge"}})
    bridge.wait_for("ack", command="provide_input", resolution="answered")
    assert tasks.wait_for("input_resolved")["resolution"] == "answered"
    tasks.send({"type": "provide_input", "payload": {"request_id": first["request_id"], "content": "too late"}})
    late = tasks.wait_for("error")["details"]
    assert late in ("input_resolved", "input_unknown")  # the run that has asked may have ended, and the next begun
    second = tasks.wait_for("input_request")
    tasks.send({"type": "provide_input", "payload": {"request_id": second["request_id"], "content": "by the task"}})
    tasks.wait_for("status", status="completed")


def test_the_message_door_answers(asking: ColloquyServer) -> None:
    """It asks only who wants to be asked, also who comes later; who may not steer, or is too late, is told so."""
    address = f"{asking.url.replace('http:', 'ws:')}/v1/conversation"
    with Watcher(asking.url, timeout_s=TIMEOUT_S) as watcher:
        talk, question = begun(watcher)
        with (
            closing(Socket(f"{address}/{talk}/stream?inputs=true")) as door,
            closing(Socket(f"{address}/{talk}/stream")) as plain,
        ):
            asked = door.wait_for("input_request")["data"]
            assert {name: asked[name] for name in ("request_id", "agent", "prompt", "deadline")} == {
                name: question[name] for name in ("request_id", "agent", "prompt", "deadline")
            }
            answer = {"type": "provide_input", "data": {"request_id": asked["request_id"], "content": "by messages"}}
            door.send(answer)
            told = door.wait_for_each("input_provided", "input_resolved")
            assert told["input_provided"]["data"]["resolution"] == "answered"
            assert told["input_resolved"]["data"]["content"] == "by messages"
            plain.send(answer)
            assert plain.wait_for("error")["data"]["code"] == "input_resolved"
            plain.send({"type": "provide_input", "data": {"request_id": asked["request_id"], "text": "?"}})
            assert plain.wait_for("error")["data"]["code"] == "invalid_payload"
            assert not [each for each in plain.came if each["type"].startswith("input_")]
        assert watcher.wait_for_end() == "completed"
    assert said(asking, talk)[-1] == ("Person", "by messages")


def test_an_ag_ui_page_is_interrupted_and_resumes(asking: ColloquyServer) -> None:
    """By the real `@ag-ui/client`: the run ends with an interrupt, the next one answers it and reads on."""
    seen = client(asking, "answer", "Write")
    assert seen["asked"][-1] == "RUN_FINISHED"
    assert "TEXT_MESSAGE_END" in seen["asked"]
    (interrupt,) = seen["interrupts"]
    assert (interrupt["reason"], interrupt["responseSchema"]) == ("input", {"type": "string"})
    assert interrupt["metadata"]["colloquy"] == {"agent": "Person", "secret": False}
    assert interrupt["expiresAt"]
    assert (seen["answered"][0], seen["answered"][-1]) == ("RUN_STARTED", "RUN_FINISHED")
    assert (seen["left"], seen["snapshots"]) == (0, 0)
    words = [each["content"] for each in seen["messages"] if each["name"] == "Person"]
    assert words == ["in AG-UI", "No answer: the question was withdrawn. Go on without it."]


def test_a_line_at_the_terminal_is_an_answer(asking: ColloquyServer) -> None:
    """It is read when somebody asks, and shown as the team says it."""
    program = [sys.executable, "-m", "flask", "--app", "app", "colloquy", "start", "Write"]
    ended = subprocess.run(
        [*program, "--team", "asking", "--answer", "--url", asking.url],
        cwd=ROOT,
        input="typed here\n",
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert "Person asks: " in ended.stderr
    assert "answered by local" in ended.stderr
    assert "typed here" in ended.stdout


@pytest.mark.matrix
def test_a_restart_asks_anew_and_nobody_answers(house: House, asking: ColloquyServer) -> None:
    """The old question is cancelled; the new one runs into its deadline, and the team goes on without."""
    with Watcher(asking.url, timeout_s=TIMEOUT_S) as watcher:
        talk, question = begun(watcher)
        watcher.must("send_message", {"conversation_id": talk, "content": "And then?"})
        assert asking.get(f"/api/conversations/{talk}/messages")["total"] == 2  # all of it is written
    asking.signal(signal.SIGKILL)
    assert asking.wait(TIMEOUT_S) is not None
    with house.server(INPUT_TIMEOUT_S="1") as again, Watcher(again.url, timeout_s=TIMEOUT_S) as watcher:
        joined = watcher.must("join", {"conversation_id": talk, "since": question["timestamp"]})
        snapshot = joined["snapshot"] or again.get(f"/api/conversations/{talk}")
        assert question["request_id"] not in [each["request_id"] for each in snapshot["pending_inputs"]]
        watcher.wait_for(
            lambda events: (
                [1 for name, each in events if name == "conversation_status" and each["status"] == "completed"]
                == [1, 1]
            ),
            "the end of both runs",
        )
        outcomes = [each["resolution"] for _, each in watcher.events("input_resolved")]
        assert outcomes[-2:] == ["timeout", "timeout"]
        people = [text for agent, text in said(again, talk) if agent == "user"]
        assert people == ["Write", "And then?"]
        assert again.get(f"/api/conversations/{talk}")["queued"] == []
