"""A server, a kernel and a client for connections, without a network: nothing happens but what a test says."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

from app.concurrency import AsyncMode
from app.namespaces.connection import Connection
from app.namespaces.delivery import Delivery
from app.namespaces.stream import Stream
from app.namespaces.websocket import WebSocketCore

QUEUE_BYTES = 1_000


class Task:
    """A background task that runs when the test says so."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self._work = lambda: function(*args)

    def run(self) -> None:
        self._work()

    def join(self) -> None:
        return


class Server:
    """What a connection needs of the Engine.IO server."""

    def __init__(self, mode: str = "eventlet") -> None:
        self.mode = AsyncMode(mode)
        self.delivery = Delivery()
        self.queue_bytes = QUEUE_BYTES
        self.ping_interval, self.ping_timeout = 20.0, 10.0
        self.reason = SimpleNamespace(SERVER_DISCONNECT="server", TRANSPORT_ERROR="error", TRANSPORT_CLOSE="close")
        self.tasks: list[Task] = []
        self.drained: list[str] = []
        self.events: list[tuple[Any, ...]] = []
        self.sockets: dict[str, Connection] = {}

    def start_background_task(self, function: Callable[..., Any], *args: Any) -> Task:
        self.tasks.append(Task(function, *args))
        return self.tasks[-1]

    def run_tasks(self) -> None:
        """Let run what was started."""
        while self.tasks:
            self.tasks.pop(0).run()

    def create_event(self) -> threading.Event:
        return threading.Event()

    def on_drained(self, sid: str) -> None:
        self.drained.append(sid)

    def _trigger_event(self, *event: Any, run_async: bool) -> None:
        self.events.append(event)

    def forget(self, connection: Connection) -> None:
        self.sockets.pop(connection.sid, None)

    def expect_end_of(self, connection: Connection) -> None:
        return

    def sleep(self, seconds: float) -> None:
        return


class Kernel:
    """A TCP socket that takes ``room`` bytes, and whose peer acknowledges what the test says. Stands for a Stream."""

    def __init__(self, room: int = 1_000_000) -> None:
        self.room = room
        self.taken = b""
        self.acknowledged = 0
        self.ends: list[str] = []

    def send_now(self, data: bytes) -> int:
        if not self.room:
            raise BlockingIOError
        part = data[: self.room]
        self.room -= len(part)
        self.taken += part
        return len(part)

    def wait_writable(self, timeout_s: float) -> None:
        self.room += 50  # the client reads a little

    def unacknowledged_bytes(self) -> int:
        return len(self.taken) - self.acknowledged

    def unsent_bytes(self) -> int:
        return self.unacknowledged_bytes()

    def acknowledged_bytes(self) -> int:
        return self.acknowledged

    def finish(self) -> None:
        self.ends.append("finish")

    def shut(self) -> None:
        self.ends.append("shut")

    def reset(self) -> None:
        self.ends.append("reset")


def connected(server: Server, kernel: Kernel | None, sid: str = "a") -> Connection:
    """A connection with a WebSocket on this kernel; None: one that polls."""
    connection = Connection(cast(Any, server), sid)
    server.sockets[sid] = connection
    connection.connected = connection.named = True
    if kernel is not None:
        connection.stream = cast(Stream, kernel)
        connection._core = WebSocketCore(max_bytes=1_000)
        connection.upgraded = True
        connection.direct = kernel.send_now if server.mode.cooperative else None
    return connection
