"""What a session's run has said so far, to resume it elsewhere when its runner dies."""

from __future__ import annotations

from collections import deque
from typing import Any

from app.protocol.common import Usage
from app.protocol.events import AgentMessage, ConversationComplete, MessageDelta, MessageReset, MessageStart
from app.runner.wire import BEGINS_AGAIN, StartRun, TranscriptMessage

_MAX_TRANSCRIPT = 500  # finished messages that a run is resumed with …
_MAX_TRANSCRIPT_CHARS = 8_000_000  # … and their text; the last one always


class RunHistory:
    """Follows the events of a run as they come. Belongs to its session.

    ``spent``: what its finished messages have. ``open_messages``: message id → agent of what was begun and not
    finished. ``outcome``: what the run has spent, once it has said that it is complete.
    """

    def __init__(self, checkpoint: dict[str, Any] | None = None) -> None:
        self.checkpoint = checkpoint
        self.open_messages: dict[str, str] = {}
        self.outcome: Usage | None = None
        self.spent = Usage()
        self.longest_open = 0  # characters of the longest open message
        self._lengths: dict[str, int] = {}
        self._finished: deque[tuple[str, TranscriptMessage]] = deque()  # with their messages' ids
        self._finished_chars = 0
        self._since: dict[str, str] = {}  # like ``open_messages``: whole ones of which the checkpoint knows nothing

    def note(self, name: str, payload: dict[str, Any]) -> None:
        """Take one event, before it is buffered."""
        if name == MessageDelta.name:
            message_id, delta = payload.get("message_id", ""), payload.get("delta", "")  # the log refuses broken ones
            length = self._lengths[message_id] = self._lengths.get(message_id, 0) + len(delta)
            self.longest_open = max(self.longest_open, length)
        elif name == MessageStart.name:
            self.open_messages[payload["message_id"]] = payload["agent"]
        elif name == MessageReset.name:
            self._forget(payload["message_id"])
        elif name == AgentMessage.name:
            self._close(payload["message_id"])
            self._since[payload["message_id"]] = payload["agent"]
            if payload.get("usage"):
                self.spent += Usage(**payload["usage"])
            if payload["kind"] == "message":  # the team keeps its plans and thoughts in its own state
                said = TranscriptMessage(agent=payload["agent"], role=payload["role"], content=payload["content"])
                self._add(payload["message_id"], said)
        elif name == ConversationComplete.name:
            self.outcome = Usage(**payload["usage"])

    def keep(self, checkpoint: dict[str, Any]) -> None:
        """The run's state after all that was noted; an empty one was too large to be kept."""
        self.checkpoint = checkpoint if checkpoint != BEGINS_AGAIN else None
        self._since.clear()

    def withdrawn(self) -> list[tuple[str, str]]:
        """The messages, with their agents, that the next run says again: what was begun, and what the checkpoint from
        which it goes on does not know.
        """
        again = self._since if self.checkpoint else {}
        return [*again.items(), *self.open_messages.items()]

    def _add(self, message_id: str, said: TranscriptMessage) -> None:
        self._finished.append((message_id, said))
        self._finished_chars += len(said.content)
        while len(self._finished) > _MAX_TRANSCRIPT or (
            self._finished_chars > _MAX_TRANSCRIPT_CHARS and len(self._finished) > 1
        ):
            self._finished_chars -= len(self._finished.popleft()[1].content)

    def _forget(self, message_id: str) -> None:
        self._close(message_id)
        if self._since.pop(message_id, None) is not None:
            self._finished = deque(each for each in self._finished if each[0] != message_id)
            self._finished_chars = sum(len(said.content) for _, said in self._finished)

    def _close(self, message_id: str) -> None:
        self.open_messages.pop(message_id, None)
        self._lengths.pop(message_id, None)
        self.longest_open = max(self._lengths.values(), default=0)

    def resume(self, run: StartRun, allowed: int) -> StartRun:
        """The order that makes another runner go on: from the last checkpoint, or from the transcript so far."""
        finished = tuple(said for _, said in self._finished)
        self._finished.clear()
        self._finished_chars = 0
        said = [] if run.resumed else [TranscriptMessage(agent="user", role="user", content=run.content)]
        return run.model_copy(
            update={
                "checkpoint": self.checkpoint,
                "transcript": (*run.transcript, *said, *finished),
                "resumed": True,
                "continued": False,
                "allowed": allowed,
            }
        )
