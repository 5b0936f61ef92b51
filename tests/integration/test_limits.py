"""Limits of persons and addresses, on a running server: connections at all doors together, runs, tokens, requests."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import socketio
from websockets.exceptions import InvalidStatus

from app.protocol import NAMESPACE
from tests.conftest import TIMEOUT_SCALE
from tests.integration.conftest import MODES
from tests.integration.doors.clients import Events, Socket
from tests.integration.test_http import ask
from tests.support.model_server import ModelServer
from tests.support.server import ColloquyServer
from tests.support.tokens import SECRET, bearer, token
from tests.support.waiting import wait_until
from tests.support.watcher import Watcher

WAIT_S = 10 * TIMEOUT_SCALE
TALK = {"content": "Should the bank keep its dividend?", "team": "chat"}
CONNECTIONS, RUNS, REQUESTS, TOKENS = 4, 2, 60, 300


@pytest.fixture(scope="module", params=MODES)
def server(request: pytest.FixtureRequest, model: ModelServer) -> Iterator[ColloquyServer]:
    """A server with narrow limits, behind a proxy that is believed."""
    env = {
        "ASYNC_MODE": request.param,
        "STREAM_TOKENS_PER_S": "0",
        "JWT_SECRET": SECRET,
        "ADMIN_USERS": "root",
        "TRUSTED_PROXIES": "1",
        "MAX_CONNECTIONS_PER_USER": str(CONNECTIONS),
        "MAX_CONNECTIONS_PER_ADDRESS": str(CONNECTIONS),
        "MAX_RUNNING_PER_USER": str(RUNS),
        "MAX_REQUESTS_PER_MINUTE": str(REQUESTS),
        "MAX_TOKENS_PER_DAY": str(TOKENS),
    }
    with ColloquyServer(model_url=model.url, env=env) as running:
        yield running
        said = running.output()
    assert "Traceback" not in said, said


def watcher(server: ColloquyServer, who: str) -> Watcher:
    return Watcher(server.url, auth={"token": token(who=who)})


def refusal_of(server: ColloquyServer, **options: Any) -> dict[str, Any]:
    """What the namespace says to one that it does not let in."""
    refused: list[Any] = []
    client = socketio.Client(reconnection=False)
    client.on("connect_error", refused.append, namespace=NAMESPACE)
    with contextlib.suppress(socketio.exceptions.ConnectionError):
        client.connect(server.url, namespaces=[NAMESPACE], transports=["websocket"], **options)
    client.disconnect()
    client.eio.wait()
    body: dict[str, Any] = refused[0].get("data", refused[0])
    return body


def sit_down(socket: Socket) -> None:
    """Wait until it has its place: it is taken behind the handshake."""
    socket.send({"type": "ping"})
    socket.receive()


def check_refusal(error: dict[str, Any]) -> None:
    assert (error["code"], error["retryable"]) == ("limit_exceeded", True), error
    assert error["retry_after_s"] > 0


def test_connections_of_one_person_at_all_doors_together(server: ColloquyServer, model: ModelServer) -> None:
    """Socket.IO, two kinds of WebSocket, SSE; one more is refused at each door in its own words; one that ends makes
    room, however it ends; others are not concerned."""
    model.control(tokens=5)
    headers = bearer(token(who="cora"))
    streams = server.url.replace("http", "ws")
    with watcher(server, "cora") as first, contextlib.ExitStack() as held:
        started = first.must("start_stream", TALK)
        first.wait_for_end(started["session_id"])
        stream = f"/api/conversations/{started['conversation_id']}/stream"
        sockets = [Socket(streams + path, additional_headers=headers) for path in ("/ws/stream", stream)]
        for each in sockets:
            held.callback(each.close)
            sit_down(each)
        events = held.enter_context(Events(server.url + stream, headers=headers))
        assert events is not None

        check_refusal(refusal_of(server, auth={"token": token(who="cora")}))
        for path in ("/ws/stream", stream, f"/v1/conversation/{started['conversation_id']}/stream", "/ag2/chat"):
            late = Socket(streams + path, additional_headers=headers)
            assert late.wait_for_close() == 1013
            late.close()
            assert "limit_exceeded" in str(late.came), path
            assert "'retry_after_s': 1" in str(late.came), path
        answer = httpx.get(server.url + stream, headers=headers, trust_env=False)
        assert answer.status_code == 429
        assert int(answer.headers["Retry-After"]) >= 1
        check_refusal(answer.json()["error"])
        with watcher(server, "dora"):
            pass

        root = bearer(token(who="root"))
        assert ask(server, "GET", "/api/websocket/status", headers=root)[1]["doors"]["over_limit"] == 6
        sockets[0].abort()  # no goodbye

        def room_again() -> bool:
            with contextlib.suppress(Exception), watcher(server, "cora"):
                return True
            return False

        wait_until(room_again, "the one that died has made room", WAIT_S)


def test_connections_that_die_in_any_way_make_room(server: ColloquyServer) -> None:
    """Again and again, at each door, with and without a goodbye: in the end there is room for as many as before."""
    headers = bearer(token(who="egon"))
    address = server.url.replace("http", "ws") + "/ws/stream"
    for number in range(3 * CONNECTIONS):
        socket = Socket(address, additional_headers=headers) if number % 2 else None
        if socket is None:
            with watcher(server, "egon"):
                pass
        elif number % 4 == 1:
            socket.abort()
        else:
            socket.close()

    def all_at_once() -> bool:
        with contextlib.suppress(Exception), contextlib.ExitStack() as held:
            for _ in range(CONNECTIONS):
                held.enter_context(watcher(server, "egon"))
            return True
        return False

    wait_until(all_at_once, "all places are free again", WAIT_S)


def test_connections_and_requests_of_one_address(server: ColloquyServer) -> None:
    """As the trusted proxy tells it; another address, and the machine itself, are not concerned."""
    near = {"X-Forwarded-For": "203.0.113.7"}
    address = server.url.replace("http", "ws") + "/ws/stream"

    def of(who: str) -> dict[str, str]:
        return near | bearer(token(who=who))

    with contextlib.ExitStack() as held:
        for number in range(CONNECTIONS):
            socket = Socket(address, additional_headers=of(f"p{number}"))
            held.callback(socket.close)
            sit_down(socket)
        with pytest.raises(InvalidStatus) as refused:
            Socket(address, additional_headers=of("late"))
        assert refused.value.response.status_code == 429
        assert int(refused.value.response.headers["Retry-After"]) >= 1
        check_refusal(refusal_of(server, headers=of("late")))
        elsewhere = {"X-Forwarded-For": "203.0.113.8"} | bearer(token(who="late"))
        Socket(address, additional_headers=elsewhere).close()
        Socket(address, additional_headers=bearer(token(who="late"))).close()

    statuses = [ask(server, "GET", "/api/v1/health", headers=of(f"q{number}"))[0] for number in range(REQUESTS + 5)]
    assert statuses[0] == 200
    assert statuses[-1] == 429
    status, body, headers = ask(server, "GET", "/api/v1/health", headers=of("r"))
    assert (status, int(headers["Retry-After"]) >= 1) == (429, True)
    check_refusal(body["error"])
    assert ask(server, "GET", "/static/favicon.svg", headers=near)[0] == 200
    assert ask(server, "GET", "/api/v1/health", headers=elsewhere)[0] == 200


def test_requests_of_one_person(server: ColloquyServer) -> None:
    """From wherever they come; others at the same place are not concerned."""
    mine = bearer(token(who="fred"))
    for _ in range(REQUESTS):
        assert ask(server, "GET", "/api/v1/health", headers=mine)[0] == 200
    status, body, headers = ask(server, "GET", "/api/v1/health", headers=mine)
    assert (status, int(headers["Retry-After"]) >= 1) == (429, True)
    check_refusal(body["error"])
    assert ask(server, "GET", "/api/v1/health", headers=bearer(token(who="gina")))[0] == 200


def test_runs_of_one_person(server: ColloquyServer, model: ModelServer) -> None:
    """One more is refused with a typed ack; when one has ended, there is room."""
    model.control(tokens=200, token_delay_ms=20)
    with watcher(server, "hugo") as hugo, watcher(server, "ida") as ida:
        started = [hugo.must("start_stream", TALK) for _ in range(RUNS)]
        check_refusal(hugo.command("start_stream", TALK)["error"])
        other = ida.must("start_stream", TALK)
        hugo.must("stop_stream", {"conversation_id": started[0]["conversation_id"]})
        started[0] = hugo.must("start_stream", TALK)
        for each in started:
            hugo.must("stop_stream", {"conversation_id": each["conversation_id"]})
        ida.must("stop_stream", {"conversation_id": other["conversation_id"]})


def test_tokens_of_one_person_on_a_day(server: ColloquyServer, model: ModelServer) -> None:
    """Who has spent them starts nothing more, nor goes on with what there is; a request that is sent again is no new
    one; others go on."""
    model.control(tokens=TOKENS + 50, token_delay_ms=0)
    with watcher(server, "jule") as jule, watcher(server, "karl") as karl:
        wish = TALK | {"client_id": "once"}
        started = jule.must("start_stream", wish)
        jule.wait_for_end(started["session_id"])
        check_refusal(jule.command("start_stream", TALK)["error"])
        again = {"conversation_id": started["conversation_id"], "content": "And now?"}
        error = jule.command("send_message", again)["error"]
        check_refusal(error)
        assert error["retry_after_s"] <= 86_400
        assert jule.must("start_stream", wish)["session_id"] == started["session_id"]
        model.control(tokens=5)
        ended = karl.must("start_stream", TALK)
        karl.wait_for_end(ended["session_id"])


def test_runs_at_the_same_time_spend_from_one_day(server: ColloquyServer, model: ModelServer) -> None:
    """Together they go beyond it by less than a reply: each ends in mid-sentence, typed, and its request is closed."""
    model.control(tokens=10_000, token_delay_ms=2)
    with watcher(server, "lena") as lena:
        started = [lena.must("start_stream", TALK) for _ in range(RUNS)]
        spent = 0
        for each in started:
            assert lena.wait_for_end(each["session_id"]) == "error"
        for _, payload in lena.events("conversation_status"):
            if payload["status"] == "error":
                assert payload["code"] == "budget_exhausted"
                spent += payload["usage"]["prompt_tokens"] + payload["usage"]["completion_tokens"]
        assert TOKENS <= spent < TOKENS + 1000  # a read may bring several, and a busy machine many
        assert model.stats()["open"] == 0
        check_refusal(lena.command("start_stream", TALK)["error"])
