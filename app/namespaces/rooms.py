"""The client manager: rooms whose events are encoded once and written straight to each member's socket."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import socketio

from app.namespaces.connection import Connection
from app.namespaces.frames import Packet


class RoomManager(socketio.Manager):  # type: ignore[misc]  # python-socketio has no types
    """Keeps, beside the library's tables, each room's connections, so that an emit looks nothing up."""

    def __init__(self) -> None:
        super().__init__()
        self._connections: dict[tuple[str, str], Connection] = {}
        self._members: dict[tuple[str, str], dict[str, Connection]] = {}
        self._rooms_of: defaultdict[tuple[str, str], set[str]] = defaultdict(set)

    def connection(self, sid: str, namespace: str) -> Connection | None:
        """The connection of a namespace's client; None if it is gone."""
        return self._connections.get((namespace, sid))

    def emit_to_room(self, packet: Packet, room: str, namespace: str) -> list[str]:
        """Send one packet to everybody in a room, without waiting for anybody.

        :returns: the sids of those who did not take all of it at once. They have left the room; the rest of the packet
            is written before whatever they are sent next.
        """
        members = self._members.get((namespace, room))
        if not members:
            return []
        behind: list[str] = []
        frame = packet.frame
        size = len(frame)
        for sid, connection in list(members.items()):
            write = connection.direct
            if write is None or connection.waiting:
                if not connection.hand(packet):
                    behind.append(sid)
                continue
            try:
                taken = write(frame)
            except BlockingIOError:
                taken = 0
            except OSError:
                continue  # it is gone: its reader finds that out
            if taken != size:
                connection.keep_rest(frame[taken:])
                behind.append(sid)
        for sid in behind:
            self.basic_leave_room(sid, namespace, room)
        return behind

    # --- the tables ---------------------------------------------------------------------------------------------------

    def basic_enter_room(self, sid: str, namespace: str, room: str | None, eio_sid: str | None = None) -> None:
        super().basic_enter_room(sid, namespace, room, eio_sid=eio_sid)
        if room is None:
            connection = self.server.eio.sockets.get(eio_sid)
            if connection is not None:
                self._connections[namespace, sid] = connection
            return
        self._rooms_of[namespace, sid].add(room)
        connection = self._connections.get((namespace, sid))
        if connection is not None and room != sid:
            self._members.setdefault((namespace, room), {})[sid] = connection

    def basic_leave_room(self, sid: str, namespace: str, room: str | None) -> None:
        super().basic_leave_room(sid, namespace, room)
        if room is None:
            self._connections.pop((namespace, sid), None)
            return
        rooms = self._rooms_of.get((namespace, sid))
        if rooms is not None:
            rooms.discard(room)
            if not rooms:
                del self._rooms_of[namespace, sid]
        members = self._members.get((namespace, room))
        if members is not None:
            members.pop(sid, None)
            if not members:
                self._members.pop((namespace, room), None)

    def basic_disconnect(self, sid: str, namespace: str, **kwargs: Any) -> None:
        """Leave all rooms. The library looks through every room there is: too long when thousands go at once."""
        for room in [*self._rooms_of.get((namespace, sid), ()), None]:
            self.basic_leave_room(sid, namespace, room)
        self.callbacks.pop(sid, None)
        for pending in (self.pending_connect, self.pending_disconnect):
            waiting = pending.get(namespace)
            if waiting and sid in waiting:
                waiting.remove(sid)
                if not waiting:
                    pending.pop(namespace, None)

    def notify_drained(self, namespace: str, tell: Callable[[str], None]) -> Callable[[str], None]:
        """What the Engine.IO server calls with its own sid, as a call with the namespace's."""

        def drained(eio_sid: str) -> None:
            sid = self.sid_from_eio_sid(eio_sid, namespace)
            if sid:
                tell(sid)

        return drained
