"""After a crash: what the server died under goes on, or has ended."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping

from app.errors import ColloquyError, LimitExceeded, StoreUnavailable
from app.protocol.common import Status
from app.streaming.conversation import Conversation
from app.streaming.manager import StreamingManager
from app.streaming.ports import Archive, Concurrency
from app.streaming.session_events import user_message_id

logger = logging.getLogger(__name__)

MAX_RECOVERIES = 3
"""A run goes on by itself so often; one that kills its server each time must not do so for ever."""

_RETRY_S = 1.0


class Recovery:
    """Runs once, at the start, before anybody is served; what it cannot do then, it does in the background.

    What somebody had paused does not go on by itself: it has ended as ``interrupted``, and they may continue it.

    :param resume: False: nothing goes on by itself, everything that ran has ended as ``interrupted``.
    """

    def __init__(self, manager: StreamingManager, archive: Archive, concurrency: Concurrency, *, resume: bool) -> None:
        self._manager = manager
        self._archive = archive
        self._concurrency = concurrency
        self._resume = resume
        self._over = False
        self.tried = threading.Event()
        """Set when everything was tried once."""

    def stop(self) -> None:
        """The server ends: try nothing more."""
        self._over = True

    def run(self) -> None:
        """Settle everything, at most MAX_RUNNING_SESSIONS running at once; returns when nothing is left to do."""
        todo: Mapping[str, Status] | None = None
        while not self._over:
            try:
                if todo is None:
                    todo = self._archive.unfinished()
                todo = {each: status for each, status in todo.items() if not self._settle(each, status)}
                if not todo:
                    return
            except StoreUnavailable:
                pass
            finally:
                self.tried.set()
            self._concurrency.sleep(_RETRY_S)

    def _settle(self, conversation_id: str, status: Status) -> bool:
        """False: there is no room yet."""
        manager = self._manager
        try:
            latest = manager.library.session_of(conversation_id)
            if latest is not None:  # it was begun in this process, or somebody was quicker
                return True
            conversation = manager.get(conversation_id)  # which ends what it died under
            if not self._resume or status is Status.PAUSED or not self._may_go_on(conversation_id):
                return True
            session = manager.continue_stream(conversation_id, recovering=True)
            if session.open_room():
                # before anything of it is tried: the next start has to know that it was
                self._archive.write(conversation_id)
                self._concurrency.spawn(manager.launch, session)
            logger.info("conversation %s goes on where the server died (%d)", conversation.id, conversation.recoveries)
        except LimitExceeded:
            return False
        except StoreUnavailable:
            raise
        except ColloquyError as error:
            logger.warning("conversation %s does not go on: %s", conversation_id, error.message)
        except Exception:
            logger.exception("conversation %s does not go on", conversation_id)
        return True

    def _may_go_on(self, conversation_id: str) -> bool:
        conversation = self._manager.get(conversation_id)
        if conversation.recoveries >= MAX_RECOVERIES:
            logger.warning("conversation %s has gone on by itself %d times: no more", conversation_id, MAX_RECOVERIES)
            return False
        found = self._manager.checkpoints.unfinished_business(conversation, conversation.fold.team)
        return found is not None or conversation.read(lambda: _hardly_begun(conversation))


def _hardly_begun(conversation: Conversation) -> bool:
    """Whether nobody has said or done anything since the words that the run begins with: it may as well begin again."""
    snapshot = conversation.fold.snapshot()
    newest = snapshot.messages[-1] if snapshot.messages else None
    if newest is None or newest.message_id != user_message_id(snapshot.session_id or ""):
        return False
    return all(call.timestamp < newest.timestamp for call in snapshot.tool_calls)
