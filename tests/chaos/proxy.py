"""A TCP proxy that fails on command: slow, cut, silent, slicing, refusing. In-process, on asyncio, bounded.

    async with FaultProxy(server.port, random.Random(7)) as proxy:
        …connect to proxy.port…
        proxy.faults = Faults(latency_s=0.05, slice_bytes=3)   # from now on, for all its connections
        proxy.links[0].faults = Faults(hole=DOWN)              # for this one alone
        proxy.reset()                                          # RST to both ends of every connection

Nothing that was read is ever dropped or reordered: like TCP itself, the proxy delays, or it breaks the connection. What
it holds for one direction is bounded by :data:`HELD_CHUNKS` chunks; beyond, it stops reading, and the sender feels it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

UP, DOWN = "up", "down"  # client → server, server → client
CHUNK_BYTES = 8_192
HELD_CHUNKS = 16
MAX_SLICES = 200  # of one chunk; what is left of it goes in one piece
_RST = struct.pack("ii", 1, 0)  # SO_LINGER that turns a close into a reset
_BANDWIDTH_TICK_S = 0.01


@dataclass(frozen=True, slots=True)
class Faults:
    """What is wrong with a connection. The default: nothing.

    :param latency_s: delay of each direction, in seconds; order is kept.
    :param jitter_s: up to so much more, at random.
    :param bytes_per_s: bandwidth of each direction; 0: unlimited.
    :param slice_bytes: pass pieces of 1 to so many bytes, so that frames are cut anywhere; 0: as they come.
    :param hole: directions in which nothing passes; what was sent waits until the hole is gone.
    """

    latency_s: float = 0.0
    jitter_s: float = 0.0
    bytes_per_s: float = 0.0
    slice_bytes: int = 0
    hole: tuple[str, ...] = ()


NONE = Faults()
BLACK_HOLE = Faults(hole=(UP, DOWN))


class FaultProxy:
    """Listens on a free port of loopback and passes on to ``target_port``. An async context manager.

    :param rng: jitter and slices come from it.
    :param buffer_bytes: the kernel's buffers on both sides; 0: its defaults. Small ones make a stall felt early.
    """

    def __init__(self, target_port: int, rng: random.Random | None = None, *, buffer_bytes: int = 0) -> None:
        self.port = 0
        self.links: list[Link] = []
        self.orphans: list[socket.socket] = []  # the server's ends of connections whose plug was pulled
        self.accepted = 0
        self.resets = 0
        self.rng = rng or random.Random(0)
        self.buffer_bytes = buffer_bytes
        self.target_port = target_port
        self._faults = NONE
        self._listener: socket.socket | None = None
        self._dialling: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._listen(0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.refuse()
        dialling = [*self._dialling]
        for task in dialling:
            task.cancel()
        await asyncio.gather(*dialling, return_exceptions=True)
        self.reset()
        self.end_orphans()
        await asyncio.sleep(0)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def faults(self) -> Faults:
        """What is wrong with every connection that has no faults of its own."""
        return self._faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._faults = faults
        for link in self.links:
            link.changed()

    def heal(self) -> None:
        """Nothing is wrong any more, with any connection; new ones are accepted."""
        for link in self.links:
            link.faults = None
        self.faults = NONE
        self.accept()

    # --- connections as a whole

    def refuse(self) -> None:
        """Refuse new connections, as a machine does on which nobody listens."""
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            close_socket(self._listener)
            self._listener = None

    def accept(self) -> None:
        """Accept new connections again, on the same port."""
        if self._listener is None:
            self._listen(self.port)

    def reset(self) -> None:
        """Break every connection with a reset, towards both ends."""
        for link in [*self.links]:
            link.reset()

    def pull_the_plug(self) -> None:
        """Break every connection towards the client; the server hears nothing of it, and nothing more at all."""
        for link in [*self.links]:
            link.pull_the_plug()

    def half_close(self, direction: str) -> None:
        """Let every connection's direction end, after what was read; the other one goes on."""
        for link in self.links:
            link.half_close(direction)

    def end_orphans(self) -> None:
        """Let the server hear of the plugs that were pulled."""
        while self.orphans:
            abort_socket(self.orphans.pop())

    # --- inside

    def _listen(self, port: int) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._bound(listener)
        listener.bind(("127.0.0.1", port))
        listener.listen(128)
        listener.setblocking(False)
        self.port = listener.getsockname()[1]
        self._listener = listener
        # no task that waits for `sock_accept`: one that is cancelled loses the connection that it has just been given
        asyncio.get_running_loop().add_reader(listener, self._take, listener)

    def _take(self, listener: socket.socket) -> None:
        try:
            client, _ = listener.accept()
        except OSError:  # it has gone again
            return
        client.setblocking(False)
        self.accepted += 1
        task = asyncio.create_task(self._dial(client))
        self._dialling.add(task)

        def done(task: asyncio.Task[None]) -> None:
            self._dialling.discard(task)
            if task.cancelled():  # perhaps before it has begun
                abort_socket(client)

        task.add_done_callback(done)

    async def _dial(self, client: socket.socket) -> None:
        server = socket.socket()
        server.setblocking(False)
        self._bound(server)
        try:
            await asyncio.get_running_loop().sock_connect(server, ("127.0.0.1", self.target_port))
        except BaseException as error:  # the task may be cancelled, too
            close_socket(server)
            if not isinstance(error, OSError):
                raise
            abort_socket(client)
            return
        self.links.append(Link(self, client, server))

    def _bound(self, sock: socket.socket) -> None:
        if self.buffer_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.buffer_bytes)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.buffer_bytes)


class Link:
    """One proxied connection."""

    def __init__(self, proxy: FaultProxy, client: socket.socket, server: socket.socket) -> None:
        self.proxy = proxy
        self.passed = {UP: 0, DOWN: 0}  # bytes
        self._own: Faults | None = None
        self._sockets = (client, server)
        self._changed = asyncio.Event()
        for sock in self._sockets:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._pipes = {UP: _Pipe(self, UP, client, server), DOWN: _Pipe(self, DOWN, server, client)}

    @property
    def faults(self) -> Faults:
        return self.proxy.faults if self._own is None else self._own

    @faults.setter
    def faults(self, faults: Faults | None) -> None:
        """None: the proxy's own."""
        self._own = faults
        self.changed()

    def changed(self) -> None:
        """Let whoever waits look at the faults again."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def until_changed(self) -> None:
        await self._changed.wait()

    def reset(self) -> None:
        """RST to both ends; what was held is gone."""
        if self._over():
            self.proxy.resets += 1
            for sock in self._sockets:
                abort_socket(sock)

    def pull_the_plug(self) -> None:
        """RST to the client; the server's end stays open, and nobody reads it."""
        if self._over():
            client, server = self._sockets
            abort_socket(client)
            self.proxy.orphans.append(server)

    def half_close(self, direction: str) -> None:
        """End one direction after what was read of it."""
        self._pipes[direction].end()

    def ended(self) -> None:
        """A direction has ended: when both have, so has the connection."""
        if all(pipe.done for pipe in self._pipes.values()) and self._over():
            for sock in self._sockets:
                close_socket(sock)

    def _over(self) -> bool:
        if self not in self.proxy.links:
            return False
        self.proxy.links.remove(self)
        for pipe in self._pipes.values():
            pipe.cancel()
        return True


class _Pipe:
    """One direction: read into a bounded queue, written when it is due."""

    def __init__(self, link: Link, direction: str, source: socket.socket, sink: socket.socket) -> None:
        self.done = False
        self._link = link
        self._direction = direction
        self._source, self._sink = source, sink
        self._held: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(HELD_CHUNKS)
        self._loop = asyncio.get_running_loop()
        self._reader = asyncio.create_task(self._read())
        self._writer = asyncio.create_task(self._write())
        self._tasks = [self._reader, self._writer]

    def cancel(self) -> None:
        for task in self._tasks:
            task.cancel()

    def end(self) -> None:
        """Read nothing more; pass on what was read, then the end."""
        self._reader.cancel()
        self._tasks.append(asyncio.create_task(self._held.put((0.0, b""))))

    async def _read(self) -> None:
        rng = self._link.proxy.rng
        try:
            while True:
                chunk = await self._loop.sock_recv(self._source, CHUNK_BYTES)
                faults = self._link.faults
                due = self._loop.time() + faults.latency_s + (faults.jitter_s * rng.random() if faults.jitter_s else 0)
                await self._held.put((due, chunk))
                if not chunk:
                    return
        except OSError:
            self._link.reset()

    async def _write(self) -> None:
        try:
            while True:
                due, chunk = await self._held.get()
                if (early := due - self._loop.time()) > 0:
                    await asyncio.sleep(early)
                await self._hole()
                if not chunk:
                    break
                for piece in _sliced(chunk, self._link.faults, self._link.proxy.rng):
                    await self._pass(piece)
            with contextlib.suppress(OSError):
                self._sink.shutdown(socket.SHUT_WR)
            self.done = True
            self._link.ended()
        except OSError:
            self._link.reset()

    async def _hole(self) -> None:
        while self._direction in self._link.faults.hole:
            await self._link.until_changed()

    async def _pass(self, piece: bytes) -> None:
        await self._hole()
        await self._loop.sock_sendall(self._sink, piece)
        self._link.passed[self._direction] += len(piece)
        faults = self._link.faults
        if faults.bytes_per_s:
            await asyncio.sleep(len(piece) / faults.bytes_per_s)
        elif faults.slice_bytes:
            # now and then long enough for the other end to see the frame cut here
            await asyncio.sleep(0.001 if self._link.proxy.rng.random() < 0.1 else 0)


def _sliced(chunk: bytes, faults: Faults, rng: random.Random) -> Iterator[bytes]:
    most = faults.slice_bytes
    if not most and faults.bytes_per_s:
        most = max(1, int(faults.bytes_per_s * _BANDWIDTH_TICK_S))
        yield from (chunk[at : at + most] for at in range(0, len(chunk), most))
        return
    at = 0
    for _ in range(MAX_SLICES if most else 0):
        if at < len(chunk):
            size = rng.randint(1, most)
            yield chunk[at : at + size]
            at += size
    if at < len(chunk):
        yield chunk[at:]


def abort_socket(sock: socket.socket) -> None:
    """Close with a reset."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST)
    close_socket(sock)


def close_socket(sock: socket.socket) -> None:
    """Out of the loop first: a cancelled read or write leaves it a turn later, when the number may be another's."""
    if sock.fileno() >= 0:
        loop = asyncio.get_running_loop()
        loop.remove_reader(sock.fileno())
        loop.remove_writer(sock.fileno())
        sock.close()
