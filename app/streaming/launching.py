"""Starts the runs of sessions whose room is open: with the models, the past and the budget they may have."""

from __future__ import annotations

import logging
from typing import Any

from app.errors import RunError, StoreUnavailable
from app.runner.wire import TranscriptMessage
from app.streaming.admission import Admission
from app.streaming.checkpoints import Checkpoints
from app.streaming.ports import Models
from app.streaming.session import StreamingSession
from app.streaming.session_events import user_message

logger = logging.getLogger(__name__)


class Launching:
    """Completes a session's run request at the last moment, and starts it. Safe to use from several threads."""

    def __init__(self, models: Models, checkpoints: Checkpoints, admission: Admission) -> None:
        self._models = models
        self._checkpoints = checkpoints
        self._admission = admission

    def launch(self, session: StreamingSession) -> None:
        """Start the run of a session whose room is open. Waits for models and store."""
        try:
            providers = self._models.providers()
            spending = self._admission.meter(session) if providers else None
            known = {
                "providers": providers,
                "demo": not providers and not session.run_request.team.isolated,
                "max_tokens": self._admission.most_tokens(session),
                "metered": spending is not None,
                **self._past(session),
            }
            session.launch(session.run_request.model_copy(update=known), spending)
        except StoreUnavailable as error:
            session.abort(error)
        except Exception:
            logger.exception("session %s did not start", session.id)
            session.abort(RunError("the run could not be started; the server's log says why"))

    def _past(self, session: StreamingSession) -> dict[str, Any]:
        """What its team knows of the conversation so far. May ask the store."""
        conversation, run = session.conversation, session.run_request
        if run.resumed:
            found = self._checkpoints.unfinished_business(conversation, run.team.name)
        else:
            found = self._checkpoints.find(conversation, run.team.name)
        own = None if run.resumed else user_message(run).message_id
        said = tuple(
            TranscriptMessage(agent=view.agent, role=view.role, content=view.content)
            for view in conversation.read(conversation.fold.messages)
            # what a run that goes on has left unfinished is said anew
            if view.kind == "message" and view.message_id != own and not (run.resumed and view.state != "complete")
        )
        return {"checkpoint": found.state if found and found.in_the_middle else None, "transcript": said}
