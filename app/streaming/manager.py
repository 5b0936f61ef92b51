"""Starts, finds and steers conversations and their sessions."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from app.errors import (
    ColloquyError,
    ContentEmpty,
    ContentTooLarge,
    ConversationUnknown,
    Interrupted,
    InvalidPayload,
    InvalidState,
    LimitExceeded,
    RunError,
)
from app.protocol.commands import ControlAck, JoinAck, RunOptions, StopAck
from app.protocol.common import ContentType, Position, Status
from app.protocol.events import Event
from app.runner.wire import Limits, StartRun, TeamSpec, TranscriptMessage
from app.streaming.access import Access
from app.streaming.bounds import Bounds
from app.streaming.checkpoints import Checkpoints
from app.streaming.config import StreamingConfig
from app.streaming.conversation import EVERYTHING, Conversation, Recorder
from app.streaming.editing import Editing
from app.streaming.housekeeping import Housekeeping
from app.streaming.library import Library
from app.streaming.log import ConversationLog
from app.streaming.ports import Allowance, Archive, Clock, Concurrency, Models, Runners, Teams, Transport
from app.streaming.readers import ReaderOptions
from app.streaming.session import StreamingSession
from app.streaming.session_events import goes_on_after_crash, user_message
from app.streaming.taken import TakenRequests

logger = logging.getLogger(__name__)

_TICK_S = 0.5

Owner = tuple[str | None, str]
"""Tenant and id: an id is unique within a tenant alone."""


class StreamingManager:
    """The conversations of this process. Safe to use from several threads or greenlets.

    Commands go client → namespace → manager → session → runner; nothing takes another way.
    """

    def __init__(
        self,
        *,
        config: StreamingConfig,
        bounds: Bounds,
        limits: Limits,
        runners: Runners,
        models: Models,
        teams: Teams,
        archive: Archive,
        transport: Transport,
        concurrency: Concurrency,
        clock: Clock,
        record: Recorder | None = None,
        allowance: Allowance | None = None,
    ) -> None:
        self.config = config
        self.bounds = bounds
        self._limits = limits
        self._allowance = allowance
        self._runners = runners
        self._models = models
        self._teams = teams
        self._concurrency = concurrency
        self._clock = clock
        self._archive = archive
        self.checkpoints = Checkpoints(archive)
        self.library = Library(
            bounds,
            archive,
            transport=transport,
            clock=clock,
            concurrency=concurrency,
            record=record,
            gone=self._forget_requests,
        )
        self._taken: TakenRequests[StreamingSession] = TakenRequests(bounds.max_conversations)
        self._closing = False  # the library's lock guards these two
        self.editing = Editing(self.library, self.checkpoints, archive, clock, self.check_content)
        self._housekeeping = Housekeeping(config, bounds, concurrency, clock, self.library)

    # --- starting -----------------------------------------------------------------------------------------------------

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
        self.check_content(content)
        asked = _Asked(spec, content, content_type, (tenant, owner), options or RunOptions(), client_id)
        if conversation_id is not None:
            conversation = self.get(conversation_id)
            if not self._taken_before(asked.owner, conversation_id, client_id):
                self._check_tokens(_owner_of(conversation))
            return self._enter(asked, conversation)
        if not self._taken_before(asked.owner, None, client_id):
            self._check_tokens(asked.owner)
        session = None
        while session is None:
            session = self._taken_before(asked.owner, None, client_id) or self._enter_new(asked, Access(owner, tenant))
        return session

    def continue_stream(
        self, conversation_id: str, *, client_id: str | None = None, recovering: bool = False
    ) -> StreamingSession:
        """Make a session that goes on where the last one broke off, with no new word: from its checkpoint, else from
        the messages. :meth:`begin` must follow.

        :param recovering: nobody has asked for it: the server had died.
        :raises InvalidState: when the conversation is running, or has come to its end by itself. Else as :meth:`start`.
        """
        conversation = self.get(conversation_id)
        owner = _owner_of(conversation)
        taken = self._taken_before(owner, conversation_id, client_id)
        if taken is not None:
            return taken
        status, said, team = conversation.status, conversation.fold.last_user_message(), conversation.fold.team
        if status in (Status.COMPLETED, Status.IDLE):
            word = "has come to its end" if status is Status.COMPLETED else "was never begun"
            raise InvalidState(f"the conversation {word}; send a message to go on with it")
        if not recovering:  # it was admitted once
            self._check_tokens(owner)
        found = self.checkpoints.unfinished_business(conversation, team)
        asked = _Asked(
            self._teams.get(team),
            said.content if said else conversation.fold.title,
            _content_type(said.content_type if said else ""),
            owner,
            found.options if found else RunOptions(),
            client_id,
            goes_on=True,
        )
        return self._enter(asked, conversation, goes_on_after_crash() if recovering else None)

    def send_message(
        self,
        conversation_id: str,
        content: str,
        content_type: ContentType = ContentType.TEXT,
        client_id: str | None = None,
    ) -> StreamingSession:
        """The next user turn: a new session of the same team, with the history.

        :raises InvalidState: while the conversation is running. Errors else as in :meth:`start`.
        """
        conversation = self.get(conversation_id)
        return self.start(
            team=conversation.fold.team,
            content=content,
            content_type=content_type,
            owner=conversation.owner,
            tenant=conversation.access.tenant,
            conversation_id=conversation_id,
            client_id=client_id,
        )

    def begin(self, session: StreamingSession) -> None:
        """Log the session's beginning and start its run in the background, after the ack was sent; once is enough."""
        if session.open_room():
            self._concurrency.spawn(self.launch, session)

    def check_content(self, content: str) -> None:
        """:raises ContentEmpty, ContentTooLarge, InvalidPayload:"""
        if not content.strip():
            raise ContentEmpty("the content is empty")
        try:
            size, limit = len(content.encode()), self.bounds.max_content_bytes
        except UnicodeEncodeError:
            raise InvalidPayload("the content is not Unicode text: it has half a surrogate pair") from None
        if size > limit:
            raise ContentTooLarge(f"the content has {size} bytes; at most {limit} are taken")

    def _taken_before(
        self, owner: Owner, conversation_id: str | None, client_id: str | None
    ) -> StreamingSession | None:
        with self.library.lock:
            return self._taken.get(owner, conversation_id, client_id)

    def _enter_new(self, asked: _Asked, access: Access) -> StreamingSession | None:
        """None: somebody else was quicker to take the last place in memory."""
        with self.library.lock:
            self._check_running(asked.owner, None)
        self.library.make_room()
        conversation = self.library.new(
            _new_id(), title=_title(asked.content), content_type=asked.content_type, access=access
        )
        session = self._session(asked, conversation)
        with self.library.lock:
            self._check_running(asked.owner, None)
            taken = self._taken.get(asked.owner, None, asked.client_id)
            if taken is not None:
                return taken
            if self.library.full:
                return None
            self.checkpoints.begin(conversation)
            self.library.put(conversation, session)
            self._taken.put(asked.owner, None, asked.client_id, session)
        return session

    def _enter(self, asked: _Asked, conversation: Conversation, opening: Event | None = None) -> StreamingSession:
        session = self._session(asked, conversation, opening)
        with self.library.lock, conversation.stay():
            taken = self._taken.get(asked.owner, conversation.id, asked.client_id)
            if taken is not None:
                return taken
            self._check_running(_owner_of(conversation), self.library.session_of(conversation.id))
            if conversation.closing:
                raise ConversationUnknown("there is no such conversation")
            conversation.recoveries = 0 if opening is None else conversation.recoveries + 1
            self.library.put(conversation, session)
            self._taken.put(asked.owner, conversation.id, asked.client_id, session)
        return session

    def _check_tokens(self, owner: Owner) -> None:
        if self._allowance is None:
            return
        theirs = [session for session in self.sessions() if _owner_of(session.conversation) == owner]
        received = sum(session.metrics.tokens_received for session in theirs if not session.ended)
        self._allowance.check_tokens(owner, received, [session.conversation.id for session in theirs if session.ended])

    def _check_running(self, owner: Owner, latest: StreamingSession | None) -> None:
        """The library's lock is held."""
        if self._closing:
            raise Interrupted("the server is shutting down")
        if latest is not None and not latest.ended:
            raise InvalidState(f"the conversation is {latest.status}; stop it first, or wait for its end")
        most = self.bounds.max_running_sessions if self._allowance is None else self._allowance.most_running()
        if self.library.running() >= most:
            raise LimitExceeded(f"{most} conversations are running; try again later")
        theirs = self._allowance.most_running_of(owner[1]) if self._allowance is not None else 0
        if theirs and self.library.running(owner) >= theirs:
            raise LimitExceeded(f"{theirs} conversations of one person are running; stop one first")

    def _session(self, asked: _Asked, conversation: Conversation, opening: Event | None = None) -> StreamingSession:
        run = StartRun(
            session=secrets.token_urlsafe(12),
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
            save_artifact=self._archive.save_artifact,
            save_checkpoint=lambda _, state: self.checkpoints.save(conversation, run, state),
            opening=opening,
        )

    def _forget_requests(self, conversation: Conversation) -> None:
        with self.library.lock:
            self._taken.forget(lambda session: session.conversation is conversation)

    def launch(self, session: StreamingSession) -> None:
        """Start the run of a session whose room is open. Waits for models and store."""
        try:
            providers = self._models.providers()
            known = {"providers": providers, "demo": not providers, **self._past(session)}
            session.launch(session.run_request.model_copy(update=known))
        except Exception:
            logger.exception("session %s did not start", session.id)
            session.abort(RunError("the run could not be started; the server's log says why"))

    def _past(self, session: StreamingSession) -> dict[str, Any]:
        """What its team knows of the conversation so far. May ask the store."""
        conversation, run = session.conversation, session.run_request
        if run.resumed:
            found = self.checkpoints.unfinished_business(conversation, run.team.name)
        else:
            found = self.checkpoints.find(conversation, run.team.name)
        own = None if run.resumed else user_message(run).message_id
        said = tuple(
            TranscriptMessage(agent=view.agent, role=view.role, content=view.content)
            for view in conversation.read(conversation.fold.messages)
            # what a run that goes on has left unfinished is said anew
            if view.kind == "message" and view.message_id != own and not (run.resumed and view.state != "complete")
        )
        return {"checkpoint": found.state if found else None, "transcript": said}

    # --- finding ------------------------------------------------------------------------------------------------------

    def get(self, conversation_id: str) -> Conversation:
        """See :meth:`Library.get`.

        :raises ConversationUnknown, StoreUnavailable, LimitExceeded:
        """
        return self.library.get(conversation_id)

    def in_memory(self, conversation_id: str) -> Conversation | None:
        """A conversation, if it is in memory. Does not wait."""
        return self.library.known(conversation_id)

    def session(self, conversation_id: str) -> StreamingSession:
        """The latest session of a conversation.

        :raises ConversationUnknown, StoreUnavailable, LimitExceeded:
        :raises InvalidState: when it had none since it came from the store.
        """
        conversation = self.get(conversation_id)
        session = self.library.session_of(conversation_id)
        if session is None:
            raise InvalidState(f"the conversation is {conversation.status}")
        return session

    def conversations(self) -> list[Conversation]:
        """All that are in memory."""
        return self.library.conversations()

    def sessions(self, *, running: bool = False) -> list[StreamingSession]:
        """The latest session of each in memory; with ``running`` only those that have not ended."""
        return self.library.sessions(running=running)

    # --- steering -----------------------------------------------------------------------------------------------------

    def pause(self, conversation_id: str) -> ControlAck:
        """See :meth:`StreamingSession.pause`."""
        return self.session(conversation_id).pause()

    def resume(self, conversation_id: str) -> ControlAck:
        """See :meth:`StreamingSession.resume`."""
        return self.session(conversation_id).resume()

    def stop(self, conversation_id: str) -> StopAck:
        """See :meth:`StreamingSession.stop`."""
        return self.session(conversation_id).stop()

    # --- watching -----------------------------------------------------------------------------------------------------

    def join(
        self,
        sid: str,
        conversation_id: str,
        position: Position | None = None,
        *,
        since: datetime | None = None,
        options: ReaderOptions = EVERYTHING,
    ) -> JoinAck:
        """See :meth:`Conversation.join`; :meth:`attach` must follow when the ack was sent.

        :raises ConversationUnknown:
        """
        return self.get(conversation_id).join(sid, position, since=since, options=options)

    def attach(self, sid: str, conversation_id: str) -> None:
        """Let the tail flow to a connection that has joined."""
        self.get(conversation_id).attach(sid)

    def leave(self, sid: str, conversation_id: str) -> bool:
        """:raises ConversationUnknown:"""
        return self.get(conversation_id).leave(sid)

    def gone(self, sid: str, conversation_ids: Iterable[str]) -> None:
        """A connection that followed these is no more. Does not block; unknown ones are no error."""
        for conversation_id in conversation_ids:
            conversation = self.library.known(conversation_id)
            if conversation is not None:
                conversation.gone(sid)

    def follows(self, sid: str, conversation_id: str) -> bool:
        """Whether a connection follows a conversation. Does not wait."""
        conversation = self.library.known(conversation_id)
        return conversation is not None and conversation.follows(sid)

    def acknowledge(self, sid: str, conversation_id: str, offset: int) -> bool:
        """See :meth:`Conversation.acknowledge`.

        :raises ConversationUnknown:
        """
        return self.get(conversation_id).acknowledge(sid, offset)

    def drained(self, sid: str, conversation_ids: Iterable[str]) -> None:
        """A connection that follows these takes more again. Does not block; unknown ones are no error."""
        for conversation_id in conversation_ids:
            conversation = self.library.known(conversation_id)
            if conversation is not None:
                conversation.drained(sid)

    # --- housekeeping -------------------------------------------------------------------------------------------------

    def run_ticker(self) -> None:
        """Do the housekeeping until :meth:`shutdown`; for a background greenlet."""
        while not self._closing:
            self._concurrency.sleep(_TICK_S)
            try:
                self.tick()
            except Exception:
                logger.exception("housekeeping failed")

    def tick(self) -> None:
        """One round; see :class:`Housekeeping`."""
        self._housekeeping.tick()

    def figures(self) -> dict[str, int]:
        """What delivery holds, under the names in ``DELIVERY_FIGURES``."""
        conversations = self.conversations()
        return {
            "log_bytes": sum(each.log.size_bytes for each in conversations),
            "log_entries": sum(len(each.log) for each in conversations),
            "log_entries_dropped": sum(each.log.dropped_entries for each in conversations),
            "text_chars": sum(each.fold.text_chars for each in conversations),
            "checkpoints_refused": self.checkpoints.refused,
            "readers": sum(each.watchers for each in conversations),
            "readers_lagging": sum(each.readers.lagging() for each in conversations),
            "readers_lagged": sum(each.readers.lagged for each in conversations),
        }

    def check_log(self) -> str | None:
        """Append to a log and read it back; what went wrong, or None."""
        log = ConversationLog("check", max_entries=2, max_bytes=10_000)
        entry = log.append("check", {}, timestamp=self._clock.now_iso(), demo=False)
        found = list(log.after(0))
        return None if found == [entry] else "an entry that was appended cannot be read"

    def shutdown(self, deadline: float, error: ColloquyError | None = None) -> None:
        """End all sessions (as ``interrupted``) and take no new ones.

        Returns when their rooms have been told, or at ``deadline`` of the clock.
        """
        with self.library.lock:
            self._closing = True
        error = error or Interrupted("the server was shut down")
        for session in self.sessions(running=True):
            self._concurrency.spawn(session.abort, error)
        while self.sessions(running=True) and self._clock.monotonic() < deadline:
            self._concurrency.sleep(0.01)
        for conversation in self.conversations():
            conversation.dismiss()


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a session is asked for; ``goes_on``: where the last one broke off."""

    team: TeamSpec
    content: str
    content_type: ContentType
    owner: Owner
    options: RunOptions
    client_id: str | None
    goes_on: bool = False


def _content_type(word: str) -> ContentType:
    try:
        return ContentType(word)
    except ValueError:
        return ContentType.TEXT


def _owner_of(conversation: Conversation) -> Owner:
    return conversation.access.tenant, conversation.owner


def _new_id() -> str:
    """Unguessable; begins with a letter or a digit, so that no command line takes it for an option."""
    while not (found := secrets.token_urlsafe(16))[0].isalnum():
        pass
    return found


def _title(content: str) -> str:
    line = next((line.strip() for line in content.splitlines() if line.strip()), "")
    return line if len(line) <= 80 else line[:79].rstrip() + "…"
