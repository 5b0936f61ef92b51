"""Messages that were sent while agents talk: they wait, for all to see, and are said when the agents have finished."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from weakref import WeakKeyDictionary

from app.errors import ColloquyError, ConversationUnknown, InvalidState, LimitExceeded, MessageUnknown, NotPermitted
from app.protocol.common import ContentType, Status
from app.protocol.events import MessageQueued, MessageUnqueued
from app.protocol.snapshot import QueuedView
from app.streaming.conversation import Conversation
from app.streaming.library import Library
from app.streaming.ports import Clock, Concurrency
from app.streaming.session_events import user_message_id
from app.streaming.states import RUNNING

logger = logging.getLogger(__name__)

_RETRY_S = 5.0  # a turn that could not be begun for the moment is tried again so often

Begin = Callable[[Conversation, QueuedView], object]


class NotBusy(Exception):
    """Nothing is before this message: it need not wait."""


class MessageQueue:
    """The queues of all conversations. Safe to use from several threads or greenlets.

    What waits is part of the conversation's folded state, and so of its log, its snapshots and the store. The next one
    is taken when a run has ended by itself. After a stop or an error they keep waiting: whoever has stopped the agents
    has a reason; `continue_stream` and `send_message` set them going again, in their order.

    :param most: how many may wait in one conversation.
    :param begin: begins the next run with a message that waits.
    """

    def __init__(self, library: Library, concurrency: Concurrency, clock: Clock, most: int, begin: Begin) -> None:
        self._library = library
        self._concurrency = concurrency
        self._clock = clock
        self._most = most
        self._begin = begin
        self._retry_at: WeakKeyDictionary[Conversation, float] = WeakKeyDictionary()

    def put(
        self, conversation: Conversation, content: str, content_type: ContentType, by: str, client_id: str | None = None
    ) -> tuple[str, int]:
        """Let a message wait; the id of the session that will say it, and its place, from 1.

        :param client_id: the caller's own id of this request.
        :raises NotBusy: nothing runs, and nothing waits.
        :raises LimitExceeded: as many wait as may.
        """
        session_id = secrets.token_urlsafe(12)
        place, running = 0, False

        def check() -> None:
            nonlocal place, running
            if conversation.closing:
                raise ConversationUnknown("there is no such conversation")
            waiting, running = len(conversation.fold.queued()), self._is_busy(conversation)
            if not waiting and not running:
                raise NotBusy
            if waiting >= self._most:
                raise LimitExceeded(f"{self._most} messages of this conversation wait already")
            place = waiting + 1
            conversation.requests.put(client_id, session_id)

        message_id = user_message_id(session_id)
        event = MessageQueued(message_id=message_id, content=content, content_type=content_type, by=by)
        with conversation.stay():
            conversation.append_checked(check, event)
        if not running:  # else the end of the run sees it
            self._concurrency.spawn(self.go_on, conversation)
        return session_id, place

    def place(self, conversation: Conversation, message_id: str) -> int | None:
        """A message's place among those that wait, from 1; None: it does not wait any more."""
        waiting = [message.message_id for message in conversation.fold.queued()]
        return waiting.index(message_id) + 1 if message_id in waiting else None

    def take_back(self, conversation: Conversation, message_id: str, by: str, *, anybodys: bool = False) -> None:
        """Take back a message that waits.

        :param anybodys: not only a message of their own: the conversation is theirs.
        :raises MessageUnknown: it does not wait (any more).
        :raises NotPermitted: it is somebody else's.
        """

        def check() -> None:
            found = [message for message in conversation.fold.queued() if message.message_id == message_id]
            if not found:
                raise MessageUnknown("no such message waits: it was said already, or taken back")
            if not anybodys and by != found[0].by:
                raise NotPermitted("only who has sent a message, or the conversation's owner, can take it back")

        with conversation.stay():
            conversation.append_checked(check, MessageUnqueued(message_id=message_id, by=by))

    def ended(self, conversation: Conversation) -> None:
        """A run has ended: if by itself, the next message's turn has come. Does not wait."""
        self._retry_at.pop(conversation, None)
        if conversation.status is Status.COMPLETED and conversation.fold.queued():
            self._concurrency.spawn(self.go_on, conversation)

    def look(self, conversation: Conversation, now: float) -> None:
        """Try again what could not be begun for the moment. Does not wait."""
        if self._retry_at.get(conversation, now + 1) <= now:
            self._retry_at.pop(conversation, None)
            self._concurrency.spawn(self.go_on, conversation)

    def go_on(self, conversation: Conversation) -> None:
        """Begin the next run with what has waited longest, if anything waits and nothing runs."""
        waiting = conversation.fold.queued()
        if not waiting:
            return
        try:
            self._begin(conversation, waiting[0])
        except InvalidState:  # somebody was quicker: after that run
            return
        except ColloquyError as error:
            logger.info("a message of conversation %s waits on: %s", conversation.id, error.message)
            if error.retryable:
                self._retry_at[conversation] = self._clock.monotonic() + max(_RETRY_S, error.retry_after_s or 0.0)

    def _is_busy(self, conversation: Conversation) -> bool:
        session = self._library.session_of(conversation.id)
        return conversation.status in RUNNING or (session is not None and not session.ended)
