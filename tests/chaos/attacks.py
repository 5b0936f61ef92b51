"""Hostile clients: each opens a connection, sends what :mod:`tests.chaos.frames` makes, and looks how it ends.

Whatever was sent, the connection must either be closed by the server, or go on and answer a command.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from app.protocol import NAMESPACE
from tests.chaos import frames
from tests.conftest import TIMEOUT_SCALE

WAIT_S = 15.0 * TIMEOUT_SCALE
_PING = f'42{NAMESPACE},77["ping",{{}}]'.encode()
_PONG = f"43{NAMESPACE},77[".encode()
_CONNECT = f"40{NAMESPACE},".encode()
_KINDS = {"session": 50, "first": 12, "garbage": 14, "http": 8, "polling": 10, "upgrade": 6}


@dataclass
class Attack:
    """One hostile connection. The same for the same seed and number.

    :param ended: ``answered`` or ``closed``; or what must not be: ``deaf``, neither of them, and ``failed``, by a 500.
    """

    seed: int
    number: int
    kind: str = ""
    sent: list[bytes] = field(default_factory=list)
    ended: str = ""

    def __str__(self) -> str:
        shown = [piece if len(piece) < 300 else piece[:200] + b" (%d bytes)" % len(piece) for piece in self.sent]
        return f"attack {self.seed}/{self.number} ({self.kind}, {self.ended}): {shown}"

    async def carry_out(self, port: int) -> None:
        """Connect, send, look."""
        ways: dict[str, Callable[[int], Awaitable[None]]] = {
            "session": self._session,
            "first": self._first,
            "garbage": self._garbage,
            "http": self._http,
            "polling": self._polling,
            "upgrade": self._upgrade,
        }
        self.rng = random.Random(f"{self.seed}/{self.number}")
        self.kind = self.rng.choices(list(_KINDS), list(_KINDS.values()))[0]
        self.sent.clear()
        self.ended = "deaf"
        try:
            await asyncio.wait_for(ways[self.kind](port), WAIT_S)
        except TimeoutError:
            return
        except _Failed:
            self.ended = "failed"
        except (OSError, EOFError):
            self.ended = "closed"

    # --- the kinds

    async def _session(self, port: int) -> None:
        async with _Line(port) as line:
            await line.upgrade()
            await line.say(frames.frame(_CONNECT))
            await line.until(b'["connected"')
            for _ in range(self.rng.choice((1, 1, 3, 8, 20))):
                if line.over:  # what would come now, nobody takes
                    break
                await self._packet(line, frames.hostile_text(self.rng))
            await self._alive(line)

    async def _first(self, port: int) -> None:
        async with _Line(port) as line:
            await line.upgrade()
            for _ in range(self.rng.choice((1, 1, 2, 4))):
                await self._packet(line, frames.hostile_text(self.rng))
            await self._alive(line)

    async def _garbage(self, port: int) -> None:
        """What breaks RFC 6455. It may wait for more, so the end of the stream is sent, and the server has to close."""
        async with _Line(port) as line:
            await line.upgrade()
            if self.rng.random() < 0.6:
                await line.say(frames.frame(_CONNECT))
                await line.until(b'["connected"')
            for _ in range(self.rng.choice((1, 1, 2, 5))):
                if line.over:
                    break
                await self._bytes(line, frames.hostile_frame(self.rng))
            await self._finish(line)

    async def _http(self, port: int) -> None:
        async with _Line(port) as line:
            await self._bytes(line, frames.hostile_request(self.rng, port))
            await self._finish(line)

    async def _polling(self, port: int) -> None:
        sid = await self._handshake(port)
        if self.rng.random() < 0.7:
            await self._post(port, sid, _CONNECT, noted=False)
        for _ in range(self.rng.choice((1, 2, 4))):
            content = frames.hostile_payload(self.rng)
            if self.rng.random() < 0.2:
                await asyncio.gather(self._get(port, sid), self._get(port, sid), self._post(port, sid, content))
            else:
                await self._post(port, sid, content)
        if self.rng.random() < 0.7:
            await self._post(port, sid, b"1", noted=False)  # else it is gone without a word
        self.ended = "answered"

    async def _upgrade(self, port: int) -> None:
        sid = await self._handshake(port)
        probes = [
            [b"2probe", b"5"],
            [b"2probe"],
            [b"5"],
            [b"2probe", b"2probe"],
            [b"2"],
            [b""],
            [b"2probe", b"6"],
            [_PING],
        ]
        probes += [[frames.hostile_text(self.rng)], [b"2probe", frames.hostile_text(self.rng)], [b"2probe", b"5", b"x"]]
        async with _Line(port) as line:
            await line.upgrade(f"&sid={sid}")
            for each in self.rng.choice(probes):
                await self._packet(line, each)
            if self.rng.random() < 0.3:
                await self._post(port, sid, _CONNECT, noted=False)
            await self._finish(line)

    # --- their parts

    async def _packet(self, line: _Line, content: bytes) -> None:
        self.sent.append(content)
        await line.say(frames.frame(content))

    async def _bytes(self, line: _Line, content: bytes) -> None:
        self.sent.append(content)
        await line.say(content)

    async def _alive(self, line: _Line) -> None:
        """It may have left the namespace; so it connects again, which else changes nothing."""
        await line.say(frames.frame(_CONNECT) + frames.frame(_PING))
        self.ended = "answered" if await line.until(_PONG) else "closed"

    async def _finish(self, line: _Line) -> None:
        await line.end()
        self.ended = "closed"

    async def _handshake(self, port: int) -> str:
        answer = await _ask(port, "GET", "")
        return str(json.loads(answer[answer.index(b"0{") + 1 : answer.rindex(b"}") + 1])["sid"])

    async def _get(self, port: int, sid: str) -> None:
        """Poll, and be gone before there is much to hear."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(_ask(port, "GET", f"&sid={sid}"), self.rng.choice((0.0, 0.02, 0.2)))

    async def _post(self, port: int, sid: str, content: bytes, *, noted: bool = True) -> None:
        if noted:
            self.sent.append(content)
        await _ask(port, "POST", f"&sid={sid}", content)


async def _ask(port: int, method: str, query: str, content: bytes = b"") -> bytes:
    headers = {"Host": f"127.0.0.1:{port}", "Connection": "close"}
    if method == "POST":
        headers |= {"Content-Length": str(len(content)), "Content-Type": "text/plain"}
    async with _Line(port) as line:
        await line.say(frames.request(method, f"/socket.io/?EIO=4&transport=polling{query}", headers, content))
        return await line.rest()


class _Failed(Exception):
    """The server has answered 500."""


class _Line:
    """A TCP connection. :raises OSError, EOFError: when it is lost."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> _Line:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.transport.abort()

    async def upgrade(self, query: str = "") -> None:
        headers = {
            "Host": f"127.0.0.1:{self._port}",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        }
        await self.say(frames.request("GET", f"/socket.io/?EIO=4&transport=websocket{query}", headers))
        head = await self._reader.readuntil(b"\r\n\r\n")
        if b" 500 " in head.partition(b"\r\n")[0]:
            raise _Failed
        if b" 101 " not in head.partition(b"\r\n")[0]:
            raise ConnectionError(f"not upgraded: {head!r}")

    @property
    def over(self) -> bool:
        """Whether the end of the stream has come."""
        return self._reader.at_eof()

    async def say(self, content: bytes) -> None:
        self._writer.write(content)
        await self._writer.drain()
        await asyncio.sleep(0)

    async def until(self, wanted: bytes) -> bool:
        """Read until this has come; False at the end of the stream."""
        seen = b""
        while wanted not in seen:
            piece = await self._reader.read(65_536)
            if not piece:
                return False
            seen = seen[-len(wanted) :] + piece
        return True

    async def rest(self) -> bytes:
        """What comes until the end. :raises _Failed:"""
        content = await self._reader.read(-1)
        if b"HTTP/1.1 500" in content or b"HTTP/1.0 500" in content:
            raise _Failed
        return content

    async def end(self) -> None:
        """Send the end of the stream, and wait for the other side's."""
        self._writer.write_eof()
        await self.rest()
