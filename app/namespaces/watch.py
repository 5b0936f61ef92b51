"""Looks after all connections: pings them, and closes those that are gone, stalled or nameless."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.namespaces.delivery import Cut
from app.namespaces.stream import Progress

if TYPE_CHECKING:
    from app.namespaces.connection import Connection
    from app.namespaces.engine import EngineServer

logger = logging.getLogger(__name__)

_TICK_S = 1.0
_AT_ONCE = 500  # connections that are looked at before others may run


@dataclass(slots=True)
class _Ping:
    """A ping that waits for its answer: where it stands in the stream, and when the client's kernel has taken it."""

    position: int
    behind_much: bool
    arrived_at: float | None = None


class Watch:
    """One task for all connections, in the place of a task and a timer for each.

    *Stalled* is a connection that has something outstanding (packets that wait, or bytes that the kernel has not got
    acknowledged: SIOCOUTQ on Linux) and makes no progress during all of ``slow_timeout_s``. One with nothing
    outstanding never is, nor one that reads slowly.

    *Silent* is one that says nothing within the ping timeout, counted from the ping's arrival at the client's kernel
    or, until then, from the last progress: a ping that stands behind much else arrives late. A client that had much to
    read before it gets ``slow_timeout_s``, to read what its kernel holds.
    """

    def __init__(self, server: EngineServer, slow_timeout_s: float) -> None:
        self._server = server
        self._slow_s = slow_timeout_s
        self._name_s = server.ping_interval + server.ping_timeout
        self._outstanding: dict[Connection, Progress] = {}
        self._pings: dict[Connection, _Ping] = {}

    def run(self) -> None:
        """Look after the connections for ever; for a background task."""
        while True:
            self._server.sleep(_TICK_S)
            try:
                self._round()
            except Exception:
                logger.exception("looking after the connections failed")

    def _round(self) -> None:
        connections = list(self._server.sockets.values())
        for begin in range(0, len(connections), _AT_ONCE):
            self.look(connections[begin : begin + _AT_ONCE], time.monotonic())
            self._server.sleep(0)
        self._server.delivery.look(connections)
        self._server.end_the_dying(time.monotonic())
        for connection in [each for each in self._outstanding if each.closed]:
            del self._outstanding[connection]
        for connection in [each for each in self._pings if each.closed or each.pinged_at is None]:
            del self._pings[connection]

    def look(self, connections: Iterable[Connection], now: float) -> None:
        """One look at some connections.

        :param now: the monotonic clock's reading.
        """
        for connection in connections:
            if connection.closed:
                continue
            why = self._judge(connection, now)
            if why is not None:
                logger.info("connection %s is cut off: %s", connection.sid, why)
                connection.cut_off(why)
            elif connection.pinged_at is None and now >= connection.ping_at:
                self._ping(connection, now)

    def _ping(self, connection: Connection, now: float) -> None:
        stream = connection.stream
        behind_much = connection.waiting_bytes > 0 or (stream is not None and stream.unsent_bytes() > 0)
        connection.ping(now)
        position = connection.waiting_bytes
        if stream is not None:
            position += stream.unacknowledged_bytes() + stream.acknowledged_bytes()
        self._pings[connection] = _Ping(position, behind_much)

    def _judge(self, connection: Connection, now: float) -> Cut | None:
        progress = self._follow(connection, now)
        if progress is not None and now - progress.since >= self._slow_s and self._is_outstanding(connection):
            return Cut.STALLED
        if connection.pinged_at is not None and self._is_silent(connection, progress, now):
            return Cut.SILENT
        if not connection.named and now - connection.opened_at > self._name_s:
            return Cut.NAMELESS
        return None

    def _is_silent(self, connection: Connection, progress: Progress | None, now: float) -> bool:
        ping = self._pings.get(connection)
        if ping is None or connection.pinged_at is None:
            return False
        if ping.arrived_at is None and self._has_arrived(connection, ping):
            ping.arrived_at = now
        since = ping.arrived_at
        if since is None:
            since = max(connection.pinged_at, progress.since if progress is not None else 0.0)
        allowed_s = self._slow_s if ping.behind_much and ping.arrived_at is not None else self._server.ping_timeout
        return now - max(since, connection.heard_at) > float(allowed_s)

    def _has_arrived(self, connection: Connection, ping: _Ping) -> bool:
        if connection.stream is not None and connection.stream.acknowledged_bytes() >= ping.position:
            return True
        return not self._is_outstanding(connection)

    def _follow(self, connection: Connection, now: float) -> Progress | None:
        """How far it is; None: nothing is outstanding, and nothing was since its last sign of life."""
        progress, outstanding = self._outstanding.get(connection), self._is_outstanding(connection)
        if progress is None:
            if outstanding:
                progress = self._outstanding[connection] = Progress(_mark(connection), now)
            return progress
        progress.saw(_mark(connection), now)
        if not outstanding and connection.pinged_at is None:
            del self._outstanding[connection]
            return None
        return progress

    @staticmethod
    def _is_outstanding(connection: Connection) -> bool:
        return bool(connection.waiting) or (
            connection.stream is not None and connection.stream.unacknowledged_bytes() > 0
        )


def _mark(connection: Connection) -> tuple[int, int]:
    return connection.fetched, connection.stream.acknowledged_bytes() if connection.stream is not None else 0
