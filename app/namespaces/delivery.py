"""The figures of the socket layer: what waits, who lags, what was refused, who was cut off and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

SOCKET_FIGURES: dict[str, str] = {
    "connections": "Engine.IO connections that are open now, whatever their transport",
    "connections_refused": "connections that found MAX_CONNECTIONS others",
    "commands_refused": "commands answered with `limit_exceeded`: too many in a second, or too many waiting",
    "packets_refused": "malformed packets; their connection was answered where that is possible, else closed",
    "queued_bytes": "bytes that wait for a slow client now, all connections together",
    "queued_bytes_peak": "the most that has waited so far; looked at once a second",
    "lagging": "connections that do not take all they are sent now",
    "cut_off": "connections that the server closed, by reason: `stalled`, `silent`, `queue_full`, `flooding`, "
    "`malformed`, `nameless`, `reader` (it acknowledged nothing)",
}
"""Name and meaning of the socket layer's figures under ``delivery`` in ``GET /api/websocket/status``."""


class Cut(StrEnum):
    """Why the server closed a connection by itself."""

    STALLED = "stalled"  # took nothing for SLOW_CLIENT_TIMEOUT_S, though something waited
    SILENT = "silent"  # did not answer a ping
    QUEUE_FULL = "queue_full"  # left more than CLIENT_QUEUE_BYTES
    FLOODING = "flooding"  # sent commands again and again that had to be refused
    MALFORMED = "malformed"  # spoke nonsense
    NAMELESS = "nameless"  # never connected to a namespace
    READER = "reader"  # acknowledged nothing of what it was sent


class Waiting(Protocol):
    """What is counted of a connection."""

    waiting_bytes: int
    behind: bool


@dataclass(slots=True)
class Delivery:
    """Counted by the socket layer. Plain additions: under threads a figure may miss one, never more."""

    connections_refused: int = 0
    commands_refused: int = 0
    packets_refused: int = 0
    queued_bytes_peak: int = 0
    cut_off: Counter[str] = field(default_factory=Counter)

    def look(self, connections: Iterable[Waiting]) -> int:
        """Note the peak; what waits now, in bytes."""
        queued = sum(connection.waiting_bytes for connection in connections)
        self.queued_bytes_peak = max(self.queued_bytes_peak, queued)
        return queued

    def figures(self, connections: Iterable[Waiting]) -> dict[str, Any]:
        """All figures under their names in ``SOCKET_FIGURES``."""
        open_now = list(connections)
        return {
            "connections": len(open_now),
            "connections_refused": self.connections_refused,
            "commands_refused": self.commands_refused,
            "packets_refused": self.packets_refused,
            "queued_bytes": self.look(open_now),
            "queued_bytes_peak": self.queued_bytes_peak,
            "lagging": sum(connection.behind for connection in open_now),
            "cut_off": dict(self.cut_off),
        }
