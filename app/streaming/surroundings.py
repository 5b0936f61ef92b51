"""What conversations are made with: the same for all of a process, whether they are new or come from the store."""

from __future__ import annotations

from dataclasses import dataclass

from app.protocol.common import ContentType
from app.streaming.access import Access
from app.streaming.bounds import Bounds
from app.streaming.conversation import Conversation, Recorder
from app.streaming.fold import ConversationFold
from app.streaming.log import ConversationLog
from app.streaming.ports import Clock, Concurrency, Kept, Transport
from app.streaming.taken import Requests


@dataclass(frozen=True, slots=True)
class Surroundings:
    """:param record: see :class:`Conversation`."""

    bounds: Bounds
    transport: Transport
    clock: Clock
    concurrency: Concurrency
    record: Recorder | None = None

    def new(self, conversation_id: str, *, title: str, content_type: ContentType, access: Access) -> Conversation:
        """A conversation with an empty log of a new epoch."""
        log = self._log(conversation_id)
        fold = ConversationFold(
            conversation_id,
            log.epoch,
            created_at=self.clock.now_iso(),
            title=title,
            content_type=content_type,
            max_messages=self.bounds.max_messages_per_conversation,
            max_chars=self.bounds.max_conversation_chars,
        )
        return self._conversation(log, fold, access)

    def revived(self, kept: Kept) -> Conversation:
        """A conversation as the store has kept it, with a log of a new epoch.

        The log begins above 0: whoever asks for what was logged earlier gets a snapshot.
        """
        log = self._log(kept.snapshot.conversation_id, offset=1)
        fold = ConversationFold.from_snapshot(
            kept.snapshot.model_copy(update={"epoch": log.epoch, "offset": log.offset}),
            max_messages=self.bounds.max_messages_per_conversation,
            max_chars=self.bounds.max_conversation_chars,
            updated_at=kept.updated_at,
        )
        conversation = self._conversation(log, fold, kept.access)
        conversation.recoveries = kept.recoveries
        conversation.requests = Requests.from_json(kept.requests)
        return conversation

    def _log(self, conversation_id: str, offset: int = 0) -> ConversationLog:
        bounds = self.bounds
        return ConversationLog(
            conversation_id, max_entries=bounds.max_log_entries, max_bytes=bounds.max_log_bytes, offset=offset
        )

    def _conversation(self, log: ConversationLog, fold: ConversationFold, access: Access) -> Conversation:
        return Conversation(
            log,
            fold,
            access=access,
            transport=self.transport,
            clock=self.clock,
            concurrency=self.concurrency,
            catch_up=self.bounds.catch_up,
            record=self.record,
        )
