"""Begins runs: of new conversations, of those that have ended, and with messages that have waited."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace

from app.errors import ConversationUnknown, InvalidState
from app.protocol.commands import RunOptions, SendMessageAck
from app.protocol.common import ContentType, Status
from app.protocol.events import Event
from app.protocol.snapshot import QueuedView
from app.runner.wire import Limits, StartRun, TeamSpec
from app.streaming.access import Access, Person
from app.streaming.admission import Admission
from app.streaming.bounds import Bounds
from app.streaming.checkpoints import Checkpoints, said_since
from app.streaming.config import StreamingConfig
from app.streaming.conversation import Conversation
from app.streaming.launching import Launching
from app.streaming.library import Library
from app.streaming.message_queue import MessageQueue, NotBusy
from app.streaming.ports import Archive, Clock, Concurrency, Runners, Teams
from app.streaming.session import StreamingSession
from app.streaming.session_events import goes_on_after_crash, said_again, session_of, user_message_id
from app.streaming.taken import Requests, TakenRequests


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a message.

    :param session: it says the message now, and is to begin after the ack; None: the message waits, or was said.
    """

    ack: SendMessageAck
    session: StreamingSession | None = None


class Starting:
    """Makes sessions, and begins them. Belongs to the manager; safe to use from several threads or greenlets."""

    def __init__(
        self,
        *,
        config: StreamingConfig,
        bounds: Bounds,
        limits: Limits,
        runners: Runners,
        teams: Teams,
        concurrency: Concurrency,
        clock: Clock,
        library: Library,
        checkpoints: Checkpoints,
        archive: Archive,
        admission: Admission,
        launching: Launching,
    ) -> None:
        self.config = config
        self.bounds = bounds
        self._limits = limits
        self._runners = runners
        self._teams = teams
        self._concurrency = concurrency
        self._clock = clock
        self._library = library
        self._checkpoints = checkpoints
        self._archive = archive
        self._admission = admission
        self._launching = launching
        self.queue = MessageQueue(library, concurrency, clock, bounds.max_queued_messages, self._say_next)
        self._taken: TakenRequests[StreamingSession] = TakenRequests(bounds.max_conversations)

    def start(
        self,
        *,
        team: str,
        content: str,
        content_type: ContentType = ContentType.TEXT,
        owner: str,
        tenant: str | None = None,
        conversation_id: str | None = None,
        options: RunOptions | None = None,
        client_id: str | None = None,
    ) -> StreamingSession:
        """Make a session, of a new conversation or of one that has ended. Nothing is logged before :meth:`begin`.

        :param client_id: the caller's own id of this request: one that was taken already gets the same session again.
        :raises TeamUnknown, ContentEmpty, ContentTooLarge, InvalidPayload, ConversationUnknown: nothing has changed.
        :raises InvalidState: when the conversation is running.
        :raises LimitExceeded: when too many sessions run, or no ended conversation can leave memory.
        :raises StoreUnavailable: when the conversation is not in memory, and the database does not answer.
        """
        spec = self._teams.get(team)
        self._admission.check_content(content)
        asked = _Asked(spec, content, content_type, (tenant, owner), options or RunOptions(), client_id)
        if conversation_id is not None:
            conversation = self._library.get(conversation_id)
            if not self._taken_before(asked.person, conversation_id, client_id):
                self._admission.check_tokens(conversation.access.owned_by)
            return self._enter(asked, conversation)
        if not self._taken_before(asked.person, None, client_id):
            self._admission.check_tokens(asked.person)
        session = None
        while session is None:
            session = self._taken_before(asked.person, None, client_id) or self._enter_new(asked, Access(owner, tenant))
        return session

    def continue_stream(
        self, conversation_id: str, *, client_id: str | None = None, recovering: bool = False
    ) -> StreamingSession:
        """Make a session that goes on where the last one broke off, with no new word: from its checkpoint, else from
        the messages. Where the last one has come to its end, it goes on with what waits. :meth:`begin` must follow.

        :param recovering: nobody has asked for it: the server had died.
        :raises InvalidState: when the conversation is running, or has come to its end by itself. Else as :meth:`start`.
        """
        conversation = self._library.get(conversation_id)
        person = conversation.access.owned_by
        taken = self._taken_before(person, conversation_id, client_id)
        if taken is not None:
            return taken
        status, said, team = conversation.status, conversation.fold.last_user_message(), conversation.fold.team
        waiting = conversation.fold.queued()
        if waiting and status is Status.COMPLETED:  # they could not be begun by themselves, or the server has died
            return self._session_for(conversation, waiting[0], client_id)
        if status in (Status.COMPLETED, Status.IDLE):
            word = "has come to its end" if status is Status.COMPLETED else "was never begun"
            raise InvalidState(f"the conversation {word}; send a message to go on with it")
        if not recovering:  # it was admitted once
            self._admission.check_tokens(person)
        found = self._checkpoints.unfinished_business(conversation, team)
        asked = _Asked(
            self._teams.get(team),
            said.content if said else conversation.fold.title,
            _content_type(said.content_type if said else ""),
            person,
            found.options if found else conversation.requests.options,
            client_id,
            goes_on=True,
        )
        in_the_middle = found is not None and found.in_the_middle
        openings: list[Event] = [goes_on_after_crash(in_the_middle=in_the_middle)] if recovering else []
        if found is not None:
            openings += [said_again(message) for message in said_since(conversation, found)]
        return self._enter(asked, conversation, openings, recovering=recovering)

    def send_message(
        self,
        conversation_id: str,
        content: str,
        content_type: ContentType = ContentType.TEXT,
        client_id: str | None = None,
        by: str | None = None,
    ) -> Sent:
        """The next user turn: a new session of the same team, with the history. While agents talk, or others wait, the
        message waits for its turn.

        :param by: who sends it; None: the conversation's owner.
        :raises LimitExceeded: also when too many wait. Errors else as in :meth:`start`.
        """
        conversation = self._library.get(conversation_id)
        self._admission.check_content(content)
        person = conversation.access.owned_by
        while True:
            try:
                if self._taken_before(person, conversation_id, client_id) is None:
                    known = conversation.requests.get(client_id)
                    if known is not None:  # it waits, was said, or was taken before a crash
                        place = self.queue.place(conversation, user_message_id(known))
                        return _taken(conversation, known, place)
                    return self._let_wait(conversation, content, content_type, by or conversation.owner, client_id)
            except NotBusy:
                pass
            try:
                session = self.start(
                    team=conversation.fold.team,
                    content=content,
                    content_type=content_type,
                    owner=conversation.owner,
                    tenant=conversation.access.tenant,
                    conversation_id=conversation_id,
                    client_id=client_id,
                )
            except InvalidState:  # another run began in between
                continue
            ack = SendMessageAck(conversation_id=conversation.id, session_id=session.id, status=session.reached)
            return Sent(ack, session)

    def _let_wait(
        self, conversation: Conversation, content: str, content_type: ContentType, by: str, client_id: str | None
    ) -> Sent:
        session_id, place = self.queue.put(conversation, content, content_type, by, client_id)
        self._archive.keep(conversation.id)
        return _taken(conversation, session_id, place)

    def _say_next(self, conversation: Conversation, message: QueuedView, client_id: str | None = None) -> None:
        """Begin the run of a message that has waited."""
        session = self._session_for(conversation, message, client_id)
        self.begin(session)

    def _session_for(
        self, conversation: Conversation, message: QueuedView, client_id: str | None = None
    ) -> StreamingSession:
        person = conversation.access.owned_by
        self._admission.check_tokens(person)
        asked = _Asked(
            self._teams.get(conversation.fold.team),
            message.content,
            message.content_type,
            person,
            RunOptions(),
            client_id,
            waited_as=message.message_id,
        )
        return self._enter(asked, conversation)

    def begin(self, session: StreamingSession) -> None:
        """Log the session's beginning and start its run in the background, after the ack was sent; once is enough."""
        if session.open_room():
            self._concurrency.spawn(self._launching.launch, session)

    def _taken_before(
        self, person: Person, conversation_id: str | None, client_id: str | None
    ) -> StreamingSession | None:
        with self._library.lock:
            return self._taken.get(person, conversation_id, client_id)

    def _enter_new(self, asked: _Asked, access: Access) -> StreamingSession | None:
        """None: somebody else was quicker to take the last place in memory."""
        with self._library.lock:
            self._admission.check_running(asked.person, None)
        self._library.make_room()
        conversation = self._library.new(
            _new_id(), title=_title(asked.content), content_type=asked.content_type, access=access
        )
        session = self._session(asked, conversation)
        with self._library.lock:
            self._admission.check_running(asked.person, None)
            taken = self._taken.get(asked.person, None, asked.client_id)
            if taken is not None:
                return taken
            if self._library.full:
                return None
            self._checkpoints.begin(conversation)
            conversation.requests = Requests(began_as=asked.client_id, options=asked.options)
            self._library.put(conversation, session)
            self._taken.put(asked.person, None, asked.client_id, session)
        return session

    def _enter(
        self, asked: _Asked, conversation: Conversation, openings: Sequence[Event] = (), *, recovering: bool = False
    ) -> StreamingSession:
        session = self._session(asked, conversation, openings)
        with self._library.lock, conversation.stay():
            taken = self._taken.get(asked.person, conversation.id, asked.client_id)
            if taken is not None:
                return taken
            self._admission.check_running(conversation.access.owned_by, self._library.session_of(conversation.id))
            if conversation.closing:
                raise ConversationUnknown("there is no such conversation")
            if asked.waited_as is not None and self.queue.place(conversation, asked.waited_as) is None:
                raise InvalidState("the message was said already, or taken back")
            conversation.recoveries = conversation.recoveries + 1 if recovering else 0
            self._library.put(conversation, session)
            self._taken.put(asked.person, conversation.id, asked.client_id, session)
            conversation.requests.put(asked.client_id, session.id)
            conversation.requests.options = asked.options
            if recovering:  # whose ack the crash has swallowed may ask again
                self._taken.put(asked.person, None, conversation.requests.began_as, session)
        return session

    def _session(self, asked: _Asked, conversation: Conversation, openings: Sequence[Event] = ()) -> StreamingSession:
        run = StartRun(
            session=session_of(asked.waited_as) if asked.waited_as else secrets.token_urlsafe(12),
            conversation=conversation.id,
            team=asked.team,
            content=asked.content,
            content_type=asked.content_type,
            options=asked.options,
            limits=self._limits,
            allowed=self.config.high_water_tokens,
            resumed=asked.goes_on,
            continued=asked.goes_on,
        )
        config = self.config
        if asked.options.tokens_per_s is not None:
            config = replace(config, tokens_per_s=asked.options.tokens_per_s)
        return StreamingSession(
            run.session,
            conversation,
            run,
            config=config,
            runners=self._runners,
            concurrency=self._concurrency,
            clock=self._clock,
            max_restarts=self.bounds.runner_restarts,
            max_message_chars=self.bounds.max_message_chars,
            input_timeout_s=self.bounds.input_timeout_s,
            save_artifact=self._archive.save_artifact,
            save_checkpoint=lambda _, state: self._checkpoints.save(conversation, run, state),
            openings=openings,
            when_ended=lambda session: self.queue.ended(conversation),
        )

    def forget(self, conversation: Conversation) -> None:
        """A conversation has left memory: forget its requests."""
        with self._library.lock:
            self._taken.forget(lambda session: session.conversation is conversation)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a session is asked for.

    :param goes_on: where the last one broke off.
    :param waited_as: the id of the message, if it has waited.
    """

    team: TeamSpec
    content: str
    content_type: ContentType
    person: Person
    options: RunOptions
    client_id: str | None
    goes_on: bool = False
    waited_as: str | None = None


def _taken(conversation: Conversation, session_id: str, place: int | None) -> Sent:
    """A message that needs nothing done.

    :param place: among those that wait; None: it was said.
    """
    ack = SendMessageAck(
        conversation_id=conversation.id,
        session_id=session_id,
        status=conversation.status,
        queued=place is not None,
        place=place,
        message_id=user_message_id(session_id),
    )
    return Sent(ack)


def _content_type(word: str) -> ContentType:
    try:
        return ContentType(word)
    except ValueError:
        return ContentType.TEXT


def _new_id() -> str:
    """Unguessable; begins with a letter or a digit, so that no command line takes it for an option."""
    while not (found := secrets.token_urlsafe(16))[0].isalnum():
        pass
    return found


def _title(content: str) -> str:
    line = next((line.strip() for line in content.splitlines() if line.strip()), "")
    return line if len(line) <= 80 else line[:79].rstrip() + "…"
