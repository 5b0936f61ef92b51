"""Engine.IO's server on connections of our own: bounded, written to directly, watched over by one task."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import engineio

from app.auth.seats import RETRY_S, Seats
from app.concurrency import AsyncMode
from app.errors import LimitExceeded
from app.namespaces.connection import OPEN, Connection
from app.namespaces.delivery import Delivery
from app.namespaces.frames import Packet, encode
from app.namespaces.watch import Watch

logger = logging.getLogger(__name__)

_DYING_S = 5.0  # from a closing that was said to the end of the TCP connection
_SPARE = 64  # connections beyond the limit that may stay long enough to be refused with a clear error


class EngineServer(engineio.Server):  # type: ignore[misc]  # python-engineio has no types
    """Makes :class:`Connection` objects in the place of the library's sockets, and looks after them."""

    sockets: dict[str, Connection]

    def prepare(
        self,
        mode: AsyncMode,
        delivery: Delivery,
        seats: Seats,
        *,
        max_connections: int,
        queue_bytes: int,
        send_buffer_bytes: int,
        slow_timeout_s: float,
        compression: bool,
        on_drained: Callable[[str], None],
    ) -> None:
        """Set up what the constructor would: python-socketio constructs the library's own class.

        :param queue_bytes: what may wait for one client.
        :param send_buffer_bytes: SO_SNDBUF of a WebSocket's connection; 0: the kernel decides.
        :param slow_timeout_s: a client that takes nothing for so long, though something waits, is cut off.
        :param on_drained: called with the sid of a connection that is no longer behind; must not block.
        """
        self.mode = mode
        self.delivery = delivery
        self.seats = seats
        self.max_connections = max_connections
        self.queue_bytes = queue_bytes
        self.send_buffer_bytes = send_buffer_bytes
        self.compression = compression
        self.on_drained = on_drained
        self._dying: dict[Connection, float] = {}
        self._last_polls: dict[str, Connection] = {}  # those of the dying whose last words are to be fetched, by sid
        self._watch = Watch(self, slow_timeout_s)
        self._watching = False

    def handle_request(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Called for each request. A body that nobody wants is read all the same: Werkzeug would wait for its end."""
        if environ["REQUEST_METHOD"] == "POST" and not self._has_session(environ):
            try:
                length = int(environ.get("CONTENT_LENGTH") or 0)
                environ["wsgi.input"].read(max(0, min(length, self.max_http_buffer_size)))
            except (ValueError, OSError):
                pass  # it is refused anyhow
        query = parse_qs(environ.get("QUERY_STRING", ""))
        leaving = self._last_polls.get(query.get("sid", [""])[0])
        if leaving is not None and environ["REQUEST_METHOD"] == "GET" and "j" not in query:
            return self._last_words_of(leaving, environ, start_response)
        try:
            return super().handle_request(environ, start_response)
        except KeyError:  # with threads, the library may find a session and lose it in the same line
            if self._has_session(environ):
                raise
            refusal = self._bad_request("Invalid session")
            start_response(refusal["status"], refusal["headers"])
            return [refusal["response"]]

    def _last_words_of(self, connection: Connection, environ: dict[str, Any], start_response: Any) -> Any:
        """A poll of somebody whose session has ended since their last one: why, and that it has."""
        answer = self._ok(connection.poll())
        if not connection.waiting:
            self._last_polls.pop(connection.sid, None)
        start_response(answer["status"], answer["headers"] + self._cors_headers(environ))
        return [answer["response"]]

    def _has_session(self, environ: dict[str, Any]) -> bool:
        connection = self.sockets.get(parse_qs(environ.get("QUERY_STRING", "")).get("sid", [""])[0])
        return connection is not None and connection.connected and not connection.upgraded

    def _handle_connect(
        self, environ: dict[str, Any], start_response: Any, transport: str, jsonp_index: int | None = None
    ) -> Any:
        sid = self.generate_id()
        try:
            if len(self.sockets) >= self.max_connections + _SPARE:
                raise LimitExceeded(f"{self.max_connections} connections are open; try again later")
            seat = self.seats.take_transport(environ, lambda: sid in self.sockets)
        except LimitExceeded as error:
            self.delivery.connections_refused += 1
            return {
                "status": "429 TOO MANY REQUESTS",
                "headers": [("Content-Type", "application/json"), ("Retry-After", f"{RETRY_S:.0f}")],
                "response": encode({"error": error.to_payload()}),
            }
        if not self._watching:
            self._watching = True
            self.start_background_task(self._watch.run)
        connection = Connection(self, sid)
        connection.seat = seat
        self.sockets[connection.sid] = connection
        connection.hand(self._opening(connection, transport))
        self._trigger_event("connect", connection.sid, environ, run_async=False)
        if transport == "websocket":
            answer = connection._upgrade_websocket(environ, start_response)
            if not connection.connected:  # the handshake was refused
                connection.close(wait=False, abort=True)
            return answer
        connection.connected = True
        return self._ok(connection.poll(), jsonp_index=jsonp_index)

    def _opening(self, connection: Connection, transport: str) -> Packet:
        opening = {
            "sid": connection.sid,
            "upgrades": self._upgrades(connection.sid, transport),
            "pingTimeout": int(self.ping_timeout * 1000),
            "pingInterval": int(self.ping_interval * 1000),
            "maxPayload": self.max_http_buffer_size,
        }
        return Packet(OPEN.encode() + encode(opening))

    def _log_error_once(self, message: str, message_key: str) -> None:
        """A client's mistake, which is no error of ours."""
        self.logger.info(message)

    def forget(self, connection: Connection) -> None:
        """The connection has ended."""
        self.sockets.pop(connection.sid, None)
        if connection.seat is not None:
            connection.seat.release()

    def expect_end_of(self, connection: Connection) -> None:
        """The connection was told that it is closed: end it, if its client does not in time."""
        if connection.stream is None:
            self._last_polls[connection.sid] = connection
        self._dying[connection] = time.monotonic() + _DYING_S

    def end_the_dying(self, now: float) -> None:
        """End those that should have gone by now."""
        for connection, deadline in list(self._dying.items()):
            if now >= deadline:
                del self._dying[connection]
                self._last_polls.pop(connection.sid, None)
                if connection.stream is not None:
                    connection.stream.reset()
