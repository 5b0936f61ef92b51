"""Who is signed in ends while connections are open: warned, renewed, or closed in time; at every door."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import pytest

from tests.integration.conftest import MODES
from tests.integration.doors.clients import Events, Socket, payload_of
from tests.support.model_server import ModelServer
from tests.support.server import ColloquyServer
from tests.support.tokens import SECRET, bearer, token
from tests.support.watcher import Watcher, check_chain, logged

TALK = {"content": "Should the bank keep its dividend?", "team": "chat"}
CLOSED_S = 5.0
"""Within this after the end, every connection is closed."""


@pytest.fixture(scope="module", params=MODES)
def server(request: pytest.FixtureRequest, model: ModelServer) -> Iterator[ColloquyServer]:
    """A server that takes JWTs, and warns two seconds before their end."""
    env = {
        "ASYNC_MODE": request.param,
        "STREAM_TOKENS_PER_S": "0",
        "JWT_SECRET": SECRET,
        "AUTH_EXPIRING_S": "2",
        "JWT_LEEWAY_S": "0",
    }
    with ColloquyServer(model_url=model.url, env=env) as running:
        yield running
        said = running.output()
    assert "Traceback" not in said, said


def watcher(server: ColloquyServer, text: str) -> Watcher:
    return Watcher(server.url, auth={"token": text})


def test_a_token_is_renewed_without_a_hole(server: ColloquyServer, model: ModelServer) -> None:
    """A token of 3 s is renewed while words flow; the same person's other connection, which does not, is closed."""
    model.control(tokens=250, token_delay_ms=30)
    began = time.monotonic()
    with watcher(server, token(3)) as keeps, watcher(server, token(3)) as loses:
        hello = keeps.wait_for_event("connected")
        assert (hello["user"], hello["kind"]) == ("anna", "jwt")
        assert hello["expires_at"]
        started = keeps.must("start_stream", TALK)
        loses.must("join", {"conversation_id": started["conversation_id"]})
        keeps.wait_for_event("auth_expiring", expires_at=hello["expires_at"])
        assert keeps.refused("authenticate", {"token": token(60, "bert")}) == "not_permitted"
        assert keeps.refused("authenticate", {"token": token(60, enterprise_id="acme")}) == "not_permitted"
        assert keeps.refused("authenticate", {"token": "nonsense"}) == "unauthenticated"
        renewed = keeps.must("authenticate", {"token": token(60)})
        assert renewed["user"] == "anna"
        assert renewed["expires_at"] > hello["expires_at"]
        word = loses.wait_for_event("signed_out")
        assert (word["code"], word["action"]) == ("token_expired", "refresh")
        loses.wait_for_disconnect()
        assert time.monotonic() - began < 3 + CLOSED_S
        assert keeps.wait_for_end(started["session_id"]) == "completed"
        assert time.monotonic() - began > 3.5, "it was over before the token was"
        check_chain(keeps.events(), started["offset"])
        assert keeps.events("signed_out") == []
        assert len(keeps.events("auth_expiring")) == 1
        assert not [event for event in logged(loses.events()) if event[1]["timestamp"] > word["timestamp"]]


def test_plain_sockets_end_with_their_token(server: ColloquyServer) -> None:
    """Each in its dialect: warned, told, and closed with 4401; one that brings a fresh token goes on."""
    talk = start(server)
    doors = {
        f"/api/conversations/{talk}/stream": (
            "signed_out",
            {"type": "authenticate", "data": {"token": token(60)}},
            "ack",
        ),
        f"/ws/stream?conversation_id={talk}": (
            "error",
            {"type": "authenticate", "payload": {"token": token(60)}},
            "authenticated",
        ),
        f"/v1/conversation/{talk}/stream": ("error", {"type": "authenticate", "token": token(60)}, "authenticated"),
    }
    began = time.monotonic()
    opened = []
    for path, words in doors.items():
        for keeps in (True, False):
            socket = Socket(f"ws://127.0.0.1:{server.port}{path}", additional_headers=bearer(token(3)))
            opened.append((socket, keeps, *words))
    for socket, keeps, _, command, answer in opened:
        socket.wait_for("auth_expiring")
        if keeps:
            socket.send(command)
            socket.wait_for(answer)
    for socket, keeps, last, _, _ in opened:
        if not keeps:
            assert socket.wait_for_close() == 4401
            assert socket.came[-1]["type"] == last
            assert "token_expired" in str(socket.came[-1])
    assert time.monotonic() - began < 3 + CLOSED_S
    for socket, keeps, _, command, answer in opened:
        if keeps:
            socket.send(command)
            socket.wait_for(answer)
        socket.close()


def test_event_streams_end_with_their_token(server: ColloquyServer) -> None:
    """SSE says so and ends; who comes back with the old token gets 401. AG-UI ends with an error."""
    talk, old = start(server), token(3)
    url = f"{server.url}/api/conversations/{talk}/stream"
    began = time.monotonic()
    with Events(url, headers=bearer(old)) as events:
        came = list(events)
    assert [each.event for each in came[-2:]] == ["auth_expiring", "signed_out"]
    assert payload_of(came[-1])["action"] == "refresh"
    assert time.monotonic() - began < 3 + CLOSED_S
    back = httpx.get(url, headers=bearer(old), trust_env=False)
    assert (back.status_code, back.json()["error"]["code"]) == (401, "token_expired")


def start(server: ColloquyServer, who: str = "anna") -> str:
    """A conversation of theirs."""
    socket = Socket(
        f"ws://127.0.0.1:{server.port}/api/conversations/new/stream", additional_headers=bearer(token(60, who))
    )
    try:
        socket.send({"type": "start_conversation", "data": TALK})
        found: str = socket.wait_for("ack")["data"]["conversation_id"]
        return found
    finally:
        socket.close()
