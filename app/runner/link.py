"""The runner's end of the socket pair: JSON lines, several in one write, deltas of one message joined."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable

import orjson

from app.protocol.common import Payload
from app.protocol.events import MessageDelta
from app.runner.wire import MAX_LINE_BYTES

HIGH_WATER_BYTES = 256 * 1024
LOW_WATER_BYTES = 64 * 1024
DELTAS_EVERY_S = 0.012
"""So soon after the last write deltas wait for others: the web process wakes for several at once. Else they leave at
the end of the loop's turn, as all other messages do.
"""


class _Delta:
    """A message_delta not yet written; later ones of the same message are joined to it."""

    __slots__ = ("agent", "demo", "message_id", "session", "text", "tokens")

    def __init__(self, session: str, message_id: str, agent: str, text: str, tokens: int, demo: bool) -> None:
        self.session = session
        self.message_id = message_id
        self.agent = agent
        self.text = text
        self.tokens = tokens
        self.demo = demo

    def encode(self) -> bytes:
        """The line of a :class:`app.runner.wire.RunEvent`, without the cost of building one."""
        payload = {"message_id": self.message_id, "agent": self.agent, "delta": self.text, "tokens": self.tokens}
        event = {
            "op": "event",
            "session": self.session,
            "name": MessageDelta.name,
            "payload": payload,
            "tokens": self.tokens,
            "demo": self.demo,
        }
        try:
            return orjson.dumps(event)
        except TypeError:  # it refuses half a surrogate pair
            return json.dumps(event, separators=(",", ":")).encode()


class Link(asyncio.Protocol):
    """Both directions of the socket. Belongs to one event loop.

    :param on_line: called with each line from the web process.
    :param on_writable: called when the socket stops (False) or begins again (True) to take bytes.
    :param on_lost: called once at the end of file, or when the connection breaks.
    """

    def __init__(
        self,
        on_line: Callable[[bytes], None],
        on_writable: Callable[[bool], None],
        on_lost: Callable[[], None],
    ) -> None:
        self._on_line = on_line
        self._on_writable = on_writable
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._queue: list[_Delta | bytes] = []
        self._last_delta: dict[str, _Delta] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._written_at = 0.0
        self._blocked = False

    @classmethod
    async def connect(
        cls,
        fd: int,
        on_line: Callable[[bytes], None],
        on_writable: Callable[[bool], None],
        on_lost: Callable[[], None],
    ) -> Link:
        """Take over a socket by its descriptor."""
        sock = socket.socket(fileno=fd)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        _, link = await loop.create_connection(lambda: cls(on_line, on_writable, on_lost), sock=sock)
        return link

    # --- up

    def send(self, message: Payload, session: str | None = None) -> None:
        """Send a message behind all that was sent before it."""
        self._last_delta.pop(session or "", None)
        self._queue.append(message.model_dump_json(by_alias=True).encode())
        self._schedule(0.0)

    def send_delta(self, session: str, message_id: str, agent: str, text: str, tokens: int, *, demo: bool) -> None:
        """Send a piece of a message, joined to its last piece where that one is still here."""
        last = self._last_delta.get(session)
        if last is not None and last.message_id == message_id and last.demo == demo:
            last.text += text
            last.tokens += tokens
            return
        delta = self._last_delta[session] = _Delta(session, message_id, agent, text, tokens, demo)
        self._queue.append(delta)
        self._schedule(self._written_at + DELTAS_EVERY_S)

    def _schedule(self, at: float) -> None:
        """Write at this time of the loop's clock, or at the end of its present turn; no later than planned already."""
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            if self._timer.when() <= at:
                return
            self._timer.cancel()
        self._timer = loop.call_at(max(at, loop.time()), self._flush)

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._blocked or self._transport is None or not self._queue:
            return
        lines = [item.encode() if isinstance(item, _Delta) else item for item in self._queue]
        self._queue.clear()
        self._last_delta.clear()
        self._transport.write(b"\n".join(lines) + b"\n")
        self._written_at = asyncio.get_running_loop().time()

    async def drained(self, timeout_s: float) -> None:
        """Wait until everything is written, but not for long."""
        self._blocked = False
        self._flush()
        deadline = asyncio.get_running_loop().time() + timeout_s
        while self._transport is not None and self._transport.get_write_buffer_size():
            if asyncio.get_running_loop().time() > deadline:
                return
            await asyncio.sleep(0.005)

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(high=HIGH_WATER_BYTES, low=LOW_WATER_BYTES)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if b"\n" not in data:
            if len(self._buffer) > MAX_LINE_BYTES:
                self.eof_received()
            return
        *lines, rest = self._buffer.split(b"\n")
        self._buffer = rest
        for line in lines:
            if line:
                self._on_line(bytes(line))

    def pause_writing(self) -> None:
        self._blocked = True
        self._on_writable(False)

    def resume_writing(self) -> None:
        self._blocked = False
        self._on_writable(True)
        self._flush()

    def eof_received(self) -> bool:
        self._on_lost()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._on_lost()
