"""``/ag2/<team>`` (FEATURES C2): AG2's documented client against ours and against AG2's own server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from autogen.io.websockets import IOWebsockets
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect as ws_connect

from tests.adapters import classic_teams
from tests.conftest import TIMEOUT_SCALE
from tests.support.http import http_json
from tests.support.model_server import ModelServer
from tests.support.server import ColloquyServer
from tests.support.waiting import wait_until

FUNCTIONS = (
    "on_connect", "on_connect_with_tool", "on_connect_in_group", "asks", "asks_first", "failing_function",
)  # fmt: skip
FACTORIES = ("until_next", "always")
TIMEOUT_S = 60 * TIMEOUT_SCALE  # a runner of its own has to start, and to import AG2
Told = list[tuple[str, Any]]


@pytest.fixture(scope="module")
def ag2_model() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture(scope="module")
def ag2_server(ag2_model: ModelServer) -> Iterator[ColloquyServer]:
    """A server whose teams are functions and factories of classic AG2."""
    teams = ",".join(f"{name}=tests.adapters.classic_teams:{name}" for name in (*FUNCTIONS, *FACTORIES))
    env = {
        "TEAMS": teams,
        "OWN_URL": ag2_model.url,
        "OWN_MODEL": "scripted?tokens=6&token_delay_ms=1&calls=weather_forecast",
        "STREAM_TOKENS_PER_S": "0",
    }
    with ColloquyServer(model_url=ag2_model.url, env=env) as running:
        yield running
        said = running.output()
    assert "Traceback" not in said, said


@pytest.fixture
def scripted(ag2_model: ModelServer, monkeypatch: pytest.MonkeyPatch) -> ModelServer:
    ag2_model.control(reset=True, tokens=6, token_delay_ms=1, call_arguments='{"city":"Paris"}')
    monkeypatch.setenv("OWN_URL", ag2_model.url)
    monkeypatch.setenv("OWN_MODEL", "scripted?tokens=6&token_delay_ms=1&calls=weather_forecast")
    return ag2_model


def client(uri: str, *messages: str | bytes) -> list[str]:
    """AG2's documented client: it connects, sends, and receives until the server closes."""
    came: list[str] = []
    waiting = list(messages[1:])
    with ws_connect(uri, proxy=None) as websocket:
        websocket.send(messages[0])
        while True:
            try:
                message = websocket.recv(timeout=TIMEOUT_S)
                message = message.decode("utf-8") if isinstance(message, bytes) else message
            except ConnectionClosed:
                return came
            came.append(message)
            if not message.startswith("{") and waiting:  # a question
                websocket.send(waiting.pop(0))


def told(messages: list[str]) -> Told:
    """What came, as (type, content) without ids; streamed pieces joined, questions as they are."""
    seen: Told = []
    for message in messages:
        if not message.startswith("{"):
            seen.append(("question", message))
            continue
        event = json.loads(message)
        content = without_ids(event["content"])
        if event["type"] == "stream" and seen and seen[-1][0] == "stream":
            seen[-1] = ("stream", seen[-1][1] + content["content"])
        elif event["type"] == "stream":
            seen.append(("stream", content["content"]))
        else:
            seen.append((event["type"], content))
    return [each for each in seen if each != ("stream", "")]


def without_ids(content: Any) -> Any:
    if isinstance(content, dict):
        return {name: without_ids(value) for name, value in content.items() if name != "uuid"}
    return [without_ids(each) for each in content] if isinstance(content, list) else content


@pytest.mark.parametrize(
    ("function", "answers", "kinds"),
    [
        pytest.param("on_connect", (), {"text", "stream", "termination"}, marks=pytest.mark.matrix),
        ("on_connect_with_tool", (), {"text", "stream", "tool_call", "execute_function", "executed_function",
                                      "tool_response", "termination"}),
        pytest.param("on_connect_in_group", ("More of it.",), {"text", "stream", "group_chat_run_chat", "question",
                                                               "termination"}, marks=pytest.mark.matrix),
        pytest.param("asks", ("Ann", "sesame"), {"print", "question"}, marks=pytest.mark.matrix),
        pytest.param("asks_first", ("Ann",), {"print", "question"}, marks=pytest.mark.matrix),
    ],
)  # fmt: skip
def test_the_documented_client_sees_the_same(
    function: str,
    answers: tuple[str, ...],
    kinds: set[str],
    scripted: ModelServer,
    ag2_server: ColloquyServer,
    free_port: Callable[[], int],
) -> None:
    """The same events in the same order with the same text, from AG2's own server and from ours."""
    on_connect = getattr(classic_teams, function)
    with IOWebsockets.run_server_in_thread(on_connect=on_connect, port=free_port()) as uri:
        theirs = told(client(uri, "Check out the weather in Paris.", *answers))
    ours = told(client(f"ws://127.0.0.1:{ag2_server.port}/ag2/{function}", "Check out the weather in Paris.", *answers))
    assert {kind for kind, _ in theirs} >= kinds
    assert ours == theirs


def test_any_team_speaks_it(scripted: ModelServer, ag2_server: ColloquyServer) -> None:
    """A team of autogen-agentchat, too."""
    seen = told(client(f"ws://127.0.0.1:{ag2_server.port}/ag2/chat", "Hello"))
    assert [kind for kind, _ in seen] == ["text", "stream", "text", "termination"]
    assert seen[0][1] == {"content": "Hello", "sender": "user", "recipient": "chat"}
    assert seen[1][1] == seen[2][1]["content"] == "word1 word2 word3 word4 word5 word6 "


def test_it_lives_in_a_room_like_any_other(scripted: ModelServer, ag2_server: ColloquyServer) -> None:
    """Somebody else answers first: the client's own answer waits for the next question."""
    with ws_connect(f"ws://127.0.0.1:{ag2_server.port}/ag2/always", proxy=None) as websocket:
        websocket.send("Hello")
        while websocket.recv(timeout=TIMEOUT_S).startswith("{"):  # type: ignore[arg-type]
            pass
        rows = http_json("GET", f"{ag2_server.url}/api/conversations")["conversations"]
        key = rows[0]["conversation_id"]
        view = http_json("GET", f"{ag2_server.url}/api/conversations/{key}")
        asked = view["pending_inputs"][0]["request_id"]
        http_json("POST", f"{ag2_server.url}/api/conversations/{key}/inputs/{asked}", {"content": "From elsewhere"})
        while websocket.recv(timeout=TIMEOUT_S).startswith("{"):  # type: ignore[arg-type]
            pass
        websocket.send("exit")
        for _ in websocket:  # up to the goodbye
            pass
        last = websocket.protocol.close_rcvd
    assert last is not None
    assert (last.code, last.reason) == (1000, "completed")
    view = http_json("GET", f"{ag2_server.url}/api/conversations/{key}")
    assert [each["content"] for each in view["messages"] if each["agent"] == "user"] == ["Hello", "From elsewhere"]


def test_bytes_are_text(scripted: ModelServer, ag2_server: ColloquyServer) -> None:
    """AG2's own server decodes binary messages."""
    seen = told(client(f"ws://127.0.0.1:{ag2_server.port}/ag2/chat", "Grüße".encode()))
    assert seen[0][1]["content"] == "Grüße"
    with ws_connect(f"ws://127.0.0.1:{ag2_server.port}/ag2/chat", proxy=None) as websocket:
        websocket.send(b"\xff\xfe")
        with pytest.raises(ConnectionClosed) as closed:
            websocket.recv(timeout=TIMEOUT_S)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1007


@pytest.mark.matrix
def test_a_lost_socket_ends_nothing(scripted: ModelServer, ag2_server: ColloquyServer) -> None:
    """The run goes on to its end."""
    scripted.control(reset=True, tokens=200, token_delay_ms=5, text="")
    with ws_connect(f"ws://127.0.0.1:{ag2_server.port}/ag2/chat", proxy=None) as websocket:
        websocket.send("Still there?")
        while "stream" not in str(websocket.recv(timeout=TIMEOUT_S)):
            pass
    rows = http_json("GET", f"{ag2_server.url}/api/conversations")["conversations"]
    key = rows[0]["conversation_id"]

    def completed() -> bool:
        return bool(http_json("GET", f"{ag2_server.url}/api/conversations/{key}")["status"] == "completed")

    wait_until(completed, "the end of the run")


@pytest.mark.parametrize(
    ("team", "content", "code"),
    [
        ("nobody", "Hello", "team_unknown"),
        ("chat", "", "content_empty"),
        pytest.param("failing_function", "x", "team_failed", marks=pytest.mark.matrix),
    ],
)
def test_what_fails_is_told(
    team: str, content: str, code: str, scripted: ModelServer, ag2_server: ColloquyServer
) -> None:
    """An event of type error, and the end."""
    seen: list[str] = []
    with ws_connect(f"ws://127.0.0.1:{ag2_server.port}/ag2/{team}", proxy=None) as websocket:
        try:
            websocket.send(content)
            while True:
                seen.append(str(websocket.recv(timeout=TIMEOUT_S)))
        except ConnectionClosed:
            pass
    [(kind, last)] = told(seen)[-1:]
    assert (kind, last["code"]) == ("error", code)
