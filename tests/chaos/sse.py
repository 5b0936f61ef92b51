"""A reader that follows over Server-Sent Events, and comes back with ``Last-Event-ID``."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

from app.protocol.dialects import SNAPSHOT
from tests.chaos.frames import request
from tests.chaos.proxy import abort_socket
from tests.chaos.reader import Reader
from tests.chaos.wires import DIAL_TIMEOUT_S, Lost, dial

_STREAM_LIMIT = 4_194_304


class SseConnection:
    """One response. Make it with :meth:`open`, read it with :meth:`events`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.lost: str | None = None
        self._reader = reader
        self._writer = writer
        self._reading = asyncio.Event()
        self._reading.set()
        self._chunked = False

    @classmethod
    async def open(cls, port: int, target: str, headers: dict[str, str], receive_buffer_bytes: int) -> SseConnection:
        """Ask; the head of the answer has come. :raises Lost: with the answer, if it is no 200."""
        sock = await dial(port, receive_buffer_bytes=receive_buffer_bytes)
        try:
            reader, writer = await asyncio.open_connection(sock=sock, limit=_STREAM_LIMIT)
        except OSError as error:
            abort_socket(sock)
            raise Lost(f"{error!r}") from None
        connection = cls(reader, writer)
        try:
            writer.write(request("GET", target, {"Host": f"127.0.0.1:{port}", **headers}))
            async with asyncio.timeout(DIAL_TIMEOUT_S):
                head = await reader.readuntil(b"\r\n\r\n")
        except (OSError, EOFError) as error:
            await connection.close()
            raise Lost(f"{error!r}") from None
        except BaseException:
            await connection.close()
            raise
        if b" 200 " not in head.partition(b"\r\n")[0]:
            await connection.close()
            raise Lost(head.partition(b"\r\n")[0].decode())
        connection._chunked = b"transfer-encoding: chunked" in head.lower()
        return connection

    async def events(self) -> AsyncIterator[tuple[str, str | None, Any]]:
        """(name, id, data) of each event. :raises Lost: at the end, however it comes."""
        rest = b""
        async for piece in self._pieces():
            *whole, rest = (rest + piece).split(b"\n\n")
            for event in whole:
                fields = dict(line.split(": ", 1) for line in event.decode().split("\n") if ": " in line)
                if "event" in fields:
                    yield fields["event"], fields.get("id"), json.loads(fields["data"])

    async def _pieces(self) -> AsyncIterator[bytes]:
        try:
            while True:
                await self._reading.wait()
                if self._chunked:
                    size = int(await self._reader.readuntil(b"\r\n"), 16)
                    piece = (await self._reader.readexactly(size + 2))[:-2]
                else:
                    piece = await self._reader.read(65_536)
                if not piece:
                    raise Lost("the end of the response")
                yield piece
        except (OSError, EOFError, ValueError) as error:
            raise Lost(f"{error!r}") from None

    def stall(self) -> None:
        self._reading.clear()
        self._writer.transport.pause_reading()  # type: ignore[attr-defined]  # of the socket's transport

    def unstall(self) -> None:
        self._reading.set()
        if self.lost is None and not self._writer.is_closing():
            self._writer.transport.resume_reading()  # type: ignore[attr-defined]  # of the socket's transport

    async def close(self) -> None:
        self.lost = self.lost or "closed"
        self._reading.set()
        self._writer.transport.abort()


class SseReader(Reader):
    """See :class:`Reader`: the same, at another door. It gives no commands."""

    async def _run(self, late_s: float) -> None:
        await asyncio.sleep(late_s)
        while not self._closed:
            self._heard = heard = object()
            connection = None
            try:
                asked = self.history.position
                connection = await self._ask(asked)
                self._connection = connection  # type: ignore[assignment]  # what Reader does with it, it can
                if heard is not self._heard:
                    raise Lost("dropped while it came")
                if asked is not None:
                    self.history.joined(asked, {"recovered": True, "snapshot": None, **asked})
                async for name, event_id, payload in connection.events():
                    if heard is not self._heard:
                        raise Lost("dropped")
                    self._take_event(name, event_id, payload)
            except Lost as loss:
                self.losses.append(str(loss))
            if connection is not None:
                await connection.close()
            self._connection = None
            self.history.lost()
            await asyncio.sleep(self._rng.uniform(0.01, 0.1))

    async def _ask(self, asked: dict[str, Any] | None) -> SseConnection:
        wishes = self.options.get("filter", {})
        query: dict[str, Any] = {name: ",".join(words) for name, words in wishes.items()}
        query |= {name: self.options[name] for name in ("batch_ms", "changes_only") if name in self.options}
        headers = {} if asked is None else {"Last-Event-ID": f"{asked['epoch']}:{asked['offset']}"}
        target = f"/api/conversations/{self.conversation_id}/stream?{urlencode(query)}"
        return await SseConnection.open(self._port, target, headers, self._receive_buffer_bytes)

    def _take_event(self, name: str, event_id: str | None, payload: dict[str, Any]) -> None:
        if name == SNAPSHOT:
            self.history.joined(None, {"recovered": False, "snapshot": payload, "offset": payload["offset"]})
            return
        self.history.take(name, payload)
        if event_id is not None and event_id != f"{self.history.state['epoch']}:{self.history.offset}":  # type: ignore[index]
            self.history.note("id", f"{name} has the id {event_id}, and leads to {self.history.offset}")

    def leave(self, seconds: float) -> None:
        self.drop()

    def command(self, name: str) -> None:
        return
