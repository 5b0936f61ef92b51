"""``/ag2/<team>``: the dialect of classic AG2's ``autogen.io.websockets.IOWebsockets``.

The first message of a client, plain text, begins the conversation; each later one answers a question. The server sends
AG2's events, ``{"type": …, "content": {"uuid": …, …}}``, and questions as plain text; it closes when the run has ended.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field

from app.protocol.common import Payload, RetryAfter


class Ag2Event(Payload):
    """The ``content`` of an event, beside its ``uuid``. ``type`` is its name on the wire."""

    type: ClassVar[str]

    def to_wire(self, uuid: str) -> dict[str, Any]:
        return {"type": self.type, "content": {"uuid": uuid, **self.model_dump(mode="json")}}


class Text(Ag2Event):
    """A whole message."""

    type = "text"
    content: str
    sender: str
    recipient: str


class Stream(Ag2Event):
    """The next piece of a message; the whole follows as `text`."""

    type = "stream"
    content: str


class Print(Ag2Event):
    """Words for whoever watches."""

    type = "print"
    objects: tuple[str, ...]
    sep: str = " "
    end: str = "\n"


class GroupChatRunChat(Ag2Event):
    """Who speaks next."""

    type = "group_chat_run_chat"
    speaker: str
    silent: bool = False


class ToolCall(Ag2Event):
    """An agent wants tools to be called."""

    type = "tool_call"
    content: str | None = None
    refusal: str | None = None
    role: str | None = None
    audio: str | None = None
    function_call: dict[str, Any] | None = None
    tool_calls: Annotated[
        tuple[dict[str, Any], ...], Field(description="`{id, type, function: {name, arguments}}` each")
    ]
    sender: str
    recipient: str


class ExecutedFunction(Ag2Event):
    """A tool has answered."""

    type = "executed_function"
    func_name: str
    call_id: str | None = None
    arguments: dict[str, Any] | None = None
    content: Annotated[str, Field(description="the beginning of a long answer")]
    recipient: str
    is_exec_success: bool = True


class Termination(Ag2Event):
    """Why the chat has ended."""

    type = "termination"
    termination_reason: str
    sender: str
    recipient: str | None = None


class Error(Ag2Event):
    """What failed."""

    type = "error"
    error: Annotated[str, Field(description="a sentence for a person")]
    code: Annotated[str, Field(description="the error's stable code")]
    retry_after_s: RetryAfter = None


AG2_EVENTS: tuple[type[Ag2Event], ...] = (
    Text,
    Stream,
    Print,
    GroupChatRunChat,
    ToolCall,
    ExecutedFunction,
    Termination,
    Error,
)
"""Those that are made here; a team of classic AG2 sends its own beside them, as they are."""
