"""The AG-UI door: the real ``@ag-ui/client`` in Node.js, and requests that no client would make."""

from __future__ import annotations

import http.client
import json
import shutil
import subprocess
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.conftest import TIMEOUT_SCALE
from tests.integration.conftest import TEXT
from tests.integration.test_javascript import AGENTS
from tests.support.model_server import ModelServer
from tests.support.processes import ROOT
from tests.support.server import ColloquyServer
from tests.support.watcher import Watcher


def client(server: ColloquyServer, *arguments: str) -> Any:
    """Run ``agui.mjs``; what it has seen."""
    node = shutil.which("node")
    assert node, "Node.js is missing"
    script = ROOT / "tests" / "integration" / "agui.mjs"
    ended = subprocess.run(
        [node, str(script), server.url, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60 * TIMEOUT_SCALE,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout.splitlines()[-1])


def user(key: str, content: Any = TEXT) -> dict[str, Any]:
    return {"id": key, "role": "user", "content": content}


def asked(thread: str, *messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"threadId": thread, "runId": uuid.uuid4().hex, "messages": list(messages), **more}


@contextmanager
def posted(
    server: ColloquyServer, body: Any, team: str = "chat", headers: dict[str, str] | None = None
) -> Iterator[http.client.HTTPResponse]:
    """One request and the beginning of its answer; leaving cuts the connection."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20 * TIMEOUT_SCALE)
    try:
        connection.request(
            "POST", f"/api/agui/{team}", json.dumps(body), {"Content-Type": "application/json"} | (headers or {})
        )
        yield connection.getresponse()
    finally:
        connection.close()


def events(response: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
    """The stream's events, each with the ``id`` of SSE under ``sse_id``."""
    place = None
    for line in response:
        if line.startswith(b"id: "):
            place = line[4:].decode().strip()
        elif line.startswith(b"data: "):
            yield {**json.loads(line[6:]), "sse_id": place}


def refused(server: ColloquyServer, body: Any, team: str = "chat") -> tuple[int, str]:
    with posted(server, body, team) as response:
        return response.status, json.loads(response.read())["error"]["code"]


def conversation_of(response: http.client.HTTPResponse) -> str:
    """The conversation's id, which the run's first event tells."""
    return str(next(events(response))["metadata"]["colloquy"]["conversation_id"])


def test_a_run_and_the_next_one_on_the_same_thread(server: ColloquyServer, model: ModelServer) -> None:
    """Three agents' texts, the steps, the state; the page's own state stays; then another turn."""
    seen = client(server, "run", TEXT)
    assert [each["name"] for each in seen["messages"]] == [None, *AGENTS]
    assert seen["steps"] == ["STEP_STARTED", "STEP_FINISHED"] * 3
    assert (seen["types"]["TEXT_MESSAGE_START"], seen["types"]["TEXT_MESSAGE_END"]) == (3, 3)
    assert (seen["fresh"], seen["inOrder"], seen["state"]["mine"]) == (3, True, 1)
    conversation = seen["state"]["conversation"]
    assert (conversation["status"], conversation["progress"]["percentage"]) == ("completed", 100)
    assert seen["result"]["consensus"]
    later = seen["later"]
    assert later["fresh"] == 3
    assert [each["id"] for each in later["messages"] if each["role"] == "user"] == ["u1", "u2"]
    final = server.get(f"/api/conversations/{conversation['conversation_id']}")
    assert [each["content"] for each in later["messages"]] == [each["content"] for each in final["messages"]]


def test_a_connection_that_breaks_again_and_again(server: ColloquyServer, model: ModelServer) -> None:
    """The run goes on without it; with its place the client gets exactly what it missed."""
    seen = client(server, "resume", TEXT)
    assert seen["breaks"] >= 2, seen
    assert seen["last"]["RUN_FINISHED"] == 1
    assert seen["snapshots"] == 0
    final = server.get(f"/api/conversations/{seen['state']['conversation']['conversation_id']}")
    assert [each["content"] for each in seen["messages"]] == [each["content"] for each in final["messages"]]


def test_a_text_that_is_withdrawn_is_gone(model: ModelServer) -> None:
    """The model dies in mid-sentence and a demo goes on: the page holds what the server does, without the torn text."""
    model.control(die_after_tokens=5, death="reset")
    with ColloquyServer(model_url=model.url, env={"DEMO_TOKENS_PER_S": "2000", "STREAM_TOKENS_PER_S": "0"}) as server:
        seen = client(server, "once", TEXT)
        conversation = seen["state"]["conversation"]
        final = server.get(f"/api/conversations/{conversation['conversation_id']}")
    assert seen["snapshots"] == 1
    assert (conversation["demo"], conversation["fallback"]["mode"]) == (True, "demo")
    assert conversation["error"]["code"] == "model_broken"
    assert [each["id"] for each in seen["messages"]][1:] == [each["message_id"] for each in final["messages"]][1:]
    assert [each["content"] for each in seen["messages"]] == [each["content"] for each in final["messages"]]
    assert seen["messages"][0]["id"] == "u1"


def test_somebody_elses_conversation_is_a_thread_too(
    watcher: Watcher, server: ColloquyServer, model: ModelServer
) -> None:
    """Under its id; a late comer gets it as it stands."""
    ack = watcher.must("start_stream", {"content": TEXT, "team": "debate"})
    watcher.wait_for_end()
    seen = client(server, "watch", ack["conversation_id"])
    assert seen["types"] == {"RUN_STARTED": 1, "STATE_SNAPSHOT": 1, "MESSAGES_SNAPSHOT": 1, "RUN_FINISHED": 1}
    assert [each["name"] for each in seen["messages"]] == [None, *AGENTS]


def test_a_thread_that_is_gone_is_not_begun_anew(server: ColloquyServer) -> None:
    """Who wants to go on with it is told; the real client rejects with the error's code."""
    seen = client(server, "watch", "no-such-thread", json.dumps({"position": {"epoch": "x", "offset": 7}}))
    assert seen["failed"]["status"] == 404
    assert seen["failed"]["payload"]["error"]["code"] == "conversation_unknown"
    body = asked("gone", user("u1"), forwardedProps={"position": {"epoch": "x", "offset": 7}})
    assert refused(server, body) == (404, "conversation_unknown")


@pytest.mark.parametrize("server", ["eventlet"], indirect=True)
@pytest.mark.parametrize(
    ("body", "team", "answer"),
    [
        (None, "chat", (400, "invalid_payload")),
        ([], "chat", (400, "invalid_payload")),
        ({"threadId": "t"}, "chat", (400, "invalid_payload")),
        (asked(""), "chat", (400, "invalid_payload")),
        (asked("t" * 300, user("u1")), "chat", (400, "invalid_payload")),
        (asked("bad-position", user("u1"), forwardedProps={"position": 7}), "chat", (400, "invalid_payload")),
        (asked("resumed", user("u1"), resume=[{"interruptId": "i", "status": "resolved"}]), "chat",
         (404, "conversation_unknown")),
        (asked("image", user("u1", [{"type": "image", "source": {"type": "url", "value": "http://x/y.png"}}])), "chat",
         (400, "invalid_payload")),
        (asked("empty", user("u1", "  ")), "chat", (400, "content_empty")),
        (asked("none"), "chat", (404, "conversation_unknown")),
        (asked("large", user("u1", "x" * 70_000)), "chat", (413, "content_too_large")),
        (asked("huge", user("u1", "x" * 2_000_000)), "chat", (413, "request_entity_too_large")),
        (asked("team", user("u1")), "no-such-team", (404, "team_unknown")),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(server: ColloquyServer, body: Any, team: str, answer: tuple[int, str]) -> None:
    """In the one error shape, before anything is streamed."""
    assert refused(server, body, team) == answer


def test_a_run_outlives_its_request_and_takes_no_second_message(server: ColloquyServer, model: ModelServer) -> None:
    """The request is closed, the run goes on; a new message is refused meanwhile; the old one is not taken twice."""
    model.control(token_delay_ms=20, tokens=200)
    thread = uuid.uuid4().hex
    with posted(server, asked(thread, user("u1"))) as response:
        found = events(response)
        conversation = next(found)["metadata"]["colloquy"]["conversation_id"]
        place = next(event["sse_id"] for event in found if event["type"] == "TEXT_MESSAGE_CONTENT")
    assert refused(server, asked(thread, user("u1"), user("u2"))) == (409, "invalid_state")
    with posted(server, asked(thread, user("u1")), headers={"Last-Event-ID": place}) as response:
        again = next(events(response))
        assert again["metadata"]["colloquy"]["conversation_id"] == conversation
        assert again["sse_id"] == place
        model.control(token_delay_ms=0)
    with Watcher(server.url, timeout_s=20 * TIMEOUT_SCALE) as watcher:
        watcher.must("stop_stream", {"conversation_id": conversation})
    with posted(server, asked(thread, user("u1"))) as response:
        last = list(events(response))[-1]
    assert (last["type"], last["outcome"]["type"]) == ("RUN_FINISHED", "cancelled")


def test_two_requests_of_one_thread_at_once_are_one_run(server: ColloquyServer, model: ModelServer) -> None:
    """As a page does that renders twice: the second one comes back to what the first has started."""
    body = asked(uuid.uuid4().hex, user("u1"))
    found: list[str] = []

    def ask() -> None:
        with posted(server, body) as response:
            found.append(conversation_of(response))

    both = [threading.Thread(target=ask) for _ in range(2)]
    for each in both:
        each.start()
    for each in both:
        each.join()
    assert len(found) == 2
    assert len(set(found)) == 1
    with Watcher(server.url, timeout_s=20 * TIMEOUT_SCALE) as watcher:
        watcher.command("stop_stream", {"conversation_id": found[0]})
