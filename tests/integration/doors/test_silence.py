"""Connections that ask for nothing."""

from __future__ import annotations

import contextlib
import socket

from tests.integration.doors.clients import TIMEOUT_S, Socket
from tests.support.server import ColloquyServer

HEAD = b"Host: 127.0.0.1\r\n"
OK = b"GET /api/v1/health HTTP/1.1\r\n" + HEAD + b"\r\n"


def test_connections_that_ask_nothing_are_closed(server: ColloquyServer) -> None:
    """After HTTP_SILENCE_S: before a request, within one, and between two; a WebSocket may be silent, and stays."""
    watching = Socket(f"ws://127.0.0.1:{server.port}/ws/stream")
    halves = {
        "nothing": b"",
        "half a line": b"GET /api",
        "half a head": b"GET / HTTP/1.1\r\n" + HEAD,
        "half a body": b"POST /api/websocket/broadcast HTTP/1.1\r\n" + HEAD + b"Content-Length: 100\r\n\r\n{",
        "a whole request": OK,
    }
    with contextlib.ExitStack() as opened:
        clients = {}
        for name, sent in halves.items():
            client = clients[name] = opened.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            client.settimeout(TIMEOUT_S)
            client.sendall(sent)
        answers = {name: _until_end(client) for name, client in clients.items()}
    assert b"200" in answers["a whole request"]
    assert not answers["nothing"]
    watching.send({"type": "ping"})
    watching.wait_for("pong")
    watching.close()


def _until_end(client: socket.socket) -> bytes:
    """All that comes until the server closes. :raises TimeoutError: it does not."""
    came = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := client.recv(65_536):
            came += piece
    return came
