"""Creates, finds, steers and forgets conversations and their sessions."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Iterable
from dataclasses import replace
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
from app.protocol.common import ContentType, Position
from app.runner.wire import Limits, StartRun, TranscriptMessage
from app.streaming.access import Access
from app.streaming.bounds import Bounds
from app.streaming.config import StreamingConfig
from app.streaming.conversation import EVERYTHING, Conversation, Recorder, new_conversation
from app.streaming.housekeeping import Housekeeping
from app.streaming.log import ConversationLog
from app.streaming.ports import Archive, Clock, Concurrency, Models, Runners, Teams, Transport
from app.streaming.readers import ReaderOptions
from app.streaming.session import StreamingSession
from app.streaming.taken import TakenRequests

logger = logging.getLogger(__name__)

_TICK_S = 0.5


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
    ) -> None:
        self.config = config
        self.bounds = bounds
        self._limits = limits
        self._runners = runners
        self._models = models
        self._teams = teams
        self._archive = archive
        self._transport = transport
        self._concurrency = concurrency
        self._clock = clock
        self._record = record
        self._conversations: dict[str, Conversation] = {}
        self._sessions: dict[str, StreamingSession] = {}  # conversation id → its latest session
        self._taken: TakenRequests[StreamingSession] = TakenRequests(bounds.max_conversations)
        self._lock = threading.Lock()  # guards the three above; nothing is emitted while it is held
        self._closing = False
        self.checkpoints_refused = 0
        self._housekeeping = Housekeeping(
            config, bounds, concurrency, clock, conversations=self.conversations, sessions=self.sessions
        )

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
        :raises LimitExceeded: when too many sessions run, or no ended conversation can be forgotten.
        """
        spec = self._teams.get(team)
        self._check_content(content)
        options = options or RunOptions()
        with self._lock:
            if self._closing:
                raise Interrupted("the server is shutting down")
            taken = self._taken.get(owner, conversation_id, client_id)
            if taken is not None:
                return taken
            if sum(not session.ended for session in self._sessions.values()) >= self.bounds.max_running_sessions:
                raise LimitExceeded(f"{self.bounds.max_running_sessions} conversations are running; try again later")
            if conversation_id is None:
                conversation = self._new_conversation(content, content_type, Access(owner, tenant))
            else:
                conversation = self._get(conversation_id)
                running = self._sessions.get(conversation_id)
                if running is not None and not running.ended:
                    raise InvalidState(f"the conversation is {running.status}; stop it first, or wait for its end")
            history = tuple(
                TranscriptMessage(agent=message.agent, role=message.role, content=message.content)
                for message in self._archive.messages(conversation.id)
            )
            run = StartRun(
                session=secrets.token_urlsafe(12),
                conversation=conversation.id,
                team=spec,
                content=content,
                content_type=content_type,
                options=options,
                limits=self._limits,
                allowed=self.config.high_water_tokens,
                checkpoint=self._archive.checkpoint(conversation.id) if conversation.fold.team == team else None,
                transcript=history,
            )
            config = self.config
            if options.tokens_per_s is not None:
                config = replace(config, tokens_per_s=options.tokens_per_s)
            session = StreamingSession(
                run.session,
                conversation,
                run,
                config=config,
                runners=self._runners,
                concurrency=self._concurrency,
                clock=self._clock,
                max_restarts=self.bounds.runner_restarts,
                max_message_chars=self.bounds.max_message_chars,
                save_checkpoint=self._save_checkpoint,
            )
            self._conversations[conversation.id] = conversation
            self._sessions[conversation.id] = session
            self._taken.put(owner, conversation_id, client_id, session)
        return session

    def _save_checkpoint(self, conversation_id: str, state: dict[str, Any]) -> None:
        self.checkpoints_refused += not state  # the runner found it too large
        self._archive.save_checkpoint(conversation_id, state)

    def begin(self, session: StreamingSession) -> None:
        """Log the session's beginning and start its run in the background, after the ack was sent; once is enough."""
        if session.open_room():
            self._concurrency.spawn(self._launch, session)

    def _launch(self, session: StreamingSession) -> None:
        try:
            providers = self._models.providers()
            session.launch(session.run_request.model_copy(update={"providers": providers, "demo": not providers}))
        except Exception:
            logger.exception("session %s did not start", session.id)
            session.abort(RunError("the run could not be started; the server's log says why"))

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

    def _check_content(self, content: str) -> None:
        if not content.strip():
            raise ContentEmpty("the content is empty")
        try:
            size, limit = len(content.encode()), self.bounds.max_content_bytes
        except UnicodeEncodeError:
            raise InvalidPayload("the content is not Unicode text: it has half a surrogate pair") from None
        if size > limit:
            raise ContentTooLarge(f"the content has {size} bytes; at most {limit} are taken")

    def _new_conversation(self, content: str, content_type: ContentType, access: Access) -> Conversation:
        if len(self._conversations) >= self.bounds.max_conversations:
            self._forget_oldest()
        conversation = new_conversation(
            _new_id(),
            title=_title(content),
            content_type=content_type,
            access=access,
            transport=self._transport,
            clock=self._clock,
            concurrency=self._concurrency,
            catch_up=self.bounds.catch_up,
            max_log_entries=self.bounds.max_log_entries,
            max_log_bytes=self.bounds.max_log_bytes,
            max_messages=self.bounds.max_messages_per_conversation,
            max_chars=self.bounds.max_conversation_chars,
            record=self._record,
        )
        return conversation

    def _forget_oldest(self) -> None:
        oldest = next((each for each in self._conversations.values() if self._may_go(each)), None)
        if oldest is None:
            raise LimitExceeded(
                f"{self.bounds.max_conversations} conversations are running or watched; try again later"
            )
        del self._conversations[oldest.id]
        self._sessions.pop(oldest.id, None)
        self._archive.delete(oldest.id)
        self._taken.forget(lambda session: session.conversation is oldest)
        oldest.dismiss()

    def _may_go(self, conversation: Conversation) -> bool:
        session = self._sessions.get(conversation.id)
        return not conversation.watchers and (session is None or session.ended)

    # --- finding ------------------------------------------------------------------------------------------------------

    def get(self, conversation_id: str) -> Conversation:
        """:raises ConversationUnknown:"""
        with self._lock:
            return self._get(conversation_id)

    def _get(self, conversation_id: str) -> Conversation:
        conversation = self._conversations.get(conversation_id)
        if conversation is None:
            raise ConversationUnknown("there is no such conversation")
        return conversation

    def in_memory(self, conversation_id: str) -> Conversation | None:
        """A conversation, if this process holds it. Does not wait."""
        return self._conversations.get(conversation_id)

    def session(self, conversation_id: str) -> StreamingSession:
        """The latest session of a conversation.

        :raises ConversationUnknown:
        """
        with self._lock:
            self._get(conversation_id)
            return self._sessions[conversation_id]

    def conversations(self) -> list[Conversation]:
        """All conversations, the newest last."""
        with self._lock:
            return list(self._conversations.values())

    def sessions(self, *, running: bool = False) -> list[StreamingSession]:
        """The latest session of each conversation; with ``running`` only those that have not ended."""
        with self._lock:
            return [session for session in self._sessions.values() if not (running and session.ended)]

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
            conversation = self._conversations.get(conversation_id)
            if conversation is not None:
                conversation.gone(sid)

    def acknowledge(self, sid: str, conversation_id: str, offset: int) -> bool:
        """See :meth:`Conversation.acknowledge`.

        :raises ConversationUnknown:
        """
        return self.get(conversation_id).acknowledge(sid, offset)

    def drained(self, sid: str, conversation_ids: Iterable[str]) -> None:
        """A connection that follows these takes more again. Does not block; unknown ones are no error."""
        for conversation_id in conversation_ids:
            conversation = self._conversations.get(conversation_id)
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
            "checkpoints_refused": self.checkpoints_refused,
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
        with self._lock:
            self._closing = True
        error = error or Interrupted("the server was shut down")
        for session in self.sessions(running=True):
            self._concurrency.spawn(session.abort, error)
        while self.sessions(running=True) and self._clock.monotonic() < deadline:
            self._concurrency.sleep(0.01)
        for conversation in self.conversations():
            conversation.dismiss()


def _new_id() -> str:
    """Unguessable; begins with a letter or a digit, so that no command line takes it for an option."""
    while not (found := secrets.token_urlsafe(16))[0].isalnum():
        pass
    return found


def _title(content: str) -> str:
    line = next((line.strip() for line in content.splitlines() if line.strip()), "")
    return line if len(line) <= 80 else line[:79].rstrip() + "…"
