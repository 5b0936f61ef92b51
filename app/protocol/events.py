"""Every event that the server sends, with its payload.

A *logged* event is appended to the conversation's log and carries the envelope
``{conversation_id, epoch, prev_offset, offset, timestamp, demo}`` beside its own fields; a *transient* one is not kept,
has no offset, and carries ``timestamp`` (and ``conversation_id`` where it concerns one conversation).
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

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


class Event(Payload):
    """One server event. ``name`` is its Socket.IO name; ``logged`` says whether the log keeps it."""

    name: ClassVar[str]
    logged: ClassVar[bool] = True

    def to_wire(self) -> dict[str, Any]:
        """The payload's own fields as JSON-ready values, without the envelope."""
        return self.model_dump(mode="json", by_alias=True)


class BatchEntry(Payload):
    """One event of a `batch`."""

    name: Annotated[str, Field(description="the event's name")]
    payload: Annotated[dict[str, Any], Field(description="the event's payload, with its envelope")]


class Envelope(Payload):
    """What every logged event carries beside its own fields."""

    conversation_id: Annotated[str, Field(description="the conversation, whose room this event was sent to")]
    epoch: Annotated[str, Field(description="identity of the log; offsets compare only within one epoch")]
    prev_offset: Annotated[int, Field(description="this event covers everything after this offset …")]
    offset: Annotated[int, Field(description="… up to and including this one")]
    timestamp: Annotated[str, Field(description="UTC, ISO 8601, with milliseconds")]
    demo: Annotated[bool, Field(description="true: no model spoke, this is a prepared script")]


# --- logged -----------------------------------------------------------------------------------------------------------


class ConversationStatus(Event):
    """The conversation's state changed."""

    name = "conversation_status"
    status: Status
    session_id: str
    team: str
    agents: tuple[AgentCard, ...] = ()
    model: Annotated[str | None, Field(description="label of the model that answers, once known")] = None
    code: Annotated[str | None, Field(description="with status `error`: the error's stable code")] = None
    reason: Annotated[str | None, Field(description="a sentence for a person")] = None
    usage: Annotated[Usage | None, Field(description="with a terminal status: tokens spent in this session")] = None


class AgentStep(Event):
    """An agent begins its turn."""

    name = "agent_step"
    agent: str
    emoji: str = ""
    turn: Annotated[int, Field(ge=1)]
    max_turns: int | None = None


class MessageStart(Event):
    """A message begins; its deltas follow."""

    name = "message_start"
    message_id: str
    agent: str
    role: Role = "agent"
    kind: Annotated[MessageKind, Field(description=MESSAGE_KINDS)] = "message"


class MessageDelta(Event):
    """The next piece of an open message: `delta` is appended to its text."""

    name = "message_delta"
    message_id: str
    agent: str
    delta: str
    tokens: Annotated[int, Field(ge=1, description="model deltas merged into this piece")] = 1


class AgentMessage(Event):
    """A whole message. It replaces the text of the message of the same id, if one is open."""

    name = "agent_message"
    message_id: str
    agent: str
    content: str
    role: Role = "agent"
    content_type: str = "markdown"
    kind: Annotated[MessageKind, Field(description=MESSAGE_KINDS)] = "message"
    confidence: Annotated[float | None, Field(ge=0, le=1, description="only where the agent stated one")] = None
    usage: Usage | None = None
    model: str | None = None
    partial: Annotated[bool, Field(description="the message broke off")] = False
    reason: Annotated[str | None, Field(description="why it broke off")] = None
    truncated: Annotated[bool, Field(description="what the model read was condensed to its context")] = False
    cut_off: Annotated[bool, Field(description=CUT_OFF)] = False


class MessageReset(Event):
    """The open message's text is withdrawn: forget it. The agent begins again, perhaps under another message id."""

    name = "message_reset"
    message_id: str
    agent: str
    reason: str


class Progress(Event):
    """How far the run has come. Also sent as a transient event while a team is silent (then without offset)."""

    name = "progress"
    current_turn: int
    max_turns: int | None = None
    percentage: float | None = None
    message: str | None = None


class ConversationComplete(Event):
    """The run ended by itself. `consensus` and `summary` are null, with a `reason`, where no model made them."""

    name = "conversation_complete"
    consensus: str | None = None
    summary: str | None = None
    reason: str | None = None
    usage: Usage = Usage()


class ConversationError(Event):
    """Something failed. With `fallback_mode` or `recovering` true the conversation goes on; else it ends as `error`."""

    name = "conversation_error"
    error: Annotated[str, Field(description="a sentence for a person")]
    code: str
    retryable: bool = False
    fallback_mode: Annotated[bool, Field(description="a prepared demo goes on in the model's place")] = False
    recovering: Annotated[bool, Field(description="the run is resumed: from its last turn, or with what was said")] = (
        False
    )


class FallbackMode(Event):
    """Somebody else answers from here on: another provider, or a prepared demo."""

    name = "fallback_mode"
    mode: Literal["provider", "demo"]
    reason: str
    from_: Annotated[str | None, Field(alias="from")] = None
    to: str | None = None


class MessageUpdated(Event):
    """A message has changed: `changes` holds the changed fields of its [MessageView](#messageview), and no others."""

    name = "message_updated"
    message_id: str
    agent: str
    changes: Annotated[dict[str, Any], Field(description="field name → new value")]
    updated_by: Annotated[str | None, Field(description="who changed it; null: the run itself")] = None


class ToolCall(Event):
    """An agent calls a tool."""

    name = "tool_call"
    call_id: str
    agent: str
    tool: str
    arguments: Annotated[str, Field(description="JSON, as the model wrote it; cut at 4,000 characters")] = ""


class ToolResult(Event):
    """A tool has answered."""

    name = "tool_result"
    call_id: str
    agent: str
    tool: str
    success: bool
    code: Annotated[ToolFailure | None, Field(description=TOOL_FAILURES)] = None
    preview: Annotated[str, Field(description="the beginning of the answer, at most 1,000 characters")] = ""
    length: Annotated[int, Field(ge=0, description="characters of the whole answer")] = 0
    artifact_id: Annotated[
        str | None, Field(description="the whole answer, where the preview is not all of it: see the artifacts route")
    ] = None


class ChartGenerated(Event):
    """A chart can be shown."""

    name = "chart_generated"
    chart_id: str
    url: Annotated[str, Field(description="where its data lies, on this server")]
    symbol: str = ""
    title: str = ""
    agent: str | None = None


class InputRequest(Event):
    """An agent waits for a person: for a text, or for a yes or no to what it is about to do (`permission`).

    The same `request_id` again: with a new deadline, after a pause.
    """

    name = "input_request"
    request_id: str
    agent: str
    prompt: str = ""
    kind: Literal["text", "permission"] = "text"
    secret: Annotated[bool, Field(description="true: what is typed is not to be shown")] = False
    deadline: Annotated[str | None, Field(description="UTC, ISO 8601; after it the run goes on without")] = None


class InputResolved(Event):
    """The agent no longer waits. What was answered becomes a message where the team says it: no other is made of it."""

    name = "input_resolved"
    request_id: str
    resolution: Literal["answered", "granted", "denied", "timeout", "cancelled"]
    by: Annotated[str | None, Field(description="who answered")] = None
    content: Annotated[str | None, Field(description="the answer; null: there is none, or it is a secret")] = None


class MessageQueued(Event):
    """Somebody has sent a message while agents talk: it waits, and is said (under its id) when its turn comes."""

    name = "message_queued"
    message_id: str
    content: str
    content_type: ContentType = ContentType.TEXT
    by: Annotated[str, Field(description="who has sent it")]


class MessageUnqueued(Event):
    """A message that waited was taken back."""

    name = "message_unqueued"
    message_id: str
    by: Annotated[str, Field(description="who has taken it back")]


class ConversationUpdated(Event):
    """The conversation itself was changed by somebody: `changes` holds the changed fields of its snapshot."""

    name = "conversation_updated"
    changes: Annotated[dict[str, Any], Field(description="field name → new value; so far `title`")]
    updated_by: Annotated[str | None, Field(description="who changed it")] = None


class FrameworkEvent(Event):
    """What the agents' framework has told, in its own words: for doors that speak its dialect."""

    name = "framework_event"
    framework: Annotated[str, Field(description="whose words: `autogen` (classic AG2)")]
    event: Annotated[dict[str, Any], Field(description="as the framework serialises it; long texts are cut")]
    said: Annotated[
        bool, Field(description="its `content.content` is left out: it is that of the `agent_message` before it")
    ] = False


# --- transient --------------------------------------------------------------------------------------------------------


class Transient(Event):
    logged = False


class Connected(Transient):
    """The first event on a connection."""

    name = "connected"
    sid: str
    protocol: int
    server: str
    user: Annotated[str, Field(description="your id; empty for who only holds a link")]
    user_name: Annotated[str, Field(alias="name", description="your name, for people to read")] = ""
    kind: Annotated[Literal["guest", "user", "token", "jwt", "link"], Field(description="how you were recognised")] = (
        "guest"
    )
    expires_at: Annotated[str | None, Field(description="when your sign-in ends; null: not by itself")] = None
    heartbeat_s: float


class StillWorking(Transient):
    """`progress` of a team that has been silent for a while: nothing to keep, but not hung."""

    name = "progress"
    conversation_id: str
    current_turn: int
    max_turns: int | None = None
    percentage: float | None = None
    message: str | None = None
    silent_s: float


class Presence(Transient):
    """How many connections watch the conversation."""

    name = "presence"
    conversation_id: str
    watchers: int


class Heartbeat(Transient):
    """Sent to each watched room at the heartbeat interval; tells the head of the log."""

    name = "heartbeat"
    conversation_id: str
    epoch: str
    offset: int
    status: Status


class Resync(Transient):
    """What you missed is no longer kept: replace everything by this snapshot."""

    name = "resync"
    conversation_id: str
    reason: str
    snapshot: dict[str, Any]


class Batch(Transient):
    """Several logged events at once, in order: what a reader missed, or what came since the last batch."""

    name = "batch"
    conversation_id: str
    epoch: str
    prev_offset: Annotated[int, Field(description="the batch covers everything after this offset …")]
    offset: Annotated[int, Field(description="… up to and including this one")]
    entries: Annotated[tuple[BatchEntry, ...], Field(description="the events, each with its envelope")]


class AuthExpiring(Transient):
    """The sign-in of this connection ends soon: send a fresh token."""

    name = "auth_expiring"
    expires_at: str


class SignedOut(Transient):
    """This connection's sign-in has ended, and the connection ends with it."""

    name = "signed_out"
    code: Annotated[
        Literal["token_expired", "revoked", "signed_out"],
        Field(description="it ran out · it was revoked · its owner has logged out"),
    ]
    message: Annotated[str, Field(description="a sentence for a person")]
    action: Annotated[
        Literal["refresh", "sign_in"],
        Field(description="what helps: connect again with a fresh token, or sign in again"),
    ]


class AccessEnded(Transient):
    """You may no longer watch this conversation: a share was withdrawn or has run out. Nothing more of it follows."""

    name = "access_ended"
    conversation_id: str
    message: Annotated[str, Field(description="a sentence for a person")]


class ConversationDeleted(Transient):
    """The conversation is no more. Nothing of it follows."""

    name = "conversation_deleted"
    conversation_id: str


class Storage(Transient):
    """Whether what you see is being kept. Sent when that changes, and after `connected` where it is not."""

    name = "storage"
    state: Annotated[
        Literal["ok", "unavailable"],
        Field(description="`unavailable`: nothing can be written now; it waits in memory, and streaming goes on"),
    ]
    message: Annotated[str | None, Field(description="why, for a person")] = None
    waiting: Annotated[int, Field(description="conversations with something that is not written yet")] = 0


class Broadcast(Transient):
    """A word from the operator to everybody."""

    name = "broadcast"
    message: str
    level: Literal["info", "warning", "error"] = "info"


LOGGED: tuple[type[Event], ...] = (
    ConversationStatus,
    AgentStep,
    MessageStart,
    MessageDelta,
    AgentMessage,
    MessageReset,
    Progress,
    ConversationComplete,
    ConversationError,
    FallbackMode,
    MessageUpdated,
    ToolCall,
    ToolResult,
    ChartGenerated,
    InputRequest,
    InputResolved,
    MessageQueued,
    MessageUnqueued,
    ConversationUpdated,
    FrameworkEvent,
)
TRANSIENT: tuple[type[Event], ...] = (
    Connected,
    StillWorking,
    Presence,
    Heartbeat,
    Resync,
    Batch,
    AuthExpiring,
    SignedOut,
    AccessEnded,
    ConversationDeleted,
    Storage,
    Broadcast,
)
LOGGED_BY_NAME: dict[str, type[Event]] = {event.name: event for event in LOGGED}
EVENT_NAMES: tuple[str, ...] = tuple(dict.fromkeys(event.name for event in LOGGED + TRANSIENT))
