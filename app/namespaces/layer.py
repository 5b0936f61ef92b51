"""The socket layer as a whole: working, or not, with the reason."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from app.namespaces.transport import SocketTransport
from app.protocol.events import Event


class SocketLayer:
    """The way to the clients, which may be missing: HTTP is served all the same (FEATURES B9).

    Implements :class:`app.streaming.ports.Transport`; without sockets, events go to the log only.
    """

    def __init__(self) -> None:
        self.error: str | None = "it was not started"
        self._transport: SocketTransport | None = None

    def opened(self, transport: SocketTransport) -> None:
        """Sockets work."""
        self._transport, self.error = transport, None

    def failed(self, error: Exception) -> None:
        """Sockets could not be started."""
        self.error = f"{type(error).__name__}: {error}"

    def emit_to_room(self, conversation_id: str, name: str, payload: dict[str, Any]) -> Collection[str]:
        return self._transport.emit_to_room(conversation_id, name, payload) if self._transport is not None else ()

    def emit_to_client(self, sid: str, *events: tuple[str, dict[str, Any]]) -> None:
        if self._transport is not None:
            self._transport.emit_to_client(sid, *events)

    def writable(self, sid: str) -> bool:
        return self._transport is not None and self._transport.writable(sid)

    def cut_off(self, sid: str) -> None:
        if self._transport is not None:
            self._transport.cut_off(sid)

    def enter_room(self, sid: str, conversation_id: str) -> bool:
        return self._transport is not None and self._transport.enter_room(sid, conversation_id)

    def leave_room(self, sid: str, conversation_id: str) -> None:
        if self._transport is not None:
            self._transport.leave_room(sid, conversation_id)

    def connections(self) -> int:
        """How many connections there are."""
        return self._transport.connections() if self._transport is not None else 0

    def broadcast(self, event: Event, timestamp: str) -> int:
        """Send a transient event to every connection; returns how many there were."""
        if self._transport is None:
            return 0
        self._transport.emit_to_everybody(event, timestamp)
        return self._transport.connections()

    def figures(self) -> dict[str, Any]:
        """The figures of delivery; empty without sockets."""
        return self._transport.figures() if self._transport is not None else {}

    def disconnect_everybody(self) -> None:
        """Close all connections."""
        if self._transport is not None:
            self._transport.disconnect_everybody()
