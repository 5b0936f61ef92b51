"""What has to be done from time to time: timeouts, heartbeats, presence, and the release of what nobody needs."""

from __future__ import annotations

import logging

from app.errors import SessionTimeout
from app.protocol.common import Status
from app.streaming.bounds import Bounds
from app.streaming.config import StreamingConfig
from app.streaming.conversation import Conversation
from app.streaming.library import Library
from app.streaming.message_queue import MessageQueue
from app.streaming.ports import Clock, Concurrency
from app.streaming.session import StreamingSession
from app.streaming.states import RUNNING

logger = logging.getLogger(__name__)


class Housekeeping:
    """Looks after all conversations and sessions in memory. Belongs to one background task."""

    def __init__(
        self,
        config: StreamingConfig,
        bounds: Bounds,
        concurrency: Concurrency,
        clock: Clock,
        library: Library,
        queue: MessageQueue,
    ) -> None:
        self._config = config
        self._bounds = bounds
        self._concurrency = concurrency
        self._clock = clock
        self._library = library
        self._queue = queue
        self._last_heartbeat = clock.monotonic()

    def tick(self) -> None:
        """One round: timeouts, heartbeats, presence, and the release of what nobody needs."""
        now = self._clock.monotonic()
        beat = now - self._last_heartbeat >= self._config.heartbeat_s
        if beat:
            self._last_heartbeat = now
        for conversation in self._library.conversations():
            session = self._library.session_of(conversation.id)
            try:
                if session is not None and not session.ended:
                    self._look_after(session, now)
                else:
                    self._queue.look(conversation, now)
                self._keep_house(conversation, session, now, beat)
            except Exception:  # the next one needs it, too
                logger.exception("housekeeping of conversation %s failed", conversation.id)
        self._bound_logs()

    def _bound_logs(self) -> None:
        """Drop whole logs while all together are too large; their readers get a snapshot where they lack something."""
        conversations = self._library.conversations()
        surplus = sum(each.log.size_bytes for each in conversations) - self._bounds.max_total_log_bytes
        if surplus <= 0:
            return
        for each in sorted(
            conversations, key=lambda each: (each.status in RUNNING, each.watchers > 0, each.log.offset)
        ):
            surplus -= each.log.size_bytes
            each.release()
            if surplus <= 0:
                return

    def _look_after(self, session: StreamingSession, now: float) -> None:
        paused = session.status is Status.PAUSED
        limit = self._bounds.pause_timeout_s if paused else self._config.session_timeout_s
        session.inputs.look(now)
        a_person_is_silent = bool(session.inputs.waiting_for) and not paused
        if now - session.last_event_at > limit and not a_person_is_silent:
            timeout = SessionTimeout(f"nothing has happened for {limit:g} seconds")
            session.touch()
            self._concurrency.spawn(session.abort, timeout)
        else:
            session.say_still_working(now)
            self._mind_absence(session, now)

    def _mind_absence(self, session: StreamingSession, now: float) -> None:
        """What the team's rule says of a run that nobody watches; without a rule it goes on."""
        rule, conversation = session.run_request.team.on_abandoned, session.conversation
        if rule is None:
            return
        if conversation.watchers:
            if session.paused_for_absence:
                self._concurrency.spawn(session.return_from_absence)
        elif now - max(conversation.unwatched_since, session.started_at) > rule.after_s:
            self._concurrency.spawn(session.abandon, rule)

    def _keep_house(self, conversation: Conversation, session: StreamingSession | None, now: float, beat: bool) -> None:
        conversation.look_after_readers(now)
        conversation.announce_presence()
        if conversation.watchers:
            if beat:
                conversation.announce_heartbeat()
            return
        last_at = max(conversation.unwatched_since, conversation.asked_at, session.last_event_at if session else 0.0)
        if (session is None or session.ended) and now - last_at > self._bounds.conversation_linger_s:
            self._library.let_go(conversation)
