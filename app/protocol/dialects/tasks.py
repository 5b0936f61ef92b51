"""``/ws/stream``: a task is given in a chat message; its steps, tools, progress and result come back.

Commands are ``{"type": name, "payload": {…}}``, events flat objects with ``type``. Beside their own fields all events
carry ``timestamp``, and those of a task ``conversation_id``, ``epoch`` and ``offset``: the position to come back with.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StrictBool

from app.protocol import commands, events
from app.protocol.common import TOOL_FAILURES, ANumber, ContentType, Payload, RetryAfter, ToolFailure


class TaskCommand(Payload):
    """What a client sends, under ``payload``."""

    name: ClassVar[str]


class Chat(TaskCommand):
    """Give a task; after the end of one, the next turn of the same conversation. While agents talk it waits for its
    turn (`message_queued`); a task for another team is refused then.
    """

    name = "chat"
    message: Annotated[str, Field(description="the task; bounded by MAX_CONTENT_BYTES")]
    content_type: ContentType = ContentType.TEXT
    team: Annotated[str | None, Field(min_length=1, max_length=100, description="default: the server's own")] = None


class UnqueueMessage(TaskCommand):
    """Take back a task that waits (`message_queued`): its author may, and the conversation's owner."""

    name = commands.UnqueueMessage.name
    message_id: Annotated[str, Field(min_length=1, max_length=64)]


class Cancel(TaskCommand):
    """End the task. Losing the connection does not."""

    name = "cancel"


class TaskPing(TaskCommand):
    """Is answered with `pong`."""

    name = "ping"


class Resume(TaskCommand):
    """Follow a task that goes on, from a position on; as the query parameters of the same names."""

    name = "resume"
    conversation_id: Annotated[str, Field(min_length=1, max_length=64)]
    epoch: Annotated[str | None, Field(min_length=1, max_length=64)] = None
    offset: Annotated[int | None, Field(ge=0), ANumber] = None


class ProvideInput(TaskCommand):
    """Answer an agent that waits (`input_request`): `content` to a text, `granted` to a permission."""

    name = commands.ProvideInput.name
    request_id: Annotated[str, Field(min_length=1, max_length=64)]
    content: Annotated[str | None, Field(repr=False, description="may be empty; bounded by MAX_CONTENT_BYTES")] = None
    granted: Annotated[StrictBool | None, Field(description="or yes or no as the `content`")] = None


class Authenticate(TaskCommand):
    """Bring a fresh token of the same person: the connection goes on with it, and is told `authenticated`."""

    name = commands.Authenticate.name
    token: commands.Token


TASK_COMMANDS: tuple[type[TaskCommand], ...] = (
    Chat,
    UnqueueMessage,
    Cancel,
    ProvideInput,
    TaskPing,
    Resume,
    Authenticate,
)

TaskStatus = Literal["initializing", "processing", "paused", "completed", "cancelled", "error"]


class TaskEvent(Payload):
    """One event of a task. ``type`` is its name on the wire."""

    type: ClassVar[str]

    def to_wire(self) -> dict[str, Any]:
        return {"type": self.type, **self.model_dump(mode="json")}


class TaskStatusEvent(TaskEvent):
    """initializing → processing → … → completed, or cancelled, or error."""

    type = "status"
    status: TaskStatus
    message: Annotated[str, Field(description="a sentence for a person")]


class TaskStep(TaskEvent):
    """An agent begins its turn."""

    type = "agent_step"
    agent: str
    emoji: str = ""


class TaskToolCall(TaskEvent):
    type = "tool_call"
    agent: str
    tool: str
    arguments: Annotated[str, Field(description="JSON, as the model wrote it")] = ""
    call_id: str


class TaskToolResult(TaskEvent):
    type = "tool_result"
    agent: str
    tool: str
    success: bool
    code: Annotated[ToolFailure | None, Field(description=TOOL_FAILURES)] = None
    preview: str = ""
    call_id: str


class TaskQueued(TaskEvent):
    """A task was given while agents talk: it begins (`status` initializing) when its turn comes."""

    type = events.MessageQueued.name
    message_id: str
    content: str
    by: Annotated[str, Field(description="who has sent it")]


class TaskUnqueued(TaskEvent):
    """A task that waited was taken back."""

    type = events.MessageUnqueued.name
    message_id: str
    by: Annotated[str, Field(description="who has taken it back")]


class TaskInputRequest(TaskEvent):
    """An agent waits for a person: for a text, or for a yes or no (`permission`)."""

    type = events.InputRequest.name
    request_id: str
    agent: str
    prompt: str
    kind: Literal["text", "permission"]
    secret: bool
    deadline: str | None


class TaskInputResolved(TaskEvent):
    """The agent no longer waits. It is no answer to `provide_input` alone: somebody else may have been quicker."""

    type = events.InputResolved.name
    request_id: str
    resolution: Literal["answered", "granted", "denied", "timeout", "cancelled"]
    by: str | None


class TaskProgress(TaskEvent):
    """How far the task has come. With ``message`` what goes on, with ``silent_s`` of a team that has been silent."""

    type = "progress"
    current_turn: int
    max_turns: int | None = None
    percentage: Annotated[float | None, Field(description="0 to 100, two decimals")] = None
    message: Annotated[str | None, Field(description="only where there is something to say")] = None
    silent_s: Annotated[float | None, Field(description="only while nothing comes: for how long")] = None

    def to_wire(self) -> dict[str, Any]:
        wire = super().to_wire()
        return {name: value for name, value in wire.items() if value is not None or name not in ("message", "silent_s")}


class TaskResult(TaskEvent):
    """What came of it."""

    type = "result"
    content: str
    format: Literal["markdown"] = "markdown"


class TaskChart(TaskEvent):
    type = "chart_generated"
    chart_id: str
    url: str
    symbol: str = ""


class TaskError(TaskEvent):
    """Something failed; `recoverable`: the task goes on, or the same again may succeed."""

    type = "error"
    message: str
    details: Annotated[str, Field(description="the error's stable code")] = ""
    recoverable: bool = False
    retry_after_s: RetryAfter = None


class Pong(TaskEvent):
    type = "pong"


class Authenticated(TaskEvent):
    """The fresh token was taken."""

    type = "authenticated"
    user: str
    expires_at: Annotated[str | None, Field(description="UTC, ISO 8601; null: it does not end by itself")] = None


class IdlePing(TaskEvent):
    """The client has said nothing for IDLE_PING_S. A ping of the WebSocket goes beside it; that must be answered."""

    type = "ping"


TASK_EVENTS: tuple[type[TaskEvent], ...] = (
    TaskStatusEvent,
    TaskStep,
    TaskToolCall,
    TaskToolResult,
    TaskInputRequest,
    TaskInputResolved,
    TaskQueued,
    TaskUnqueued,
    TaskProgress,
    TaskResult,
    TaskChart,
    TaskError,
    Pong,
    Authenticated,
    IdlePing,
)
