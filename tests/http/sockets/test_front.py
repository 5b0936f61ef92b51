"""Who is let in, and what is kept from everybody."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app import create_app
from app.auth.identity import bearer_token
from app.http.sockets.front import DOORS, SocketDoors
from app.services import Services
from app.settings import load_settings

HANDSHAKE = {
    "REQUEST_METHOD": "GET",
    "SERVER_NAME": "127.0.0.1",
    "SERVER_PORT": "5000",
    "wsgi.url_scheme": "http",
    "HTTP_HOST": "127.0.0.1:5000",
    "HTTP_UPGRADE": "websocket",
    "HTTP_CONNECTION": "Upgrade",
    "HTTP_SEC_WEBSOCKET_KEY": "dGhlIHNhbXBsZSBub25jZQ==",
    "HTTP_SEC_WEBSOCKET_VERSION": "13",
}
PATHS = [kind.path.replace("<key>", "some-id") for kind in DOORS]


@pytest.fixture
def parts(tmp_path: Path) -> Services:
    settings = load_settings(None, async_mode="threading", local_model=False, data_dir=tmp_path)
    found: Services = create_app(settings).extensions["colloquy"]
    found.prepare_store()
    return found


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.shutdown(socket.SHUT_WR)
        yield ours, theirs


def passed_on(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    raise AssertionError("it was led past its door")


def said(ours: socket.socket, theirs: socket.socket) -> tuple[dict[str, Any], bytes]:
    """The first message after the handshake, and all frames."""
    ours.close()
    head, _, frames = b"".join(iter(lambda: theirs.recv(4096), b"")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101")
    body = frames[2 : 2 + frames[1]] if frames[1] < 126 else frames[4 : 4 + int.from_bytes(frames[2:4])]
    return json.loads(body), frames


def code_of(message: dict[str, Any]) -> str:
    """The code of an error in any dialect."""
    assert message["type"] == "error"
    return str(message.get("details") or (message.get("data") or message["content"])["code"])


@pytest.mark.parametrize("path", PATHS)
def test_somebody_elses_machine_is_told_and_closed(
    parts: Services, pair: tuple[socket.socket, socket.socket], path: str
) -> None:
    """Every door asks who comes; the refusal stands in its own dialect, before the close code."""
    environ = {**HANDSHAKE, "PATH_INFO": path, "REMOTE_ADDR": "192.0.2.7", "colloquy.socket": pair[0]}
    SocketDoors(passed_on, parts)(environ, None)  # type: ignore[arg-type]  # nothing is answered by HTTP
    message, frames = said(*pair)
    assert code_of(message) == "unauthenticated"
    assert (4501).to_bytes(2, "big") in frames
    assert len(parts.connections) == 0


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/api/conversations/{}/stream", ""),
        ("/v1/conversation/{}/stream", ""),
        ("/v1/conversation/A%20secret/stream", ""),
        ("/ws/stream", "conversation_id={}"),
    ],
)
def test_somebody_elses_conversation(
    parts: Services, pair: tuple[socket.socket, socket.socket], path: str, query: str
) -> None:
    """Not even its existence is told, by its id or by its name."""
    theirs = parts.manager.start(team="chat", content="A secret", owner="somebody else").conversation.id
    environ = {**HANDSHAKE, "REMOTE_ADDR": "127.0.0.1", "colloquy.socket": pair[0]}
    environ |= {"PATH_INFO": path.replace("%20", " ").format(theirs), "QUERY_STRING": query.format(theirs)}
    SocketDoors(passed_on, parts)(environ, None)  # type: ignore[arg-type]  # nothing is answered by HTTP
    message, frames = said(*pair)
    assert code_of(message) == "conversation_unknown"
    assert (4504).to_bytes(2, "big") in frames


# the AG2 door asks nobody anything before the first message
@pytest.mark.parametrize("path", [path for path in PATHS if not path.startswith("/ag2/")])
def test_a_failure_of_our_own_is_told(
    parts: Services, pair: tuple[socket.socket, socket.socket], path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that fails when a client comes in: an `error` first, then the goodbye; never silence."""

    def fail(*_: Any) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(parts.entrance, "find", fail)
    monkeypatch.setattr(parts.clients, "conversation_of", fail)
    environ = {**HANDSHAKE, "PATH_INFO": path, "REMOTE_ADDR": "127.0.0.1", "colloquy.socket": pair[0]}
    SocketDoors(passed_on, parts)(environ, None)  # type: ignore[arg-type]  # nothing is answered by HTTP
    message, frames = said(*pair)
    assert code_of(message) == "internal"
    assert "disk" not in str(message)
    assert (1000).to_bytes(2, "big") in frames


def test_what_is_no_websocket_is_told_so(parts: Services) -> None:
    """A plain request to an address that has nothing else; a token in it stays out of the access log all the same."""
    answers: list[tuple[str, dict[str, str]]] = []

    def start_response(status: str, headers: list[tuple[str, str]]) -> None:
        answers.append((status, dict(headers)))

    for path in PATHS[1:]:
        environ = {**HANDSHAKE, "PATH_INFO": path, "QUERY_STRING": "authorization=s3cret", "REQUEST_URI": "?s3cret"}
        del environ["HTTP_UPGRADE"]
        body = b"".join(SocketDoors(passed_on, parts)(environ, start_response))
        status, headers = answers.pop()
        assert (status, headers["Upgrade"]) == ("426 Upgrade Required", "websocket")
        assert json.loads(body)["error"]["code"] == "upgrade_required"
        assert path.startswith(("/ws", "/ag2")) or "s3cret" not in str(environ)


@pytest.mark.parametrize("path", ["stream", "messages"])
def test_somebody_elses_conversation_over_http(path: str, tmp_path: Path) -> None:
    """So it is over HTTP."""
    app = create_app(load_settings(None, async_mode="threading", local_model=False, data_dir=tmp_path))
    parts: Services = app.extensions["colloquy"]
    parts.prepare_store()
    theirs = parts.manager.start(team="chat", content="A secret", owner="somebody else").conversation.id
    answer = app.test_client().get(f"/api/conversations/{theirs}/{path}", base_url="http://127.0.0.1")
    assert (answer.status_code, answer.json["error"]["code"]) == (404, "conversation_unknown")


def test_a_token_in_the_address_is_taken_out(parts: Services, pair: tuple[socket.socket, socket.socket]) -> None:
    """At the one door that may have it there; nobody after it sees it."""
    environ = {**HANDSHAKE, "REMOTE_ADDR": "127.0.0.1", "colloquy.socket": pair[0]}
    environ |= {"PATH_INFO": "/v1/conversation/x/stream", "QUERY_STRING": "authorization=Bearer+s3cret&types=&a=%26"}
    environ |= {"REQUEST_URI": "/v1/conversation/x/stream?authorization=Bearer+s3cret", "RAW_URI": "?s3cret"}
    SocketDoors(passed_on, parts)(environ, None)  # type: ignore[arg-type]  # nothing is answered by HTTP
    assert environ["QUERY_STRING"] == "types=&a=%26"
    assert not any("s3cret" in str(value) for value in environ.values())


@pytest.mark.parametrize(
    ("header", "elsewhere", "token"),
    [
        ("Bearer abc", None, "abc"),
        ("bearer  abc ", "other", "abc"),
        (None, "Bearer abc", "abc"),
        (None, "abc", "abc"),
        (None, None, None),
        ("", "", None),
    ],
)
def test_bearer_tokens(header: str | None, elsewhere: str | None, token: str | None) -> None:
    """The header wins; the word Bearer may be missing."""
    assert bearer_token({"HTTP_AUTHORIZATION": header} if header is not None else {}, elsewhere) == token
