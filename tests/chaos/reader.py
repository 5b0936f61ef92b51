"""A reader that comes back: it joins with its position after each loss, as a client library does."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from tests.chaos.client import Connection
from tests.chaos.invariant import History
from tests.chaos.wires import Lost

ACK_INTERVAL_S = 0.05
BACK_OFF_S = (0.01, 0.1)


class Reader:
    """Follows one conversation until it is closed.

    :param port: of the proxy that it goes through.
    :param options: further fields of its joins: ``acks``, ``batch``, ``batch_ms``, ``filter``, ``changes_only``.
    :param late_s: how long it waits before it comes for the first time.
    """

    def __init__(
        self,
        name: str,
        port: int,
        conversation_id: str,
        rng: random.Random,
        *,
        transport: str = "websocket",
        options: dict[str, Any] | None = None,
        late_s: float = 0.0,
        receive_buffer_bytes: int = 0,
    ) -> None:
        self.options = options or {}
        whole = "filter" not in self.options and not self.options.get("changes_only")
        self.history = History(name, conversation_id, whole=whole)
        self.losses: list[str] = []
        self.refused: str | None = None
        self._port = port
        self._rng = rng
        self._transport = transport
        self._receive_buffer_bytes = receive_buffer_bytes
        self._connection: Connection | None = None
        self._heard: object | None = None  # stands for the connection that counts
        self._away = False
        self._closed = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._do(self._run(late_s))

    @property
    def conversation_id(self) -> str:
        return self.history.conversation_id

    # --- what may happen to it

    def drop(self) -> None:
        """Its connection breaks; it comes back."""
        self._heard = None
        if self._connection is not None:
            self._do(self._connection.close())

    def reload(self) -> None:
        """It comes back without knowing anything."""
        self.drop()  # from here on, nothing of that connection is heard
        self.history.forget()

    def stall(self, seconds: float) -> None:
        """It reads nothing for so long."""
        if self._connection is not None:
            self._connection.stall()
            self._do(self._unstall(self._connection, seconds))

    def leave(self, seconds: float) -> None:
        """It leaves the conversation on its open connection, and joins again after so long."""
        self._do(self._leave(seconds))

    def command(self, name: str) -> None:
        """It sends a command about the conversation; whatever the answer."""
        self._do(self._command(name))

    async def close(self) -> None:
        """The end of it."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._connection is not None:
            await self._connection.close()

    # --- inside

    def _do(self, what: Any) -> None:
        task = asyncio.create_task(what)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error

    async def _run(self, late_s: float) -> None:
        await asyncio.sleep(late_s)
        while self.refused is None and not self._closed:
            self._heard = heard = object()
            try:
                self._connection = await Connection.open(
                    self._port,
                    lambda name, payload, heard=heard: self._take(heard, name, payload),
                    transport=self._transport,
                    receive_buffer_bytes=self._receive_buffer_bytes,
                )
                await self._join(self._connection, heard)
                await self._connection.until_lost()
                raise Lost(self._connection.lost)
            except Lost as loss:
                self.losses.append(str(loss))
            if self._connection is not None:
                await self._connection.close()
                self._connection = None
            self.history.lost()
            await asyncio.sleep(self._rng.uniform(*BACK_OFF_S))

    def _take(self, heard: object, name: str, payload: dict[str, Any]) -> None:
        if heard is self._heard:
            self.history.take(name, payload)

    async def _join(self, connection: Connection, heard: object | None) -> None:
        asked = self.history.position

        def take(ack: dict[str, Any]) -> None:
            if ack["ok"] and heard is self._heard:
                self.history.joined(asked, ack)

        payload = {"conversation_id": self.conversation_id, **self.options}
        ack = await connection.call("join", payload if asked is None else {**payload, "position": asked}, take)
        if heard is not self._heard:
            raise Lost("dropped while it came")
        if not ack["ok"]:
            if ack["error"]["retryable"]:
                raise Lost(f"refused for now: {ack['error']}")
            self.refused = ack["error"]["code"]
        elif self.options.get("acks"):
            self._do(self._acknowledge(connection))

    async def _acknowledge(self, connection: Connection) -> None:
        said = 0
        while connection.lost is None:
            if self.history.offset > said:
                said = self.history.offset
                try:
                    await connection.send("ack", {"conversation_id": self.conversation_id, "offset": said})
                except Lost:
                    return
            await asyncio.sleep(ACK_INTERVAL_S)

    async def _unstall(self, connection: Connection, seconds: float) -> None:
        try:
            await asyncio.sleep(seconds)
        finally:
            connection.unstall()

    async def _leave(self, seconds: float) -> None:
        connection, heard = self._connection, self._heard
        if self._away or connection is None or heard is None or connection.lost is not None:
            return  # a second join at the same place would rightly be sent some things again

        def left(ack: dict[str, Any]) -> None:
            if heard is self._heard:
                self.history.lost()

        self._away = True
        try:
            await connection.call("leave", {"conversation_id": self.conversation_id}, left)
            await asyncio.sleep(seconds)
            if heard is self._heard:
                await self._join(connection, heard)
        except Lost:
            self.drop()
        finally:
            self._away = False

    async def _command(self, name: str) -> None:
        connection = self._connection
        if connection is not None:
            try:
                await connection.call(name, {"conversation_id": self.conversation_id})
            except Lost:
                return
