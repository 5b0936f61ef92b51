"""Finds and steers conversations and their sessions."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime

from app.errors import ColloquyError, InputUnknown, Interrupted, InvalidState
from app.protocol.commands import ControlAck, JoinAck, ProvideInput, ProvideInputAck, StopAck
from app.protocol.common import Position
from app.runner.wire import Limits
from app.streaming.admission import Admission
from app.streaming.bounds import Bounds
from app.streaming.checkpoints import Checkpoints
from app.streaming.config import StreamingConfig
from app.streaming.conversation import EVERYTHING, Conversation, Recorder
from app.streaming.editing import Editing
from app.streaming.housekeeping import Housekeeping
from app.streaming.launching import Launching
from app.streaming.library import Library
from app.streaming.log import ConversationLog
from app.streaming.ports import Allowance, Archive, Clock, Concurrency, Models, Runners, Teams, Transport
from app.streaming.readers import ReaderOptions
from app.streaming.session import StreamingSession
from app.streaming.starting import Starting

logger = logging.getLogger(__name__)

_TICK_S = 0.5


class StreamingManager:
    """The conversations of this process. Safe to use from several threads or greenlets.

    Commands go client → namespace → manager → session → runner; nothing takes another way. How runs begin is
    :class:`Starting`'s, whose methods are here, too.
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
        self.bounds = bounds
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
            gone=lambda conversation: self._starting.forget(conversation),
        )
        self._admission = admission = Admission(bounds, self.library, allowance)
        launching = Launching(models, self.checkpoints, admission)
        self._starting = starting = Starting(
            config=config,
            bounds=bounds,
            limits=limits,
            runners=runners,
            teams=teams,
            concurrency=concurrency,
            clock=clock,
            library=self.library,
            checkpoints=self.checkpoints,
            archive=archive,
            admission=admission,
            launching=launching,
        )
        self.start = starting.start
        self.continue_stream = starting.continue_stream
        self.send_message = starting.send_message
        self.begin = starting.begin
        self.launch = launching.launch
        self.check_content = admission.check_content
        self.queue = starting.queue
        self.editing = Editing(self.library, self.checkpoints, archive, clock, admission.check_content)
        self._housekeeping = Housekeeping(config, bounds, concurrency, clock, self.library, starting.queue)

    @property
    def config(self) -> StreamingConfig:
        """How sessions stream that begin from now on."""
        return self._starting.config

    @config.setter
    def config(self, config: StreamingConfig) -> None:
        self._starting.config = config

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
        ack = self.session(conversation_id).pause()
        self._archive.keep(conversation_id)
        return ack

    def resume(self, conversation_id: str) -> ControlAck:
        """See :meth:`StreamingSession.resume`."""
        return self.session(conversation_id).resume()

    def stop(self, conversation_id: str) -> StopAck:
        """See :meth:`StreamingSession.stop`."""
        ack = self.session(conversation_id).stop()
        self._archive.keep(conversation_id)
        return ack

    def provide_input(self, command: ProvideInput, by: str) -> ProvideInputAck:
        """Answer an agent that waits; see :meth:`Inputs.provide`.

        :raises ConversationUnknown, StoreUnavailable, ContentTooLarge:
        """
        if command.content is not None:
            self._admission.check_size(command.content)
        self.get(command.conversation_id)
        session = self.library.session_of(command.conversation_id)
        if session is None:
            raise InputUnknown("no agent waits for this answer")
        given = session.inputs.provide(command.request_id, command.content, command.granted, by, command.client_id)
        self._archive.keep(command.conversation_id)
        return ProvideInputAck(conversation_id=command.conversation_id, request_id=command.request_id, resolution=given)

    def decline_input(self, conversation_id: str, request_id: str, by: str) -> None:
        """See :meth:`Inputs.decline`."""
        session = self.library.session_of(conversation_id)
        if session is not None:
            session.inputs.decline(request_id, by)

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
        while not self._admission.closing:
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
            self._admission.closing = True
        error = error or Interrupted("the server was shut down")
        for session in self.sessions(running=True):
            self._concurrency.spawn(session.abort, error)
        while self.sessions(running=True) and self._clock.monotonic() < deadline:
            self._concurrency.sleep(0.01)
        for conversation in self.conversations():
            conversation.dismiss()
