"""The HTTP side: health, status, sessions, broadcast, lists, and who is let in."""

from __future__ import annotations

import http.client
import json
from typing import Any

import pytest

from app.protocol.commands import COMMANDS_BY_NAME
from app.protocol.events import EVENT_NAMES
from tests.conftest import TIMEOUT_SCALE
from tests.integration.conftest import TEXT, shared_runner
from tests.support.model_server import ModelServer
from tests.support.server import ColloquyServer
from tests.support.watcher import Watcher


def ask(
    server: ColloquyServer, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
) -> tuple[int, Any, dict[str, str]]:
    """One request; status, parsed JSON (or text), headers."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20 * TIMEOUT_SCALE)
    try:
        sent = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        connection.request(method, path, sent, {"Content-Type": "application/json"} | (headers or {}))
        response = connection.getresponse()
        text = response.read().decode()
        kind = response.headers.get_content_type()
        return response.status, json.loads(text) if kind == "application/json" else text, dict(response.headers)
    finally:
        connection.close()


def test_health(server: ColloquyServer) -> None:
    """D5: alive, ready (the model was asked), and the short form."""
    status, body, _ = ask(server, "GET", "/api/v1/health")
    assert (status, body["status"], set(body)) == (200, "healthy", {"status", "timestamp"})
    shared_runner(server)
    status, body, _ = ask(server, "GET", "/api/v1/health/ready")
    assert (status, body["status"], body["llm_status"]) == (200, "ready", "connected")
    assert all(check["ok"] for name, check in body["checks"].items() if name != "models")
    status, body, _ = ask(server, "GET", "/ws/status")
    assert (status, body["status"], set(body)) == (200, "running", {"active_connections", "status", "timestamp"})


def test_ready_tells_when_the_model_does_not_answer(server: ColloquyServer, model: ModelServer) -> None:
    """Degraded: conversations would be demos."""
    shared_runner(server)
    model.control(models_status=503)
    status, body, _ = ask(server, "GET", "/api/v1/health/ready")
    assert (status, body["status"], body["llm_status"]) == (200, "degraded", "unavailable")


def test_status_and_sessions(watcher: Watcher, server: ColloquyServer, model: ModelServer) -> None:
    """B7 and B11, while a conversation runs."""
    model.control(token_delay_ms=20, tokens=200)
    ack = watcher.must("start_stream", {"content": TEXT})
    watcher.wait_for_tokens(5)
    _, status, _ = ask(server, "GET", "/api/websocket/status")
    assert status["status"] == "running"
    assert status["active_connections"] >= 1
    assert status["sessions"]["running"] >= 1
    assert status["loop_lateness_ms"]["p50"] is not None
    _, body, _ = ask(server, "GET", "/api/websocket/sessions?running=true")
    mine = next(each for each in body["sessions"] if each["session_id"] == ack["session_id"])
    assert (mine["status"], mine["state"], mine["watchers"]) == ("active", "streaming", 1)
    watcher.must("stop_stream", {"conversation_id": ack["conversation_id"]})


def test_a_broadcast_reaches_everybody(watcher: Watcher, server: ColloquyServer) -> None:
    """Also those who watch nothing."""
    status, body, _ = ask(server, "POST", "/api/websocket/broadcast", {"message": "maintenance at noon"})
    assert (status, body["ok"]) == (200, True)
    assert body["recipients"] >= 1
    assert watcher.wait_for_event("broadcast")["message"] == "maintenance at noon"


@pytest.mark.parametrize("body", [None, {}, {"message": ""}, {"message": 7}, {"message": "x", "to": "y"}, [], b"{"])
def test_a_bad_broadcast_is_refused(server: ColloquyServer, body: Any) -> None:
    """The one JSON error shape."""
    status, answer, _ = ask(server, "POST", "/api/websocket/broadcast", body)
    assert status == 400
    assert answer["error"]["code"] == "invalid_payload"
    assert set(answer["error"]) == {"code", "message", "retryable"}


def test_lists(watcher: Watcher, server: ColloquyServer) -> None:
    """Conversations, the last changed first; teams with their agents."""
    ack = watcher.must("start_stream", {"content": "A title of its own\nand more text", "team": "chat"})
    watcher.wait_for_end()
    _, body, _ = ask(server, "GET", "/api/conversations?limit=1")
    row = body["conversations"][0]
    assert (row["conversation_id"], row["title"]) == (ack["conversation_id"], "A title of its own")
    assert (row["status"], row["messages"], row["demo"]) == ("completed", 2, False)
    _, teams, _ = ask(server, "GET", "/api/teams")
    assert [team["name"] for team in teams["teams"]][:3] == ["debate", "chat", "magentic"]
    assert len(teams["teams"][0]["agents"]) == 3
    assert ask(server, "GET", "/api/conversations?limit=x")[0] == 400


@pytest.mark.parametrize("path", ["/api/nothing", "/api/conversations/none-such", "/ws/nothing"])
def test_an_unknown_address_has_the_one_error_shape(server: ColloquyServer, path: str) -> None:
    """JSON for programs."""
    status, body, _ = ask(server, "GET", path)
    assert status == 404
    assert set(body["error"]) == {"code", "message", "retryable"}


def test_a_wrong_method_and_a_huge_body(server: ColloquyServer) -> None:
    """Refused, in shape."""
    assert ask(server, "DELETE", "/api/websocket/status")[0] == 405
    status, body, _ = ask(server, "POST", "/api/websocket/broadcast", {"message": "x" * 300_000})
    assert (status, body["error"]["code"]) in {(413, "request_entity_too_large"), (400, "invalid_payload")}


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
    ],
)
@pytest.mark.parametrize("path", ["/", "/api/websocket/status", "/socket.io/?EIO=4&transport=polling"])
def test_other_peoples_pages_are_kept_out(server: ColloquyServer, headers: dict[str, str], path: str) -> None:
    """Host and Origin are checked before anything else, the sockets included."""
    status, body, _ = ask(server, "GET", path, headers=headers)
    assert (status, body["error"]["code"]) == (403, "not_permitted")


def test_pages_come_with_a_strict_policy(server: ColloquyServer) -> None:
    """No inline script, nothing from elsewhere."""
    for path in ("/", "/c/whatever", "/websocket-test"):
        status, text, headers = ask(server, "GET", path)
        assert status == 200
        assert "script-src 'self';" in headers["Content-Security-Policy"]
        assert "<script" in text
        assert "http://" not in text.replace("http://www.w3.org", "").replace("http://127.0.0.1", "")


def test_the_contract_is_published(server: ColloquyServer) -> None:
    """JSON Schema of every command, ack and event, made from the code."""
    status, body, _ = ask(server, "GET", "/api/protocol")
    assert status == 200
    assert set(body["commands"]) == set(COMMANDS_BY_NAME)
    assert {event["name"] for event in body["events"]} == set(EVENT_NAMES)
    assert "content" in body["commands"]["start_stream"]["payload"]["properties"]
