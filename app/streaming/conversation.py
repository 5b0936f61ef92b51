"""A conversation: its log, its folded state, and who follows it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar

from app.errors import InvalidState, StoreUnavailable
from app.protocol.commands import JoinAck
from app.protocol.common import Position, Status
from app.protocol.events import ConversationStatus, Event, Heartbeat, Presence
from app.streaming.access import Access
from app.streaming.cursor import Cursor, Portion
from app.streaming.fold import ConversationFold
from app.streaming.follower import Follower
from app.streaming.log import ConversationLog, LogEntry, PositionLost
from app.streaming.ports import Clock, Concurrency, Transport
from app.streaming.readers import CatchUp, Done, Reader, ReaderOptions, Readers
from app.streaming.serial import Serial
from app.streaming.states import RUNNING, check_transition
from app.streaming.taken import Requests
from app.streaming.view import ALL, View, may_confirm

logger = logging.getLogger(__name__)

DEFAULT_CATCH_UP = CatchUp()
EVERYTHING = ReaderOptions()

Result = TypeVar("Result")
Recorder = Callable[["Conversation", LogEntry], None]


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
        access: Access,
        transport: Transport,
        clock: Clock,
        concurrency: Concurrency,
        catch_up: CatchUp = DEFAULT_CATCH_UP,
        record: Recorder | None = None,
    ) -> None:
        self.id = log.conversation_id
        self.access = access
        self.presence_changed = False
        self._log = log
        self._fold = fold
        self._transport = transport
        self._clock = clock
        self._record = record
        self._concurrency = concurrency
        self._serial = Serial(concurrency.condition)
        self._snapshot_at: tuple[int, dict[str, Any]] | None = None
        self._followers: set[Follower] = set()
        self._readers = Readers(
            log,
            transport,
            clock,
            concurrency.condition,
            catch_up=catch_up,
            spawn=lambda reader: concurrency.spawn(self._chase, reader),
            snapshot=self._snapshot,
        )
        self.unwatched_since = self.asked_at = clock.monotonic()
        self.closing = False
        """It is being deleted: no session may begin."""
        self.recoveries = 0
        """How often its run went on by itself after a crash, since somebody has last asked for one."""
        self.requests = Requests()
        """The last that it has taken, as the store keeps them, for one that is sent again after a crash."""
        self._staying = threading.Lock()  # guards the two below
        self._guests = 0  # who is about to follow or to change it …
        self._let_go = False  # … which nobody may any more: another object has its place, or will have

    # --- reading ------------------------------------------------------------------------------------------------------

    @property
    def owner(self) -> str:
        return self.access.owner

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
        """Connections that follow this conversation, through whatever door."""
        return len(self._readers) + len(self._followers)

    def snapshot(self) -> dict[str, object]:
        """The conversation as it stands, ready for the wire."""
        return self._serial.run(self._snapshot)

    def read(self, look: Callable[[], Result]) -> Result:
        """Look at the fold while nothing changes it; ``look`` must not wait."""
        return self._serial.run(look)

    def _snapshot(self) -> dict[str, Any]:
        """Many ask between two appends when a server's clients come back all at once: it is made once."""
        if self._snapshot_at is None or self._snapshot_at[0] != self._log.offset:
            self._snapshot_at = self._log.offset, self._fold.snapshot().model_dump(mode="json", by_alias=True)
        return self._snapshot_at[1]

    # --- in memory, or not --------------------------------------------------------------------------------------------

    def touch(self) -> None:
        """Note that somebody asks for it."""
        self.asked_at = self._clock.monotonic()

    def let_go(self, *, anyway: bool = False) -> bool:
        """Leave memory, if nobody follows it or is about to; nobody can follow it afterwards. Does not wait.

        :param anyway: whoever follows: it is no more.
        """
        with self._staying:
            if not anyway and (self._guests or self.watchers):
                return False
            self._let_go = True
            return True

    @contextmanager
    def stay(self) -> Iterator[None]:
        """Keep it in memory meanwhile.

        :raises StoreUnavailable: it has just left memory, and is to be asked for again.
        """
        with self._staying:
            if self._let_go:
                raise StoreUnavailable("the conversation has just left memory; ask again", retry_after_s=0.1)
            self._guests += 1
        try:
            yield
        finally:
            with self._staying:
                self._guests -= 1

    def set_recorder(self, record: Recorder | None) -> Recorder | None:
        """Have what is logged from now on recorded elsewhere, or nowhere; who did it until now."""
        before, self._record = self._record, record
        return before

    # --- writing ------------------------------------------------------------------------------------------------------

    def append(self, events: Iterable[tuple[str, dict[str, object], bool]]) -> None:
        """Log events and send them to the room.

        :param events: (name, payload without envelope, demo) each.
        """
        self._serial.run(lambda: self._append(events))

    def append_event(self, event: Event, *, demo: bool | None = None) -> None:
        """Log one event and send it to the room; ``demo`` is the conversation's where it is not given."""
        self.append([(event.name, event.to_wire(), self._fold.demo if demo is None else demo)])

    def append_checked(self, check: Callable[[], None], event: Event) -> None:
        """Log one event, if ``check``, which looks at the fold and does not wait, raises nothing."""

        def append() -> None:
            check()
            self._append([(event.name, event.to_wire(), self._fold.demo)])

        self._serial.run(append)

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
            confirms_from = self._fold.confirms(payload) if may_confirm(name, payload) else None
            entry = self._log.append(
                name, payload, timestamp=self._clock.now_iso(), demo=demo, confirms_from=confirms_from
            )
            self._snapshot_at = None
            self._fold.apply(name, entry.payload)
            try:
                self._readers.fell_behind(self._transport.emit_to_room(self.id, name, entry.payload))
            except Exception:  # the room finds the hole, and asks again
                logger.exception("%s %d of %s was not sent to its room", name, entry.offset, self.id)
            if self._record is not None:
                try:
                    self._record(self, entry)
                except Exception:
                    logger.exception("%s %d of %s was not recorded", name, entry.offset, self.id)
        self._readers.appended()
        for follower in list(self._followers):
            follower.wake()

    # --- readers ------------------------------------------------------------------------------------------------------

    def join(
        self,
        sid: str,
        position: Position | None = None,
        *,
        since: datetime | None = None,
        options: ReaderOptions = EVERYTHING,
    ) -> JoinAck:
        """Begin to follow: the answer tells where. :meth:`attach`, after the answer was sent, lets the tail flow.

        With a position that the log still covers, what was missed follows as events; with one that it does not,
        a snapshot is answered as if there had been none. So it is with ``since``: everything from that time on.
        """

        def begin() -> JoinAck:
            ack, cursor = self._enter(position, since, options.view)
            self._readers.add(sid, cursor, options)
            return ack

        with self.stay():
            return self._serial.run(begin)

    def follow(
        self, position: Position | None = None, *, since: datetime | None = None, view: View = ALL
    ) -> tuple[JoinAck, Follower]:
        """Begin to follow by reading: for every door but Socket.IO. Parameters and answer are those of :meth:`join`.

        The follower counts as a watcher until it is closed.
        """

        def begin() -> tuple[JoinAck, Follower]:
            ack, cursor = self._enter(position, since, view)
            follower = Follower(
                cursor, read=self._read, leave=self._stop_following, condition=self._concurrency.condition()
            )
            self._followers.add(follower)
            self.presence_changed = True
            return ack, follower

        with self.stay():
            return self._serial.run(begin)

    def _enter(self, position: Position | None, since: datetime | None, view: View) -> tuple[JoinAck, Cursor]:
        at, knows_from = self._log.offset, 0
        recovered = position is not None and self._log.covers(position)
        if position is not None and recovered:
            at = position.offset
        elif since is not None:
            try:
                at = knows_from = self._log.before(iso(since))
                recovered = True
            except PositionLost:
                pass
        snapshot = None if recovered else self._snapshot()
        ack = JoinAck(conversation_id=self.id, epoch=self._log.epoch, offset=at, recovered=recovered, snapshot=snapshot)
        return ack, Cursor(at, view, knows_from=knows_from)

    def _read(self, cursor: Cursor, max_bytes: int) -> Portion | None:
        def read() -> Portion | None:
            try:
                return cursor.read(self._log, max_bytes)
            except PositionLost:
                told = cursor.told
                cursor.move(self._log.offset)
                return Portion(self._log.epoch, told, self._log.offset, snapshot=self._snapshot())

        return self._serial.run(read)

    def _stop_following(self, follower: Follower) -> None:
        self._followers.discard(follower)
        self._somebody_left()

    def attach(self, sid: str) -> None:
        """Send a joined connection what came since its answer, and let it have the tail."""

        def begin() -> None:
            self._readers.begin(sid)
            self.presence_changed = True

        self._serial.run(begin)

    def leave(self, sid: str) -> bool:
        """Stop to follow; False if this connection did not."""
        return self._serial.run(lambda: self._remove(sid))

    def gone(self, sid: str) -> None:
        """A connection is no more. May be called by whatever finds that out, also while something is being sent."""
        if sid in self._readers:
            self._serial.post(lambda: self._remove(sid))

    def _remove(self, sid: str) -> bool:
        removed = self._readers.remove(sid)
        if removed:
            self._somebody_left()
        return removed

    def _somebody_left(self) -> None:
        self.presence_changed = True
        if not self.watchers:
            self.unwatched_since = self._clock.monotonic()

    def follows(self, sid: str) -> bool:
        """Whether this connection follows the conversation."""
        return sid in self._readers

    def acknowledge(self, sid: str, offset: int) -> bool:
        """Note that everything up to an offset has arrived at a connection; False if it does not follow."""
        if sid not in self._readers:
            return False
        self._serial.post(lambda: self._readers.acknowledge(sid, offset))
        return True

    def drained(self, sid: str) -> None:
        """A connection takes more again. Does not block."""
        reader = self._readers.get(sid)
        if reader is not None:
            reader.wake()

    def look_after_readers(self, now: float) -> None:
        """Detach and cut off those who do not acknowledge what they are sent."""
        if len(self._readers):
            for sid in self._serial.run(lambda: self._readers.look_after(now)):
                self._transport.cut_off(sid)

    @property
    def readers(self) -> Readers:
        """The connections that follow, to read figures from."""
        return self._readers

    def _chase(self, reader: Reader) -> None:
        """A reader's own task: it reads the log for itself until it is in step with the room, or gone."""
        try:
            while (wait_s := self._serial.run(lambda: self._readers.step(reader))) is not None:
                if wait_s > 0:
                    reader.wait(wait_s)
                else:
                    self._concurrency.sleep(0)
        except Done:
            return

    def release(self) -> None:
        """Drop the log's entries; the folded state stays. Readers behind the head get a snapshot."""
        if len(self._log):
            self._serial.run(self._log.forget)

    def dismiss(self) -> None:
        """End all followers: the conversation is forgotten, or the server ends."""
        for follower in list(self._followers):
            follower.close()

    def end(self, parting: Event) -> None:
        """The conversation is no more: tell everybody who follows it, through whatever door, and let them go."""

        def tell() -> None:
            payload = self._stamped(parting)
            self._transport.emit_to_room(self.id, parting.name, payload)
            for sid in self._readers.remove_all():
                self._transport.emit_to_client(sid, (parting.name, payload))

        self._serial.run(tell)
        for follower in list(self._followers):
            follower.close(parting)

    # --- transient events ---------------------------------------------------------------------------------------------

    def announce(self, event: Event) -> None:
        """Send a transient event to the room; it is not kept."""

        def send() -> None:
            payload = self._stamped(event)
            self._readers.fell_behind(self._transport.emit_to_room(self.id, event.name, payload))
            for sid in self._readers.outsiders():
                if self._transport.writable(sid):  # to who lags it would be late, and is not worth its place
                    self._transport.emit_to_client(sid, (event.name, payload))

        self._serial.run(send)

    def announce_to_all(self, event: Event) -> None:
        """Tell of a transient event not only in the room, but at every door."""
        self.announce(event)
        payload = self._stamped(event)
        for follower in list(self._followers):
            follower.tell(event.name, payload)

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


def iso(at: datetime) -> str:
    """A time as it stands in the log: UTC, ISO 8601, milliseconds, ``Z``."""
    try:
        at = at.astimezone(UTC)
    except OverflowError:  # in another zone, at either end of the calendar
        at = at.replace(tzinfo=UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
