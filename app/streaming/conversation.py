"""A conversation: its log, its folded state, and who follows it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from app.errors import InvalidState
from app.protocol.commands import JoinAck
from app.protocol.common import ContentType, Position, Status
from app.protocol.events import ConversationStatus, Event, Heartbeat, Presence, Resync
from app.streaming.fold import ConversationFold
from app.streaming.log import ConversationLog, LogEntry, PositionLost, merge_deltas
from app.streaming.ports import Clock, Transport
from app.streaming.serial import Serial
from app.streaming.states import RUNNING, check_transition

logger = logging.getLogger(__name__)

Recorder = Callable[["Conversation", LogEntry], None]


@dataclass(slots=True)
class Reader:
    """A connection that follows a conversation, from ``offset`` on."""

    offset: int
    attached: bool = field(default=False)


class Conversation:
    """Appends, room emits and joins, one after the other, so that nothing slips between a snapshot and the live tail.

    Safe to use from several threads or greenlets: whatever touches log, fold or readers runs in the conversation's
    :class:`Serial`.

    The log is the truth: an append that the room or the recorder fails to take is logged all the same.

    :param record: called after each append, in the conversation's task; must not block.
    """

    def __init__(
        self,
        log: ConversationLog,
        fold: ConversationFold,
        *,
        owner: str,
        transport: Transport,
        clock: Clock,
        condition: Callable[[], threading.Condition],
        record: Recorder | None = None,
    ) -> None:
        self.id = log.conversation_id
        self.owner = owner
        self.presence_changed = False
        self._log = log
        self._fold = fold
        self._transport = transport
        self._clock = clock
        self._record = record
        self._readers: dict[str, Reader] = {}
        self._serial = Serial(condition)
        self.unwatched_since = clock.monotonic()

    # --- reading ------------------------------------------------------------------------------------------------------

    @property
    def status(self) -> Status:
        return self._fold.status

    @property
    def demo(self) -> bool:
        return self._fold.demo

    @property
    def fold(self) -> ConversationFold:
        """The folded state, to read single fields from. Whole pictures come from :meth:`snapshot`."""
        return self._fold

    @property
    def log(self) -> ConversationLog:
        return self._log

    @property
    def watchers(self) -> int:
        """Connections that follow this conversation."""
        return len(self._readers)

    def snapshot(self) -> dict[str, object]:
        """The conversation as it stands, ready for the wire."""
        return self._serial.run(self._snapshot)

    def _snapshot(self) -> dict[str, object]:
        return self._fold.snapshot().model_dump(mode="json", by_alias=True)

    # --- writing ------------------------------------------------------------------------------------------------------

    def append(self, events: Iterable[tuple[str, dict[str, object], bool]]) -> None:
        """Log events and send them to the room.

        :param events: (name, payload without envelope, demo) each.
        """
        self._serial.run(lambda: self._append(events))

    def append_event(self, event: Event, *, demo: bool | None = None) -> None:
        """Log one event and send it to the room; ``demo`` is the conversation's where it is not given."""
        self.append([(event.name, event.to_wire(), self._fold.demo if demo is None else demo)])

    def move_to(self, status: Status, event: Event, *also: Event) -> None:
        """Log ``also`` and then the status event, if the table allows the change.

        :raises InvalidState: and changes nothing.
        """

        def move() -> None:
            check_transition(self._fold.status, status)
            self._append([(each.name, each.to_wire(), self._fold.demo) for each in (*also, event)])

        self._serial.run(move)

    def open_session(self, event: ConversationStatus) -> None:
        """Log the first event of a new session: its own table begins at idle, wherever the last session ended.

        :raises InvalidState: when a session is running; nothing has changed.
        """

        def begin() -> None:
            if self._fold.status in RUNNING:
                raise InvalidState(f"the conversation is {self._fold.status}")
            check_transition(Status.IDLE, event.status)
            self._append([(event.name, event.to_wire(), False)])

        self._serial.run(begin)

    def _append(self, events: Iterable[tuple[str, dict[str, object], bool]]) -> None:
        for name, payload, demo in events:
            entry = self._log.append(name, payload, timestamp=self._clock.now_iso(), demo=demo)
            self._fold.apply(name, entry.payload)
            try:
                self._transport.emit_to_room(self.id, name, entry.payload)
            except Exception:  # the room finds the hole, and asks again
                logger.exception("%s %d of %s was not sent to its room", name, entry.offset, self.id)
            if self._record is not None:
                try:
                    self._record(self, entry)
                except Exception:
                    logger.exception("%s %d of %s was not recorded", name, entry.offset, self.id)

    # --- readers ------------------------------------------------------------------------------------------------------

    def join(self, sid: str, position: Position | None = None) -> JoinAck:
        """Begin to follow: the answer tells where. :meth:`attach`, after the answer was sent, lets the tail flow.

        With a position that the log still covers, what was missed follows as events; with one that it does not,
        a snapshot is answered as if there had been none.
        """

        def begin() -> JoinAck:
            at, recovered = self._log.offset, False
            if position is not None:
                try:
                    self._log.after(position)
                    at, recovered = position.offset, True
                except PositionLost:
                    pass
            self._transport.leave_room(sid, self.id)
            self._readers[sid] = Reader(at)
            snapshot = None if recovered else self._snapshot()
            return JoinAck(
                conversation_id=self.id, epoch=self._log.epoch, offset=at, recovered=recovered, snapshot=snapshot
            )

        return self._serial.run(begin)

    def attach(self, sid: str) -> None:
        """Send a joined connection what came since its answer, and put it into the room."""

        def enter() -> None:
            reader = self._readers.get(sid)
            if reader is None or reader.attached:
                return
            self._catch_up(sid, reader)
            if self._transport.enter_room(sid, self.id):
                reader.attached = True
                self.presence_changed = True
            else:
                self._forget(sid)

        self._serial.run(enter)

    def _catch_up(self, sid: str, reader: Reader) -> None:
        try:
            missed = self._log.after(Position(epoch=self._log.epoch, offset=reader.offset))
        except PositionLost:
            resync = Resync(conversation_id=self.id, reason="position_lost", snapshot=self._snapshot())
            self._transport.emit_to_client(sid, resync.name, self._stamped(resync))
        else:
            for entry in merge_deltas(missed):
                self._transport.emit_to_client(sid, entry.name, entry.payload)
        reader.offset = self._log.offset

    def leave(self, sid: str) -> bool:
        """Stop to follow; False if this connection did not."""

        def go() -> bool:
            if sid not in self._readers:
                return False
            self._transport.leave_room(sid, self.id)
            self._forget(sid)
            return True

        return self._serial.run(go)

    def _forget(self, sid: str) -> None:
        self._readers.pop(sid, None)
        self.presence_changed = True
        if not self._readers:
            self.unwatched_since = self._clock.monotonic()

    def follows(self, sid: str) -> bool:
        """Whether this connection follows the conversation."""
        return sid in self._readers

    def release(self) -> None:
        """Drop the log's entries; the folded state stays. Readers behind the head get a snapshot."""
        if len(self._log):
            self._serial.run(self._log.forget)

    # --- transient events ---------------------------------------------------------------------------------------------

    def announce(self, event: Event) -> None:
        """Send a transient event to the room; it is not kept."""
        self._serial.run(lambda: self._transport.emit_to_room(self.id, event.name, self._stamped(event)))

    def announce_presence(self) -> None:
        """Tell the room how many watch, if that changed since the last time."""
        if self.presence_changed:
            self.presence_changed = False
            self.announce(Presence(conversation_id=self.id, watchers=self.watchers))

    def announce_heartbeat(self) -> None:
        """Tell the room where the head of the log is."""
        beat = Heartbeat(
            conversation_id=self.id, epoch=self._log.epoch, offset=self._log.offset, status=self._fold.status
        )
        self.announce(beat)

    def _stamped(self, event: Event) -> dict[str, object]:
        return {**event.to_wire(), "timestamp": self._clock.now_iso()}


def new_conversation(
    conversation_id: str,
    *,
    title: str,
    content_type: ContentType,
    owner: str,
    transport: Transport,
    clock: Clock,
    condition: Callable[[], threading.Condition],
    max_log_entries: int,
    max_log_bytes: int,
    max_messages: int,
    record: Recorder | None = None,
) -> Conversation:
    """A conversation with an empty log of a new epoch."""
    log = ConversationLog(conversation_id, max_entries=max_log_entries, max_bytes=max_log_bytes)
    fold = ConversationFold(
        conversation_id,
        log.epoch,
        created_at=clock.now_iso(),
        title=title,
        content_type=content_type,
        max_messages=max_messages,
    )
    return Conversation(log, fold, owner=owner, transport=transport, clock=clock, condition=condition, record=record)
