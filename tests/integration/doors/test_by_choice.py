"""What the settings change at the doors: one server with unusual ones."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from socketio.exceptions import ConnectionError as Refused
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from tests.integration.doors.clients import TIMEOUT_S, Socket, Stalled
from tests.support.model_server import ModelServer
from tests.support.server import ColloquyServer
from tests.support.waiting import wait_until
from tests.support.watcher import Watcher

SETTINGS = {
    "WEBSOCKET_COMPRESSION": "true",
    "MAX_CONNECTIONS": "3",
    "IDLE_PING_S": "0.3",
    "PING_INTERVAL_S": "1",
    "PING_TIMEOUT_S": "0.5",
    "CORS_ALLOWED_ORIGINS": "https://app.example/",
}
DOORS = ("/ws/stream", "/api/conversations/new/stream")


@pytest.fixture(scope="module")
def choosy(model: ModelServer) -> Iterator[ColloquyServer]:
    """The server with these settings, in its default mode."""
    with ColloquyServer(model_url=model.url, env=SETTINGS) as running:
        yield running


@pytest.fixture
def url(choosy: ColloquyServer) -> str:
    """Where its doors are, once the test before has left them."""
    wait_until(lambda: choosy.get("/ws/status")["active_connections"] == 0, "an empty house", 20)
    return f"ws://127.0.0.1:{choosy.port}"


def test_silent_clients_are_pinged(choosy: ColloquyServer, url: str) -> None:
    """IDLE_PING_S without a word: a ping; who answers stays, who does not is closed, in order."""
    answering = Socket(url + "/ws/stream", ping_interval=None)
    mute = [Stalled(choosy.port, door, websocket=True) for door in DOORS]
    try:
        answering.wait_for("ping")
        for client in mute:
            assert (4001).to_bytes(2, "big") in client.read_all()[0]
        answering.wait_for("ping")
        answering.send({"type": "ping"})
        answering.wait_for("pong")
    finally:
        for client in (answering, *mute):
            client.close()


def test_compression(url: str) -> None:
    """The offer is accepted; and what a bomb may become is bounded."""
    with connect(url + "/ws/stream", proxy=None) as client:
        assert [extension.name for extension in client.protocol.extensions] == ["permessage-deflate"]
        client.send('{"type": "ping"}')
        assert "pong" in str(client.recv(timeout=TIMEOUT_S))
        client.send("x" * 10_000_000)  # 10 kB on the wire
        with pytest.raises(ConnectionClosedError, match="1009"):
            client.recv(timeout=TIMEOUT_S)


def test_pages_of_other_origins(choosy: ColloquyServer, url: str) -> None:
    """Those of CORS_ALLOWED_ORIGINS may use every door beside the server's own pages, and no others may."""
    for door in ("/socket.io/?EIO=4&transport=websocket", *DOORS):
        for origin in (None, Origin(choosy.url), Origin("https://App.example")):
            with connect(url + door, proxy=None, origin=origin):
                pass
        with pytest.raises(InvalidStatus, match="403"):
            connect(url + door, proxy=None, origin=Origin("https://evil.example")).__enter__()
    for origin in (None, "https://app.example"):  # long polling from the server's own pages names none
        for path in ("/api/conversations", "/socket.io/?EIO=4&transport=polling"):
            answer = httpx.options(choosy.url + path, headers={"Origin": origin} if origin else {}, trust_env=False)
            assert (answer.status_code, answer.headers.get("Access-Control-Allow-Origin")) == (200, origin)


def test_a_full_house(choosy: ColloquyServer, url: str) -> None:
    """MAX_CONNECTIONS counts the connections of all doors together."""
    with connect(url + "/ws/stream", proxy=None), connect(url + DOORS[1], proxy=None), Watcher(choosy.url):
        headers = {"Connection": "Upgrade", "Upgrade": "websocket"}
        answer = httpx.get(choosy.url + "/ws/stream", headers=headers, trust_env=False)
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "limit_exceeded")
        assert choosy.get("/api/websocket/status")["doors"]["refused"] == 1
        late = Watcher(choosy.url)
        with pytest.raises(Refused, match="failed to connect"):
            late.__enter__()
