"""Third-party clients of the doors: ``websockets`` for sockets, ``httpx-sse`` for events; and a raw one that stalls."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
from collections.abc import Iterator
from typing import Any

import httpx
from httpx_sse import EventSource, ServerSentEvent
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.conftest import TIMEOUT_SCALE

TIMEOUT_S = 20 * TIMEOUT_SCALE
TERMINAL = ("completed", "stopped", "error")


class Socket:
    """A plain WebSocket that keeps what has come."""

    def __init__(self, url: str, **options: Any) -> None:
        self._opened = contextlib.ExitStack()
        self._connection = self._opened.enter_context(connect(url, max_size=None, proxy=None, **options))
        self.came: list[dict[str, Any]] = []
        self.extensions = self._connection.protocol.extensions

    @classmethod
    def of_ag2(cls, port: int, headers: dict[str, str]) -> Socket:
        """AG2's door, with a run that has begun."""
        socket = cls(f"ws://127.0.0.1:{port}/ag2/chat", additional_headers=headers)
        socket.send("Should the bank keep its dividend?")
        socket.receive()
        return socket

    def send(self, message: Any) -> None:
        """Send an object as JSON; text and bytes as they are."""
        self._connection.send(message if isinstance(message, (str, bytes)) else json.dumps(message))

    def receive(self) -> dict[str, Any]:
        """The next message. :raises ConnectionClosed, TimeoutError:"""
        message: dict[str, Any] = json.loads(self._connection.recv(timeout=TIMEOUT_S))
        self.came.append(message)
        return message

    def wait_for(self, kind: str, **fields: Any) -> dict[str, Any]:
        """The next message of this type with these fields, of its own or in its data."""
        while True:
            message = self.receive()
            if message["type"] == kind and fields.items() <= (message.get("data", {}) | message).items():
                return message

    def wait_for_each(self, *kinds: str) -> dict[str, dict[str, Any]]:
        """The next message of each type, in whatever order they come; only the first of a type counts."""
        found: dict[str, dict[str, Any]] = {}
        while len(found) < len(kinds):
            message = self.receive()
            if message["type"] in kinds:
                found.setdefault(message["type"], message)
        return found

    def wait_for_close(self) -> int:
        """Receive until the other side closes; the code."""
        try:
            while True:
                self.receive()
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd is not None else 1006

    def pings(self) -> Any:
        """The library's own connection, for what only it can do."""
        return self._connection

    def abort(self) -> None:
        """Lose the connection: no goodbye."""
        self._connection.socket.shutdown(socket.SHUT_RDWR)
        self.close()

    def close(self) -> None:
        self._opened.close()


class Events:
    """An SSE response that is being read. A context manager."""

    def __init__(
        self, url: str, *, last_event_id: str | None = None, headers: dict[str, str] | None = None, **params: Any
    ) -> None:
        self._client = httpx.Client(timeout=TIMEOUT_S, trust_env=False)
        headers = (
            (headers or {})
            | {"Accept": "text/event-stream"}
            | ({"Last-Event-ID": last_event_id} if last_event_id else {})
        )
        self._request = self._client.build_request("GET", url, params=params, headers=headers)

    @classmethod
    def of_run(cls, server_url: str, thread: str, headers: dict[str, str]) -> Events:
        """The AG-UI door, asked for a thread's run as it stands."""
        asked = cls(f"{server_url}/api/agui/chat", headers=headers)
        body = {"threadId": thread, "runId": "r", "state": {}, "messages": [], "tools": [], "context": []}
        asked._request = asked._client.build_request(
            "POST", asked._request.url, json=body | {"forwardedProps": {}}, headers=asked._request.headers
        )
        return asked

    def __enter__(self) -> Iterator[ServerSentEvent]:
        self.response = self._client.send(self._request, stream=True)
        return EventSource(self.response).iter_sse()

    def __exit__(self, *_: object) -> None:
        self.response.close()
        self._client.close()


def last_of_run(events: Iterator[ServerSentEvent]) -> tuple[str | None, str]:
    """Read an AG-UI run to its end: the last `CUSTOM` event's name, and the error's code, or else how it finished."""
    came = [json.loads(each.data) for each in events]
    told = [each["name"] for each in came if each["type"] == "CUSTOM"]
    ended = came[-1]
    return (told or [None])[-1], ended.get("code") or ended["outcome"]["type"]


def payload_of(event: ServerSentEvent) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(event.data)
    return data


def is_logged(event: ServerSentEvent) -> bool:
    """Whether it has a place in the log: heartbeats and the progress of a silent moment have none."""
    return "prev_offset" in payload_of(event)


def until_end(events: Iterator[ServerSentEvent]) -> list[ServerSentEvent]:
    """Everything up to the first terminal status."""
    came: list[ServerSentEvent] = []
    for event in events:
        came.append(event)
        if event.event == "conversation_status" and payload_of(event)["status"] in TERMINAL:
            break
    return came


class Stalled:
    """A client that shakes hands, or asks, and then reads nothing."""

    def __init__(self, port: int, path: str, *, websocket: bool) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        self._socket.connect(("127.0.0.1", port))
        upgrade = ""
        if websocket:
            key = base64.b64encode(os.urandom(16)).decode()
            upgrade = f"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: {key}\r\n"
            upgrade += "Sec-WebSocket-Version: 13\r\n"
        self._socket.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{upgrade}\r\n".encode())
        self._socket.settimeout(TIMEOUT_S)
        while websocket and not self._socket.recv(1, socket.MSG_PEEK).startswith(b"\r"):
            self._skip_line()

    def _skip_line(self) -> None:
        while self._socket.recv(1) != b"\n":
            pass

    def flood_with_pings(self) -> None:
        """Ask for more pongs than anybody could keep, until nothing more is taken from us."""
        ping = bytes([0x89, 0x80 | 125]) + b"\0\0\0\0" + b"x" * 125
        self._socket.settimeout(0.5)
        try:
            for _ in range(100_000):
                self._socket.sendall(ping)
        except OSError:
            return

    def read_all(self) -> tuple[bytes, bool]:
        """What comes until the connection ends, and whether it was reset."""
        self._socket.settimeout(TIMEOUT_S)
        read = b""
        try:
            while more := self._socket.recv(65_536):
                read += more
        except ConnectionResetError:
            return read, True
        return read, False

    def close(self) -> None:
        self._socket.close()


def check_chain(payloads: list[dict[str, Any]], start: int) -> int:
    """Fail where logged events have a hole, a double or a wrong order; the last offset."""
    for payload in payloads:
        assert payload["prev_offset"] == start, f"{payload['prev_offset']} follows {start}"
        assert payload["offset"] > start
        start = payload["offset"]
    return start


def texts_of(payloads: list[tuple[str, dict[str, Any]]], texts: dict[str, str] | None = None) -> dict[str, str]:
    """The messages that events make, by id."""
    texts = dict(texts or {})
    for name, payload in payloads:
        if name == "message_delta":
            texts[payload["message_id"]] = texts.get(payload["message_id"], "") + payload["delta"]
        elif name == "agent_message":
            known = texts.get(payload["message_id"])
            assert known in (None, payload["content"]), "the deltas are not the message"
            texts[payload["message_id"]] = payload["content"]
        elif name == "message_reset":
            texts.pop(payload["message_id"], None)
    return texts
