"""The registry of connections: counting, cutting off, telling."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from app.concurrency import AsyncMode
from app.connections import ClientTasks, Connection, Connections, Outlet
from app.errors import LimitExceeded
from app.namespaces.stream import Stream
from tests.support.clock import HandClock


class Client(Connection):
    """A connection that notes what it is told."""

    def __init__(self, outlet: Outlet) -> None:
        super().__init__("test", outlet)
        self.told: list[str] = []
        self.left = threading.Event()

    def tell(self, name: str, payload: dict[str, Any]) -> bool:
        self.told.append(name)
        return True

    def gone(self) -> None:
        self.left.set()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a TCP connection with small buffers: ours, theirs."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        theirs = socket.socket()
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        theirs.connect(listener.getsockname())
        ours, _ = listener.accept()
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


def outlet_of(sock: socket.socket, clock: HandClock) -> Outlet:
    return Outlet(Stream(AsyncMode("threading"), {"colloquy.socket": sock}), clock)


def registry(most: int = 10, elsewhere: int = 0) -> Connections:
    connections = Connections(
        AsyncMode("threading"), max_connections=most, slow_client_timeout_s=30, elsewhere=lambda: elsewhere
    )
    connections._sweeping = True  # by hand
    return connections


def fill(sock: socket.socket) -> None:
    """Write until the kernel takes no more."""
    sock.setblocking(False)
    try:
        while True:
            sock.send(b"x" * 4096)
    except BlockingIOError:
        sock.setblocking(True)


def drain(sock: socket.socket) -> None:
    """Read to the end."""
    while sock.recv(65_536):
        pass


def test_who_takes_nothing_is_stalled(pair: tuple[socket.socket, socket.socket], clock: HandClock) -> None:
    """As long as something is outstanding; what the kernel has taken does not count as taken."""
    ours, theirs = pair
    outlet = outlet_of(ours, clock)
    clock.now += 100
    assert outlet.stalled_s() == 0  # nothing is waiting
    fill(ours)
    outlet.stalled_s()
    clock.now += 20
    assert outlet.stalled_s() == 20
    while outlet.stream.unsent_bytes():
        theirs.recv(65_536)
    assert outlet.stalled_s() == 0


def test_slow_is_not_stalled(pair: tuple[socket.socket, socket.socket], clock: HandClock) -> None:
    """Whoever takes a little each time stays, though much is waiting all the time."""
    ours, theirs = pair
    outlet = outlet_of(ours, clock)
    ours.setblocking(False)
    for _ in range(5):
        try:
            while True:
                ours.send(b"x" * 4096)
        except BlockingIOError:
            pass
        outlet.writing = True
        outlet.stalled_s()
        clock.now += 20
        before = outlet.stream.acknowledged_bytes()
        while outlet.stream.acknowledged_bytes() == before:
            theirs.recv(65_536)
        assert outlet.stalled_s() == 0


def test_a_sweep_cuts_off_and_notices(pair: tuple[socket.socket, socket.socket], clock: HandClock) -> None:
    """Who takes nothing is reset; who has left is told of."""
    ours, theirs = pair
    connections, client = registry(), Client(outlet_of(ours, clock))
    connections.enter(client)
    fill(ours)
    connections.sweep()
    clock.now += 31
    connections.sweep()
    assert (connections.cut_off, client.outlet.aborted, client.left.is_set()) == (1, True, True)
    ours.close()
    with pytest.raises(ConnectionResetError):
        drain(theirs)


def test_who_has_left_is_noticed(pair: tuple[socket.socket, socket.socket], clock: HandClock) -> None:
    """Without anything being sent to it."""
    ours, theirs = pair
    connections, client = registry(), Client(outlet_of(ours, clock))
    connections.enter(client)
    connections.sweep()
    assert not client.left.is_set()
    theirs.close()
    connections.sweep()
    assert client.left.is_set()
    assert not client.outlet.aborted


def test_the_house_is_full(pair: tuple[socket.socket, socket.socket], clock: HandClock) -> None:
    """All kinds of connections are counted together."""
    connections = registry(most=3, elsewhere=2)
    first = Client(outlet_of(pair[0], clock))
    connections.enter(first)
    with pytest.raises(LimitExceeded):
        connections.enter(Client(outlet_of(pair[0], clock)))
    assert (len(connections), connections.refused, connections.by_door()) == (1, 1, {"test": 1})
    connections.leave(first)
    connections.leave(first)
    assert len(connections) == 0


def test_everybody_is_told(pair: tuple[socket.socket, socket.socket], clock: HandClock) -> None:
    """And said goodbye to."""
    connections, client = registry(), Client(outlet_of(pair[0], clock))
    connections.enter(client)
    assert connections.broadcast("news", {}) == 1
    assert client.told == ["news"]
    connections.close_all()
    assert client.outlet.aborted


def test_clients_and_their_tasks() -> None:
    """By owner and id; the one that has started nothing for longest is forgotten first."""
    clients = ClientTasks(2)
    clients.remember((None, "ann"), "x", "c1")
    clients.remember(("acme", "ann"), "x", "c2")
    clients.remember((None, "ann"), "x", "c3")
    clients.remember((None, "ann"), "y", "c4")
    assert clients.conversation_of((None, "ann"), "x") == "c3"
    assert clients.conversation_of(("acme", "ann"), "x") is None
    assert clients.conversation_of((None, "ann"), "y") == "c4"
    clients.remember(None, "x", "c5")
    assert clients.conversation_of(None, "x") is None
