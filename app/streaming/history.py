"""What a session's run has said so far, to resume it elsewhere when its runner dies."""

from __future__ import annotations

from typing import Any

from app.protocol.common import Usage
from app.protocol.events import AgentMessage, ConversationComplete, MessageReset, MessageStart
from app.runner.wire import StartRun, TranscriptMessage


class RunHistory:
    """Follows the events of a run as they come. Belongs to its session.

    ``open_messages``: message id → agent of what was begun and not finished. ``outcome``: what the run has spent, once
    it has said that it is complete.
    """

    def __init__(self, checkpoint: dict[str, Any] | None) -> None:
        self.checkpoint = checkpoint
        self.open_messages: dict[str, str] = {}
        self.outcome: Usage | None = None
        self._finished: list[TranscriptMessage] = []

    def note(self, name: str, payload: dict[str, Any]) -> None:
        """Take one event, before it is buffered."""
        if name == MessageStart.name:
            self.open_messages[payload["message_id"]] = payload["agent"]
        elif name == MessageReset.name:
            self.open_messages.pop(payload["message_id"], None)
        elif name == AgentMessage.name:
            self.open_messages.pop(payload["message_id"], None)
            said = TranscriptMessage(agent=payload["agent"], role=payload["role"], content=payload["content"])
            self._finished.append(said)
        elif name == ConversationComplete.name:
            self.outcome = Usage(**payload["usage"])

    def resume(self, run: StartRun, allowed: int) -> StartRun:
        """The order that makes another runner go on: from the last checkpoint, or from the transcript so far."""
        finished, self._finished = self._finished, []
        said = [] if run.resumed else [TranscriptMessage(agent="user", role="user", content=run.content)]
        return run.model_copy(
            update={
                "checkpoint": self.checkpoint,
                "transcript": (*run.transcript, *said, *finished),
                "resumed": True,
                "allowed": allowed,
            }
        )
