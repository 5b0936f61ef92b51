"""The events that a session says itself; everything else comes from its run."""

from __future__ import annotations

from collections.abc import Sequence

from app.errors import Interrupted, RunnerLost
from app.protocol.common import Status
from app.protocol.events import (
    AgentMessage,
    ConversationError,
    ConversationStatus,
    InputResolved,
    MessageUpdated,
    StillWorking,
)
from app.protocol.snapshot import InputView, MessageView
from app.runner.wire import StartRun
from app.streaming.feed import Ending
from app.streaming.fold import ConversationFold


def status_event(run: StartRun, status: Status, ending: Ending | None = None) -> ConversationStatus:
    """The session of this run is in that state now."""
    error = ending.error if ending else None
    return ConversationStatus(
        status=status,
        session_id=run.session,
        team=run.team.name,
        agents=run.team.agents if status is Status.INITIALIZING else (),
        code=error.error_code if error else None,
        reason=error.message if error else ending.reason if ending else None,
        usage=ending.usage if ending else None,
    )


def user_message_id(session_id: str) -> str:
    """The id of the message that a session begins with."""
    return f"{session_id}-user"


def session_of(message_id: str) -> str:
    """The session that begins with the message of this id."""
    return message_id.removesuffix("-user")


def user_message(run: StartRun) -> AgentMessage:
    """What the user has said to begin this run."""
    return AgentMessage(
        message_id=user_message_id(run.session),
        agent="user",
        role="user",
        content=run.content,
        content_type="text" if run.content_type == "text" else str(run.content_type),
    )


def runner_died(*, in_the_middle: bool) -> ConversationError:
    """The run's process is gone, and the run is resumed in another one.

    :param in_the_middle: there is a checkpoint; else the team begins again with what was said.
    """
    return ConversationError(
        error=f"The agent process died. The conversation {_how(in_the_middle)}.",
        code=RunnerLost.code,
        retryable=True,
        recovering=True,
    )


def goes_on_after_crash(*, in_the_middle: bool) -> ConversationError:
    """The server has died under the run, and is here again."""
    return ConversationError(
        error=f"The server ended in the middle. The conversation {_how(in_the_middle)}.",
        code=Interrupted.code,
        retryable=True,
        recovering=True,
    )


def _how(in_the_middle: bool) -> str:
    return "goes on from its last finished turn" if in_the_middle else "begins again with what was said"


def no_longer_asked(request: InputView) -> InputResolved:
    """The run that asked is no more."""
    return InputResolved(request_id=request.request_id, resolution="cancelled")


def broken_off(message: MessageView, why: str) -> AgentMessage:
    """An open message will not be finished: its text so far is kept."""
    return AgentMessage(
        message_id=message.message_id, agent=message.agent, content=message.content, partial=True, reason=why
    )


def said_again(message: MessageView) -> MessageUpdated:
    """The turn of this message broke off behind it, and is repeated: the message does not count any more."""
    changes = {"state": "partial", "reason": "turn_repeated"}
    return MessageUpdated(message_id=message.message_id, agent=message.agent, changes=changes)


def still_working(
    conversation_id: str, fold: ConversationFold, silent_s: float, waiting_for: Sequence[str] = ()
) -> StillWorking:
    """A silent team is not a hung one.

    :param waiting_for: the agents that wait for a person.
    """
    progress, tool = fold.progress, fold.running_tool
    writers = [message.agent for message in fold.open_messages() if message.kind == "message"]
    waits = _they(waiting_for, "waits for an answer", "wait for an answer")
    calls = f"{tool.agent} waits for {tool.tool}" if tool is not None else None
    writes = _they(writers, "is writing", "are writing")
    return StillWorking(
        conversation_id=conversation_id,
        **progress.model_dump(exclude={"message"}),
        message=waits or calls or writes or progress.message or "still working",
        silent_s=round(silent_s, 1),
    )


def _they(agents: Sequence[str], does: str, do: str) -> str | None:
    """What some agents do; None: there are none."""
    names = list(dict.fromkeys(agents))
    return f"{' and '.join(names)} {does if len(names) == 1 else do}" if names else None
