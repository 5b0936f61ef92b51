"""Who is let in, and what is kept from everybody."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
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
def parts() -> Services:
    found: Services = create_app(load_settings(None, async_mode="threading", local_model=False)).extensions["colloquy"]
    return found


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.shutdown(socket.SHUT_WR)
        yield ours, theirs


def passed_on(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    raise AssertionError("it was led past its door")


@pytest.mark.parametrize("path", PATHS)
def test_somebody_elses_machine_is_told_and_closed(
    parts: Services, pair: tuple[socket.socket, socket.socket], path: str
) -> None:
    """Every door asks who comes; the refusal stands in its own dialect, before the close code."""
    ours, theirs = pair
    environ = {**HANDSHAKE, "PATH_INFO": path, "REMOTE_ADDR": "192.0.2.7", "colloquy.socket": ours}
    SocketDoors(passed_on, parts)(environ, None)  # type: ignore[arg-type]  # nothing is answered by HTTP
    ours.close()
    head, _, frames = b"".join(iter(lambda: theirs.recv(4096), b"")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101")
    message = json.loads(frames[2 : 2 + frames[1]] if frames[1] < 126 else frames[4 : 4 + int.from_bytes(frames[2:4])])
    assert message["type"] == "error"
    assert "unauthenticated" in (message.get("details"), message.get("data", {}).get("code"))
    assert (4501).to_bytes(2, "big") in frames
    assert len(parts.connections) == 0


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
