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
        self._away = asyncio.Event()  # set: not away
        self._away.set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._do(self._run())

    @property
    def conversation_id(self) -> str:
        return self.history.conversation_id

    # --- what may happen to it

    def drop(self) -> None:
        """Its connection breaks; it comes back."""
        if self._connection is not None:
            self._do(self._connection.close())

    def reload(self) -> None:
        """It comes back without knowing anything."""
        self.drop()
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

    async def _run(self) -> None:
        while self.refused is None:
            try:
                self._connection = await Connection.open(
                    self._port,
                    self.history.take,
                    transport=self._transport,
                    receive_buffer_bytes=self._receive_buffer_bytes,
                )
                await self._join(self._connection)
                await self._connection.until_lost()
                raise Lost(self._connection.lost)
            except Lost as loss:
                self.losses.append(str(loss))
            if self._connection is not None:
                await self._connection.close()
                self._connection = None
            self.history.lost()
            await asyncio.sleep(self._rng.uniform(*BACK_OFF_S))

    async def _join(self, connection: Connection) -> None:
        asked = self.history.position

        def take(ack: dict[str, Any]) -> None:
            if connection is not self._connection or not ack["ok"]:
                return
            if asked == self.history.position:  # else it was reloaded meanwhile
                self.history.joined(asked, ack)

        payload = {"conversation_id": self.conversation_id, **self.options}
        ack = await connection.call("join", payload if asked is None else {**payload, "position": asked}, take)
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
        connection = self._connection
        if connection is None or connection.lost is not None:
            return
        try:
            left = {"conversation_id": self.conversation_id}
            await connection.call("leave", left, lambda ack: self.history.lost())
            await asyncio.sleep(seconds)
            if connection is self._connection:
                await self._join(connection)
        except Lost:
            self.drop()

    async def _command(self, name: str) -> None:
        connection = self._connection
        if connection is not None:
            try:
                await connection.call(name, {"conversation_id": self.conversation_id})
            except Lost:
                return
