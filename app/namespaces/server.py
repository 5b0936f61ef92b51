"""python-socketio's server, with a bounded queue of commands for each client."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import socketio

from app.errors import ColloquyError, InvalidPayload, LimitExceeded, UnknownCommand
from app.namespaces.budget import CommandBudget
from app.namespaces.connection import Connection
from app.namespaces.delivery import Cut, Delivery
from app.namespaces.frames import Packet, encode
from app.protocol.commands import Acknowledge, ErrorAck, ErrorBody

logger = logging.getLogger(__name__)

_RESERVED = frozenset({"connect", "disconnect", "__disconnect_final"})
_QUEUE_RETRY_S = 1.0
_ACK_COST = 0.1  # of a command: our clients acknowledge up to four times a second in each conversation
_BINARY = ("5", "6")  # packet types: binary event, binary ack
_PACKET_HEAD = re.compile(r"[25](?:\d{0,9}-)?(?:(/[^,]{0,100}),)?(\d{1,9})\[")


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

    def prepare(
        self, delivery: Delivery, *, max_queued_commands: int, max_commands_per_s: float, greet: Callable[[str], None]
    ) -> None:
        """Set up what the constructor would: Flask-SocketIO constructs the library's own class.

        :param max_commands_per_s: of one connection, twice as many in a burst; 0: unlimited.
        :param greet: called with the sid of each connection, after its namespace was connected.
        """
        self.delivery = delivery
        self.max_queued_commands = max_queued_commands
        self.max_commands_per_s = max_commands_per_s
        self._greet = greet
        self.eio.on("message", self._handle_eio_message)  # the constructor has registered the library's own
        self._queues: dict[str, _CommandQueue] = {}
        self._queues_lock = threading.Lock()  # guards the dict and its queues

    def _handle_eio_message(self, eio_sid: str, data: str | bytes) -> None:
        """Take one Socket.IO packet. The library lets malformed ones end the receive loop with a stack trace."""
        try:
            if not data:
                raise InvalidPayload("an empty packet")
            if isinstance(data, bytes) or data[:1] in _BINARY:  # would wait for attachments, deaf to all else
                raise InvalidPayload("binary packets are not part of the protocol")
            super()._handle_eio_message(eio_sid, data)
        except (InvalidPayload, ValueError, LookupError, TypeError, RecursionError) as error:
            logger.info("a malformed packet of %s was refused: %s", eio_sid, type(error).__name__)
            self._refuse_packet(eio_sid, data, error)

    def _refuse_packet(self, eio_sid: str, data: str | bytes, error: Exception) -> None:
        """Answer, where the packet's id can be read; else close the connection."""
        found = _PACKET_HEAD.match(data) if isinstance(data, str) else None
        if found is None:
            connection = self._connection(eio_sid)
            if connection is not None:
                connection.refuse(error)
            return
        self.delivery.packets_refused += 1
        self._acknowledge(eio_sid, found[1] or "/", int(found[2]), _refusal(InvalidPayload("a malformed packet")))

    def _handle_connect(self, eio_sid: str, namespace: str | None, data: Any) -> None:
        known = self.manager.sid_from_eio_sid(eio_sid, namespace or "/")
        super()._handle_connect(eio_sid, namespace, data)
        if known:  # a second connect changes nothing
            return
        namespace = namespace or "/"
        sid = self.manager.sid_from_eio_sid(eio_sid, namespace)
        connection = self._connection(eio_sid)
        if sid and self.manager.is_connected(sid, namespace) and (connection is None or connection.closing):
            self._handle_disconnect(eio_sid, namespace)  # it ended while it was let in: the library took no notice
        elif sid and connection is not None and self.manager.is_connected(sid, namespace):
            connection.named = True
            self._greet(sid)
        elif connection is not None and len(self.eio.sockets) > self.eio.max_connections:
            connection.close()  # it was told why

    def _handle_disconnect(self, eio_sid: str, namespace: str | None, reason: str | None = None) -> None:
        super()._handle_disconnect(eio_sid, namespace, reason)
        connection = self._connection(eio_sid)
        if connection is not None:
            connection.named, connection.opened_at = False, time.monotonic()

    def _connection(self, eio_sid: str) -> Connection | None:
        found: Connection | None = self.eio.sockets.get(eio_sid)
        return found

    def _handle_event(self, eio_sid: str, namespace: str | None, id: int | None, data: list[Any]) -> None:
        namespace = namespace or "/"
        sid = self.manager.sid_from_eio_sid(eio_sid, namespace)
        if not sid or not self.manager.is_connected(sid, namespace):
            return
        if not data or not isinstance(data[0], str):
            self._acknowledge(eio_sid, namespace, id, _refusal(InvalidPayload("an event needs a name")))
            return
        if data[0] in _RESERVED:  # the library would call the handlers of the connection itself
            self._acknowledge(eio_sid, namespace, id, _refusal(UnknownCommand(f"there is no command {data[0]!r}")))
            return
        if not self._may_send(eio_sid, namespace, id, data[0]):
            return
        if data[0] == Acknowledge.name:  # it waits for nothing, and is worth no task
            self._carry_out(sid, eio_sid, data, namespace, id)
            return
        with self._queues_lock:
            queue = self._queues.setdefault(sid, _CommandQueue())
            full = len(queue.waiting) >= self.max_queued_commands
            idle = not queue.working
            if not full:
                queue.waiting.append((eio_sid, data, namespace, id))
                queue.working = True
        if full:
            why = f"{self.max_queued_commands} commands of this connection wait"
            self._refuse_command(eio_sid, namespace, id, why, _QUEUE_RETRY_S)
        elif idle:
            self.start_background_task(self._work, sid, queue)

    def forget_commands(self, sid: str) -> None:
        """Drop the commands of a client that wait; the one that is carried out comes to its end."""
        with self._queues_lock:
            queue = self._queues.get(sid)
            if queue is not None:
                queue.waiting.clear()

    def _may_send(self, eio_sid: str, namespace: str, id: int | None, command: str) -> bool:
        connection = self._connection(eio_sid)
        if connection is None:
            return False
        now = time.monotonic()
        budget = connection.session.get("budget")
        if budget is None:
            budget = connection.session["budget"] = CommandBudget(self.max_commands_per_s, now)
        if budget.take(now, _ACK_COST if command == Acknowledge.name else 1.0):
            return True
        why = f"more than {self.max_commands_per_s:g} commands in a second"
        self._refuse_command(eio_sid, namespace, id, why, budget.wait_s())
        if budget.is_flooded:
            connection.cut_off(Cut.FLOODING)
        return False

    def _refuse_command(self, eio_sid: str, namespace: str, id: int | None, why: str, wait_s: float) -> None:
        self.delivery.commands_refused += 1
        self._acknowledge(eio_sid, namespace, id, _refusal(LimitExceeded(why, retry_after_s=wait_s)))

    def _work(self, sid: str, queue: _CommandQueue) -> None:
        while True:
            with self._queues_lock:
                if not queue.waiting:
                    queue.working = False
                    self._queues.pop(sid, None)
                    return
                eio_sid, data, namespace, id = queue.waiting.popleft()
            connection = self._connection(eio_sid)
            if connection is not None:
                connection.wait_for_space()  # whoever does not take its answers gets no further ones
            self._carry_out(sid, eio_sid, data, namespace, id)

    def _carry_out(self, sid: str, eio_sid: str, data: list[Any], namespace: str, id: int | None) -> None:
        try:
            answer = self._trigger_event(data[0], namespace, sid, *data[1:])
            if not isinstance(answer, Answer):
                return
            self._acknowledge(eio_sid, namespace, id, answer.ack)
            if answer.then is not None:
                answer.then()
        except Exception:
            logger.exception("command %s failed after its ack", data[0])

    def _acknowledge(self, eio_sid: str, namespace: str, id: int | None, ack: dict[str, Any]) -> None:
        connection = self._connection(eio_sid)
        if id is not None and connection is not None:
            connection.hand(Packet(b"43%b%d[%b]" % (_address(namespace), id, encode(ack))))


def _address(namespace: str) -> bytes:
    return b"" if namespace == "/" else f"{namespace},".encode()


def _refusal(error: ColloquyError) -> dict[str, Any]:
    return ErrorAck(error=ErrorBody(**error.to_payload())).model_dump()


def refuse(error: ColloquyError) -> Answer:
    """A failed command's answer."""
    return Answer(_refusal(error))
