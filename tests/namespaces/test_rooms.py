"""A room's event is encoded once, written to each member, and nobody waits for anybody."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from app.namespaces.connection import Connection
from app.namespaces.frames import event_packet
from app.namespaces.rooms import RoomManager
from tests.namespaces.fakes import Kernel, Server, connected

SPACE = "/conversations"


class Hall:
    """A manager whose connections are a, b, c, … with the given kernels, all in one room."""

    def __init__(self, *kernels: Kernel | None, mode: str = "eventlet") -> None:
        self.server = Server(mode)
        self.rooms = RoomManager()
        self.rooms.set_server(_socketio(self.server))
        self.members: dict[str, Connection] = {}
        for sid, kernel in zip("abcdef", kernels, strict=False):
            self.members[sid] = connected(self.server, kernel, sid)
            self.rooms.basic_enter_room(sid, SPACE, None, eio_sid=sid)
            self.rooms.basic_enter_room(sid, SPACE, sid, eio_sid=sid)
            self.rooms.basic_enter_room(sid, SPACE, "room")

    def emit(self, number: int = 1) -> list[str]:
        return self.rooms.emit_to_room(event_packet("e", {"n": number}), "room", SPACE)


def _socketio(server: Server) -> Any:
    return SimpleNamespace(eio=server, packet_class=SimpleNamespace(json=None))


@pytest.mark.parametrize("mode", ["eventlet", "threading"])
def test_whoever_does_not_take_all_leaves_the_room(mode: str) -> None:
    """The others stay; what it was handed last comes whole, once it reads again, and nothing after it."""
    good, slow = Kernel(), Kernel(room=4)
    hall = Hall(good, slow, mode=mode)
    assert hall.emit(1) == ["b"]
    assert hall.emit(2) == []
    hall.server.run_tasks()
    one, two = (event_packet("e", {"n": number}).frame for number in (1, 2))
    assert good.taken == one + two
    assert slow.taken == one


def test_a_member_with_something_waiting_is_handed_the_event_behind_it() -> None:
    """And leaves: the log is its queue."""
    kernel = Kernel(room=0)
    hall = Hall(kernel)
    hall.members["a"].ping(now=0.0)
    assert hall.emit() == ["a"]
    hall.server.run_tasks()
    assert kernel.taken.endswith(event_packet("e", {"n": 1}).frame)


def test_a_polling_member_stays_as_long_as_little_waits() -> None:
    """Its packets are fetched; it lags beyond 64 KiB."""
    hall = Hall(None)
    hall.server.queue_bytes = 1_000_000
    assert not hall.emit()
    assert hall.rooms.emit_to_room(event_packet("e", {"text": "x" * 70_000}), "room", SPACE) == ["a"]
    assert not hall.emit()


def test_a_broken_connection_hinders_nobody() -> None:
    """Its reader finds out by itself."""
    broken, good = Kernel(), Kernel()

    def fail(data: bytes) -> int:
        raise ConnectionResetError

    hall = Hall(broken, good)
    hall.members["a"].direct = fail
    assert hall.emit() == []
    assert good.taken


def test_who_disconnects_is_in_no_table_any_more() -> None:
    """Neither in the library's nor in ours."""
    hall = Hall(Kernel(), Kernel())
    for sid in "ab":
        hall.rooms.basic_disconnect(sid, SPACE)
        assert hall.rooms.connection(sid, SPACE) is None
    assert not hall.rooms.rooms
    assert not hall.rooms._members
    assert not hall.rooms._rooms_of
