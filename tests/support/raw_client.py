"""A client that speaks WebSocket, Engine.IO and long polling byte by byte, so that it can break every rule."""

from __future__ import annotations

import base64
import http.client
import json
import os
import select
import socket
import struct
import time
from types import TracebackType
from typing import Any, Self

from app.protocol import NAMESPACE

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
EVENT = f"42{NAMESPACE},"


def frame(content: bytes | str, opcode: int = TEXT, *, fin: bool = True, length: int | None = None) -> bytes:
    """One masked frame (the mask is zeros, which is legal).

    :param length: what the header says, where that shall be a lie.
    """
    body = content.encode() if isinstance(content, str) else content
    size = len(body) if length is None else length
    first = (0x80 if fin else 0) | opcode
    if size < 126:
        head = struct.pack("!BB", first, 0x80 | size)
    elif size < 65_536:
        head = struct.pack("!BBH", first, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", first, 0x80 | 127, size)
    return head + b"\0\0\0\0" + body


class RawClient:
    """One WebSocket connection. A context manager; :meth:`connect` joins the namespace.

    :param sid: of a long-polling session that shall be upgraded.
    :param receive_buffer: SO_RCVBUF, for a client that shall be slow.
    """

    def __init__(
        self, port: int, *, sid: str | None = None, receive_buffer: int | None = None, timeout_s: float = 10.0
    ) -> None:
        self.sock = socket.socket()
        if receive_buffer is not None:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(timeout_s)
        self.sock.connect(("127.0.0.1", port))
        self._buffer = b""
        rest = f"&sid={sid}" if sid else ""
        key = base64.b64encode(os.urandom(16)).decode()
        self.sock.sendall(
            f"GET /socket.io/?EIO=4&transport=websocket{rest} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        head = self._until(b"\r\n\r\n")
        assert b" 101 " in head.split(b"\r\n", 1)[0], head

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.sock.close()

    def connect(self) -> Self:
        """Open the Engine.IO session and the namespace."""
        self.sid = json.loads(self.packet()[1:])["sid"]
        self.send(f"40{NAMESPACE},")
        while not self.packet().startswith(f"40{NAMESPACE},"):
            continue
        return self

    def send(self, content: bytes | str, opcode: int = TEXT) -> None:
        """Send one frame."""
        self.sock.sendall(frame(content, opcode))

    def command(self, name: str, payload: dict[str, Any], number: int = 1) -> dict[str, Any]:
        """Send a command and return its ack; events that come first are dropped."""
        self.send(f"{EVENT}{number}{json.dumps([name, payload])}")
        head = f"43{NAMESPACE},{number}["
        while not (answer := self.packet()).startswith(head):
            continue
        ack: dict[str, Any] = json.loads(answer[len(head) - 1 :])[0]
        return ack

    def event(self) -> tuple[str, dict[str, Any]]:
        """The next event; pings are answered."""
        while not (packet := self.packet()).startswith(EVENT):
            if packet == "2":
                self.send("3")
        return self.parse(packet)

    @staticmethod
    def parse(packet: str) -> tuple[str, dict[str, Any]]:
        """An event's packet as (name, payload)."""
        name, payload = json.loads(packet[len(EVENT) :])
        return name, payload

    def sip(self, count: int) -> list[bytes]:
        """Receive at most so many bytes, if there are any; the contents of the frames that are whole now."""
        if select.select([self.sock], [], [], 0)[0]:
            data = self.sock.recv(count)
            if not data:
                raise EOFError
            self._buffer += data
        frames = []
        while (whole := self._length_of_first()) is not None and len(self._buffer) >= whole:
            frames.append(self.frame()[1])
        return frames

    def _length_of_first(self) -> int | None:
        if len(self._buffer) < 2:
            return None
        short = self._buffer[1]
        head = {126: 4, 127: 10}.get(short, 2)
        return None if len(self._buffer) < head else head + (int.from_bytes(self._buffer[2:head], "big") or short)

    def packet(self) -> str:
        """The next text frame. :raises EOFError: at the end of the connection."""
        while True:
            opcode, content = self.frame()
            if opcode == TEXT:
                return content.decode()
            if opcode == CLOSE:
                raise EOFError

    def frame(self) -> tuple[int, bytes]:
        """The next frame of the server: (opcode, content)."""
        first, length = self._take(2)
        assert first & 0x70 == 0, "bytes that are no WebSocket frame"
        assert length < 0x80, "a server does not mask"
        if length == 126:
            length = int.from_bytes(self._take(2), "big")
        elif length == 127:
            length = int.from_bytes(self._take(8), "big")
        return first & 0x0F, self._take(length)

    def is_closed_within(self, seconds: float) -> bool:
        """Read until the server ends the connection; False if it does not in time. Fails on what is no frame."""
        deadline = time.monotonic() + seconds
        try:
            while time.monotonic() < deadline:
                self.sock.settimeout(max(0.01, deadline - time.monotonic()))
                if self.frame()[0] == CLOSE:
                    while more := self.sock.recv(4096):
                        assert not more.startswith(b"HTTP/"), "HTTP inside a WebSocket"
                    return True
        except TimeoutError:
            return False
        except (EOFError, ConnectionError):
            return True
        return False

    def _take(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._receive()
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken

    def _until(self, separator: bytes) -> bytes:
        while separator not in self._buffer:
            self._receive()
        head, _, self._buffer = self._buffer.partition(separator)
        return head

    def _receive(self) -> None:
        data = self.sock.recv(2048)
        if not data:
            raise EOFError
        self._buffer += data


class PollingClient:
    """A long-polling session, by hand."""

    def __init__(self, port: int, *, timeout_s: float = 10.0) -> None:
        self._port = port
        self._timeout_s = timeout_s
        status, body = self.ask("GET", "")
        assert status == 200, body
        self.sid = json.loads(body[1:].split("\x1e")[0])["sid"]

    def ask(self, method: str, query: str, body: bytes | None = None, **headers: str) -> tuple[int, str]:
        """One request to the session; its status and text."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=self._timeout_s)
        try:
            connection.request(method, f"/socket.io/?EIO=4&transport=polling{query}", body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def post(self, body: bytes | str, **headers: str) -> tuple[int, str]:
        """Send a body of packets."""
        return self.ask("POST", f"&sid={self.sid}", body.encode() if isinstance(body, str) else body, **headers)

    def poll(self) -> list[str]:
        """Fetch packets; waits for the first."""
        status, body = self.ask("GET", f"&sid={self.sid}")
        assert status == 200, body
        return body.split("\x1e")

    def connect(self) -> Self:
        """Join the namespace, and take its greeting."""
        assert self.post(f"40{NAMESPACE},") == (200, "OK")
        packets: list[str] = []
        while len(packets) < 2:
            packets += self.poll()
        assert packets[0].startswith(f"40{NAMESPACE},")
        return self

    @property
    def alive(self) -> bool:
        """Whether the server still knows the session."""
        return self.post("3")[0] == 200
