"""Follows the log and writes what is worth keeping into the store, without ever holding up who streams."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

from app.errors import StoreUnavailable
from app.protocol.events import MessageDelta, Storage
from app.store.base import ArtifactWritten, Change, CheckpointWritten, ConversationStore
from app.store.database import SchemaDiffers, is_outage
from app.store.entries import changes_of, was_acknowledged
from app.store.pending import Pending, in_order
from app.store.state import StoreState
from app.streaming.conversation import Conversation
from app.streaming.log import LogEntry
from app.streaming.ports import Clock, Concurrency

logger = logging.getLogger(__name__)

_GATHER_S = 0.1  # what comes in this time is written together, unless somebody was told that it is done
_OPEN_TEXT_S = 1.0  # the text of messages that are still being written is kept so often
_RETRY_S = (0.25, 0.5, 1.0, 2.0)
_BATCH_BYTES = 4_000_000  # one transaction's share of a long backlog
_MAX_FORGOTTEN = 10_000


class Recorder:
    """Called for each log entry, in its conversation's task: it notes what is to be written, and never waits.

    One background task writes all that waits in one transaction, and tries again when the database is away: then
    everything waits here, the newest of each thing once, bounded by ``max_unsaved_bytes``. Beyond, the oldest is lost,
    and counted. Safe to use from several threads or greenlets.

    :param prepare: makes the database ready; called before the first write, until it succeeds.
    :param check: asks the database whether it answers.
    :param changed: called when the store's state has changed, outside all locks.
    """

    def __init__(
        self,
        store: ConversationStore,
        concurrency: Concurrency,
        clock: Clock,
        *,
        max_unsaved_bytes: int = 268_435_456,
        prepare: Callable[[], None] | None = None,
        check: Callable[[], None] | None = None,
        changed: Callable[[StoreState], None] | None = None,
    ) -> None:
        self._store = store
        self._concurrency = concurrency
        self._clock = clock
        self._max_bytes = max_unsaved_bytes
        self._prepare = prepare
        self._check = check
        self._announce = changed
        self._changed = concurrency.condition()  # guards everything below
        self._waiting: dict[str, Pending] = {}  # in the order of their first change
        self._writing: dict[str, Pending] = {}
        self._waiting_bytes = 0
        self._writing_bytes = 0
        self._serial = 0
        self._hurry = False  # everything is to be written at once, also open texts
        self._promised = False  # something is, and what waits with it
        self._closing = False
        self._open_due = 0.0
        self._forgotten: OrderedDict[str, None] = OrderedDict()
        self._ready = False
        self._problem: tuple[str, str] | None = None  # (sentence, since)
        self._failures = 0
        self._lost = 0
        self._refused = 0

    # --- what comes: in the conversation's task -----------------------------------------------------------------------

    def __call__(self, conversation: Conversation, entry: LogEntry) -> None:
        """Note one entry of the log."""
        if entry.name == MessageDelta.name:
            waiting = self._waiting.get(conversation.id)
            # who takes it away meanwhile reads the text afterwards, in this conversation's task: after this delta
            if waiting is None or entry.payload["message_id"] not in waiting.open:
                self._note(conversation, (), open_id=entry.payload["message_id"])
            return
        self._note(conversation, changes_of(conversation, entry), promised=was_acknowledged(entry))

    def checkpoint(self, conversation_id: str, team: str, state: dict[str, Any]) -> None:
        """Keep a team's state at the end of a turn; an empty one drops what is kept."""
        self._note_of(CheckpointWritten(conversation_id, team, state, self._clock.now_iso()))

    def artifact(self, conversation_id: str, artifact_id: str, media_type: str, data: bytes) -> None:
        """Keep something that an event is going to name."""
        self._note_of(ArtifactWritten(conversation_id, artifact_id, media_type, self._clock.now_iso(), data))

    def _note_of(self, change: CheckpointWritten | ArtifactWritten) -> None:
        """Note what is in no entry of the log."""
        with self._changed:
            if change.conversation_id not in self._forgotten:
                self._put(self._pending(change.conversation_id), (change,))
                self._changed.notify_all()

    def _note(
        self,
        conversation: Conversation,
        changes: Iterable[Change],
        *,
        open_id: str | None = None,
        promised: bool = False,
    ) -> None:
        with self._changed:
            if conversation.id in self._forgotten:
                return
            pending = self._pending(conversation.id)
            wake = pending.only_grows and (open_id is None or not pending.open)
            pending.source = conversation
            if open_id is not None:
                pending.open.add(open_id)
            else:
                pending.row = True
                self._put(pending, changes)
            self._promised = self._promised or promised
            if wake or promised:
                self._changed.notify_all()

    def _pending(self, conversation_id: str) -> Pending:
        pending = self._waiting.get(conversation_id)
        if pending is None:
            self._serial += 1
            pending = self._waiting[conversation_id] = Pending(conversation_id, self._serial)
        return pending

    def _put(self, pending: Pending, changes: Iterable[Change]) -> None:
        before = pending.size_bytes
        for change in changes:
            pending.put(change)
        self._waiting_bytes += pending.size_bytes - before
        self._bound()

    def _bound(self) -> None:
        while self._waiting_bytes + self._writing_bytes > self._max_bytes:
            oldest = next((each for each in self._waiting.values() if each.changes), None)
            if oldest is None:
                return
            before = oldest.size_bytes
            oldest.drop_oldest()
            self._waiting_bytes += oldest.size_bytes - before
            self._lost += 1

    # --- what others ask ----------------------------------------------------------------------------------------------

    def state(self) -> StoreState:
        """How the store is doing."""
        with self._changed:
            message, since = self._problem or (None, None)
            waiting = len(self._waiting.keys() | self._writing.keys())
            size = self._waiting_bytes + self._writing_bytes
            return StoreState(message is None, message, since, waiting, size, self._lost, self._refused)

    def news(self) -> Storage | None:
        """What somebody who comes now should be told; None: all is well."""
        return None if self._problem is None else self.state().event()

    def flush(self, conversation_id: str, timeout_s: float = 5.0, *, hurry: bool = True) -> bool:
        """Wait until what waits of a conversation now is written; False where it is not in time, or cannot be.

        Not from within the conversation's own task. Without ``hurry`` it is written in its time, which is at once where
        somebody was told that it is done; text that is still being written is not waited for.
        """
        with self._changed:
            asked = self._serial

            def written() -> bool:
                parts = (self._waiting.get(conversation_id), self._writing.get(conversation_id))
                return all(part is None or part.serial > asked or (part.only_grows and not hurry) for part in parts)

            if written():
                return True
            if self._problem is not None:
                return False
            if hurry:
                self._hurry = True
                self._changed.notify_all()
            return self._changed.wait_for(written, timeout_s)

    def flush_all(self, deadline: float) -> bool:
        """Wait until everything that waits is written, or until ``deadline`` of the clock; then write nothing more."""
        with self._changed:
            self._hurry = self._closing = True
            self._changed.notify_all()
            rest_s = max(0.0, deadline - self._clock.monotonic())
            return self._changed.wait_for(lambda: not self._waiting and not self._writing, rest_s)

    def forget(self, conversation_id: str) -> None:
        """Nothing of this conversation is written any more: it is going to be deleted.

        What is being written at this moment is; a deletion that follows comes after it.
        """
        with self._changed:
            self._forgotten[conversation_id] = None
            while len(self._forgotten) > _MAX_FORGOTTEN:
                self._forgotten.popitem(last=False)
            gone = self._waiting.pop(conversation_id, None)
            if gone is not None:
                self._waiting_bytes -= gone.size_bytes
            self._changed.notify_all()

    def check(self) -> StoreState:
        """Ask the database whether it answers, and return the state."""
        if self._check is not None and self._problem is None:
            try:
                self._check()
            except StoreUnavailable as error:
                self._failed(error)
        return self.state()

    def prepare(self) -> None:
        """Make the database ready; when it cannot be had now, that is the state, and :meth:`run` tries again.

        :raises SchemaDiffers: when somebody has to migrate it first.
        """
        try:
            if self._prepare is not None:
                self._prepare()
        except SchemaDiffers:
            raise
        except StoreUnavailable as error:
            self._failed(error)
        else:
            self._ready = True
            self._works()

    # --- the writer ---------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Write what comes, until :meth:`flush_all`; for a background task."""
        while not (self._ready or self._try_to_prepare()):
            if not self._pause():
                return
        while self._await_work():
            try:
                good = self._write_round()
            except Exception:
                logger.exception("writing into the store failed")
                good = False
            if not good and not self._pause():
                return

    def _try_to_prepare(self) -> bool:
        try:
            self.prepare()
        except SchemaDiffers as error:
            self._failed(error)
        return self._ready

    def _await_work(self) -> bool:
        """Wait until something is to be written; False at the end."""
        with self._changed:
            while True:
                if self._due():
                    break
                if self._closing:
                    return False
                self._changed.wait(self._wait_s())
            if not self._problem:
                self._changed.wait_for(lambda: self._hurry or self._promised, _GATHER_S)
        return True

    def _due(self) -> bool:
        if self._problem is not None or (self._hurry and self._waiting):
            return True
        if self._clock.monotonic() >= self._open_due:
            return bool(self._waiting)
        return any(not each.only_grows for each in self._waiting.values())

    def _wait_s(self) -> float | None:
        return max(0.01, self._open_due - self._clock.monotonic()) if self._waiting else None

    def _pause(self) -> bool:
        """Wait before the next attempt; False at the end."""
        delay_s = _RETRY_S[min(self._failures, len(_RETRY_S)) - 1]
        with self._changed:
            self._changed.wait_for(lambda: self._closing, delay_s)
            return not self._closing or self._failures == 0

    def _write_round(self) -> bool:
        """Write what waits, in one transaction; False if it is to be tried again later."""
        batch = self._take()
        for pending in batch:
            pending.complete()
        try:
            if batch:
                self._write(batch)
            elif self._check is not None:
                self._check()
        except StoreUnavailable as error:
            self._put_back(batch)
            self._failed(error)
            return False
        with self._changed:
            self._writing, self._writing_bytes = {}, 0
            self._changed.notify_all()
        self._works()
        return True

    def _write(self, batch: list[Pending]) -> None:
        """:raises StoreUnavailable: and nothing is kept, or what is kept does no harm when it is written again."""
        try:
            self._store.write(in_order(batch))
            return
        except Exception as error:  # no outage: the database, or its driver, cannot take some value
            if is_outage(error):
                raise
        for pending in batch:  # what is good must not wait for what will never be written
            try:
                self._store.write(in_order([pending]))
            except Exception as error:
                if is_outage(error):
                    raise
                self._write_singly(pending)

    def _write_singly(self, pending: Pending) -> None:
        for change in pending:
            try:
                self._store.write([change])
            except Exception as error:
                if is_outage(error):
                    raise
                with self._changed:
                    self._refused += 1
                logger.exception(
                    "the store refused a %s of conversation %s", type(change).__name__, pending.conversation_id
                )

    def _take(self) -> list[Pending]:
        with self._changed:
            now = self._clock.monotonic()
            self._promised = False
            open_due = self._hurry or now >= self._open_due
            batch: list[Pending] = []
            size = 0
            for pending in list(self._waiting.values()):
                if pending.only_grows and not open_due:
                    continue
                if batch and size + pending.size_bytes > _BATCH_BYTES:
                    break
                size += pending.size_bytes
                batch.append(pending)
                del self._waiting[pending.conversation_id]
            else:
                self._hurry = False
                if open_due:
                    self._open_due = now + _OPEN_TEXT_S
            self._writing = {each.conversation_id: each for each in batch}
            self._writing_bytes = size
            self._waiting_bytes -= size
            return batch

    def _put_back(self, batch: list[Pending]) -> None:
        with self._changed:
            self._writing, self._writing_bytes = {}, 0
            newer, self._waiting = self._waiting, {}
            for pending in batch:
                if pending.conversation_id not in self._forgotten:
                    self._waiting[pending.conversation_id] = pending
            for conversation_id, pending in newer.items():
                older = self._waiting.get(conversation_id)
                if older is None:
                    self._waiting[conversation_id] = pending
                else:
                    older.absorb(pending)
            self._waiting_bytes = sum(each.size_bytes for each in self._waiting.values())
            self._bound()
            self._changed.notify_all()

    # --- its state ----------------------------------------------------------------------------------------------------

    def _failed(self, error: StoreUnavailable) -> None:
        with self._changed:
            self._failures += 1
            new = self._problem is None or self._problem[0] != error.message
            since = self._problem[1] if self._problem is not None else self._clock.now_iso()
            self._problem = (error.message, since)
            self._changed.notify_all()
        if new:
            logger.error("the store is unavailable: %s; what is to be written waits in memory", error.message)
            self._tell()

    def _works(self) -> None:
        with self._changed:
            self._failures = 0
            new, self._problem = self._problem is not None, None
        if new:
            logger.warning("the store is available again")
            self._tell()

    def _tell(self) -> None:
        if self._announce is not None:
            self._announce(self.state())
