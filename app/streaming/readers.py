"""The Socket.IO connections that follow a conversation: in step in the room, or catching up from the log by themselves.

One rule: write to whoever is writable; whoever is not, lags, and the log is the queue. So no memory grows with a slow
reader, and nobody waits for it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from app.protocol.events import Batch, BatchEntry, Event, Resync
from app.streaming.cursor import Cursor, Portion
from app.streaming.log import ConversationLog, PositionLost
from app.streaming.ports import Clock, Transport
from app.streaming.view import ALL, View


@dataclass(frozen=True, slots=True)
class CatchUp:
    """How readers that lag are served; see the settings of the same names."""

    batch_bytes: int = 65_536
    interval_s: float = 0.25
    window_bytes: int = 262_144
    timeout_s: float = 30.0


@dataclass(frozen=True, slots=True)
class ReaderOptions:
    """What a connection has asked for when it joined; see the command ``join``."""

    view: View = ALL
    acks: bool = False
    batch: bool = False
    batch_s: float = 0.0

    @property
    def shares_the_room(self) -> bool:
        """Whether it may be sent what everybody in the room is sent."""
        return self.view.whole and not self.batch_s


class Place(Enum):
    """Where a reader is."""

    ANSWERED = "answered"  # its join was answered, and nothing sent yet
    ROOM = "room"  # in step
    BEHIND = "behind"  # a task of its own reads the log for it


class Reader:
    """A connection that follows a conversation."""

    def __init__(
        self, sid: str, cursor: Cursor, options: ReaderOptions, condition: Callable[[], threading.Condition]
    ) -> None:
        self.sid = sid
        self.cursor = cursor
        self.options = options
        self.place = Place.ANSWERED
        self.lagging = False  # it did not take what it was sent; a reader that replays only has much to read
        self.acked = cursor.offset
        self.handed: deque[tuple[int, int]] = deque()  # outside the room: (up to this offset, bytes), unacknowledged
        self.outstanding_since: float | None = None  # something is unacknowledged, and nothing was acknowledged since
        self.next_at = 0.0
        self._changed = condition()  # guards _woken
        self._woken = False

    def handed_bytes(self) -> int:
        """What it was handed outside the room and has not acknowledged."""
        while self.handed and self.handed[0][0] <= self.acked:
            self.handed.popleft()
        return sum(size for _, size in self.handed)

    def wait(self, timeout_s: float | None) -> None:
        """Wait until somebody wakes this reader, or for so many seconds."""
        with self._changed:
            if not self._woken:
                self._changed.wait(timeout_s)
            self._woken = False

    def wake(self) -> None:
        """Look again whether there is something to do."""
        with self._changed:
            self._woken = True
            self._changed.notify_all()


class Done(Exception):
    """The reader's own task has nothing more to do."""


class Readers:
    """All such connections of one conversation. Everything here belongs to the conversation's task.

    :param spawn: starts a reader's own task; it calls :meth:`step` in the conversation's task, again and again.
    :param snapshot: the conversation as it stands.
    """

    def __init__(
        self,
        log: ConversationLog,
        transport: Transport,
        clock: Clock,
        condition: Callable[[], threading.Condition],
        *,
        catch_up: CatchUp,
        spawn: Callable[[Reader], object],
        snapshot: Callable[[], dict[str, Any]],
    ) -> None:
        self._log = log
        self._transport = transport
        self._clock = clock
        self._condition = condition
        self._catch_up = catch_up
        self._spawn = spawn
        self._snapshot = snapshot
        self._by_sid: dict[str, Reader] = {}
        self._waiting: set[Reader] = set()  # at the head, outside the room
        self.lagged = 0  # how often a reader fell behind

    def __len__(self) -> int:
        return len(self._by_sid)

    def __contains__(self, sid: str) -> bool:
        return sid in self._by_sid

    def get(self, sid: str) -> Reader | None:
        return self._by_sid.get(sid)

    def lagging(self) -> int:
        """Readers that did not take what they were sent, and are behind."""
        return sum(reader.lagging for reader in list(self._by_sid.values()))

    # --- coming and going ---------------------------------------------------------------------------------------------

    def add(self, sid: str, cursor: Cursor, options: ReaderOptions) -> None:
        """Take a connection in; one that follows already begins anew."""
        self.remove(sid)
        self._by_sid[sid] = Reader(sid, cursor, options, self._condition)

    def remove(self, sid: str) -> bool:
        """Let a connection go; False if it did not follow."""
        reader = self._by_sid.pop(sid, None)
        if reader is None:
            return False
        self._transport.leave_room(sid, self._log.conversation_id)
        self._waiting.discard(reader)
        reader.wake()
        return True

    def remove_all(self) -> list[str]:
        """Let everybody go; who was not in the room."""
        outside = [sid for sid, reader in self._by_sid.items() if reader.place is not Place.ROOM]
        for sid in list(self._by_sid):
            self.remove(sid)
        return outside

    def begin(self, sid: str) -> None:
        """Let a connection that was answered have what followed its answer, and the tail."""
        reader = self._by_sid.get(sid)
        if reader is None or reader.place is not Place.ANSWERED:
            return
        reader.place = Place.BEHIND
        try:
            if self.step(reader) is not None:
                self._spawn(reader)
        except Done:
            pass

    # --- in the room --------------------------------------------------------------------------------------------------

    def fell_behind(self, sids: Iterable[str]) -> None:
        """These have left the room: what was logged up to now is the last that they were handed."""
        for sid in sids:
            reader = self._by_sid.get(sid)
            if reader is not None and reader.place is Place.ROOM:
                self._detach(reader)

    def _detach(self, reader: Reader) -> None:
        reader.handed.append((self._log.offset, self._room_bytes(reader)))
        reader.place, reader.lagging = Place.BEHIND, True
        reader.cursor.move(self._log.offset)
        reader.next_at = self._clock.monotonic() + self._catch_up.interval_s
        self.lagged += 1
        self._spawn(reader)

    def appended(self) -> None:
        """Something was logged: readers outside the room that wait for it go on."""
        while self._waiting:
            self._waiting.pop().wake()

    def acknowledge(self, sid: str, offset: int) -> bool:
        """Note what has arrived at a connection; False if it does not follow."""
        reader = self._by_sid.get(sid)
        if reader is None:
            return False
        told = self._log.offset if reader.place is Place.ROOM else reader.cursor.told
        if reader.acked < offset <= told:
            reader.acked = offset
            reader.outstanding_since = None if offset == told else self._clock.monotonic()
            if reader.place is Place.BEHIND:
                reader.wake()
        return True

    def look_after(self, now: float) -> list[str]:
        """Detach who leaves too much unacknowledged.

        :returns: sids of those who have acknowledged nothing for too long: they are to be cut off.
        """
        silent: list[str] = []
        for reader in list(self._by_sid.values()):
            if not reader.options.acks or reader.place is Place.ANSWERED:
                continue
            in_room = reader.place is Place.ROOM
            told = self._log.offset if in_room else reader.cursor.told
            if reader.acked >= told:
                reader.outstanding_since = None
                continue
            if reader.outstanding_since is None:
                reader.outstanding_since = now
            if now - reader.outstanding_since > self._catch_up.timeout_s:
                silent.append(reader.sid)
            elif in_room and self._unacked_bytes(reader) > self._catch_up.window_bytes:
                self._transport.leave_room(reader.sid, self._log.conversation_id)
                self._detach(reader)
        return silent

    def outsiders(self) -> list[str]:
        """Connections that are in step without being in the room, and have taken what they were handed."""
        return [reader.sid for reader in self._waiting if self._transport.writable(reader.sid)]

    def _unacked_bytes(self, reader: Reader) -> int:
        return reader.handed_bytes() + (self._room_bytes(reader) if reader.place is Place.ROOM else 0)

    def _room_bytes(self, reader: Reader) -> int:
        return self._log.bytes_after(max(reader.acked, reader.cursor.told))

    # --- outside the room ---------------------------------------------------------------------------------------------

    def step(self, reader: Reader) -> float | None:
        """Hand a reader its next portion, if it takes one.

        :returns: seconds after which to look again, at most; a wake-up comes earlier. None: it is in the room.
        :raises Done: it has gone, or begun anew.
        """
        if self._by_sid.get(reader.sid) is not reader:
            raise Done
        wait_s = self._hindered(reader)
        if wait_s is not None:
            return wait_s
        portion = self._next(reader)
        if portion is not None:
            self._hand(reader, portion)
            if reader.options.acks:
                reader.handed.append((portion.offset, sum(entry.size_bytes for entry in portion.entries)))
            reader.next_at = self._clock.monotonic() + self._pause_s(reader)
            if reader.cursor.offset < self._log.offset:
                return max(0.0, self._pause_s(reader))
        if reader.options.shares_the_room:
            return self._enter(reader)
        self._waiting.add(reader)
        return self._catch_up.timeout_s

    def _hindered(self, reader: Reader) -> float | None:
        if not self._transport.writable(reader.sid):
            return self._catch_up.timeout_s
        if reader.options.acks and self._unacked_bytes(reader) > self._catch_up.window_bytes:
            return self._catch_up.timeout_s
        early_s = reader.next_at - self._clock.monotonic()
        return early_s if early_s > 0 else None

    def _pause_s(self, reader: Reader) -> float:
        return max(reader.options.batch_s, self._catch_up.interval_s if reader.lagging else 0.0)

    def _next(self, reader: Reader) -> Portion | None:
        try:
            return reader.cursor.read(self._log, self._catch_up.batch_bytes)
        except PositionLost:
            told = reader.cursor.told
            reader.cursor.move(self._log.offset)
            return Portion(self._log.epoch, told, self._log.offset, snapshot=self._snapshot())

    def _hand(self, reader: Reader, portion: Portion) -> None:
        if portion.snapshot is not None:
            resync = Resync(
                conversation_id=self._log.conversation_id, reason="position_lost", snapshot=portion.snapshot
            )
            self._send(reader.sid, resync)
        elif reader.options.batch_s or (reader.options.batch and len(portion.entries) > 1):
            entries = tuple(BatchEntry(name=entry.name, payload=entry.payload) for entry in portion.entries)
            self._send(
                reader.sid,
                Batch(
                    conversation_id=self._log.conversation_id,
                    epoch=portion.epoch,
                    prev_offset=portion.prev_offset,
                    offset=portion.offset,
                    entries=entries,
                ),
            )
        else:
            self._transport.emit_to_client(reader.sid, *((entry.name, entry.payload) for entry in portion.entries))

    def _send(self, sid: str, event: Event) -> None:
        self._transport.emit_to_client(sid, (event.name, {**event.to_wire(), "timestamp": self._clock.now_iso()}))

    def _enter(self, reader: Reader) -> float | None:
        if not self._transport.writable(reader.sid):  # what it was just handed: in step when that is gone
            return self._catch_up.timeout_s
        if not self._transport.enter_room(reader.sid, self._log.conversation_id):
            self.remove(reader.sid)
            raise Done
        reader.place, reader.lagging = Place.ROOM, False
        return None
