"""What the running server says is what its published contracts say: every answer, every message of every door."""

from __future__ import annotations

import http.client
import json
import uuid
from collections.abc import Iterable
from typing import Any

import pytest
import websocket
from jsonschema import Draft202012Validator

from tests.conftest import TIMEOUT_SCALE
from tests.integration.conftest import TEXT
from tests.integration.test_http import ask
from tests.support.model_server import ModelServer
from tests.support.server import ColloquyServer
from tests.support.watcher import TERMINAL, Watcher

ONE_MODE = pytest.mark.parametrize("server", ["eventlet"], indirect=True)


class Contract:
    """A published document, and whether values fit its schemas."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self.fitted: set[str] = set()

    def problem(self, schema: dict[str, Any], value: Any) -> str | None:
        """The first thing in which a value does not fit."""
        whole = {**schema, "components": self.document["components"]}
        errors = sorted(Draft202012Validator(whole).iter_errors(value), key=lambda error: -len(error.path))
        return f"{errors[0].json_path}: {errors[0].message}" if errors else None

    def must_say(self, channel: str, name: str, value: Any) -> None:
        """A message of this name, on this channel, has to fit one of its declarations."""
        keys = self.document["channels"][channel]["messages"]
        declared = [self.document["components"]["messages"][key] for key in keys]
        problems = [self.problem(each["payload"], value) for each in declared if each["name"] == name]
        assert problems, f"{channel} does not know {name}"
        assert None in problems, f"{channel}: {name}: {problems}"
        self.fitted.add(f"{channel} {name}")


@pytest.fixture
def finished(watcher: Watcher, server: ColloquyServer, model: ModelServer) -> str:
    """The id of a conversation that has ended."""
    ack = watcher.must("start_stream", {"content": TEXT, "team": "debate"})
    watcher.wait_for_end()
    return str(ack["conversation_id"])


@ONE_MODE
def test_http_answers_are_as_published(finished: str, server: ColloquyServer) -> None:
    """Each route of the document that answers JSON, and what it refuses with."""
    contract = Contract(server.get("/api/openapi.json"))
    asked, message = 0, server.get(f"/api/conversations/{finished}")["messages"][1]["message_id"]
    for path, item in contract.document["paths"].items():
        for method, operation in item.items():
            for status, body, value in attempts(path, method, finished, message):
                got, found, headers = ask(server, method.upper(), value, body)
                assert got == status, (method, value, found)
                declared = operation["responses"].get(str(got), operation["responses"]["default"])["content"]
                media = headers["Content-Type"].partition(";")[0]
                assert media in declared, (path, got, media)
                if media == "application/json":
                    assert contract.problem(declared[media]["schema"], found) is None, (path, got)
                asked += 1
    assert asked > len(contract.document["paths"])


_CHANGES: dict[tuple[str, str], list[tuple[int, Any]]] = {
    ("post", "/api/conversations"): [(201, {"content": TEXT, "team": "chat"}), (400, {"content": 7})],
    ("patch", "/api/conversations/{conversation_id}"): [(200, {"title": "Another"}), (400, {"title": ""})],
    ("post", "/api/conversations/{conversation_id}/messages"): [(400, {}), (413, {"content": "x" * 70_000})],
    ("patch", "/api/conversations/{conversation_id}/messages/{message_id}"): [(200, {"content": "x"}), (400, {})],
    ("put", "/api/conversations/{conversation_id}/messages/{message_id}/feedback"): [
        (200, {"value": "up"}),
        (400, {"value": "?"}),
    ],
    ("post", "/api/conversations/{conversation_id}/pause"): [(409, None)],
    ("post", "/api/conversations/{conversation_id}/resume"): [(409, None)],
    ("post", "/api/conversations/{conversation_id}/stop"): [(409, None)],
    ("post", "/api/conversations/{conversation_id}/continue"): [(409, None), (400, {"client_id": 7})],
    ("delete", "/api/conversations/{conversation_id}/queue/{message_id}"): [(404, None)],
    ("post", "/api/conversations/{conversation_id}/inputs/{request_id}"): [
        (404, {"content": "yes"}),
        (400, {"content": 7}),
        (413, {"content": "x" * 70_000}),
    ],
    ("delete", "/api/conversations/{conversation_id}"): [],  # the last one of a test of its own
}


def attempts(path: str, method: str, conversation: str, message: str) -> Iterable[tuple[int, Any, str]]:
    """What to ask of a route: (expected status, body, address)."""
    good = path.replace("{conversation_id}", conversation).replace("{team}", "chat")
    bad = path.replace("{conversation_id}", "none-such").replace("{message_id}", "m")
    if (changes := _CHANGES.get((method, path))) is not None:
        for status, body in changes:
            yield status, body, good.replace("{message_id}", message)
        if bad != path:
            yield 404, changes[0][1] if changes else None, bad
        if "{message_id}" in path:
            yield 404, changes[0][1], good.replace("{message_id}", "none-such")
        return
    if path.startswith("/s/") or path.endswith(("/shares", "/{user}", "/links", "/{link_id}")):
        yield from of_shares(path, method, good, bad)
    elif is_about_people(path):
        yield from as_the_guest(path, method)
    elif path.startswith(("/api/settings", "/api/providers")):
        yield from as_the_operator(path, method)
    elif path.startswith("/api/agui"):
        yield 400, {}, good
        yield 404, {"threadId": "t", "runId": "r", "messages": []}, good
    elif path.endswith("/{artifact_id}"):  # one that is there: test_artifacts.py
        yield 404, None, good
        yield 404, None, bad
    elif path.endswith("/stream"):
        yield 200, None, f"{good}?until=end"
        yield 404, None, bad
    elif method == "post":
        yield 200, {"message": "maintenance at noon"}, good
        yield 400, {"message": 7}, good
    else:
        yield (302 if path in ("/docs", "/favicon.ico") else 200), None, good
        if "/conversations/" in path:
            yield 404, None, bad
    if path in ("/api/conversations", "/api/audit"):
        yield 400, None, f"{path}?limit=many"
    if path.endswith("/export"):
        yield 200, None, f"{good}?format=json"
        yield 200, None, f"{good}?format=html"


def of_shares(path: str, method: str, good: str, bad: str) -> Iterable[tuple[int, Any, str]]:
    """Who else may come in: what is there, and what is not."""
    if path.startswith("/s/"):
        return
    if method in ("put", "post"):
        yield 400, {}, good
    elif method == "get":
        yield 200, None, good
    yield 404, {"role": "viewer"}, bad


def as_the_operator(path: str, method: str) -> Iterable[tuple[int, Any, str]]:
    """What an administrator is answered about settings and providers. What is stored is switched off."""
    if method == "get":
        yield 200, None, path
    elif path == "/api/settings":
        yield 200, {"settings": {}}, path
        yield 400, {"settings": {"PORT": 1}}, path
    elif path == "/api/providers":
        base_url = "http://127.0.0.1:1/v1"
        yield 201, {"name": uuid.uuid4().hex, "model": "m", "base_url": base_url, "enabled": False}, path
        yield 400, {"name": "", "model": "m"}, path
        yield 400, {"name": 5}, path
    elif path.endswith("/order"):
        yield 400, {"provider_ids": ["prv_0"]}, path
    else:
        yield 404, {}, path.replace("{provider_id}", "prv_0")
        yield (200 if method == "post" else 409), {}, path.replace("{provider_id}", "environment:openai")


def is_about_people(path: str) -> bool:
    return path.startswith(("/api/me", "/api/log", "/api/register", "/api/tokens", "/api/sign-ins")) or path.startswith(
        ("/login", "/logout", "/register", "/account")
    )


def as_the_guest(path: str, method: str) -> Iterable[tuple[int, Any, str]]:
    """What the guest is answered, who has no account."""
    if path.startswith("/api/"):
        status = {"/api/me": 200, "/api/logout": 200, "/api/login": 400, "/api/register": 400}.get(path, 401)
        yield status, {}, path
    elif path in ("/login", "/register"):
        yield (200 if method == "get" else 400), None, path
    elif method == "get" or path == "/logout":
        yield 302, None, path
    else:
        yield 401, None, path


@ONE_MODE
def test_answers_about_people_are_as_published(server: ColloquyServer) -> None:
    """Of somebody with an account: each route, and what it refuses with."""
    contract = Contract(server.get("/api/openapi.json"))
    paths = contract.document["paths"]
    headers: dict[str, str] = {}
    name = f"{uuid.uuid4().hex}@example.com"
    made: dict[str, Any] = {}

    def must(status: int, method: str, route: str, body: Any = None, path: str | None = None) -> Any:
        got, found, answered = ask(server, method, path or route, body, headers)
        assert got == status, (method, route, found)
        declared = paths[route][method.lower()]["responses"]
        if got != 204:
            schema = declared.get(str(got), declared["default"])["content"]["application/json"]["schema"]
            assert contract.problem(schema, found) is None, (route, found)
        if "Set-Cookie" in answered and got < 204:
            headers["Cookie"] = answered["Set-Cookie"].partition(";")[0]
            headers["X-CSRFToken"] = str(found.get("csrf_token"))
        return found

    must(201, "POST", "/api/register", {"login": name, "password": "correct horse battery"})
    must(409, "POST", "/api/register", {"login": name, "password": "correct horse battery"})
    must(401, "POST", "/api/login", {"login": name, "password": "wrong"})
    must(200, "POST", "/api/login", {"login": name, "password": "correct horse battery"})
    assert must(200, "GET", "/api/me")["user"]["kind"] == "user"
    made = must(201, "POST", "/api/tokens", {"name": "x", "expires_at": "2999-01-01T00:00:00+01:00"})
    must(400, "POST", "/api/tokens", {"name": "x", "scopes": ["root"]})
    assert must(200, "GET", "/api/tokens")["tokens"][0]["expires_at"] == "2998-12-31T23:00:00.000Z"
    must(204, "DELETE", "/api/tokens/{token_id}", path=f"/api/tokens/{made['token_id']}")
    must(404, "DELETE", "/api/tokens/{token_id}", path=f"/api/tokens/{made['token_id']}")
    assert len(must(200, "GET", "/api/sign-ins")["sign_ins"]) == 1
    must(200, "DELETE", "/api/sign-ins")
    must(404, "DELETE", "/api/sign-ins/{sign_in_id}", path="/api/sign-ins/none-such")
    proof = headers.pop("X-CSRFToken")
    assert must(403, "POST", "/api/logout")["error"]["code"] == "csrf_failed"
    headers["X-CSRFToken"] = proof
    must(200, "POST", "/api/logout")
    must(200, "POST", "/api/login", {"login": name, "password": "correct horse battery"})
    must(400, "POST", "/api/me/delete", {})
    must(403, "POST", "/api/me/delete", {"password": "wrong"})
    must(204, "POST", "/api/me/delete", {"password": "correct horse battery"})


@ONE_MODE
def test_socketio_is_as_published(watcher: Watcher, server: ColloquyServer, model: ModelServer) -> None:
    """Every command's ack, the errors, and the events of a run."""
    contract = Contract(server.get("/api/asyncapi.json"))
    model.control(token_delay_ms=10)
    started = watcher.must("start_stream", {"content": TEXT, "team": "debate", "acks": True})
    conversation = {"conversation_id": started["conversation_id"]}
    acks = [("start_stream", started)]
    watcher.wait_for_tokens(3)
    steps = ("join", "pause_stream", "resume_stream", "stop_stream", "send_message", "leave", "ping", "pause_stream")
    for command in steps:
        payload = {} if command == "ping" else {**conversation, **({"content": "And?"} if "message" in command else {})}
        acks.append((command, watcher.command(command, payload)))
    acks.append(("ack", watcher.command("ack", {**conversation, "offset": 1})))
    watcher.must("join", conversation)
    watcher.wait_for_end()
    for command, ack in acks:
        replies = contract.document["operations"][command]["reply"]["messages"]
        keys = [each["$ref"].rpartition("/")[2] for each in replies]
        payloads = [contract.document["components"]["messages"][key]["payload"] for key in keys]
        assert None in [contract.problem(payload, ack) for payload in payloads], (command, ack)
    for name, payload in watcher.events():
        rooms = [each for each in ("room", "connection") if knows(contract, each, name)]
        assert rooms, name
        contract.must_say(rooms[0], name, payload)
    assert {"room message_delta", "room agent_message", "connection connected"} <= contract.fitted


def knows(contract: Contract, channel: str, name: str) -> bool:
    messages = contract.document["components"]["messages"]
    return any(messages[key]["name"] == name for key in contract.document["channels"][channel]["messages"])


@ONE_MODE
def test_the_plain_websockets_are_as_published(finished: str, server: ColloquyServer, model: ModelServer) -> None:
    """A run on each, and a word that they do not know."""
    contract = Contract(server.get("/api/asyncapi.json"))
    base = server.url.replace("http", "ws")
    start = {"type": "start_conversation", "data": {"content": TEXT, "team": "chat"}}
    speak(contract, "bridge", f"{base}/api/conversations/new/stream", [start, {"type": "make_coffee"}])
    speak(contract, "bridge", f"{base}/api/conversations/{finished}/stream", [])
    chat = {"type": "chat", "payload": {"message": TEXT, "team": "chat"}}
    speak(contract, "tasks", f"{base}/ws/stream", [{"type": "ping", "payload": {}}, {"type": "make_coffee"}, chat])
    speak(contract, "messages", f"{base}/v1/conversation/{finished}/stream", [{"type": "x"}, {"type": "ping"}])
    assert {
        "bridge ack", "bridge error", "bridge snapshot", "bridge message_delta", "tasks pong", "tasks error",
        "tasks result", "messages connected", "messages initial_message", "messages error", "messages pong",
    } <= contract.fitted  # fmt: skip


def speak(contract: Contract, channel: str, url: str, words: list[dict[str, Any]]) -> None:
    """Send, and read until the run has ended, or the last word is answered."""
    connection = websocket.create_connection(url, timeout=20 * TIMEOUT_SCALE, suppress_origin=True)
    try:
        for word in words:
            connection.send(json.dumps(word))
        while True:
            message = json.loads(connection.recv())
            contract.must_say(channel, message["type"], message)
            over = message.get("data", message).get("status") in TERMINAL
            if message["type"] == "pong" if channel == "messages" else over:
                return
    finally:
        connection.close()


@ONE_MODE
def test_the_event_stream_is_as_published(finished: str, server: ColloquyServer) -> None:
    """From the beginning, and as a snapshot."""
    contract = Contract(server.get("/api/asyncapi.json"))
    epoch = server.get(f"/api/conversations/{finished}")["epoch"]
    for query in ("until=end", f"until=end&epoch={epoch}&offset=0"):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20 * TIMEOUT_SCALE)
        try:
            connection.request("GET", f"/api/conversations/{finished}/stream?{query}")
            name = ""
            for line in connection.getresponse():
                if line.startswith(b"event: "):
                    name = line[7:].decode().strip()
                elif line.startswith(b"data: "):
                    contract.must_say("stream", name, json.loads(line[6:]))
        finally:
            connection.close()
    assert {"stream snapshot", "stream message_delta", "stream conversation_complete"} <= contract.fitted
