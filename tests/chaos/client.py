"""A Socket.IO client by hand, on a wire that tests control: every packet seen, reading and pongs can be stopped."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable
from typing import Any, Self

from app.protocol import NAMESPACE
from tests.chaos.wires import Lost, PollingWire, WebSocketWire, Wire
from tests.conftest import TIMEOUT_SCALE

ANSWER_TIMEOUT_S = 10.0 * TIMEOUT_SCALE
Take = Callable[[str, dict[str, Any]], None]


class Connection:
    """One connection to the namespace. Make it with :meth:`open`; it reads in the background until it is lost.

    :param take: called with (name, payload) of each event, in order.
    """

    def __init__(self, wire: Wire, take: Take) -> None:
        self.lost: str | None = None
        self.answers_pings = True
        self._wire = wire
        self._take = take
        self._ids = itertools.count(1)
        self._waiting: dict[int, tuple[asyncio.Future[dict[str, Any]], Callable[[dict[str, Any]], None]]] = {}
        self._reading = asyncio.Event()
        self._reading.set()
        self._connected: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._over = asyncio.Event()
        self._task = asyncio.create_task(self._read())

    @classmethod
    async def open(cls, port: int, take: Take, *, transport: str = "websocket", receive_buffer_bytes: int = 0) -> Self:
        """Connect to the namespace.

        :raises Lost: when that is not possible, or takes too long.
        """
        if transport == "polling":
            wire: Wire = await PollingWire.open(port)
        else:
            wire = await WebSocketWire.open(port, receive_buffer_bytes=receive_buffer_bytes)
        connection = cls(wire, take)
        try:
            await wire.send(f"40{NAMESPACE},")
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await asyncio.shield(connection._connected)
        except TimeoutError:
            await connection.close()
            raise Lost("the namespace was not connected in time") from None
        except BaseException:
            await connection.close()
            raise
        return connection

    async def call(
        self,
        name: str,
        payload: dict[str, Any],
        on_ack: Callable[[dict[str, Any]], None] = lambda ack: None,
        timeout_s: float = ANSWER_TIMEOUT_S,
    ) -> dict[str, Any]:
        """Send a command; its ack.

        :param on_ack: called with the ack on its arrival, before any later packet is looked at.
        :raises Lost: when the connection is lost before the ack has come, or it does not come in time.
        """
        if self.lost is not None:
            raise Lost(self.lost)
        number = next(self._ids)
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = (future, on_ack)
        try:
            await self.send(name, payload, number)
            async with asyncio.timeout(timeout_s):
                return await future
        except TimeoutError:
            raise Lost(f"{name} was not answered in {timeout_s} s") from None
        finally:
            self._waiting.pop(number, None)
            future.cancel()

    async def send(self, name: str, payload: dict[str, Any], number: int | None = None) -> None:
        """Send an event and wait for nothing. :raises Lost:"""
        shown = "" if number is None else str(number)
        await self._wire.send(f"42{NAMESPACE},{shown}{json.dumps([name, payload])}")

    def stall(self) -> None:
        """Read nothing more until :meth:`unstall`: neither events nor pings."""
        self._reading.clear()

    def unstall(self) -> None:
        self._reading.set()

    async def until_lost(self) -> None:
        """Wait for the end."""
        await self._over.wait()

    async def close(self) -> None:
        """Break the connection, and wait until nothing of it is left."""
        self._wire.abort()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._ended("closed")

    # --- inside

    async def _read(self) -> None:
        try:
            while True:
                await self._reading.wait()
                for packet in await self._wire.receive():
                    await self._packet(packet)
        except Lost as error:
            self._ended(str(error))
        except ValueError as error:  # an answer to a poll that was cut short
            self._ended(f"garbled: {error}")
        finally:
            self._wire.abort()

    def _ended(self, why: str) -> None:
        self.lost = self.lost or why
        for future in [self._connected, *(future for future, _ in self._waiting.values())]:
            if not future.done():
                future.set_exception(Lost(self.lost))
                future.exception()  # looked at here: whoever waits gets it all the same
        self._over.set()

    async def _packet(self, packet: str) -> None:
        match packet[:1]:
            case "2" if self.answers_pings:
                await self._wire.send("3" + packet[1:])
            case "1":
                raise Lost("the server closed the connection")
            case "4":
                self._message(packet[1:])

    def _message(self, text: str) -> None:
        kind, rest = text[:1], text[1:]
        if not rest.startswith(NAMESPACE):
            return
        rest = rest[len(NAMESPACE) :].removeprefix(",")
        match kind:
            case "0":
                if not self._connected.done():
                    self._connected.set_result(None)
            case "1":
                raise Lost("the server left the namespace")
            case "2":
                name, payload = json.loads(rest)
                self._take(name, payload)
            case "3":
                number, _, body = rest.partition("[")
                future, on_ack = self._waiting.get(int(number), (None, None))
                if future is not None and not future.done():
                    ack = json.loads("[" + body)[0]
                    on_ack(ack)
                    future.set_result(ack)
            case "4":
                raise Lost(f"refused: {rest}")
