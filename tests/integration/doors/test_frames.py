"""What the doors do with hostile frames: the door, and no harm to a neighbour."""

from __future__ import annotations

import socket as sockets
import struct
from collections.abc import Callable, Iterator

import httpx
import pytest
import websocket

from tests.integration.doors.clients import TIMEOUT_S, Socket
from tests.support.server import ColloquyServer
from tests.support.waiting import wait_until

Connect = Callable[..., Socket]
DOORS = ("/ws/stream", "/api/conversations/new/stream")


@pytest.fixture
def raw(server: ColloquyServer) -> Iterator[Callable[[], websocket.WebSocket]]:
    """Opens connections of a client that sends whatever frames it is told to."""
    opened = []

    def begin() -> websocket.WebSocket:
        opened.append(websocket.create_connection(f"ws://127.0.0.1:{server.port}/ws/stream", timeout=TIMEOUT_S))
        return opened[-1]

    yield begin
    for each in opened:
        each.shutdown()


def frame(first: int, body: bytes, *, masked: bool = True, length: int | None = None) -> bytes:
    """A client's frame; ``length`` may lie."""
    size = len(body) if length is None else length
    head = bytes([first, (0x80 if masked else 0) | (127 if size > 65_535 else 126 if size > 125 else size)])
    if size > 65_535:
        head += struct.pack("!Q", size)
    elif size > 125:
        head += struct.pack("!H", size)
    return head + (b"\0\0\0\0" if masked else b"") + body


def close_code(client: websocket.WebSocket) -> int:
    """The code that the server closes with."""
    while True:
        opcode, data = client.recv_data(control_frame=True)
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            return int(struct.unpack("!H", data[:2])[0])


HOSTILE = {
    "a frame that says it is too long": (frame(0x81, b"x", length=300_000), 1009),
    "one of 2^62 bytes": (frame(0x81, b"x", length=2**62), 1009),
    "fragments that are too long together": (
        frame(0x01, b"x" * 200_000) + frame(0x00, b"x" * 200_000),
        1009,
    ),
    "a binary frame": (frame(0x82, b"\0\1"), 1003),
    "no UTF-8": (frame(0x81, b"\xff\xfe"), 1007),
    "an unmasked frame": (frame(0x81, b"{}", masked=False), 1002),
    "reserved bits": (frame(0xF1, b"{}"), 1002),
    "an unknown opcode": (frame(0x83, b"{}"), 1002),
    "a continuation of nothing": (frame(0x80, b"{}"), 1002),
    "a fragmented ping": (frame(0x09, b""), 1002),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_frames(raw: Callable[[], websocket.WebSocket], what: str) -> None:
    """Each ends its own connection with the code that RFC 6455 has for it; a neighbour does not notice."""
    sent, code = HOSTILE[what]
    neighbour, client = raw(), raw()
    client.sock.sendall(sent)
    assert close_code(client) == code
    neighbour.send('{"type": "ping"}')
    assert "pong" in neighbour.recv()


def test_fragments_make_a_message(raw: Callable[[], websocket.WebSocket]) -> None:
    """With a ping between them; the pong comes at once."""
    client = raw()
    client.sock.sendall(frame(0x01, b'{"type":') + frame(0x89, b"hello") + frame(0x80, b'"ping"}'))
    assert client.recv_data(control_frame=True) == (websocket.ABNF.OPCODE_PONG, b"hello")
    assert "pong" in client.recv()


def test_endless_empty_fragments_cost_nothing(server: ColloquyServer, raw: Callable[[], websocket.WebSocket]) -> None:
    """A message that never ends, of fragments that never say anything."""
    client = raw()
    client.sock.sendall(frame(0x01, b""))
    before = server.memory_kb() if hasattr(server, "memory_kb") else None
    for _ in range(20):
        client.sock.sendall(frame(0x00, b"") * 5_000)
    client.sock.sendall(frame(0x89, b"still here"))
    assert client.recv_data(control_frame=True)[1] == b"still here"
    if before is not None:
        assert server.memory_kb() < before + 10_000


def test_half_a_handshake_and_half_a_frame(server: ColloquyServer, raw: Callable[[], websocket.WebSocket]) -> None:
    """Whoever leaves in the middle of something leaves nothing behind."""
    client = raw()
    client.sock.sendall(frame(0x81, b"half", length=1000))
    client.sock.shutdown(sockets.SHUT_RDWR)
    wait_until(lambda: "tasks" not in server.get("/api/websocket/status")["connections"], "the release", 20)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-WebSocket-Version": "8", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}, 400),
        ({"Sec-WebSocket-Version": "13"}, 400),
        ({"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "short"}, 400),
        ({"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Connection": "close"}, 426),
    ],
)
@pytest.mark.parametrize("path", DOORS)
def test_what_is_no_handshake(server: ColloquyServer, path: str, headers: dict[str, str], status: int) -> None:
    """Answered as HTTP."""
    asked = {"Connection": "Upgrade", "Upgrade": "websocket"} | headers
    assert httpx.get(server.url + path, headers=asked, trust_env=False).status_code == status


def test_other_peoples_pages_are_kept_out(server: ColloquyServer) -> None:
    """The guard stands before these doors, too."""
    asked = {"Connection": "Upgrade", "Upgrade": "websocket", "Origin": "http://evil.example"}
    assert httpx.get(server.url + "/ws/stream", headers=asked, trust_env=False).status_code == 403


def test_who_comes_through_a_proxy_is_not_the_guest(socket: Connect) -> None:
    """Though the connection comes from this machine."""
    assert socket("/ws/stream", additional_headers={"X-Forwarded-For": "10.0.0.1"}).wait_for_close() == 4501


def test_compression_is_refused_by_default(socket: Connect) -> None:
    """Though this client offers it."""
    assert socket("/ws/stream").extensions == []
