"""A lean measuring client: raw WebSocket, Engine.IO 4, Socket.IO 5, one asyncio protocol per connection.

python-socketio's own client costs more per frame than the servers that are measured here. This one takes markers
straight from the bytes of delta frames and parses nothing else of them.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import secrets
import struct
import time
from array import array
from collections.abc import Callable, Iterator
from typing import Any

from app.protocol import NAMESPACE
from app.protocol.events import MessageDelta

MARKER = re.compile(rb"@(\d{13})#(\d+) ")
EVENT = f"42{NAMESPACE},".encode()
DELTA = EVENT + f'["{MessageDelta.name}",'.encode()
ACK = f"43{NAMESPACE},".encode()
CONNECTED = f"40{NAMESPACE},".encode()
REFUSED = f"44{NAMESPACE},".encode()
TEXT, CLOSE, WS_PING, WS_PONG = 1, 8, 9, 10


class Arrivals:
    """Every marker that came, of any number of connections: when, and how long after its making, in microseconds."""

    def __init__(self) -> None:
        self.received_us = array("q")
        self.latency_us = array("q")
        self.frames = 0

    def between(self, from_s: float, to_s: float) -> list[int]:
        """The latencies of what was received in a span of monotonic time, sorted, in microseconds."""
        first, last = from_s * 1e6, to_s * 1e6
        pairs = zip(self.received_us, self.latency_us, strict=True)
        return sorted(latency for received, latency in pairs if first <= received <= last)


class Channel(asyncio.Protocol):
    """One connection to the namespace. Open with :meth:`connect`.

    ``tokens`` counts markers; ``holes`` counts markers whose number is not the one after the last (a new message begins
    again at 0), ``backwards`` those that are older than the last: lost, doubled or reordered tokens cannot hide.
    """

    def __init__(self, arrivals: Arrivals) -> None:
        self._arrivals = arrivals
        self._buffer = b""
        self._fragments = b""
        self._upgraded = False
        self._calls: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._next_call = 0
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None
        self._last_marker = self._last_number = -1
        self.on_event: Callable[[str, dict[str, Any]], None] = lambda name, payload: None
        self.tokens = self.holes = self.backwards = self.frames = 0
        self.closed = False
        self._last_delta = b""
        self._wanted: tuple[int, asyncio.Future[None]] | None = None

    @classmethod
    async def connect(cls, port: int, arrivals: Arrivals | None = None, *, timeout_s: float = 15.0) -> Channel:
        """Connect to the namespace on a port of loopback.

        :raises ConnectionError: if the server refuses; TimeoutError after ``timeout_s``.
        """
        loop = asyncio.get_running_loop()
        _, channel = await loop.create_connection(lambda: cls(arrivals or Arrivals()), "127.0.0.1", port)
        key = base64.b64encode(secrets.token_bytes(16)).decode()
        channel._write(
            f"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        async with asyncio.timeout(timeout_s):
            await channel._opened
        return channel

    async def call(self, command: str, payload: dict[str, Any], *, timeout_s: float = 15.0) -> dict[str, Any]:
        """Send a command and return its ack, whatever it says."""
        self._next_call += 1
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._calls[self._next_call] = answer
        self._send(f"42{NAMESPACE},{self._next_call}{json.dumps([command, payload])}".encode())
        async with asyncio.timeout(timeout_s):
            return await answer

    async def wait_tokens(self, count: int, *, timeout_s: float = 20.0) -> None:
        """Wait until so many tokens have come in all. One caller at a time."""
        if self.tokens < count:
            reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._wanted = count, reached
            async with asyncio.timeout(timeout_s):
                await reached

    def stop_reading(self) -> None:
        """Leave to the kernel whatever comes from now on."""
        if self._transport is not None:
            self._transport.pause_reading()

    @property
    def position(self) -> dict[str, Any] | None:
        """Where this connection stands in its conversation; None where the server does not tell."""
        if not self._last_delta:
            return None
        payload = json.loads(self._last_delta[len(EVENT) :])[1]
        return {"epoch": payload["epoch"], "offset": payload["offset"]} if "epoch" in payload else None

    def go_on_from(self, earlier: Channel) -> None:
        """Count what is missed, or comes twice, since an earlier connection."""
        self._last_marker, self._last_number = earlier._last_marker, earlier._last_number

    @property
    def last_made_us(self) -> int:
        """When the newest token that has come was made; 0: none has."""
        return self._last_marker

    def close(self) -> None:
        """Close the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        waiting_for: list[asyncio.Future[Any]] = [self._opened, *self._calls.values()]
        if self._wanted is not None:
            waiting_for.append(self._wanted[1])
        for waiting in waiting_for:
            if not waiting.done():
                waiting.set_exception(ConnectionError("the connection was closed"))
                waiting.exception()  # it may be that nobody asks any more

    def data_received(self, data: bytes) -> None:
        now_us = time.monotonic_ns() // 1000
        self._buffer = self._buffer + data if self._buffer else data
        if not self._upgraded and not self._take_upgrade():
            return
        for opcode, content in self._frames():
            if opcode == TEXT:
                self._packet(content, now_us)
            elif opcode == WS_PING:
                self._send(content, WS_PONG)
            elif opcode == CLOSE:
                self.close()

    # --- WebSocket

    def _take_upgrade(self) -> bool:
        head, separator, rest = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return False
        if b" 101 " not in head.split(b"\r\n", 1)[0] + b" ":
            self._opened.set_exception(ConnectionError(f"no upgrade: {self._buffer[:300]!r}"))
            self.close()
            return False
        self._upgraded = True
        self._buffer = rest
        return True

    def _frames(self) -> Iterator[tuple[int, bytes]]:
        buffer, at, end = self._buffer, 0, len(self._buffer)
        while end - at >= 2:
            length, body = buffer[at + 1], at + 2
            if length == 126:
                body = at + 4
                length = int.from_bytes(buffer[at + 2 : body], "big") if body <= end else end
            elif length == 127:
                body = at + 10
                length = int.from_bytes(buffer[at + 2 : body], "big") if body <= end else end
            if body + length > end:
                break
            first, content = buffer[at], buffer[body : body + length]
            at = body + length
            if first & 0x0F in (0, TEXT):
                if first & 0x80 and not self._fragments:
                    yield TEXT, content
                    continue
                self._fragments += content
                if first & 0x80:
                    content, self._fragments = self._fragments, b""
                    yield TEXT, content
            else:
                yield first & 0x0F, content
        self._buffer = buffer[at:]

    def _send(self, content: bytes, opcode: int = TEXT) -> None:
        length = len(content)
        if length < 126:
            head = struct.pack("!BB", 0x80 | opcode, 0x80 | length)
        elif length < 65_536:
            head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, length)
        else:
            head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, length)
        self._write(head + b"\0\0\0\0" + content)  # a mask of zeros is legal, and costs nothing

    def _write(self, content: bytes) -> None:
        if self._transport is not None:
            self._transport.write(content)

    # --- Engine.IO and Socket.IO

    def _packet(self, packet: bytes, now_us: int) -> None:
        if packet.startswith(DELTA):
            self._delta(packet, now_us)
        elif packet == b"2":
            self._send(b"3")
        elif packet.startswith(EVENT):
            name, *rest = json.loads(packet[len(EVENT) :])
            self.on_event(name, rest[0] if rest else {})
        elif packet.startswith(ACK):
            number, _, answer = packet[len(ACK) :].partition(b"[")
            waiting = self._calls.pop(int(number), None)
            if waiting is not None and not waiting.done():
                answers = json.loads(b"[" + answer)
                waiting.set_result(answers[0] if answers else {})
        elif packet.startswith(CONNECTED):
            self._opened.set_result(None)
        elif packet.startswith(REFUSED):
            self._opened.set_exception(ConnectionError(packet.decode()))
        elif packet.startswith(b"0"):
            self._send(CONNECTED)

    def _delta(self, packet: bytes, now_us: int) -> None:
        arrivals = self._arrivals
        arrivals.frames += 1
        self._last_delta = packet
        self.frames += 1
        for digits, number_digits in MARKER.findall(packet):
            marker, number = int(digits), int(number_digits)
            if number != self._last_number + 1 and number != 0:
                self.holes += 1
            if marker <= self._last_marker:
                self.backwards += 1
            self._last_marker, self._last_number = marker, number
            self.tokens += 1
            arrivals.received_us.append(now_us)
            arrivals.latency_us.append(now_us - marker)
        if self._wanted is not None and self.tokens >= self._wanted[0]:
            reached = self._wanted[1]
            self._wanted = None
            if not reached.done():
                reached.set_result(None)
