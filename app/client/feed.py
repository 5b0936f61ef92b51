"""One conversation as it comes over one connection.

Nothing is lost and nothing is seen twice: an event counts only if it follows on the last one. What was seen is dropped,
a hole is answered by joining again from the last position, and so is a connection that came back.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from concurrent.futures import Future
from datetime import datetime
from enum import Enum, auto
from typing import Any, Protocol

from pydantic import ValidationError

from app.client.acks import Acknowledger
from app.client.chain import sort_out
from app.client.core import Answer, Core, utc
from app.client.errors import BAD_EVENT, ClientError
from app.client.happenings import ENVELOPE, Happening, Reason, happening_of
from app.client.link import Connection
from app.client.meter import Meter
from app.client.worker import Later
from app.errors import ConversationUnknown, Interrupted, NotPermitted
from app.protocol.commands import Acknowledge, Join, StartStream
from app.protocol.common import Position, Status
from app.protocol.events import (
    LOGGED_BY_NAME,
    AccessEnded,
    AgentMessage,
    Batch,
    ConversationDeleted,
    ConversationError,
    ConversationStatus,
    Event,
    Heartbeat,
    MessageDelta,
    Presence,
    Resync,
)
from app.protocol.snapshot import Snapshot
from app.streaming.fold import ConversationFold

logger = logging.getLogger(__name__)

_MAX_FRUITLESS_JOINS = 2
"""Joins in a row that brought nothing forward, after which the whole snapshot is asked for."""
_RETRY_JOIN_S = (0.25, 1.0, 3.0, 10.0)
_HEARTBEAT_GRACE_S = 2.0
"""How long nothing may come, when a heartbeat has told that something is there."""
_FORGOTTEN = "the server no longer knows this conversation, probably since it was restarted; this is what had arrived"

RUNNING = frozenset({Status.INITIALIZING, Status.ACTIVE, Status.PAUSED})
TERMINAL = frozenset({Status.COMPLETED, Status.STOPPED, Status.ERROR})


class Phase(Enum):
    """Only while it is FOLLOWING do events count."""

    IDLE = auto()
    JOINING = auto()
    FOLLOWING = auto()


class Listener(Protocol):
    """Whom a feed tells, with the lock held."""

    def applied(self, happening: Happening) -> None: ...
    def replaced(self, reason: Reason) -> None: ...
    def failed(self, error: ClientError) -> None: ...


class Feed:
    """Follows one conversation. Guarded by the client's lock."""

    def __init__(self, core: Core, listener: Listener) -> None:
        self._core = core
        self._listener = listener
        self._turn = 0  # grows with each join, so that a late answer to an earlier one is ignored
        self._starting: dict[str, Any] | None = None
        self._view: dict[str, Any] = {}
        self._place: dict[str, Any] = {}
        self._given_position = False
        self._wanted = False
        self._attempt = 0
        self._fruitless = 0
        self._grace: Later | None = None
        self._retry: Later | None = None
        self._sessions: deque[str] = deque(maxlen=50)
        self._acks = Acknowledger(self._acknowledge, core.call_later, time.monotonic)
        self.meter = Meter()
        self.phase = Phase.IDLE
        self.conversation_id: str | None = None
        self.fold = ConversationFold("", "", created_at="")
        self.head = 0
        self.watchers: int | None = None
        self.failure: ClientError | None = None
        self.refusal: ClientError | None = None
        self.answer: Answer | None = None
        self.awaited_session: str | None = None
        self._awaiting_next = False

    @property
    def position(self) -> Position | None:
        """Where this reader stands; None before the first answer."""
        return Position(epoch=self.fold.epoch, offset=self.fold.offset) if self.fold.epoch else None

    @property
    def ended(self) -> bool:
        """Whether the last run has ended, and no other one is to come as far as is known."""
        waiting = self.fold.status is Status.COMPLETED and bool(self.fold.queued())
        return self.fold.status in TERMINAL and self.awaited_session is None and not waiting and not self._awaiting_next

    def await_session(self, session_id: str) -> None:
        """A run was asked for by us: until its first event, the one before is not the last."""
        if session_id not in self._sessions:
            self.awaited_session = session_id

    def await_next(self) -> None:
        """A further run is about to begin: until its first event, the one before is not the last."""
        self._awaiting_next = True

    # --- joining ------------------------------------------------------------------------------------------------------

    def join(
        self, conversation_id: str, *, position: Position | None, since: datetime | None, view: dict[str, Any]
    ) -> None:
        """Follow a conversation: as it stands now, or on from a place. The lock is held."""
        same = conversation_id == self.conversation_id
        if not same or position is not None or since is not None:
            self._reset(conversation_id)
        self._given_position = position is not None
        if position is not None:
            self.fold = ConversationFold(conversation_id, position.epoch, created_at="")
            self.fold.offset = position.offset
        self._place = {"since": utc(since)} if since is not None else {}
        self._view = view
        self._starting = None
        self._begin()

    def start(self, payload: dict[str, Any]) -> None:
        """Start a conversation, or a new run of one, and follow it. The lock is held."""
        continued = payload.get("conversation_id")
        if continued is None or continued != self.conversation_id:
            self._reset(continued)
        self._view = {}
        self._place = {}
        self._starting = payload
        self._begin()

    def go_back(self) -> bool:
        """After a start that was refused: watch the conversation on, if there is one. The lock is held."""
        self._starting = None
        self.refusal = None
        if self.conversation_id is None or not self.fold.epoch:
            return False
        self._begin()
        return True

    def close(self) -> bool:
        """Stop following; whether the server may count us among the readers. The lock is held."""
        followed = self.phase is not Phase.IDLE
        self._wanted = False
        self._turn += 1
        self.phase = Phase.IDLE
        self._acks.forget()
        for later in (self._grace, self._retry):
            if later is not None:
                later.cancel()
        return followed

    def _reset(self, conversation_id: str | None) -> None:
        self.close()
        self.conversation_id = conversation_id
        self.fold = ConversationFold(conversation_id or "", "", created_at="")
        self.head = 0
        self.watchers = None
        self.awaited_session = None

    def _begin(self) -> None:
        self._wanted = True
        self.failure = self.refusal = self.answer = None
        self._attempt = self._fruitless = 0
        self.phase = Phase.IDLE
        if self._core.open:
            self._follow()

    def _follow(self, *, whole: bool = False) -> None:
        """Send the command that makes this connection a reader, and take its answer before anything that follows."""
        if not self._core.open:
            return
        self._turn += 1
        turn = self._turn
        self.phase = Phase.JOINING
        if self._retry is not None:
            self._retry.cancel()
        asked = self._core.delivery
        if self._starting is not None:
            name, asked = StartStream.name, {**asked, **self._starting}
        else:
            name, asked = Join.name, {**asked, "conversation_id": self.conversation_id, **self._view}
            position = None if whole or self._fruitless >= _MAX_FRUITLESS_JOINS else self.position
            self._fruitless = self._fruitless + 1 if position else 0
            if position is not None:
                asked["position"] = position.model_dump()
            else:
                asked |= self._place
        answer = self._core.ask(name, asked, on_ack=lambda ack: self._joined(turn, ack))
        answer.add_done_callback(lambda future: self._answered(turn, future))

    def _joined(self, turn: int, ack: Answer) -> None:
        if turn != self._turn:
            return
        self.phase = Phase.FOLLOWING
        self.answer = ack
        self._attempt = 0
        self._acks.forget()
        if self._starting is not None:
            self._starting = None
            self.conversation_id = ack["conversation_id"]
            self.await_session(ack["session_id"])
        if ack.get("snapshot"):
            self._replace(ack["snapshot"], "joined")
        elif not self.fold.epoch:  # from a time on: the answer tells where that is
            self.fold = ConversationFold(str(self.conversation_id), ack["epoch"], created_at="")
            self.fold.offset = ack["offset"]
            self._listener.replaced("joined")
        elif (ack["epoch"], ack["offset"]) != (self.fold.epoch, self.fold.offset):
            self._follow(whole=True)  # recovered, but not from where we stand
        elif self._given_position:
            self._listener.replaced("joined")
        self._given_position = False
        self._core.changed.notify_all()

    def _answered(self, turn: int, future: Future[Answer]) -> None:
        error = future.exception()
        if turn != self._turn or not isinstance(error, ClientError):
            return
        self.phase = Phase.IDLE
        if error.unanswered or (error.retryable and self._starting is None):
            if self._core.open:
                wait_s = _RETRY_JOIN_S[min(self._attempt, len(_RETRY_JOIN_S) - 1)]
                self._attempt += 1
                self._retry = self._core.call_later(wait_s, self._follow)
        elif self._starting is not None:
            self.refusal = error
            self._wanted = False
        else:
            self._give_up(error)
        self._core.changed.notify_all()

    def _give_up(self, error: ClientError) -> None:
        """The conversation cannot be followed any more: keep what has arrived."""
        self.close()
        self.failure = error
        self.awaited_session = None
        self._awaiting_next = False
        self.meter.errors += 1
        if error.code == ConversationUnknown.code and self.fold.status in RUNNING:
            self._interrupt()
            self._listener.replaced("interrupted")
        self._listener.failed(error)

    def _interrupt(self) -> None:
        """What the server would have logged, had it not forgotten: at the offset where we stand."""
        here: list[tuple[Event, bool]] = [
            (
                AgentMessage(
                    message_id=message.message_id,
                    agent=message.agent,
                    content=message.content,
                    role=message.role,
                    content_type=message.content_type,
                    partial=True,
                    reason=Interrupted.code,
                ),
                message.demo,
            )
            for message in self.fold.open_messages()
        ]
        fold = self.fold
        status = ConversationStatus(
            status=Status.ERROR,
            session_id=fold.session_id or "",
            team=fold.team,
            code=Interrupted.code,
            reason=_FORGOTTEN,
        )
        here.append((ConversationError(error=_FORGOTTEN, code=Interrupted.code, retryable=True), fold.demo))
        here.append((status, fold.demo))
        for event, demo in here:
            envelope = {"epoch": fold.epoch, "prev_offset": fold.offset, "offset": fold.offset, "demo": demo}
            fold.apply(event.name, {**event.to_wire(), **envelope, "timestamp": fold.updated_at})

    # --- hearing ------------------------------------------------------------------------------------------------------

    def hear(self, name: str, payload: dict[str, Any], size: int) -> None:
        """Something has come for this conversation. What comes before a join's answer comes again after it."""
        self._acks.flush()
        if self.phase is not Phase.FOLLOWING:
            return
        if name == Resync.name:
            self._replace(payload["snapshot"], "resynced")
            self._received(self.fold.offset, size)
        elif "prev_offset" in payload:
            self._take(name, payload, size)
        elif name == Heartbeat.name:
            if payload["epoch"] != self.fold.epoch:
                self._follow()
            else:
                self._expect(payload["offset"])
        else:
            if name == Presence.name:
                self.watchers = payload["watchers"]
            self._listener.applied(happening_of(name, payload))
            if name == ConversationDeleted.name:
                self._give_up(ClientError(ConversationUnknown.code, "the conversation was deleted"))
            elif name == AccessEnded.name:
                self._give_up(ClientError(NotPermitted.code, str(payload["message"])))

    def _take(self, name: str, payload: dict[str, Any], size: int) -> None:
        entries = [(name, payload)]
        if name == Batch.name:
            self.meter.batches += 1
            entries = [(entry["name"], entry["payload"]) for entry in payload["entries"]]
        found = sort_out(self.fold.epoch, self.fold.offset, entries, payload)
        self.meter.duplicates += found.seen
        if found.offset >= payload["prev_offset"]:
            self._received(found.offset, size)
        for entry in found.fresh:
            if not self._apply(*entry):
                self._follow(whole=True)
                return
        self.fold.offset = max(self.fold.offset, found.offset)
        if found.hole:
            self.meter.gaps += 1
            self._follow()

    def _expect(self, offset: int) -> None:
        """The log's head is known to be at ``offset``: if nothing comes, ask for it."""
        self.head = max(self.head, offset)
        if self._grace is not None:
            self._grace.cancel()
        if offset <= self.fold.offset or "filter" in self._view:  # what a filter leaves out does not come
            return
        before = self.fold.offset

        def late() -> None:
            if self.phase is not Phase.FOLLOWING or self.fold.offset >= offset:
                return
            if self.fold.offset > before:
                self._expect(offset)  # behind, but on its way
            else:
                self.meter.gaps += 1
                self._follow()

        self._grace = self._core.call_later(_HEARTBEAT_GRACE_S, late)

    def connection_changed(self, connection: Connection) -> None:
        """Come back with the connection; the lock is held."""
        if connection is Connection.OPEN:
            self._fruitless = 0  # a connection that was lost says nothing about the position
            if self._wanted and self.phase is Phase.IDLE:
                self._follow()
        else:
            self._acks.forget()
            self._turn += 1  # answers of the lost connection do not count
            self.phase = Phase.IDLE

    def _acknowledge(self, offset: int) -> None:
        self.meter.acks += 1
        self._core.tell(Acknowledge.name, {"conversation_id": self.conversation_id, "offset": offset})

    def _received(self, offset: int, size: int) -> None:
        if self._core.wishes.acks:
            self._acks.received(offset, size)

    # --- the state ----------------------------------------------------------------------------------------------------

    def _apply(self, name: str, payload: dict[str, Any]) -> bool:
        happening = happening_of(name, payload)
        if isinstance(happening.body, Event):
            known = {**happening.body.to_wire(), **{field: payload[field] for field in ENVELOPE}}
            self.fold.apply(name, known)
        elif name in LOGGED_BY_NAME:
            logger.warning("%s %s of the server is malformed; the whole conversation is asked for", name, payload)
            self.meter.errors += 1
            return False
        self.fold.offset = payload["offset"]
        self.head = max(self.head, self.fold.offset)
        self._fruitless = 0
        self._note_session()
        self._measure(happening)
        self._listener.applied(happening)
        return True

    def _measure(self, happening: Happening) -> None:
        if isinstance(happening.body, MessageDelta):
            self.meter.add(happening.body.tokens, time.monotonic())
        elif isinstance(happening.body, ConversationError):
            self.meter.errors += 1
        try:
            sent_s = datetime.fromisoformat(str(happening.timestamp)).timestamp()
        except ValueError:
            return
        self.meter.delivery_ms = max(0.0, time.time() + self._core.clock_skew_s - sent_s) * 1000

    def _replace(self, snapshot: dict[str, Any], reason: Reason) -> None:
        try:
            parsed = Snapshot.model_validate(snapshot, extra="ignore")
        except ValidationError as error:
            self._give_up(ClientError(BAD_EVENT, f"the server's snapshot cannot be read: {error}"))
            return
        self.fold = ConversationFold.from_snapshot(parsed, max_messages=self._core.wishes.max_messages)
        self.head = self.fold.offset
        self._fruitless = 0
        self._note_session()
        self._listener.replaced(reason)

    def _note_session(self) -> None:
        session_id = self.fold.session_id
        if session_id is not None and (not self._sessions or self._sessions[-1] != session_id):
            self._sessions.append(session_id)
            self._awaiting_next = False
            if session_id == self.awaited_session:
                self.awaited_session = None
