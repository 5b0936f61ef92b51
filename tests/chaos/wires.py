"""Engine.IO by hand, on asyncio: a WebSocket or long polling, with full control over reading, pings and the end.

A wire carries Engine.IO packets as text. Every way in which it may end is one exception, :class:`Lost`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from typing import Protocol, Self

from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Ping,
    RejectConnection,
    Request,
    TextMessage,
)
from wsproto.utilities import ProtocolError

from tests.chaos.proxy import abort_socket, close_socket
from tests.conftest import TIMEOUT_SCALE

PATH = "/socket.io/?EIO=4&transport="
DIAL_TIMEOUT_S = 5.0 * TIMEOUT_SCALE
RECORD_SEPARATOR = "\x1e"


class Lost(Exception):
    """The connection has ended, or never came to be; the message says how."""


class Wire(Protocol):
    """One Engine.IO connection."""

    async def receive(self) -> list[str]:
        """The next packets. :raises Lost:"""

    async def send(self, *packets: str) -> None:
        """:raises Lost:"""

    def abort(self) -> None:
        """Break it; more than once is no error."""


async def dial(port: int, *, receive_buffer_bytes: int = 0) -> socket.socket:
    """A connected TCP socket.

    :param receive_buffer_bytes: of the kernel; 0: its default.
    :raises Lost:
    """
    sock = socket.socket()
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if receive_buffer_bytes:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
    try:
        async with asyncio.timeout(DIAL_TIMEOUT_S):  # asyncio.wait_for may lose a cancellation
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    except OSError as error:  # refused, reset; TimeoutError is one
        close_socket(sock)
        raise Lost(f"not connected: {error!r}") from None
    except BaseException:
        close_socket(sock)
        raise
    return sock


class WebSocketWire:
    """A WebSocket. What is not read stays in the kernel: whoever does not call :meth:`receive` stalls the server."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._connection = WSConnection(ConnectionType.CLIENT)
        self._loop = asyncio.get_running_loop()
        self._text = ""
        self._writing = asyncio.Lock()  # one frame after the other

    @classmethod
    async def open(cls, port: int, *, query: str = "", receive_buffer_bytes: int = 0) -> Self:
        """Connect and shake hands. :raises Lost:"""
        wire = cls(await dial(port, receive_buffer_bytes=receive_buffer_bytes))
        try:
            async with asyncio.timeout(DIAL_TIMEOUT_S):
                await wire._shake_hands(port, query)
        except TimeoutError:
            wire.abort()
            raise Lost("no answer to the handshake") from None
        except BaseException:
            wire.abort()
            raise
        return wire

    async def _shake_hands(self, port: int, query: str) -> None:
        request = Request(host=f"127.0.0.1:{port}", target=f"{PATH}websocket{query}")
        await self._write(self._connection.send(request))
        while True:
            self._connection.receive_data(await self._read())
            for event in self._connection.events():
                if isinstance(event, AcceptConnection):
                    return
                if isinstance(event, RejectConnection):
                    raise Lost(f"rejected with {event.status_code}")

    async def receive(self) -> list[str]:
        while True:
            packets = await self._events()
            if packets:
                return packets
            try:
                self._connection.receive_data(await self._read())
            except ProtocolError as error:
                raise Lost(f"broken WebSocket frames: {error}") from None

    async def _events(self) -> list[str]:
        packets = []
        try:
            for event in self._connection.events():
                if isinstance(event, TextMessage):
                    self._text += event.data
                    if event.message_finished:
                        packets.append(self._text)
                        self._text = ""
                elif isinstance(event, Ping):
                    await self._write(self._connection.send(event.response()))
                elif isinstance(event, CloseConnection):
                    if packets:  # they are handed out first; the next read finds the end
                        return packets
                    raise Lost(f"closed with {event.code}")
        except ProtocolError as error:
            raise Lost(f"broken WebSocket frames: {error}") from None
        return packets

    async def send(self, *packets: str) -> None:
        for packet in packets:
            await self._write(self._connection.send(TextMessage(data=packet)))

    async def _read(self) -> bytes:
        try:
            received = await self._loop.sock_recv(self._sock, 65_536)
        except (OSError, ValueError) as error:
            raise Lost(f"{error!r}") from None
        if not received:
            raise Lost("end of stream")
        return received

    async def _write(self, frame: bytes) -> None:
        async with self._writing:
            try:
                await self._loop.sock_sendall(self._sock, frame)
            except (OSError, ValueError) as error:
                raise Lost(f"{error!r}") from None

    def abort(self) -> None:
        if self._sock.fileno() >= 0:
            abort_socket(self._sock)


class PollingWire:
    """Long polling: a GET that waits for packets, a POST for each send. An HTTP failure is the end, as in Engine.IO."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._target = f"{PATH}polling"
        self._opened: list[str] = []
        self._writers: set[asyncio.StreamWriter] = set()
        self._posting = asyncio.Lock()  # Engine.IO has one POST at a time
        self._aborted = False

    @classmethod
    async def open(cls, port: int) -> Self:
        """Shake hands. :raises Lost:"""
        wire = cls(port)
        try:
            async with asyncio.timeout(DIAL_TIMEOUT_S):
                wire._opened = await wire.receive()
        except TimeoutError:
            wire.abort()
            raise Lost("no answer to the handshake") from None
        if not wire._opened or not wire._opened[0].startswith("0{"):
            raise Lost(f"not greeted, but {wire._opened}")
        hello = json.loads(wire._opened[0][1:])
        wire._target += f"&sid={hello['sid']}"
        return wire

    async def receive(self) -> list[str]:
        if self._opened:
            packets, self._opened = self._opened, []
            return packets
        body = await self._ask("GET", "")
        return body.split(RECORD_SEPARATOR) if body else []

    async def send(self, *packets: str) -> None:
        async with self._posting:
            await self._ask("POST", RECORD_SEPARATOR.join(packets))

    async def _ask(self, method: str, body: str) -> str:
        if self._aborted:
            raise Lost("aborted")
        content = body.encode()
        request = (
            f"{method} {self._target} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\nConnection: close\r\n"
            f"Content-Type: text/plain;charset=UTF-8\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        writer = None
        try:
            async with asyncio.timeout(DIAL_TIMEOUT_S):
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=4_194_304)
            self._writers.add(writer)
            writer.write(request.encode() + content)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            answer = await _body(reader, head)
        except (OSError, EOFError) as error:
            raise Lost(f"{method}: {error!r}") from None
        finally:
            if writer is not None:
                self._writers.discard(writer)
                writer.close()
        if " 200 " not in head.partition("\r\n")[0]:
            raise Lost(f"{method}: {head.partition(chr(13))[0]}")
        return answer.decode()

    def abort(self) -> None:
        self._aborted = True
        for writer in [*self._writers]:
            with contextlib.suppress(OSError):
                writer.transport.abort()


async def _body(reader: asyncio.StreamReader, head: str) -> bytes:
    """The body of an answer: of a stated length, or in chunks, as the three servers have it."""
    if "transfer-encoding: chunked" not in head:
        length = head.partition("content-length:")[2].partition("\r\n")[0]
        return await reader.readexactly(int(length))
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    return body
