"""Clients and providers that do not keep to the rules: a clear answer or the door, and no harm to a neighbour."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import socketio
import websocket

from tests.conftest import TIMEOUT_SCALE
from tests.integration.conftest import TEXT, shared_runner
from tests.integration.test_http import ask
from tests.support.model_server import ModelServer
from tests.support.server import ColloquyServer
from tests.support.watcher import Watcher, check_chain

NAMESPACE = "/conversations"


@pytest.fixture
def raw(server: ColloquyServer) -> Iterator[websocket.WebSocket]:
    """A bare WebSocket, connected to the namespace by hand."""
    address = f"ws://127.0.0.1:{server.port}/socket.io/?EIO=4&transport=websocket"
    connection = websocket.create_connection(address, timeout=10 * TIMEOUT_SCALE)
    sock = connection.sock
    assert connection.recv().startswith("0{")
    connection.send(f"40{NAMESPACE},")
    assert connection.recv().startswith(f"40{NAMESPACE},")
    assert '"connected"' in connection.recv()
    yield connection
    connection.close()
    sock.close()  # the library forgets it where the server has closed first


def acked(raw: websocket.WebSocket, packet: str, number: int) -> Any:
    """Send a packet and return its ack's payload."""
    raw.send(packet)
    head = f"43{NAMESPACE},{number}"
    while not (answer := raw.recv()).startswith(head):
        assert answer, "the connection was closed"
    return json.loads(answer[len(head) :])[0]


def closed(raw: websocket.WebSocket) -> bool:
    """Read until the server closes the connection; False if it does not."""
    try:
        while raw.recv():
            continue
    except TimeoutError:
        return False
    except (websocket.WebSocketException, OSError) as error:
        return not isinstance(error, websocket.WebSocketTimeoutException)
    return True


@pytest.mark.parametrize("name", ["connect", "disconnect", "__disconnect_final", "make_coffee"])
def test_the_librarys_own_events_are_no_commands(raw: websocket.WebSocket, server: ColloquyServer, name: str) -> None:
    """Sent by a client, they would reach the connection's handlers with the client's data as the environment."""
    packet = f'42{NAMESPACE},5["{name}",{{"REMOTE_ADDR":"127.0.0.1"}}]'
    assert acked(raw, packet, 5)["error"]["code"] == "unknown_command"
    assert acked(raw, f'42{NAMESPACE},6["ping",{{}}]', 6)["ok"]
    assert "Traceback" not in server.output()


@pytest.mark.parametrize(
    "rest",
    ["[]", "[7]", '["ping",' + "[" * 5_000, '["ping",{"echo":' + "9" * 5_000 + "}]", '["ping", nonsense]'],
    ids=["empty", "no name", "deep", "long number", "no JSON"],
)
def test_a_malformed_packet_is_answered(raw: websocket.WebSocket, server: ColloquyServer, rest: str) -> None:
    """Where its id can be read; the connection goes on, and the log stays clean."""
    assert acked(raw, f"42{NAMESPACE},7{rest}", 7)["error"]["code"] == "invalid_payload"
    assert acked(raw, f'42{NAMESPACE},8["ping",{{}}]', 8)["ok"]
    assert "Traceback" not in server.output()


def test_a_binary_packet_does_not_deafen_the_connection(raw: websocket.WebSocket) -> None:
    """It would wait for attachments that never come."""
    assert acked(raw, f'450-{NAMESPACE},9["ping"]', 9)["error"]["code"] == "invalid_payload"
    assert acked(raw, f'42{NAMESPACE},10["ping",{{}}]', 10)["ok"]


@pytest.mark.parametrize("packet", ["4x", "49", '42["ping"', "4{}"])
def test_a_packet_without_sense_is_shown_the_door(
    raw: websocket.WebSocket, watcher: Watcher, server: ColloquyServer, packet: str
) -> None:
    """And a neighbour does not notice."""
    raw.send(packet)
    assert closed(raw)
    assert watcher.must("ping", {})["ok"]
    assert "Traceback" not in server.output()


def test_a_second_connect_changes_nothing(raw: websocket.WebSocket) -> None:
    """No second greeting."""
    raw.send(f"40{NAMESPACE},")
    raw.send(f'42{NAMESPACE},11["ping",{{}}]')
    seen = []
    while not (answer := raw.recv()).startswith(f"43{NAMESPACE},11"):
        seen.append(answer)
    assert not any('"connected"' in each for each in seen)


def test_a_flood_of_commands_is_refused_and_harms_nobody(
    raw: websocket.WebSocket, watcher: Watcher, server: ColloquyServer
) -> None:
    """Each of them is answered: carried out, or `limit_exceeded`."""
    for number in range(300):
        raw.send(f'42{NAMESPACE},{number}["start_stream",{{"content":""}}]')
    assert watcher.must("ping", {})["ok"]
    codes = set()
    answered = 0
    while answered < 300:
        answer = raw.recv()
        if answer.startswith(f"43{NAMESPACE},"):
            answered += 1
            codes.add(json.loads(answer[answer.index("[") :])[0]["error"]["code"])
    assert codes <= {"content_empty", "limit_exceeded"}


@pytest.mark.parametrize("line", [b"GET /socket.io/?EIO=4 HTTP/1", b"HEAD //socket.io/?EIO=", b"GET", b"\xff\xfe"])
def test_a_request_line_that_is_cut_off_is_no_error_of_ours(server: ColloquyServer, line: bytes) -> None:
    """Each of the three servers had one that it wrote to the log as its own failure, with or without a stack trace."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10 * TIMEOUT_SCALE) as connection:
        connection.sendall(line)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1024):
            continue
    assert "Traceback" not in server.output()
    assert " ERROR " not in server.output()


@pytest.mark.parametrize(
    "head",
    [
        "Content-Length: 2\r\nContent-Length: 40",
        "Content-Length: 2\r\nTransfer-Encoding: chunked",
        "Content-Length: +2",
        "Transfer-Encoding: xchunked",
        "X-Padded : 1\r\nContent-Length: 2",
    ],
)
def test_what_a_proxy_might_read_otherwise_is_not_read(server: ColloquyServer, head: str) -> None:
    """Two lengths let a second request slip through in the body of a first; behind a padded name, headers were lost,
    those of a proxy, too, and who was forwarded was taken for the guest."""
    host = f"Host: 127.0.0.1:{server.port}\r\n"
    inner = f"GET /api/me HTTP/1.1\r\n{host}X-Forwarded-For: 203.0.113.7\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=10 * TIMEOUT_SCALE) as connection:
        connection.sendall(f"POST /api/agui/chat HTTP/1.1\r\n{host}{head}\r\n\r\n{{}}{inner}".encode())
        came = b"".join(iter(lambda: connection.recv(4096), b""))  # it is closed, too
    assert came.startswith((b"HTTP/1.1 400", b"HTTP/1.0 400"))
    assert came.count(b"HTTP/1.") == 1
    assert "Traceback" not in server.output()


@pytest.mark.parametrize(("size", "status"), [("", b"200"), ("zz", b"400")])
def test_a_body_in_chunks(server: ColloquyServer, size: str, status: bytes) -> None:
    """Proxies send it so where a client has not said its length. eventlet read it, and told nobody that it was whole:
    it was taken for none. One that is broken is the client's mistake."""
    body = '{"message": "hello"}'
    head = f"POST /api/websocket/broadcast HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nConnection: close\r\n"
    head += "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=10 * TIMEOUT_SCALE) as connection:
        connection.sendall(f"{head}{size or f'{len(body):x}'}\r\n{body}\r\n0\r\n\r\n".encode())
        came = b"".join(iter(lambda: connection.recv(4096), b""))
    assert came.split()[1] == status, came
    assert b"Python" not in came
    assert "Traceback" not in server.output()


def test_deep_json_over_http_is_refused(server: ColloquyServer) -> None:
    """Not a 500."""
    status, body, _ = ask(server, "POST", "/api/websocket/broadcast", b"[" * 100_000)
    assert (status, body["error"]["code"]) == (400, "invalid_payload")


@pytest.mark.parametrize(("address", "status"), [("/api/conversations/{}", 404), ("/api/conversations?search={}", 400)])
def test_a_long_address_is_refused_in_our_words(server: ColloquyServer, address: str, status: int) -> None:
    """From 8 kB on, two of the three servers answered an empty 414."""
    for length in (8_000, 8_200, 60_000):
        answered, body, _ = ask(server, "GET", address.format("x" * length))
        assert (answered, set(body["error"])) == (status, {"code", "message", "retryable"})


def test_infinity_is_no_number(raw: websocket.WebSocket) -> None:
    """It is not JSON either."""
    assert acked(raw, f'42{NAMESPACE},7["ping",{{"echo":Infinity}}]', 7)["error"]["code"] == "invalid_payload"


def test_a_runner_killed_during_a_pause_is_told_at_once(
    watcher: Watcher, server: ColloquyServer, model: ModelServer
) -> None:
    """The error overtakes what the pause holds back; after the resume the debate ends as it should."""
    model.control(token_delay_ms=10)
    ack = watcher.must("start_stream", {"content": TEXT})
    one = {"conversation_id": ack["conversation_id"]}
    watcher.wait_for_tokens(20)
    watcher.must("pause_stream", one)
    os.kill(shared_runner(server), signal.SIGKILL)
    assert watcher.wait_for_event("conversation_error")["recovering"]
    watcher.must("resume_stream", one)
    assert watcher.wait_for_end() == "completed"
    check_chain(watcher.events(), ack["offset"])


@pytest.mark.parametrize("secret", ["http://user:topsecret@127.0.0.1:9/v1", "http://127.0.0.1:9/v1?api_key=topsecret"])
def test_a_secret_in_an_address_is_not_shown(secret: str) -> None:
    """Neither at the start nor by the health endpoint."""
    with ColloquyServer(model_url=secret) as server:
        assert "topsecret" not in server.output()
        assert "topsecret" not in str(ask(server, "GET", "/api/v1/health/ready")[1])


@pytest.mark.parametrize("brought", [{"token": 7}, {"token": {"a": 1}}, {"link": ["x"]}])
def test_a_token_that_is_no_text_is_no_good(server: ColloquyServer, brought: dict[str, object]) -> None:
    """Who brings one is refused, and not taken for the guest, who brings nothing."""
    with pytest.raises(socketio.exceptions.ConnectionError), Watcher(server.url, auth=brought):
        pass
