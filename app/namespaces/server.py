"""python-socketio's server, with a bounded queue of commands for each client."""

from __future__ import annotations

import logging
import re
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import socketio
from socketio import packet

from app.errors import ColloquyError, InvalidPayload, LimitExceeded, UnknownCommand
from app.protocol.commands import ErrorAck, ErrorBody

logger = logging.getLogger(__name__)

_RESERVED = frozenset({"connect", "disconnect", "__disconnect_final"})
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

    max_queued_commands = 32
    commands_refused = 0
    packets_refused = 0

    def prepare(self, max_queued_commands: int, greet: Callable[[str], None]) -> None:
        """Set up what the constructor would: Flask-SocketIO constructs the library's own class.

        :param greet: called with the sid of each connection, after its namespace was connected.
        """
        self.max_queued_commands = max_queued_commands
        self._greet = greet
        self.eio.on("message", self._handle_eio_message)  # the constructor has registered the library's own
        self._queues: dict[str, _CommandQueue] = {}
        self._queues_lock = threading.Lock()  # guards the dict and its queues

    def _handle_eio_message(self, eio_sid: str, data: str | bytes) -> None:
        """Take one Socket.IO packet. The library lets malformed ones end the receive loop with a stack trace."""
        try:
            if isinstance(data, bytes) or data[:1] in _BINARY:  # would wait for attachments, deaf to all else
                raise InvalidPayload("binary packets are not part of the protocol")
            super()._handle_eio_message(eio_sid, data)
        except (InvalidPayload, ValueError, LookupError, TypeError, RecursionError) as error:
            self.packets_refused += 1
            logger.info("a malformed packet of %s was refused: %s", eio_sid, type(error).__name__)
            self._refuse_packet(eio_sid, data)

    def _refuse_packet(self, eio_sid: str, data: str | bytes) -> None:
        """Answer, where the packet's id can be read; else close the connection."""
        found = _PACKET_HEAD.match(data) if isinstance(data, str) else None
        if found is None:
            self.eio.disconnect(eio_sid)
            return
        self._acknowledge(eio_sid, found[1] or "/", int(found[2]), _refusal(InvalidPayload("a malformed packet")))

    def _handle_connect(self, eio_sid: str, namespace: str | None, data: Any) -> None:
        known = self.manager.sid_from_eio_sid(eio_sid, namespace or "/")
        super()._handle_connect(eio_sid, namespace, data)
        if known:  # a second connect changes nothing
            return
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
        if data[0] in _RESERVED:  # the library would call the handlers of the connection itself
            self._acknowledge(eio_sid, namespace, id, _refusal(UnknownCommand(f"there is no command {data[0]!r}")))
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
