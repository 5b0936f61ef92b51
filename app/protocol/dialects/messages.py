"""``/v1/conversation/<id>/stream``: a conversation's messages, stored ones first, as ``{type, data}``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StrictBool

from app.protocol import commands
from app.protocol.common import Payload

CONNECTED = "connected"
INITIAL_MESSAGE = "initial_message"
MESSAGE_ADDED = "message_added"
MESSAGE_UPDATED = "message_updated"
HEARTBEAT = "heartbeat"
ERROR = "error"
PING = "ping"
"""Not needed: it is answered with `pong`."""
PONG = "pong"
AUTHENTICATE = commands.Authenticate.name
"""A fresh token of the same person, ``{"token"}``: the connection goes on with it, and is told `authenticated`."""
AUTHENTICATED = "authenticated"
PROVIDE_INPUT = commands.ProvideInput.name
"""An answer to an agent that waits: it is told `input_provided`, or `error`."""
INPUT_PROVIDED = "input_provided"

MESSAGE_TYPES: tuple[str, ...] = (
    CONNECTED,
    INITIAL_MESSAGE,
    MESSAGE_ADDED,
    MESSAGE_UPDATED,
    HEARTBEAT,
    ERROR,
    PONG,
    AUTHENTICATED,
    INPUT_PROVIDED,
)
FILTERABLE: tuple[str, ...] = (INITIAL_MESSAGE, MESSAGE_ADDED, MESSAGE_UPDATED)


class ProvideInput(Payload):
    """Answer an agent that waits (`input_request`): `content` to a text, `granted` to a permission."""

    request_id: Annotated[str, Field(min_length=1, max_length=64)]
    content: Annotated[str | None, Field(repr=False, description="may be empty; bounded by MAX_CONTENT_BYTES")] = None
    granted: Annotated[StrictBool | None, Field(description="or yes or no as the `content`")] = None
    client_id: Annotated[str | None, Field(min_length=1, max_length=64, description="as in `provide_input`")] = None


class Message(Payload):
    """One message, here and in ``GET /api/conversations/<id>/messages``."""

    id: str
    role: Annotated[str, Field(description="`user`, or the agent's name")]
    message: Annotated[str, Field(description="the text as it stands")]
    timestamp: Annotated[str, Field(description="UTC, ISO 8601: when it began")]
    updated_at: Annotated[str, Field(description="UTC, ISO 8601: when it last changed")]
    updated_by: Annotated[str | None, Field(description="who changed it; null: the run itself")] = None
    feedback_received: bool = False


class PlacedMessage(Message):
    """A message as an event: the position to come back with stands beside it."""

    epoch: Annotated[str, Field(description="identity of the log; offsets compare only within one epoch")]
    offset: Annotated[int, Field(description="with it, everything up to here has been told")]


class MessageChanges(Payload):
    """With ``delta=true``, `message_updated` carries this: the fields that have changed, and no others."""

    id: str
    append: Annotated[str | None, Field(description="text to append to `message`")] = None
    message: Annotated[str | None, Field(description="where it was not only added to")] = None
    updated_at: str | None = None
    updated_by: str | None = None
    feedback_received: bool | None = None
    epoch: str
    offset: int
