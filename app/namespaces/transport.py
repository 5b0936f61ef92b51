"""The only module that emits."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import socketio

from app.protocol import NAMESPACE, room_of
from app.protocol.events import Event


class SocketTransport:
    """Sends events through Socket.IO. Implements :class:`app.streaming.ports.Transport`."""

    def __init__(self, server: socketio.Server) -> None:
        self._server = server

    def emit_to_room(self, conversation_id: str, name: str, payload: dict[str, Any]) -> Collection[str]:
        self._server.emit(name, payload, to=room_of(conversation_id), namespace=NAMESPACE)
        return ()

    def emit_to_client(self, sid: str, *events: tuple[str, dict[str, Any]]) -> None:
        if not sid:
            raise ValueError("a connection is needed: without one, everybody would be sent this")
        for name, payload in events:
            self._server.emit(name, payload, to=sid, namespace=NAMESPACE)

    def writable(self, sid: str) -> bool:
        return bool(self._server.manager.is_connected(sid, NAMESPACE))

    def cut_off(self, sid: str) -> None:
        self._server.disconnect(sid, namespace=NAMESPACE)

    def emit_to_everybody(self, event: Event, timestamp: str) -> None:
        """Send a transient event to every connection of the namespace."""
        self._server.emit(event.name, {**event.to_wire(), "timestamp": timestamp}, namespace=NAMESPACE)

    def enter_room(self, sid: str, conversation_id: str) -> bool:
        if not self._server.manager.is_connected(sid, NAMESPACE):
            return False
        self._server.enter_room(sid, room_of(conversation_id), namespace=NAMESPACE)
        return True

    def leave_room(self, sid: str, conversation_id: str) -> None:
        if self._server.manager.is_connected(sid, NAMESPACE):
            self._server.leave_room(sid, room_of(conversation_id), namespace=NAMESPACE)

    def connections(self) -> int:
        """How many connections the namespace has."""
        return sum(1 for _ in self._server.manager.get_participants(NAMESPACE, None))

    def disconnect_everybody(self) -> None:
        """Close all transports: JavaScript clients try again by themselves, as after any lost connection."""
        for engine_sid in list(self._server.eio.sockets):
            self._server.eio.disconnect(engine_sid)
