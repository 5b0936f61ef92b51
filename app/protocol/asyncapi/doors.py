"""The doors beside Socket.IO as channels: what each takes and says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from app.protocol.asyncapi.messages import COMES, GOES, Message, of_event, shaped, text_of
from app.protocol.commands import Ack, Authenticate, AuthenticateAck, ControlAck, ErrorBody, StartAck, StopAck
from app.protocol.common import Payload, Position, Status
from app.protocol.dialects import ACK, ERROR, SNAPSHOT
from app.protocol.dialects import messages as stored
from app.protocol.dialects.ag2 import AG2_EVENTS, Ag2Event
from app.protocol.dialects.bridge import BRIDGE_COMMANDS
from app.protocol.dialects.tasks import TASK_COMMANDS, TASK_EVENTS, TaskEvent
from app.protocol.events import (
    LOGGED,
    AccessEnded,
    AuthExpiring,
    Broadcast,
    ConversationDeleted,
    Event,
    Heartbeat,
    InputRequest,
    InputResolved,
    Resync,
    SignedOut,
    StillWorking,
    Storage,
)
from app.protocol.snapshot import Snapshot

_DATA = "data"
_TOLD: tuple[type[Event], ...] = (
    *LOGGED,
    Resync,
    Heartbeat,
    StillWorking,
    Broadcast,
    Storage,
    AuthExpiring,
    SignedOut,
    AccessEnded,
    ConversationDeleted,
)
_STREAM_QUERY = {
    "epoch": "with `offset`: the position after which the stream begins",
    "offset": "the newest event that the reader has applied",
    "since": "ISO 8601, with time zone: replay what was logged at or after it",
    "types": "only these events, separated by commas",
    "roles": "only messages of these: user, agent, system",
    "agents": "only what concerns these agents",
    "batch_ms": "the events of so many ms come together",
}


@dataclass(frozen=True, slots=True)
class DoorChannel:
    """One door.

    :param takes: what clients send; ``says``: what the server sends.
    :param query: parameters of the address, each with its meaning.
    """

    key: str
    address: str
    server: Literal["websocket", "http"]
    text: str
    takes: tuple[Message, ...]
    says: tuple[Message, ...]
    parameters: Mapping[str, str]
    query: Mapping[str, str]


class TimedError(ErrorBody):
    """What was refused, or could not be done. The connection goes on."""

    timestamp: str


class StreamConnected(Position):
    """The first message: which conversation this is, and from where on its messages follow."""

    conversation_id: str
    name: str
    status: Status
    user: str
    recovered: bool
    heartbeat_s: float
    timestamp: str


class AuthenticatedData(AuthenticateAck):
    """The fresh token was taken."""

    timestamp: str


class InputProvidedData(Payload):
    """The answer was taken."""

    request_id: str
    resolution: Literal["answered", "granted", "denied"]
    timestamp: str


class PongData(Payload):
    """When the ping came."""

    timestamp: str


def _wrapped(prefix: str, name: str, model: Any, text: str = "") -> Message:
    return Message(f"{prefix}_{name}", name, text or text_of(model), model, wrapped_in=_DATA)


def _bridge_ack(ack: type[Ack]) -> Message:
    model = shaped(ack, f"Bridge{ack.__name__}", ok=(Literal[True], ...), command=(str, ...))
    return Message(f"bridge_{ack.__name__}", ACK, "The answer to a command.", model, wrapped_in=_DATA)


def _bridge() -> DoorChannel:
    takes = tuple(
        Message(command.__name__, command.name, text_of(command), command, COMES, _DATA) for command in BRIDGE_COMMANDS
    )
    says = (
        _wrapped("bridge", SNAPSHOT, Snapshot, "The conversation as it stands, where no position was given."),
        *(_bridge_ack(ack) for ack in (StartAck, ControlAck, StopAck, AuthenticateAck)),
        _wrapped("bridge", ERROR, TimedError),
        *(of_event(event, "Bridge", _DATA) for event in _TOLD),
    )
    return DoorChannel(
        "bridge",
        "/api/conversations/{conversation_id}/stream",
        "websocket",
        "One conversation over a plain WebSocket, as `{type, data}`.",
        takes,
        says,
        {"conversation_id": "the conversation's id; `new`: the one that this client starts"},
        _STREAM_QUERY,
    )


def _stream() -> DoorChannel:
    says = (
        Message("stream_snapshot", SNAPSHOT, "The conversation as it stands, where no position was given.", Snapshot),
        *(of_event(event) for event in _TOLD),
    )
    return DoorChannel(
        "stream",
        "/api/conversations/{conversation_id}/stream",
        "http",
        "The same as Server-Sent Events: `event` is the name, `data` the payload, `id` the position (`epoch:offset`).",
        (),
        says,
        {"conversation_id": "the conversation's id"},
        {**_STREAM_QUERY, "until": "`end`: the stream ends with the run"},
    )


def _task_model(event: type[TaskEvent]) -> Any:
    return shaped(
        event,
        type=(Literal[event.type], ...),
        timestamp=(str, ...),
        client_id=(Annotated[str | None, Field(description="of a task: the client that it belongs to")], None),
        conversation_id=(str | None, None),
        epoch=(str | None, None),
        offset=(int | None, None),
    )


def _tasks() -> DoorChannel:
    return DoorChannel(
        "tasks",
        "/ws/stream",
        "websocket",
        "A task in a chat message; its steps, tools, progress and result out, as flat objects with `type`.",
        tuple(
            Message(f"Task{command.__name__}", command.name, text_of(command), command, COMES, "payload")
            for command in TASK_COMMANDS
        ),
        tuple(Message(event.__name__, event.type, text_of(event), _task_model(event), COMES) for event in TASK_EVENTS),
        {},
        {
            "client_id": "the client's own id: its task is found again under it",
            "conversation_id": "a task to go on watching",
            "epoch": _STREAM_QUERY["epoch"],
            "offset": _STREAM_QUERY["offset"],
        },
    )


def _messages() -> DoorChannel:
    placed = (stored.INITIAL_MESSAGE, stored.MESSAGE_ADDED, stored.MESSAGE_UPDATED)
    says = (
        _wrapped("messages", stored.CONNECTED, StreamConnected),
        *(_wrapped("messages", name, stored.PlacedMessage) for name in placed),
        Message(
            "messages_changes",
            stored.MESSAGE_UPDATED,
            "The same with `delta=true`: the fields that have changed, and no others.",
            stored.MessageChanges,
            COMES,
            _DATA,
        ),
        of_event(Heartbeat, "Messages", _DATA),
        _wrapped("messages", stored.ERROR, TimedError),
        _wrapped("messages", stored.PONG, PongData),
        _wrapped("messages", stored.AUTHENTICATED, AuthenticatedData),
        _wrapped("messages", stored.INPUT_PROVIDED, InputProvidedData),
        of_event(InputRequest, "Messages", _DATA),
        of_event(InputResolved, "Messages", _DATA),
        of_event(AuthExpiring, "Messages", _DATA),
        of_event(Broadcast, "Messages", _DATA),
        of_event(Storage, "Messages", _DATA),
        of_event(StillWorking, "Messages", _DATA),
    )
    return DoorChannel(
        "messages",
        "/v1/conversation/{conversation_id}/stream",
        "websocket",
        "A conversation's messages: the stored ones first, then each that is added or changes, as `{type, data}`.",
        (
            Message("messages_ping", stored.PING, "Answered with `pong`; not needed.", wrapped_in=_DATA),
            Message("messages_authenticate", Authenticate.name, text_of(Authenticate), Authenticate, COMES, _DATA),
            Message(
                "messages_provide_input",
                stored.PROVIDE_INPUT,
                text_of(stored.ProvideInput),
                shaped(stored.ProvideInput, "MessagesProvideInput"),
                COMES,
                _DATA,
            ),
        ),
        says,
        {"conversation_id": "the conversation's id, or its name"},
        {
            **_STREAM_QUERY,
            "types": "only these: initial_message, message_added, message_updated",
            "batch_ms": "a growing message is told of at most once in so many ms; default 200",
            "delta": "`true`: updates carry only what has changed",
            "progress": "`true`: `progress` tells of a team that has been silent, every 2 s",
            "inputs": "`true`: `input_request` and `input_resolved` tell whom the agents wait for",
            "max_commands_per_s": "a limit of one's own, below the server's",
            "authorization": "a bearer token, where no header can be set",
        },
    )


def _ag2() -> DoorChannel:
    takes = (
        Message("ag2_words", "words", "The first message begins the conversation, each later one answers.", plain=True),
    )
    says = (
        *(_ag2_event(event) for event in AG2_EVENTS),
        Message("ag2_question", "question", "What an agent wants to know from a person.", plain=True),
    )
    return DoorChannel(
        "ag2",
        "/ag2/{team}",
        "websocket",
        "The dialect of classic AG2's `IOWebsockets`: plain text in, AG2's events and questions out. A team of classic"
        " AG2 sends its own events beside these, as AG2 serialises them. The connection ends with the run.",
        takes,
        says,
        {"team": "the team's name"},
        {"progress": "`true`: a `print` tells of a team that has been silent, every 2 s"},
    )


def _ag2_event(event: type[Ag2Event]) -> Message:
    name = f"Ag2{event.__name__}"
    model = shaped(event, name, uuid=(str, ...))
    return Message(name, event.type, text_of(event), model, GOES, "content")


def door_channels() -> Iterable[DoorChannel]:
    """All of them, in the order of the document."""
    return (_stream(), _bridge(), _tasks(), _messages(), _ag2())
