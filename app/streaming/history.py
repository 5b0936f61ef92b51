"""What a session's run has said so far, to resume it elsewhere when its runner dies."""

from __future__ import annotations

from collections import deque
from typing import Any

from app.protocol.common import Usage
from app.protocol.events import AgentMessage, ConversationComplete, MessageDelta, MessageReset, MessageStart
from app.runner.wire import StartRun, TranscriptMessage

_MAX_TRANSCRIPT = 500  # finished messages that a run is resumed with


class RunHistory:
    """Follows the events of a run as they come. Belongs to its session.

    ``open_messages``: message id → agent of what was begun and not finished. ``outcome``: what the run has spent, once
    it has said that it is complete.
    """

    def __init__(self, checkpoint: dict[str, Any] | None) -> None:
        self.checkpoint = checkpoint
        self.open_messages: dict[str, str] = {}
        self.outcome: Usage | None = None
        self.longest_open = 0  # characters of the longest open message
        self._lengths: dict[str, int] = {}
        self._finished: deque[TranscriptMessage] = deque(maxlen=_MAX_TRANSCRIPT)

    def note(self, name: str, payload: dict[str, Any]) -> None:
        """Take one event, before it is buffered."""
        if name == MessageDelta.name:
            message_id, delta = payload.get("message_id", ""), payload.get("delta", "")  # the log refuses broken ones
            length = self._lengths[message_id] = self._lengths.get(message_id, 0) + len(delta)
            self.longest_open = max(self.longest_open, length)
        elif name == MessageStart.name:
            self.open_messages[payload["message_id"]] = payload["agent"]
        elif name == MessageReset.name:
            self._close(payload["message_id"])
        elif name == AgentMessage.name:
            self._close(payload["message_id"])
            said = TranscriptMessage(agent=payload["agent"], role=payload["role"], content=payload["content"])
            self._finished.append(said)
        elif name == ConversationComplete.name:
            self.outcome = Usage(**payload["usage"])

    def _close(self, message_id: str) -> None:
        self.open_messages.pop(message_id, None)
        self._lengths.pop(message_id, None)
        self.longest_open = max(self._lengths.values(), default=0)

    def resume(self, run: StartRun, allowed: int) -> StartRun:
        """The order that makes another runner go on: from the last checkpoint, or from the transcript so far."""
        finished = tuple(self._finished)
        self._finished.clear()
        said = [] if run.resumed else [TranscriptMessage(agent="user", role="user", content=run.content)]
        return run.model_copy(
            update={
                "checkpoint": self.checkpoint,
                "transcript": (*run.transcript, *said, *finished),
                "resumed": True,
                "allowed": allowed,
            }
        )
