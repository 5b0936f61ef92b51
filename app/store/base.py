"""The ports to what outlives the process, and what travels through them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from app.protocol.common import ContentType, Status, Usage
from app.protocol.snapshot import ChartView, MessageView, ToolCallView


@dataclass(slots=True)
class ConversationRecord:
    """A stored conversation. Times are UTC, ISO 8601, milliseconds, ``Z``.

    :param messages: how many it has; ``usage``: what all its ended sessions have spent.
    :param state: the rest of its :class:`~app.protocol.snapshot.Snapshot`, by the snapshot's field names: agents,
        model, outcome, error, fallback, progress, session_id.
    """

    conversation_id: str
    owner: str
    title: str
    team: str
    content_type: ContentType
    created_at: str
    updated_at: str
    tenant: str | None = None
    status: Status = Status.IDLE
    demo: bool = False
    messages: int = 0
    usage: Usage = field(default_factory=Usage)
    state: dict[str, Any] = field(default_factory=dict)


# --- what the recorder writes -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ConversationChanged:
    """Insert or replace a conversation's row. Comes before whatever else of it in one batch."""

    record: ConversationRecord


@dataclass(frozen=True, slots=True)
class MessageWritten:
    """Insert or replace a message; a new one goes behind the others. `open` ones are written from time to time."""

    conversation_id: str
    message: MessageView


@dataclass(frozen=True, slots=True)
class MessageWithdrawn:
    """A `message_reset`: the message is no more."""

    conversation_id: str
    message_id: str


@dataclass(frozen=True, slots=True)
class MessageChanged:
    """Some fields of a message (by the names of :class:`MessageView`); an unknown message is no error."""

    conversation_id: str
    message_id: str
    changes: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ToolCallWritten:
    conversation_id: str
    call: ToolCallView
    timestamp: str


@dataclass(frozen=True, slots=True)
class ChartWritten:
    conversation_id: str
    chart: ChartView
    timestamp: str


@dataclass(frozen=True, slots=True)
class ArtifactWritten:
    """Something too large for an event. It never changes."""

    conversation_id: str
    artifact_id: str
    media_type: str
    timestamp: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class RunEnded:
    """A session has ended, and has spent something: in the conversation's runs, and in its owner's day."""

    conversation_id: str
    session_id: str
    owner: str
    team: str
    model: str | None
    status: Status
    code: str | None
    ended_at: str
    usage: Usage
    tenant: str | None = None


@dataclass(frozen=True, slots=True)
class CheckpointWritten:
    """The team's state at the end of a turn; only the newest counts. An empty state drops the one that is kept."""

    conversation_id: str
    team: str
    state: dict[str, Any]
    saved_at: str


Change = (
    ConversationChanged
    | MessageWritten
    | MessageWithdrawn
    | MessageChanged
    | ToolCallWritten
    | ChartWritten
    | ArtifactWritten
    | RunEnded
    | CheckpointWritten
)


# --- what readers ask -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reader:
    """Whose conversations: those that this person owns, and those that are shared with them, within their tenant."""

    user_id: str
    tenant: str | None = None


@dataclass(frozen=True, slots=True)
class ListQuery:
    """Which conversations; the last changed first.

    :param search: words that all occur in the title or in one message; the last one may be the beginning of one,
        from two letters on.
    :param since: changed at or after; ``until``: changed before. As everywhere: UTC, ISO 8601, milliseconds, ``Z``.
    :param cursor: as an earlier page gave it.
    """

    search: str | None = None
    team: str | None = None
    status: Status | None = None
    since: str | None = None
    until: str | None = None
    limit: int = 50
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class ConversationPage:
    """:param total: how many match in all; ``cursor``: for the next page; None: this is the last."""

    records: tuple[ConversationRecord, ...]
    total: int
    cursor: str | None


@dataclass(frozen=True, slots=True)
class MessageQuery:
    """Which messages, oldest first.

    :param since: written or changed at or after.
    :param after: leave out everything up to the message of this ordinal (the ``ordinal`` of a page's last message).
    :param before: only those before the message of this id; none, if there is no such message.
    :param newest: not the first ``limit``, but the last (still oldest first).
    """

    since: str | None = None
    after: int | None = None
    before: str | None = None
    role: str | None = None
    agent: str | None = None
    limit: int = 200
    newest: bool = False


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """:param ordinal: its place in the conversation; rises, with holes."""

    ordinal: int
    view: MessageView


@dataclass(frozen=True, slots=True)
class MessagePage:
    """:param more: whether there are further ones beyond ``limit``; ``total``: of the whole conversation."""

    messages: tuple[StoredMessage, ...]
    more: bool
    total: int


class ConversationStore(Protocol):
    """Conversations and what belongs to them. Every method waits for the database, cooperatively; from any greenlet.

    All raise :class:`~app.errors.StoreUnavailable` when the database does not answer; nothing has changed then.
    """

    def write(self, changes: Sequence[Change]) -> None:
        """Carry out all changes in their order, in one transaction.

        Changes of a conversation without a row (it was deleted meanwhile) are left out, without an error.
        """

    def get(self, conversation_id: str) -> ConversationRecord | None: ...

    def find(self, reader: Reader, query: ListQuery) -> ConversationPage:
        """:raises InvalidPayload: for a cursor that is none."""

    def named(self, reader: Reader, title: str) -> str | None:
        """The id of the newest conversation of that title, among this reader's."""

    def messages(self, conversation_id: str, query: MessageQuery) -> MessagePage: ...

    def message(self, conversation_id: str, message_id: str) -> MessageView | None: ...

    def tool_calls(self, conversation_id: str, limit: int = 100) -> tuple[ToolCallView, ...]:
        """The newest, oldest first."""

    def charts(self, conversation_id: str, limit: int = 100) -> tuple[ChartView, ...]:
        """The newest, oldest first."""

    def artifact(self, conversation_id: str, artifact_id: str) -> tuple[str, bytes] | None:
        """(media type, data)."""

    def checkpoint(self, conversation_id: str) -> tuple[str, dict[str, Any]] | None:
        """(team, state)."""

    def rate(
        self, conversation_id: str, message_id: str, user_id: str, value: Literal["up", "down"] | None, at: str
    ) -> None:
        """Keep what somebody thinks of a message; None takes it back."""

    def delete(self, conversation_id: str) -> bool:
        """Remove a conversation with all that belongs to it, for good; False if there was none."""

    def unfinished(self) -> tuple[ConversationRecord, ...]:
        """Those whose status says that they run: at the start of the server, those that it died under."""

    def expired(self, *, changed_before: str | None, keep_newest: int | None) -> tuple[str, ...]:
        """Ids of ended conversations that retention lets go, by age and beyond so many of each owner; at most 1,000."""

    def orphans(self) -> tuple[str, ...]:
        """Ids of conversations whose owner has deleted their account; at most 1,000."""

    def spent_today(self, person: tuple[str | None, str], day: str) -> Usage:
        """What somebody's (tenant, id) runs have spent on a day (``YYYY-MM-DD``, UTC)."""
