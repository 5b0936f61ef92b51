"""python-socketio's server, with a bounded queue of commands for each client."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import socketio
from socketio import packet

from app.errors import ColloquyError, InvalidPayload, LimitExceeded
from app.protocol.commands import ErrorAck, ErrorBody

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command's handler returns: the ack, and what happens once the ack is on its way."""

    ack: dict[str, Any]
    then: Callable[[], None] | None = None


@dataclass(slots=True)
class _CommandQueue:
    waiting: deque[tuple[str, list[Any], str, int | None]] = field(default_factory=deque)
    working: bool = False


class CommandServer(socketio.Server):  # type: ignore[misc]  # python-socketio has no types
    """Carries out the commands of one client in their order.

    The library runs each event in a task of its own (so pause and resume may overtake each other) or all of them in the
    receive loop (so a waiting stop blocks the heartbeat). Here each client has a queue of at most
    ``max_queued_commands``, worked off in one background task that exists only while there is something to do; a
    command that finds the queue full is refused in its ack. :attr:`Answer.then` runs after the ack has been handed to
    the connection, so events that follow from a command never precede its ack.
    """

    max_queued_commands = 32
    commands_refused = 0

    def prepare(self, max_queued_commands: int, greet: Callable[[str], None]) -> None:
        """Set up what the constructor would: Flask-SocketIO constructs the library's own class.

        :param greet: called with the sid of each connection, after its namespace was connected.
        """
        self.max_queued_commands = max_queued_commands
        self._greet = greet
        self._queues: dict[str, _CommandQueue] = {}
        self._queues_lock = threading.Lock()  # guards the dict and its queues

    def _handle_connect(self, eio_sid: str, namespace: str | None, data: Any) -> None:
        super()._handle_connect(eio_sid, namespace, data)
        namespace = namespace or "/"
        sid = self.manager.sid_from_eio_sid(eio_sid, namespace)
        if sid and self.manager.is_connected(sid, namespace):
            self._greet(sid)

    def _handle_event(self, eio_sid: str, namespace: str | None, id: int | None, data: list[Any]) -> None:
        namespace = namespace or "/"
        sid = self.manager.sid_from_eio_sid(eio_sid, namespace)
        if not sid or not self.manager.is_connected(sid, namespace):
            return
        if not data or not isinstance(data[0], str):
            self._acknowledge(eio_sid, namespace, id, _refusal(InvalidPayload("an event needs a name")))
            return
        with self._queues_lock:
            queue = self._queues.setdefault(sid, _CommandQueue())
            full = len(queue.waiting) >= self.max_queued_commands
            idle = not queue.working
            if not full:
                queue.waiting.append((eio_sid, data, namespace, id))
                queue.working = True
        if full:
            self.commands_refused += 1
            error = LimitExceeded(f"{self.max_queued_commands} commands of this connection are waiting")
            self._acknowledge(eio_sid, namespace, id, _refusal(error))
        elif idle:
            self.start_background_task(self._work, sid, queue)

    def _work(self, sid: str, queue: _CommandQueue) -> None:
        while True:
            with self._queues_lock:
                if not queue.waiting:
                    queue.working = False
                    self._queues.pop(sid, None)
                    return
                eio_sid, data, namespace, id = queue.waiting.popleft()
            try:
                answer = self._trigger_event(data[0], namespace, sid, *data[1:])
                if not isinstance(answer, Answer):
                    continue
                self._acknowledge(eio_sid, namespace, id, answer.ack)
                if answer.then is not None:
                    answer.then()
            except Exception:
                logger.exception("command %s failed after its ack", data[0])

    def _acknowledge(self, eio_sid: str, namespace: str, id: int | None, ack: dict[str, Any]) -> None:
        if id is not None:
            self._send_packet(eio_sid, self.packet_class(packet.ACK, namespace=namespace, id=id, data=[ack]))


def _refusal(error: ColloquyError) -> dict[str, Any]:
    return ErrorAck(error=ErrorBody(**error.to_payload())).model_dump()


def refuse(error: ColloquyError) -> Answer:
    """A failed command's answer."""
    return Answer(_refusal(error))
