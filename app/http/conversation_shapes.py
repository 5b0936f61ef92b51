"""The shapes of what the routes of conversations and teams take and answer."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StrictBool

from app.http.answers import Timestamp
from app.protocol.commands import RunOptions
from app.protocol.common import CUT_OFF, AgentCard, ContentType, MessageKind, Moment, Payload, Role, Status, Usage
from app.protocol.dialects.messages import Message
from app.protocol.snapshot import ChartView, MessageView, OutcomeView, ToolCallView
from app.runner.wire import Generation
from app.teams.registry import Source

MOST_ROWS = 200
_LARGEST = 2**53
"""Of whole numbers in addresses: the largest that JavaScript can say."""

ClientId = Annotated[
    str | None, Field(min_length=1, max_length=64, description="your own id of this request, for sending it again")
]
Limit = Annotated[int, Field(description=f"at most so many; more than {MOST_ROWS} count as {MOST_ROWS}")]
Search = Annotated[
    str | None,
    Field(max_length=200, description="words that occur in the title or in one message; the last may be a beginning"),
]
Since = Annotated[Moment | None, Field(description="ISO 8601, with time zone")]


# --- conversations ----------------------------------------------------------------------------------------------------


class ListWish(Payload):
    """Which conversations."""

    search: Search = None
    team: Annotated[str | None, Field(max_length=255)] = None
    status: Status | None = None
    since: Annotated[Moment | None, Field(description="changed at or after; ISO 8601, with time zone")] = None
    until: Annotated[Moment | None, Field(description="changed before; ISO 8601, with time zone")] = None
    limit: Limit = 50
    cursor: Annotated[str | None, Field(max_length=500, description="`next_cursor` of the page before")] = None


class ConversationRow(Payload):
    """A conversation in a list."""

    conversation_id: str
    title: Annotated[str, Field(description="at first the first line of what it was begun with")]
    team: str
    status: Status
    demo: Annotated[bool, Field(description="true: no model spoke, this is a prepared script")]
    created_at: Timestamp
    updated_at: Timestamp
    messages: Annotated[int, Field(description="how many messages it has")]
    watchers: Annotated[int, Field(description="how many connections watch it")]
    owner: Annotated[str, Field(description="whose it is: the id of a person")]
    role: Annotated[Literal["owner", "editor", "viewer"], Field(description="what you are to it")]
    usage: Annotated[Usage, Field(description="what its ended runs have spent")]


class ConversationList(Payload):
    conversations: tuple[ConversationRow, ...]
    total: Annotated[int, Field(description="how many match in all")]
    next_cursor: Annotated[str | None, Field(description="for the next page; null: this is the last")]


class NewConversation(Payload):
    """What to start a conversation with."""

    content: Annotated[str, Field(description="what the agents shall talk about; bounded by MAX_CONTENT_BYTES")]
    content_type: ContentType = ContentType.TEXT
    team: Annotated[str | None, Field(min_length=1, max_length=100, description="default: the server's own")] = None
    client_id: ClientId = None
    options: RunOptions = RunOptions()


class Started(Payload):
    """A run of a conversation, begun or about to."""

    conversation_id: str
    session_id: str
    status: Status


class NewTitle(Payload):
    title: Annotated[str, Field(description="one line of 1 to 200 characters")]


# --- messages ---------------------------------------------------------------------------------------------------------


class MessageWish(Payload):
    """Which messages; oldest first."""

    since: Annotated[Moment | None, Field(description="written or changed at or after; ISO 8601, with time zone")] = (
        None
    )
    after: Annotated[int | None, Field(ge=0, le=_LARGEST, description="those behind the message of this `ordinal`")] = (
        None
    )
    before: Annotated[
        str | None,
        Field(min_length=1, max_length=64, description="the last `limit` before the message of this id, oldest first"),
    ] = None
    limit: Limit = MOST_ROWS
    role: Annotated[Role | None, Field(description="only what these have said")] = None
    agent: Annotated[str | None, Field(max_length=255, description="only what this agent has said")] = None


class StoredRow(Message):
    """A message, and its place."""

    ordinal: Annotated[int, Field(description="its place in the conversation; rises, with holes")]
    state: Annotated[Literal["open", "complete", "partial"], Field(description="partial: it broke off")]
    cut_off: Annotated[bool, Field(description=CUT_OFF)]
    kind: Annotated[MessageKind, Field(description="what it is: no answer, unless it is a `message`")]
    feedback: Annotated[Literal["up", "down"] | None, Field(description="what a reader thought of it")]


class MessageList(Payload):
    """A conversation's messages, as they stand at (`epoch`, `offset`) or later."""

    conversation_id: str
    epoch: str
    offset: int
    total: Annotated[int, Field(description="how many messages the conversation has")]
    messages: tuple[StoredRow, ...]
    next_after: Annotated[int | None, Field(description="`after` of the next page; null: this is the last")]


class NewMessage(Payload):
    """The next user turn."""

    content: Annotated[str, Field(description="bounded by MAX_CONTENT_BYTES")]
    content_type: ContentType = ContentType.TEXT
    client_id: ClientId = None


class Wish(Payload):
    client_id: ClientId = None


class GivenInput(Payload):
    """A person's answer to an agent: `content` to a text, `granted` to a permission."""

    content: Annotated[str | None, Field(repr=False, description="may be empty; bounded by MAX_CONTENT_BYTES")] = None
    granted: Annotated[StrictBool | None, Field(description="or yes or no as the `content`")] = None
    client_id: ClientId = None


class NewText(Payload):
    content: Annotated[str, Field(description="what the message says from now on; bounded by MAX_CONTENT_BYTES")]


class Opinion(Payload):
    value: Annotated[Literal["up", "down"] | None, Field(description="what you think of it; null takes it back")]


# --- export -----------------------------------------------------------------------------------------------------------


class ExportWish(Payload):
    format: Annotated[Literal["markdown", "json", "html"], Field(description="of the file")] = "markdown"


class ExportedConversation(Payload):
    """The conversation itself, in a file."""

    conversation_id: str
    title: str
    team: str
    content_type: ContentType
    status: Status
    demo: bool
    created_at: Timestamp
    updated_at: Timestamp
    owner: str
    usage: Usage
    outcome: OutcomeView | None


class ExportedFile(Payload):
    """A conversation as a JSON file."""

    format: Literal["colloquy-conversation"]
    version: Literal[1]
    exported_at: Timestamp
    conversation: ExportedConversation
    tool_calls: tuple[ToolCallView, ...]
    charts: tuple[ChartView, ...]
    messages: tuple[MessageView, ...]


# --- teams ------------------------------------------------------------------------------------------------------------


class TeamCard(Payload):
    """A team that may be started."""

    name: str
    title: str
    description: str
    agents: tuple[AgentCard, ...]
    generation: Annotated[
        Generation | None, Field(description="autogen-agentchat, classic AG2 or ag2 1.x; null: not known yet")
    ]
    source: Annotated[
        Source,
        Field(description="bundled, a Python factory, an export of AutoGen Studio, or a file with a round of prompts"),
    ]
    file: Annotated[str | None, Field(description="its file, by folder and name")]
    pending: Annotated[bool, Field(description="its own code is still being asked who is in it")]


class BrokenTeam(Payload):
    """A team that was brought, and cannot be started."""

    name: str
    error: Annotated[str, Field(description="what is wrong with it, with the line in its file where there is one")]
    file: Annotated[str | None, Field(description="the file that it should have come from, by folder and name")]


class TeamList(Payload):
    teams: tuple[TeamCard, ...]
    broken: tuple[BrokenTeam, ...]
    default: Annotated[str, Field(description="the team that is started where none is named")]
