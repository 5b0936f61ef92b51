"""One server per async mode for the doors, with short times and small buffers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.integration.conftest import MODES
from tests.integration.doors.clients import Socket
from tests.support.http import http_json
from tests.support.model_server import ModelServer
from tests.support.server import ColloquyServer
from tests.support.tokens import SECRET

SETTINGS = {
    "STREAM_TOKENS_PER_S": "0",
    "HEARTBEAT_S": "0.5",
    "SLOW_CLIENT_TIMEOUT_S": "2",
    "PING_INTERVAL_S": "0.5",
    "PING_TIMEOUT_S": "1.5",
    "SOCKET_SEND_BUFFER_BYTES": "8192",
    "MAX_COMMANDS_PER_S": "10",
    "HTTP_SILENCE_S": "2",
    "JWT_SECRET": SECRET,
}


@pytest.fixture(scope="package")
def model() -> Iterator[ModelServer]:
    """The scripted model, as an outside provider."""
    with ModelServer() as server:
        yield server


@pytest.fixture(scope="package", params=MODES)
def server(request: pytest.FixtureRequest, model: ModelServer) -> Iterator[ColloquyServer]:
    """The real server, in each async mode."""
    with ColloquyServer(model_url=model.url, env=SETTINGS | {"ASYNC_MODE": request.param}) as running:
        yield running
        said = running.output()
    assert "Traceback" not in said, said


@pytest.fixture
def socket(server: ColloquyServer) -> Iterator[Callable[..., Socket]]:
    """Opens plain WebSockets, and closes them when the test is over."""
    opened: list[Socket] = []

    def connect(path: str, **options: Any) -> Socket:
        opened.append(Socket(f"ws://127.0.0.1:{server.port}{path}", **options))
        return opened[-1]

    yield connect
    for each in opened:
        each.close()


@pytest.fixture
def start(socket: Callable[..., Socket]) -> Callable[..., str]:
    """Starts a conversation over the bridge, leaves it, and tells its id."""

    def begin(content: str = "Should the bank keep its dividend?", team: str = "chat", **options: Any) -> str:
        bridge = socket("/api/conversations/new/stream", **options)
        bridge.send({"type": "start_conversation", "data": {"content": content, "contentType": "text", "team": team}})
        conversation_id: str = bridge.wait_for("ack")["data"]["conversation_id"]
        bridge.close()
        return conversation_id

    return begin


@pytest.fixture
def snapshot(server: ColloquyServer) -> Callable[[str], dict[str, Any]]:
    """The server's own view of a conversation."""

    def look(conversation_id: str) -> dict[str, Any]:
        view: dict[str, Any] = http_json("GET", f"{server.url}/api/conversations/{conversation_id}")
        return view

    return look
