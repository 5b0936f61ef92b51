"""Clients that break the rules of WebSocket, Engine.IO or long polling: the door at once, no harm to a neighbour."""

from __future__ import annotations

import http.client
import struct
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import TIMEOUT_SCALE
from tests.support.processes import rss_bytes
from tests.support.raw_client import BINARY, CLOSE, PING, PONG, TEXT, PollingClient, RawClient, frame
from tests.support.server import ColloquyServer
from tests.support.watcher import Watcher

SOON_S = 5 * TIMEOUT_SCALE
HUGE = 1 << 40


@pytest.fixture(autouse=True)
def nothing_breaks(server: ColloquyServer, watcher: Watcher) -> Iterator[None]:
    """A neighbour is served, no stack trace is logged, and nothing is left behind."""
    before = delivery(server)["connections"]
    yield
    assert watcher.must("ping", {})["ok"]
    assert "Traceback" not in server.output()
    deadline = time.monotonic() + SOON_S
    while (left := delivery(server)["connections"]) > before:
        assert time.monotonic() < deadline, f"{left - before} sessions are left"


def delivery(server: ColloquyServer) -> dict[str, Any]:
    """The figures of the socket layer."""
    figures: dict[str, Any] = server.get("/api/websocket/status")["delivery"]
    return figures


FIRST_FRAMES = {
    "letter": frame("x"),
    "empty": frame(""),
    "unicode digit": frame("²"),
    "other digits": frame("٣"),
    "binary": frame(b"\x00\x01", BINARY),
    "base64": frame("bAAAA"),
    "unknown packet": frame("7"),
    "open": frame("0{}"),
    "ping": frame("2"),
    "upgrade": frame("5"),
    "half a surrogate": frame(b"4\xed\xa0\x80"),
    "no mask": b"\x81\x02hi",
    "reserved bits": b"\xf1\x80\0\0\0\0",
    "unknown opcode": b"\x83\x80\0\0\0\0",
    "continuation of nothing": frame("2", 0),
    "long ping": frame(b"p" * 126, PING),
    "bad close": frame(b"\x00\x01", CLOSE),
    "message without sense": frame("4"),
    "huge": frame(b"4", length=HUGE),
}


@pytest.mark.parametrize("sent", FIRST_FRAMES.values(), ids=FIRST_FRAMES)
def test_a_first_frame_without_sense_ends_the_connection(server: ColloquyServer, sent: bytes) -> None:
    """The library would raise, and keep the session until its ping times out."""
    with RawClient(server.port) as client:
        client.sock.sendall(sent)
        assert client.is_closed_within(SOON_S)


@pytest.mark.parametrize("parts", [1, 40], ids=["one frame", "fragments"])
def test_a_long_message_is_refused_before_it_is_read(server: ColloquyServer, parts: int) -> None:
    """However it is cut: the limit holds for the message."""
    before = rss_bytes(server.pid)
    with RawClient(server.port) as client:
        client.connect()
        try:
            if parts == 1:
                client.sock.sendall(frame(b"4" * 10_000, length=64_000_000))
                client.sock.sendall(b"4" * 1_000_000)
            for number in range(parts if parts > 1 else 0):
                client.sock.sendall(frame(b"4" * 100_000, 0 if number else TEXT, fin=False))
        except ConnectionError:
            pass  # closed in mid-sentence
        assert client.is_closed_within(SOON_S)
    assert rss_bytes(server.pid) - before < 20_000_000


def test_pings_of_the_websocket_are_answered(server: ColloquyServer) -> None:
    """They are the protocol's own, and of no concern to Engine.IO."""
    with RawClient(server.port) as client:
        client.connect()
        client.send(b"hello", PING)
        while (got := client.frame())[0] != PONG:
            continue
        assert got[1] == b"hello"
        assert client.command("ping", {"echo": 1})["echo"] == 1
        client.send(struct.pack("!H", 1000), CLOSE)
        assert client.is_closed_within(SOON_S)


@pytest.mark.parametrize("first", ["x", "2", "2prob", "5", "4hello", b"\x01"])
def test_a_wrong_probe_ends_the_websocket_only(server: ColloquyServer, first: str | bytes) -> None:
    """The session goes on by long polling."""
    session = PollingClient(server.port).connect()
    with RawClient(server.port, sid=session.sid) as client:
        client.send(first, BINARY if isinstance(first, bytes) else TEXT)
        assert client.is_closed_within(SOON_S)
    assert session.alive
    session.post("1")


def test_a_probe_that_is_not_followed_by_an_upgrade_ends_the_websocket_only(server: ColloquyServer) -> None:
    """Something else than `5` after the probe."""
    session = PollingClient(server.port).connect()
    with RawClient(server.port, sid=session.sid) as client:
        client.send("2probe")
        assert client.packet() == "3probe"
        client.send("6")
        assert client.is_closed_within(SOON_S)
    assert session.alive
    session.post("1")


def test_what_waits_during_the_upgrade_keeps_its_order(server: ColloquyServer) -> None:
    """Acks of commands that were sent before, while and after the transport changes."""
    session = PollingClient(server.port).connect()
    session.post('42/conversations,1["ping",{"echo":1}]')
    with RawClient(server.port, sid=session.sid) as client:
        client.send("2probe")
        assert client.packet() == "3probe"
        session.post('42/conversations,2["ping",{"echo":2}]')
        assert session.poll() == ["6"], "a poll during the upgrade takes nothing"
        client.send("5")
        client.send('42/conversations,3["ping",{"echo":3}]')
        assert [client.packet().split("[")[0] for _ in range(3)] == [f"43/conversations,{n}" for n in (1, 2, 3)]
        client.send("1")
        assert client.is_closed_within(SOON_S)


BODIES = {
    "letter": b"x",
    "no text": b"\xff\xfe",
    "empty packet": b"3\x1e",
    "unicode digit": "²".encode(),
    "binary": b"bAAAA",
    "too many": b"\x1e".join([b"3"] * 1_000),
    "nonsense in a message": b'42/conversations,["ping"',
    "form": b"d=x",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_malformed_body_ends_the_session(server: ColloquyServer, body: bytes) -> None:
    """Answered with 400, or 200 where the packet is taken and then refused; and the session is gone at once."""
    session = PollingClient(server.port).connect()
    assert session.post(body)[0] in (200, 400)
    assert not session.alive


def test_a_body_of_a_wrong_length_ends_the_session(server: ColloquyServer) -> None:
    """One that is announced far too long, and none at all."""
    for length in ("99999999999", "0"):
        session = PollingClient(server.port).connect()
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=SOON_S)
        connection.putrequest("POST", f"/socket.io/?EIO=4&transport=polling&sid={session.sid}")
        connection.putheader("Content-Length", length)
        connection.endheaders()
        assert connection.getresponse().status in (400, 413)
        connection.close()
        assert not session.alive


def test_two_polls_at_once_end_the_session(server: ColloquyServer) -> None:
    """Engine.IO's own rule: nobody could tell what came first."""
    session = PollingClient(server.port).connect()
    polls = [http.client.HTTPConnection("127.0.0.1", server.port, timeout=SOON_S) for _ in range(2)]
    for poll in polls:
        poll.request("GET", f"/socket.io/?EIO=4&transport=polling&sid={session.sid}")
    answers = [poll.getresponse() for poll in polls]
    assert 400 in [answer.status for answer in answers]
    for poll, answer in zip(polls, answers, strict=True):
        answer.read()
        poll.close()
    assert not session.alive


@pytest.mark.parametrize(
    "headers",
    [{"Upgrade": "websocket"}, {"Upgrade": "websocket", "Connection": "Upgrade"}, {"Connection": "Upgrade"}],
    ids=["no connection", "no key", "no upgrade"],
)
def test_half_an_upgrade_is_refused(server: ColloquyServer, headers: dict[str, str]) -> None:
    """With an HTTP error."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=SOON_S)
    connection.request("GET", "/socket.io/?EIO=4&transport=websocket", headers=headers)
    assert 400 <= connection.getresponse().status < 500
    connection.close()
