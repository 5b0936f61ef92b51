"""The folded state of a conversation, as a snapshot carries it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from app.protocol.common import (
    CUT_OFF,
    MESSAGE_KINDS,
    TOOL_FAILURES,
    AgentCard,
    ContentType,
    MessageKind,
    Payload,
    Role,
    Status,
    ToolFailure,
    Usage,
)

MessageState = Literal["open", "complete", "partial"]


class MessageView(Payload):
    """One message: `open` while its deltas still come, `partial` where it broke off."""

    message_id: str
    agent: str
    role: Role = "agent"
    content: str = ""
    content_type: str = "markdown"
    kind: Annotated[MessageKind, Field(description=MESSAGE_KINDS)] = "message"
    state: MessageState = "open"
    confidence: float | None = None
    usage: Usage | None = None
    model: str | None = None
    reason: str | None = None
    truncated: bool = False
    cut_off: Annotated[bool, Field(description=CUT_OFF)] = False
    demo: bool = False
    feedback: Annotated[str | None, Field(description="what a reader thought of it: `up` or `down`")] = None
    updated_at: Annotated[str | None, Field(description="time of the last `message_updated`")] = None
    updated_by: Annotated[str | None, Field(description="who has changed its text last; null: nobody")] = None
    timestamp: str


class OutcomeView(Payload):
    """How a run that ended by itself ended."""

    consensus: str | None = None
    summary: str | None = None
    reason: str | None = None


class ErrorView(Payload):
    error: str
    code: str
    retryable: bool = False
    fallback_mode: bool = False
    recovering: bool = False


class FallbackView(Payload):
    mode: Literal["provider", "demo"]
    reason: str
    from_: Annotated[str | None, Field(alias="from")] = None
    to: str | None = None


class ProgressView(Payload):
    current_turn: int = 0
    max_turns: int | None = None
    percentage: float | None = None
    message: str | None = None


class ToolCallView(Payload):
    """A tool call: `success` is null while it runs."""

    call_id: str
    agent: str
    tool: str
    arguments: str = ""
    timestamp: Annotated[str, Field(description="when it began")] = ""
    success: bool | None = None
    code: Annotated[ToolFailure | None, Field(description=TOOL_FAILURES)] = None
    preview: str = ""
    length: Annotated[int, Field(description="characters of the whole answer")] = 0
    artifact_id: Annotated[str | None, Field(description="the whole answer, where the preview is not all of it")] = None


class ChartView(Payload):
    chart_id: str
    url: str
    symbol: str = ""
    title: str = ""
    agent: str | None = None
    timestamp: Annotated[str, Field(description="when it came")] = ""


class InputView(Payload):
    """An agent waits for a person."""

    request_id: str
    agent: str
    prompt: str = ""
    kind: Literal["text", "permission"] = "text"
    secret: Annotated[bool, Field(description="true: what is typed is not to be shown")] = False
    deadline: str | None = None


class QueuedView(Payload):
    """A message that waits until the agents have finished."""

    message_id: str
    content: str
    content_type: ContentType = ContentType.TEXT
    by: Annotated[str, Field(description="who has sent it")]
    timestamp: str


class Snapshot(Payload):
    """Everything that a page needs to draw a conversation, as it stands at (`epoch`, `offset`)."""

    conversation_id: str
    epoch: str
    offset: int
    title: str = ""
    team: str = ""
    content_type: ContentType = ContentType.TEXT
    created_at: str
    status: Status = Status.IDLE
    session_id: str | None = None
    agents: tuple[AgentCard, ...] = ()
    model: str | None = None
    demo: bool = False
    speaking: Annotated[str | None, Field(description="the agent whose turn it is")] = None
    messages: tuple[MessageView, ...] = ()
    omitted_messages: Annotated[int, Field(description="older messages that memory no longer keeps")] = 0
    progress: ProgressView = ProgressView()
    outcome: OutcomeView | None = None
    error: ErrorView | None = None
    fallback: FallbackView | None = None
    usage: Usage = Usage()
    tool_calls: Annotated[tuple[ToolCallView, ...], Field(description="the last 100")] = ()
    charts: Annotated[tuple[ChartView, ...], Field(description="the last 100")] = ()
    pending_inputs: Annotated[tuple[InputView, ...], Field(description="whom the agents wait for")] = ()
    queued: Annotated[tuple[QueuedView, ...], Field(description="messages that wait for their turn, oldest first")] = ()
