"""What one session writes into its conversation's log: its statuses, the events of its run, its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from app.protocol.common import Status
from app.protocol.events import ConversationComplete, ConversationError, ConversationStatus, Event
from app.runner.wire import StartRun
from app.streaming.conversation import Conversation
from app.streaming.feed import Ending, Frame
from app.streaming.session_events import broken_off, status_event, user_message


class Narration:
    """Used by the session's consumer, and by its commands, which are carried out one after the other.

    :param request: the run's present order.
    :ivar complete: the room has heard `conversation_complete`.
    """

    def __init__(self, conversation: Conversation, request: Callable[[], StartRun]) -> None:
        self._conversation = conversation
        self._request = request
        self.complete = False

    def begin(self, openings: Sequence[Event]) -> None:
        """`initializing`, and the user's words.

        :param openings: what the room is told in their place, where a run goes on.
        """
        self._conversation.open_session(self._status(Status.INITIALIZING))
        for opening in openings:
            self._conversation.append_event(opening, demo=False)
        if not self._request().resumed:
            self._conversation.append_event(user_message(self._request()), demo=False)

    def move_to(self, status: Status, ending: Ending | None = None) -> None:
        """Another status.

        :raises InvalidState: it cannot be reached from the present one.
        """
        self._conversation.move_to(status, self._status(status, ending))

    def tell(self, frames: Sequence[Frame]) -> None:
        """Events of the run; one that speaks is active, whether it said so or not."""
        self.complete = self.complete or any(name == ConversationComplete.name for name, _, _ in frames)
        if self._conversation.status is Status.INITIALIZING and frames:
            name, payload, _ = frames[0]
            if name == ConversationStatus.name:
                self._conversation.move_to(Status.ACTIVE, ConversationStatus.model_validate(payload))
                frames = frames[1:]
            else:
                self.move_to(Status.ACTIVE)
        kept = [frame for frame in frames if frame[0] != ConversationStatus.name or self._tells_the_model(frame[1])]
        if kept:
            self._conversation.append(kept)

    def end(self, ending: Ending) -> None:
        """What broke off, the error, and the terminal status."""
        conversation, error = self._conversation, ending.error
        why = error.error_code if error else str(ending.status)
        for message in conversation.fold.open_messages():
            conversation.append_event(broken_off(message, why))
        if error is not None and not ending.said:
            conversation.append_event(
                ConversationError(error=error.message, code=error.error_code, retryable=error.retryable)
            )
        if ending.status is Status.COMPLETED and conversation.status is not Status.ACTIVE:
            self.move_to(Status.ACTIVE)
        self.move_to(ending.status, ending)

    def _tells_the_model(self, payload: dict[str, Any]) -> bool:
        return bool(payload.get("model")) and payload["status"] == self._conversation.status

    def _status(self, status: Status, ending: Ending | None = None) -> ConversationStatus:
        return status_event(self._request(), status, ending)
