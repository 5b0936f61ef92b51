"""``/api/conversations/<id>/stream``: the events of the protocol as SSE, or over a WebSocket as ``{type, data}``."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StrictBool

from app.protocol import commands
from app.protocol.common import ContentType, Payload

NEW = "new"
"""The id of a conversation that is yet to be started."""


class BridgeCommand(Payload):
    """What a client sends: ``{"type": name, "data": {…}}``; the fields may also stand beside ``type``."""

    name: ClassVar[str]


class StartConversation(BridgeCommand):
    """Start a conversation, or the next session of this one, which has ended."""

    name = "start_conversation"
    content: Annotated[str, Field(description="what the agents shall talk about; bounded by MAX_CONTENT_BYTES")]
    content_type: Annotated[ContentType, Field(alias="contentType")] = ContentType.TEXT
    team: Annotated[str | None, Field(min_length=1, max_length=100, description="default: the server's own")] = None
    client_id: Annotated[
        str | None, Field(alias="clientId", min_length=1, max_length=64, description="as in `start_stream`")
    ] = None


class Control(BridgeCommand):
    """Pause, resume or stop the conversation; or continue one that was stopped or broke off."""

    name = "control"
    action: Literal["pause", "resume", "stop", "continue"]
    client_id: Annotated[
        str | None,
        Field(alias="clientId", min_length=1, max_length=64, description="with `continue`: as in `continue_stream`"),
    ] = None


class SendMessage(BridgeCommand):
    """The next user turn; while agents talk it waits for its turn: the ack says `queued`, as `send_message`'s."""

    name = commands.SendMessage.name
    content: Annotated[str, Field(description="bounded by MAX_CONTENT_BYTES")]
    content_type: Annotated[ContentType, Field(alias="contentType")] = ContentType.TEXT
    client_id: Annotated[
        str | None, Field(alias="clientId", min_length=1, max_length=64, description="as in `send_message`")
    ] = None


class UnqueueMessage(BridgeCommand):
    """Take back a message that waits: its author may, and the conversation's owner."""

    name = commands.UnqueueMessage.name
    message_id: Annotated[str, Field(alias="messageId", min_length=1, max_length=64)]


class ProvideInput(BridgeCommand):
    """Answer an agent that waits (`input_request`): `content` to a text, `granted` to a permission."""

    name = commands.ProvideInput.name
    request_id: Annotated[str, Field(alias="requestId", min_length=1, max_length=64)]
    content: Annotated[str | None, Field(repr=False, description="may be empty; bounded by MAX_CONTENT_BYTES")] = None
    granted: Annotated[StrictBool | None, Field(description="or yes or no as the `content`")] = None
    client_id: Annotated[
        str | None, Field(alias="clientId", min_length=1, max_length=64, description="as in `provide_input`")
    ] = None


class Authenticate(BridgeCommand):
    """Bring a fresh token of the same person: the connection goes on with it."""

    name = commands.Authenticate.name
    token: commands.Token


BRIDGE_COMMANDS: tuple[type[BridgeCommand], ...] = (
    StartConversation,
    Control,
    SendMessage,
    UnqueueMessage,
    ProvideInput,
    Authenticate,
)
