"""The only module that emits."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import socketio

from app.namespaces.delivery import Cut
from app.namespaces.frames import Bundle, event_packet
from app.namespaces.rooms import RoomManager
from app.protocol import NAMESPACE, room_of
from app.protocol.events import Event


class SocketTransport:
    """Sends events through Socket.IO. Implements :class:`app.streaming.ports.Transport`."""

    def __init__(self, server: socketio.Server, rooms: RoomManager) -> None:
        self._server = server
        self._rooms = rooms

    def emit_to_room(self, conversation_id: str, name: str, payload: dict[str, Any]) -> Collection[str]:
        return self._rooms.emit_to_room(event_packet(name, payload), room_of(conversation_id), NAMESPACE)

    def emit_to_client(self, sid: str, *events: tuple[str, dict[str, Any]]) -> None:
        connection = self._rooms.connection(sid, NAMESPACE)
        if connection is not None and events:
            packets = [event_packet(name, payload) for name, payload in events]
            connection.hand(packets[0] if len(packets) == 1 else Bundle(packets))

    def writable(self, sid: str) -> bool:
        connection = self._rooms.connection(sid, NAMESPACE)
        return connection is not None and not connection.behind and not connection.closed

    def cut_off(self, sid: str) -> None:
        connection = self._rooms.connection(sid, NAMESPACE)
        if connection is not None:
            connection.cut_off(Cut.READER)

    def disconnect(self, sid: str) -> Callable[[], None]:
        """Disconnect a client, behind what waits for it, and close its connection; its commands that wait are dropped.

        :returns: ends the TCP connection at once; for who does not go.
        """
        connection = self._rooms.connection(sid, NAMESPACE)
        self._server.forget_commands(sid)
        self._server.disconnect(sid, namespace=NAMESPACE)
        if connection is None:
            return lambda: None
        connection.close()
        return connection.end_now

    def emit_to_everybody(self, event: Event, timestamp: str) -> None:
        """Send a transient event to every connection of the namespace."""
        packet = event_packet(event.name, {**event.to_wire(), "timestamp": timestamp})
        for sid, _ in self._rooms.get_participants(NAMESPACE, None):
            connection = self._rooms.connection(sid, NAMESPACE)
            if connection is not None:
                connection.hand(packet)

    def enter_room(self, sid: str, conversation_id: str) -> bool:
        if not self._rooms.is_connected(sid, NAMESPACE):
            return False
        self._rooms.enter_room(sid, NAMESPACE, room_of(conversation_id))
        return True

    def is_there(self, sid: str) -> bool:
        """Whether the namespace has this connection, or is about to."""
        connection = self._rooms.connection(sid, NAMESPACE)
        return connection is not None and not connection.closing

    def leave_room(self, sid: str, conversation_id: str) -> None:
        self._rooms.leave_room(sid, NAMESPACE, room_of(conversation_id))

    def connections(self) -> int:
        """How many connections the namespace has."""
        return sum(1 for _ in self._rooms.get_participants(NAMESPACE, None))

    def count_refusal(self) -> None:
        """Note that a connection was refused, because there are too many."""
        self._server.delivery.connections_refused += 1

    def figures(self) -> dict[str, Any]:
        """See :data:`app.namespaces.delivery.SOCKET_FIGURES`."""
        figures: dict[str, Any] = self._server.delivery.figures(self._server.eio.sockets.copy().values())
        return figures

    def disconnect_everybody(self) -> None:
        """Close all transports: JavaScript clients try again by themselves, as after any lost connection."""
        for engine_sid in list(self._server.eio.sockets):
            self._server.eio.disconnect(engine_sid)
