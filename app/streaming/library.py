"""The conversations in memory: found, brought in from the store, and let go."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable

from app.errors import ConversationUnknown, Interrupted, LimitExceeded
from app.protocol.common import ContentType, Status
from app.protocol.events import ConversationError, ConversationStatus
from app.streaming.access import Access, Person
from app.streaming.bounds import Bounds
from app.streaming.conversation import Conversation, Recorder
from app.streaming.ports import Archive, Clock, Concurrency, Kept, Transport
from app.streaming.session import StreamingSession
from app.streaming.session_events import broken_off, no_longer_asked
from app.streaming.states import RUNNING
from app.streaming.surroundings import Surroundings

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def is_conversation_id(text: str) -> bool:
    """Whether this may be a conversation's id; what may not needs no question to the store."""
    return _ID.fullmatch(text) is not None


class Library:
    """What is in memory, of all that are stored. Safe to use from several threads or greenlets.

    Its size does not depend on how many are stored: at most ``max_conversations``, and those that nobody watches and
    that do not run leave after a while. They stay in the store, and come back, with a new epoch, when somebody asks.

    ``lock`` guards what is in memory; whoever enters a session takes it, too. The store is never asked, and nothing is
    emitted, while it is held.

    :param gone: called for each that has left memory, without the lock.
    """

    def __init__(
        self,
        bounds: Bounds,
        archive: Archive,
        *,
        transport: Transport,
        clock: Clock,
        concurrency: Concurrency,
        record: Recorder | None,
        gone: Callable[[Conversation], None],
    ) -> None:
        self.lock = threading.Lock()
        self._bounds = bounds
        self._archive = archive
        self._concurrency = concurrency
        self._surroundings = Surroundings(bounds, transport, clock, concurrency, record)
        self._gone = gone
        self._conversations: dict[str, Conversation] = {}
        self._sessions: dict[str, StreamingSession] = {}  # conversation id → its latest session
        self._arrivals: dict[str, _Arrival] = {}  # conversation id → who asks the store for it

    # --- finding ------------------------------------------------------------------------------------------------------

    def get(self, conversation_id: str) -> Conversation:
        """A conversation, from memory or from the store. May wait for the database.

        :raises ConversationUnknown, StoreUnavailable:
        :raises LimitExceeded: when memory is full of conversations that run or are watched.
        """
        if not is_conversation_id(conversation_id):
            raise ConversationUnknown("there is no such conversation")
        with self.lock:
            found = self._conversations.get(conversation_id)
            arrival = self._arrivals.get(conversation_id) if found is None else None
            first = found is None and arrival is None
            if first:
                arrival = self._arrivals[conversation_id] = _Arrival(self._concurrency.condition())
        if found is not None:
            found.touch()
            return found
        assert arrival is not None
        return self._bring(conversation_id, arrival) if first else arrival.wait()

    def known(self, conversation_id: str) -> Conversation | None:
        """A conversation, if it is in memory."""
        return self._conversations.get(conversation_id)

    def session_of(self, conversation_id: str) -> StreamingSession | None:
        """Its latest session, if it had one since it is in memory."""
        return self._sessions.get(conversation_id)

    def conversations(self) -> list[Conversation]:
        """All in memory, those that came last at the end."""
        with self.lock:
            return list(self._conversations.values())

    def sessions(self, *, running: bool = False) -> list[StreamingSession]:
        """The latest session of each that had one; with ``running`` only those that have not ended."""
        with self.lock:
            return [session for session in self._sessions.values() if not (running and session.ended)]

    def running(self, person: Person | None = None) -> int:
        """How many sessions have not ended, of all or of one person's; the lock is held."""
        return sum(
            not session.ended
            for session in self._sessions.values()
            if person is None or session.conversation.access.owned_by == person
        )

    # --- coming -------------------------------------------------------------------------------------------------------

    def new(self, conversation_id: str, *, title: str, content_type: ContentType, access: Access) -> Conversation:
        """A conversation that there was not before. It is not in memory until it is put there."""
        return self._surroundings.new(conversation_id, title=title, content_type=content_type, access=access)

    def put(self, conversation: Conversation, session: StreamingSession | None = None) -> None:
        """Take in a conversation, and its session; the lock is held."""
        self._conversations.setdefault(conversation.id, conversation)
        if session is not None:
            self._sessions[conversation.id] = session

    @property
    def full(self) -> bool:
        return len(self._conversations) >= self._bounds.max_conversations

    def make_room(self) -> None:
        """Let go whoever was not asked for longest, if there is no room for one more.

        :raises LimitExceeded: when all run, or are watched, or wait to be written.
        """
        while self.full:
            idle = sorted((each for each in self.conversations() if self._may_go(each)), key=lambda each: each.asked_at)
            if not any(self.let_go(each) for each in idle):
                raise LimitExceeded(
                    f"{self._bounds.max_conversations} conversations are running or watched; try again later"
                )

    def _bring(self, conversation_id: str, arrival: _Arrival) -> Conversation:
        try:
            kept = self._archive.load(conversation_id)
            if kept is None:
                raise ConversationUnknown("there is no such conversation")
            conversation = self._surroundings.revived(kept)
            if conversation.status in RUNNING:
                _settle(conversation, kept)
            while True:
                self.make_room()
                with self.lock:
                    if not self.full:
                        self.put(conversation)
                        break
        except BaseException as error:
            arrival.fail(error)
            raise
        else:
            arrival.arrive(conversation)
            return conversation
        finally:
            with self.lock:
                del self._arrivals[conversation_id]

    # --- going --------------------------------------------------------------------------------------------------------

    def _may_go(self, conversation: Conversation) -> bool:
        session = self._sessions.get(conversation.id)
        return not conversation.watchers and (session is None or session.ended)

    def let_go(self, conversation: Conversation) -> bool:
        """Drop a conversation from memory, if it does not run, nobody watches it, and the store has all of it."""
        if not self._archive.settled(conversation.id):
            return False
        with self.lock:
            if self._conversations.get(conversation.id) is not conversation or not self._may_go(conversation):
                return False
            if not conversation.let_go():
                return False
            self._take_out(conversation)
        conversation.dismiss()
        self._gone(conversation)
        return True

    def remove(self, conversation: Conversation) -> None:
        """Drop a conversation from memory, whoever follows it: it is no more."""
        with self.lock:
            conversation.let_go(anyway=True)
            self._take_out(conversation)
        self._gone(conversation)

    def _take_out(self, conversation: Conversation) -> None:
        self._conversations.pop(conversation.id, None)
        self._sessions.pop(conversation.id, None)


class _Arrival:
    """One asks the store; whoever wants the same conversation meanwhile waits for the answer."""

    def __init__(self, condition: threading.Condition) -> None:
        self._changed = condition  # guards the two below
        self._conversation: Conversation | None = None
        self._error: BaseException | None = None

    def arrive(self, conversation: Conversation) -> None:
        with self._changed:
            self._conversation = conversation
            self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        with self._changed:
            self._error = error
            self._changed.notify_all()

    def wait(self) -> Conversation:
        with self._changed:
            self._changed.wait_for(lambda: self._conversation is not None or self._error is not None)
        if self._conversation is None:
            assert self._error is not None
            raise self._error
        return self._conversation


def _settle(conversation: Conversation, kept: Kept) -> None:
    """The server has died under its run: what was open is kept as it is, and the conversation has ended."""
    died = Interrupted("the server ended in the middle")
    for message in conversation.fold.open_messages():
        conversation.append_event(broken_off(message, died.error_code))
    for request in conversation.fold.pending_inputs():
        conversation.append_event(no_longer_asked(request))
    conversation.append_event(
        ConversationError(error=died.message, code=died.error_code, retryable=died.retryable), demo=False
    )
    conversation.append_event(
        ConversationStatus(
            status=Status.ERROR,
            session_id=kept.snapshot.session_id or "",
            team=kept.snapshot.team,
            code=died.error_code,
            reason=died.message,
        )
    )
