"""Who is signed in ends while connections are open: warned, renewed, or closed in time; at every door."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from app.auth.accounts import Accounts
from app.auth.api_tokens import ApiTokens
from app.auth.endings import Endings
from app.auth.passwords import Passwords
from app.client import Client, Connection
from app.concurrency import AsyncMode
from app.store.database import Database
from tests.integration.conftest import MODES
from tests.integration.doors.clients import Events, Socket, last_of_run, payload_of
from tests.integration.test_javascript import watch
from tests.support.http import http_json
from tests.support.model_server import ModelServer
from tests.support.server import ColloquyServer
from tests.support.tokens import SECRET, bearer, token
from tests.support.waiting import wait_until
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
        "REGISTRATION": "open",
    }
    with ColloquyServer(model_url=model.url, env=env) as running:
        yield running
        said = running.output()
    assert "Traceback" not in said, said


def watcher(server: ColloquyServer, text: str) -> Watcher:
    return Watcher(server.url, auth={"token": text})


def test_a_token_is_renewed_without_a_hole(server: ColloquyServer, model: ModelServer) -> None:
    """A token of 3 s is renewed while words flow; the same person's other connection, which does not, is closed."""
    model.control(tokens=150, token_delay_ms=30)
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


def test_the_javascript_client_renews_by_itself(server: ColloquyServer, model: ModelServer) -> None:
    """Its hook is asked for a fresh token, and the stream has no hole; without one it stops, and says so."""
    model.control(tokens=120, token_delay_ms=30)
    seen = watch(server, "renewed", json.dumps([token(3), token(60)]))
    assert seen["heard"] == ["connected", "auth_expiring"]
    assert (seen["status"], seen["gaps"], seen["reconnects"], seen["told"]) == ("completed", 0, 0, None)
    view = http_json("GET", f"{server.url}/api/conversations/{seen['conversation']}", headers=bearer(token()))
    assert seen["contents"] == [each["content"] for each in view["messages"]]
    seen = watch(server, "renewed", json.dumps([token(3)]))
    assert seen["heard"] == ["connected", "auth_expiring", "signed_out"]
    assert (seen["connection"], seen["error"]) == ("closed", "auth_failed")


def test_the_python_client_renews_by_itself(server: ColloquyServer, model: ModelServer) -> None:
    """Likewise; one that holds nothing but its old token is closed, with the reason."""
    model.control(tokens=120, token_delay_ms=30)
    lives_s = iter((3, 60))
    with Client(server.url, auth=lambda: {"token": token(next(lives_s))}) as client:
        stream = client.stream()
        stream.start(TALK["content"], team="chat")
        names = [happening.name for happening in stream.events()]
        assert names[-1] == "conversation_status"
        assert (stream.state.status, client.reconnects, stream.metrics.gaps) == ("completed", 0, 0)
    with Client(server.url, auth={"token": token(2.5)}) as client:
        wait_until(lambda: client.connection is Connection.CLOSED, "its end", CLOSED_S + 3)
        assert client.last_error is not None
        assert client.last_error.code == "token_expired"


def test_an_agui_run_ends_with_its_token(server: ColloquyServer, model: ModelServer) -> None:
    """The run goes on; its stream ends with an error that says why."""
    model.control(tokens=200, token_delay_ms=40)
    body = {
        "threadId": "t1",
        "runId": "r1",
        "state": {},
        "tools": [],
        "context": [],
        "forwardedProps": {},
        "messages": [{"id": "m1", "role": "user", "content": TALK["content"]}],
    }
    began = time.monotonic()
    answer = httpx.post(f"{server.url}/api/agui/chat", json=body, headers=bearer(token(2)), trust_env=False, timeout=20)
    assert time.monotonic() - began < 2 + CLOSED_S
    events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]
    assert [each.get("name") for each in events if each["type"] == "CUSTOM"][-1] == "signed_out"
    assert (events[-1]["type"], events[-1]["code"]) == ("RUN_ERROR", "token_expired")


def test_a_logout_closes_what_it_has_opened_and_nothing_else(server: ColloquyServer, model: ModelServer) -> None:
    """The sockets and streams of that sign-in, at every door; another sign-in of the same person goes on."""
    model.control(tokens=1_000, token_delay_ms=30)
    who = {"login": f"cara-{server.port}", "password": "correct horse battery"}
    browsers = [httpx.Client(base_url=server.url, trust_env=False) for _ in range(2)]
    assert browsers[0].post("/api/register", json=who).status_code == 201
    assert browsers[1].post("/api/login", json=who).status_code == 200
    cookies = ["; ".join(f"{name}={value}" for name, value in each.cookies.items()) for each in browsers]
    talk = browsers[0].get("/api/me").json()["user"]["id"]
    with ExitStack() as stack:
        for browser in browsers:
            stack.callback(browser.close)
        leaves, stays = (stack.enter_context(Watcher(server.url, headers={"Cookie": cookie})) for cookie in cookies)
        assert leaves.wait_for_event("connected")["user"] == stays.wait_for_event("connected")["user"] == talk
        talk = leaves.must("start_stream", TALK)["conversation_id"]
        ways = (f"/api/conversations/{talk}/stream", "/ws/stream", f"/v1/conversation/{talk}/stream")
        sockets = [
            [Socket(f"ws://127.0.0.1:{server.port}{way}", additional_headers={"Cookie": cookie}) for way in ways]
            for cookie in cookies
        ]
        events = stack.enter_context(
            Events(f"{server.url}/api/conversations/{talk}/stream", headers={"Cookie": cookies[0]})
        )
        next(events)
        proof = {"X-CSRFToken": browsers[0].get("/api/me").json()["csrf_token"]}
        run = stack.enter_context(Events.of_run(server.url, talk, {"Cookie": cookies[0], **proof}))
        next(run)
        ag2 = Socket.of_ag2(server.port, {"Cookie": cookies[0]})
        began = time.monotonic()
        assert browsers[0].post("/api/logout", headers=proof).status_code == 200
        word = leaves.wait_for_event("signed_out")
        assert (word["code"], word["action"]) == ("signed_out", "sign_in")
        leaves.wait_for_disconnect()
        assert [each.wait_for_close() for each in sockets[0]] == [4502] * 3
        assert [each.event for each in events][-1] == "signed_out"
        assert last_of_run(run) == ("signed_out", "unauthenticated")
        assert ag2.wait_for_close() == 4502
        assert (ag2.came[-1]["type"], ag2.came[-1]["content"]["code"]) == ("error", "signed_out")
        assert time.monotonic() - began < CLOSED_S
        assert stays.command("ping")["ok"]
        sockets[1][1].send({"type": "ping"})
        sockets[1][1].wait_for("pong")
        stays.must("stop_stream", {"conversation_id": talk})
        for socket in (*sockets[0], *sockets[1], ag2):
            socket.close()


def test_who_polls_is_told_with_the_next_poll(server: ColloquyServer) -> None:
    """The session ends between two polls of a client: it was forgotten at once, and the client was never told why."""
    with httpx.Client(base_url=server.url, trust_env=False) as browser:
        me = browser.post("/api/register", json={"login": f"polly-{server.port}", "password": "correct horse battery"})
        address = "/socket.io/?EIO=4&transport=polling"
        address += "&sid=" + json.loads(browser.get(address).text[1:])["sid"]
        assert browser.post(address, content="40/conversations,").status_code == 200
        came = browser.get(address).text
        while "connected" not in came:
            came += browser.get(address).text
        cookies = {"Cookie": "; ".join(f"{name}={value}" for name, value in browser.cookies.items())}
        assert browser.post("/api/logout", headers={"X-CSRFToken": me.json()["csrf_token"]}).status_code == 200
        last = httpx.get(server.url + address, headers=cookies, trust_env=False)
        assert "signed_out" in last.text
        assert last.text.endswith("\x1e1"), "the session is closed"
        assert httpx.get(server.url + address, headers=cookies, trust_env=False).status_code == 400


def test_a_token_that_another_process_revokes_closes_its_connections(server: ColloquyServer) -> None:
    """As the command line does, in the database: within five seconds."""
    mode = AsyncMode("threading")
    database = Database(f"sqlite:///{server._data_dir.name}/colloquy.sqlite3", mode)
    accounts = Accounts(database, Passwords(mode))
    tokens = ApiTokens(database, accounts, Endings(database, mode), mode)
    mine = accounts.register(f"dora-{server.port}", "correct horse battery")
    made, secret = tokens.create(mine.user_id, name="test", scopes=("read", "write"))
    with Watcher(server.url, auth={"token": secret}) as watcher:
        watcher.must("start_stream", TALK)
        began = time.monotonic()
        tokens.revoke(made.token_id)
        word = watcher.wait_for_event("signed_out")
        assert (word["code"], word["action"]) == ("revoked", "sign_in")
        watcher.wait_for_disconnect()
        assert time.monotonic() - began < CLOSED_S
