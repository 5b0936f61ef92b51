"""Every command that a client may send, with its payload and its ack.

Each command is answered by exactly one ack: ``{"ok": true, …}`` or
``{"ok": false, "error": {"code", "message", "retryable"}}``. An unknown command is answered, too.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StrictBool

from app.protocol.common import ANumber, ContentType, Filter, Moment, Payload, Position, RetryAfter, Status, Usage

ConversationId = Annotated[str, Field(min_length=1, max_length=64, description="the conversation's id")]


class Ack(Payload):
    """The fields beside ``ok: true`` of a successful ack."""


class Command(Payload):
    """One client command. ``name`` is its Socket.IO name, ``ack`` the class of its answer."""

    name: ClassVar[str]
    ack: ClassVar[type[Ack]]


class RunOptions(Payload):
    """Wishes of the caller for one run; the server's settings bound them."""

    tokens_per_s: Annotated[
        float | None,
        Field(ge=0, le=100_000, description="pace of this conversation in tokens/s; 0: unlimited"),
        ANumber,
    ] = None
    max_turns: Annotated[
        int | None,
        Field(ge=1, le=100, description="agent turns, where the team allows it"),
        ANumber,
    ] = None
    max_tokens: Annotated[
        int | None,
        Field(ge=1, le=1_000_000_000, description="tokens that this run may spend with models, prompts included"),
        ANumber,
    ] = None
    word_delay_ms: Annotated[
        float | None,
        Field(ge=0, le=5_000, description="delay between the words of a reply that came whole, in ms"),
        ANumber,
    ] = None


class JoinAck(Ack):
    conversation_id: str
    epoch: str
    offset: Annotated[int, Field(description="events after this offset follow")]
    recovered: Annotated[bool, Field(description="true: what was missed follows as events; no snapshot")] = False
    snapshot: Annotated[dict[str, Any] | None, Field(description="the conversation as it stands at `offset`")] = None


class Join(Command):
    """Watch a conversation. Without a position: the ack carries a snapshot; then every later event follows."""

    name = "join"
    ack = JoinAck
    conversation_id: ConversationId
    position: Annotated[Position | None, Field(description="where the reader stands, to get only what it missed")] = (
        None
    )
    since: Annotated[
        Moment | None,
        Field(description="ISO 8601, with time zone: replay what was logged from then on, in the place of a position"),
    ] = None
    filter: Annotated[Filter | None, Field(description="only these events; `prev_offset` spans what was left out")] = (
        None
    )
    acks: Annotated[
        StrictBool, Field(description="true: this client sends `ack` on receipt, and is paced by it when it lags")
    ] = False
    batch: Annotated[StrictBool, Field(description="true: catch-up comes as `batch` events, not one by one")] = False
    batch_ms: Annotated[
        int,
        Field(ge=0, le=10_000, description="0: live; else the events of so many ms come together, as one `batch`"),
        ANumber,
    ] = 0
    changes_only: Annotated[
        StrictBool,
        Field(description="true: `agent_message` comes as `message_updated`, with only what its deltas did not say"),
    ] = False


class AckAck(Ack):
    conversation_id: str


class Acknowledge(Command):
    """Tell that everything up to `offset` has arrived: on receipt, at most every 250 ms, never after rendering."""

    name = "ack"
    ack = AckAck
    conversation_id: ConversationId
    offset: Annotated[int, Field(ge=0), ANumber]


class LeaveAck(Ack):
    conversation_id: str


class Leave(Command):
    """Stop watching. The conversation goes on."""

    name = "leave"
    ack = LeaveAck
    conversation_id: ConversationId


class StartAck(JoinAck):
    session_id: str
    status: Status


class StartStream(Command):
    """Start a conversation (or a new session of one that has ended) and join it. The ack comes before any event."""

    name = "start_stream"
    ack = StartAck
    content: Annotated[str, Field(description="what the agents shall talk about; bounded by MAX_CONTENT_BYTES")]
    acks: Annotated[StrictBool, Field(description="as in `join`")] = False
    batch: Annotated[StrictBool, Field(description="as in `join`")] = False
    team: Annotated[str, Field(min_length=1, max_length=100)] = "debate"
    content_type: ContentType = ContentType.TEXT
    conversation_id: Annotated[
        str | None, Field(max_length=64, description="continue this one; it must have ended")
    ] = None
    client_id: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=64,
            description="the client's own id of this start: sent again, it joins the same run",
        ),
    ] = None
    options: RunOptions = RunOptions()


class ControlAck(Ack):
    conversation_id: str
    session_id: str
    status: Status


class PauseStream(Command):
    """Stop reading from the model. Acked when nothing more is taken from it."""

    name = "pause_stream"
    ack = ControlAck
    conversation_id: ConversationId


class ResumeStream(Command):
    """Go on where the pause began."""

    name = "resume_stream"
    ack = ControlAck
    conversation_id: ConversationId


class StopAck(ControlAck):
    tokens: Annotated[Usage, Field(description="what the run has spent with the model")]


class StopStream(Command):
    """End the run. Acked when the model's HTTP request is closed, with the tokens spent."""

    name = "stop_stream"
    ack = StopAck
    conversation_id: ConversationId


class SendMessageAck(Ack):
    conversation_id: str
    session_id: Annotated[str, Field(description="the run that answers, or that will, where the message waits")]
    status: Annotated[Status, Field(description="the conversation's, now")]
    queued: Annotated[bool, Field(description="true: it waits until the agents have finished")] = False
    place: Annotated[int | None, Field(description="with `queued`: its place among those that wait, from 1")] = None
    message_id: Annotated[str | None, Field(description="with `queued`: by which it can be taken back")] = None


class SendMessage(Command):
    """The next user turn: the team goes on with the history. While agents talk it waits for its turn (`queued`).

    With a ``client_id`` that the conversation has taken already, nothing is done twice: the ack is the first one's.
    """

    name = "send_message"
    ack = SendMessageAck
    conversation_id: ConversationId
    content: str
    content_type: ContentType = ContentType.TEXT
    client_id: Annotated[
        str | None,
        Field(min_length=1, max_length=64, description="the client's own id of this message, for sending it again"),
    ] = None


class ContinueStream(Command):
    """Go on with a conversation that was stopped or broke off: from its team's last finished turn, with nothing new."""

    name = "continue_stream"
    ack = SendMessageAck
    conversation_id: ConversationId
    client_id: Annotated[
        str | None,
        Field(min_length=1, max_length=64, description="the client's own id of this wish, for sending it again"),
    ] = None


class UnqueueMessageAck(Ack):
    conversation_id: str
    message_id: str


class UnqueueMessage(Command):
    """Take back a message that waits. Its author may, and the conversation's owner."""

    name = "unqueue_message"
    ack = UnqueueMessageAck
    conversation_id: ConversationId
    message_id: Annotated[str, Field(min_length=1, max_length=64)]


class ProvideInputAck(Ack):
    conversation_id: str
    request_id: str
    resolution: Literal["answered", "granted", "denied"]


class ProvideInput(Command):
    """Answer an agent that waits (`input_request`). The first answer wins; later ones get `input_resolved`.

    A text is answered by `content`, which may be empty. A permission is answered by `granted`, and `content` may say
    why; without `granted`, `content` must say it: yes, y or true; no, n or false, in any case.
    """

    name = "provide_input"
    ack = ProvideInputAck
    conversation_id: ConversationId
    request_id: Annotated[str, Field(min_length=1, max_length=64)]
    content: Annotated[str | None, Field(repr=False, description="the answer; bounded by MAX_CONTENT_BYTES")] = None
    granted: Annotated[StrictBool | None, Field(description="for a permission")] = None
    client_id: Annotated[
        str | None,
        Field(min_length=1, max_length=64, description="the client's own id of this answer, for sending it again"),
    ] = None


class FeedbackAck(Ack):
    conversation_id: str
    message_id: str
    value: Annotated[Literal["up", "down"] | None, Field(description="what you think of it")]


class GiveFeedback(Command):
    """Say what you think of a message; null takes it back. All who watch get `message_updated`."""

    name = "feedback"
    ack = FeedbackAck
    conversation_id: ConversationId
    message_id: Annotated[str, Field(min_length=1, max_length=64)]
    value: Annotated[Literal["up", "down"] | None, Field(description="what you think of it")]


Token = Annotated[str, Field(min_length=1, max_length=8192, repr=False, description="without the word Bearer")]


class AuthenticateAck(Ack):
    user: str
    expires_at: Annotated[str | None, Field(description="UTC, ISO 8601; null: the sign-in does not end by itself")]


class Authenticate(Command):
    """Bring a fresh token of the same person: the connection goes on with it."""

    name = "authenticate"
    ack = AuthenticateAck
    token: Token


class PingAck(Ack):
    timestamp: str
    echo: float | int | str | None = None


class Ping(Command):
    """Measure the way: the ack returns `echo` as it came."""

    name = "ping"
    ack = PingAck
    echo: Annotated[float | int | str | None, Field(description="at most 200 characters, if a string")] = None


class ErrorBody(Payload):
    code: str
    message: str
    retryable: bool
    retry_after_s: RetryAfter = None


class ErrorAck(Payload):
    ok: Literal[False] = False
    error: ErrorBody


COMMANDS: tuple[type[Command], ...] = (
    Join,
    Leave,
    Acknowledge,
    StartStream,
    PauseStream,
    ResumeStream,
    StopStream,
    SendMessage,
    UnqueueMessage,
    ContinueStream,
    ProvideInput,
    GiveFeedback,
    Authenticate,
    Ping,
)
COMMANDS_BY_NAME: dict[str, type[Command]] = {command.name: command for command in COMMANDS}
