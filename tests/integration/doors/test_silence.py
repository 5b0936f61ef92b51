"""Connections that ask for nothing."""

from __future__ import annotations

import contextlib
import socket
import time
from itertools import islice

import httpx
import pytest

from tests.integration.doors.clients import TIMEOUT_S, Events, Socket, payload_of
from tests.support.model_server import ModelServer
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


TRICKLES = {
    "line": (b"GET /api", b"x"),
    "head": (b"GET / HTTP/1.1\r\n" + HEAD, b"X: y\r\n"),
    "body": (b"POST /api/websocket/broadcast HTTP/1.1\r\n" + HEAD + b"Content-Length: 10000\r\n\r\n{", b" "),
    "chunks": (
        b"POST /api/websocket/broadcast HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: chunked\r\n\r\n",
        b"1\r\n \r\n",
    ),
}
"""How a request begins, and what of it comes now and then."""


def test_a_request_that_trickles_is_broken_off(server: ColloquyServer) -> None:
    """HTTP_SILENCE_S after its beginning: with each byte, the time began anew, and thousands such cost nobody much."""
    with contextlib.ExitStack() as opened:
        clients = {}
        for name, (begin, _) in TRICKLES.items():
            clients[name] = opened.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            clients[name].settimeout(0.1)
            clients[name].sendall(begin)
        over_s = time.monotonic() + TIMEOUT_S
        while clients:
            assert time.monotonic() < over_s, f"still open: {list(clients)}"
            for name in list(clients):
                try:
                    if not clients[name].recv(65_536):
                        del clients[name]
                except TimeoutError:
                    with contextlib.suppress(ConnectionError):
                        clients[name].sendall(TRICKLES[name][1])
                except ConnectionError:
                    del clients[name]
    assert "Traceback" not in server.output()


def _until_end(client: socket.socket) -> bytes:
    """All that comes until the server closes. :raises TimeoutError: it does not."""
    came = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := client.recv(65_536):
            came += piece
    return came


@pytest.mark.matrix
def test_a_silent_team_is_told_at_every_door(server: ColloquyServer, model: ModelServer) -> None:
    """At least every 2 s, though nothing is logged; where the dialect has no word for it, only who asks is told."""
    model.control(first_token_delay_ms=60_000)
    address = f"ws://127.0.0.1:{server.port}"
    with contextlib.ExitStack() as opened:
        doors = {"tasks": opened.enter_context(contextlib.closing(Socket(f"{address}/ws/stream?team=chat")))}
        doors["tasks"].send({"type": "chat", "payload": {"message": "Hm."}})
        talk = doors["tasks"].wait_for("status", status="initializing")["conversation_id"]
        for name, path in (
            ("bridge", f"/api/conversations/{talk}/stream"),
            ("messages", f"/v1/conversation/{talk}/stream?progress=true"),
            ("quiet", f"/v1/conversation/{talk}/stream"),
            ("ag2", "/ag2/chat?progress=true"),
        ):
            doors[name] = opened.enter_context(contextlib.closing(Socket(address + path)))
        doors["ag2"].send("Hm.")
        events = opened.enter_context(Events(f"{server.url}/api/conversations/{talk}/stream"))
        told = [payload_of(each) for each in islice((each for each in events if each.event == "progress"), 2)]
        assert "silent_s" in told[0]
        assert told[1]["silent_s"] - told[0]["silent_s"] < 2.0
        run = opened.enter_context(Events.of_run(server.url, talk, {}))
        customs = (payload_of(each) for each in run if '"CUSTOM"' in each.data)
        assert next(customs)["name"] == "progress"
        task = doors["tasks"].wait_for("status", message="The agents are still being prepared.")
        assert (task["conversation_id"], task["client_id"] is None) == (talk, False)
        assert doors["bridge"].wait_for("progress")["data"]["silent_s"] > 0
        assert doors["messages"].wait_for("progress")["data"]["silent_s"] > 0
        assert doors["ag2"].wait_for("print")["content"]["objects"] == ["still working"]
        httpx.post(f"{server.url}/api/conversations/{talk}/stop")
        doors["quiet"].wait_for("heartbeat", status="stopped")
    assert "progress" not in [each["type"] for each in doors["quiet"].came]
    model.control(reset=True)


@pytest.mark.matrix
def test_who_writes_for_long_is_not_silent_for_the_task_door(server: ColloquyServer, model: ModelServer) -> None:
    """Its dialect has no words for text that grows: it heard nothing for as long as an agent wrote."""
    model.control(tokens=150, token_delay_ms=20)
    with contextlib.closing(Socket(f"ws://127.0.0.1:{server.port}/ws/stream?team=chat")) as task:
        task.send({"type": "chat", "payload": {"message": "Hm."}})
        told = task.wait_for("progress")
        assert told["message"].endswith(" is writing")
        assert told["silent_s"] > 0
        task.wait_for("status", status="completed")
