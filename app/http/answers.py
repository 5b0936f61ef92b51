"""The shapes of what HTTP routes answer, and of the parameters that they take."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, create_model

from app.auth.audit import Audited
from app.namespaces.delivery import SOCKET_FIGURES
from app.protocol.commands import ErrorBody
from app.protocol.common import Moment, Payload, Status
from app.streaming.metrics import DELIVERY_FIGURES, SESSION_FIGURES

Timestamp = Annotated[str, Field(description="UTC, ISO 8601, with milliseconds")]
Figure = int | float | dict[str, int] | None


class ErrorAnswer(Payload):
    """The one shape of every refusal and every failure."""

    error: ErrorBody


# --- the audit log ----------------------------------------------------------------------------------------------------


class AuditQuery(Payload):
    action: Annotated[Audited | None, Field(description="only entries of this kind")] = None
    actor: Annotated[str | None, Field(description="only what this person did, by their id")] = None
    limit: Annotated[int, Field(description="at most so many; more than 200 count as 200")] = 50
    cursor: Annotated[str | None, Field(description="`next_cursor` of the page before")] = None


class AuditEntry(Payload):
    """Something that was done, or refused."""

    entry_id: int
    at: Timestamp
    actor: Annotated[str, Field(description="the id of who did it; empty where nobody was known")]
    address: Annotated[str, Field(description="where the request came from")]
    action: str
    target: Annotated[str, Field(description="what it was done to")]
    outcome: Annotated[str, Field(description="`ok`, `refused`, `failed`")]
    details: dict[str, Any]


class AuditPage(Payload):
    """Entries of the audit log, the newest first."""

    entries: tuple[AuditEntry, ...]
    logins: Annotated[dict[str, str], Field(description="who they are: id → login, of accounts that there still are")]
    next_cursor: Annotated[str | None, Field(description="for the next page; null: this is the last")]
    waiting: Annotated[int, Field(description="entries that are not written yet")]
    lost: Annotated[int, Field(description="entries that could not be kept since the server began")]


# --- streams ----------------------------------------------------------------------------------------------------------


class StreamQuery(Payload):
    """Where a reader begins, and what it wants to see. Without position and time: with a snapshot."""

    epoch: Annotated[str | None, Field(description="with `offset`: the position after which the stream begins")] = None
    offset: Annotated[int | None, Field(ge=0)] = None
    last_event_id: Annotated[str | None, Field(description="the same as `epoch:offset`")] = None
    since: Annotated[
        Moment | None, Field(description="ISO 8601, with time zone: replay what was logged at or after it")
    ] = None
    types: Annotated[str | None, Field(description="only these events, separated by commas")] = None
    roles: Annotated[str | None, Field(description="only messages of these: `user`, `agent`, `system`")] = None
    agents: Annotated[str | None, Field(description="only what concerns these agents")] = None
    changes_only: Annotated[
        bool, Field(description="`agent_message` comes as `message_updated`, with only what its deltas did not say")
    ] = False
    batch_ms: Annotated[int, Field(ge=0, le=10_000, description="the events of so many ms come together; 0: live")] = 0
    until: Annotated[Literal["end"] | None, Field(description="`end`: the stream ends with the run")] = None


class ComesBack(Payload):
    """Headers of a reader that comes back."""

    last_event_id: Annotated[
        str | None, Field(alias="Last-Event-ID", description="the last event's id: `epoch:offset`")
    ] = None


# --- sockets and sessions ---------------------------------------------------------------------------------------------


class StatusQuery(Payload):
    lateness_s: Annotated[float, Field(description="look at the event loop over so many seconds, at most 60")] = 60.0


def _figures(name: str, meaning: dict[str, str]) -> type[Payload]:
    fields: dict[str, Any] = {each: (Annotated[Figure, Field(description=text)], ...) for each, text in meaning.items()}
    return create_model(name, __base__=Payload, **fields)


SessionFigures: Any = _figures("SessionFigures", SESSION_FIGURES)
LogFigures: Any = _figures("LogFigures", DELIVERY_FIGURES)
DeliveryFigures: Any = _figures("DeliveryFigures", DELIVERY_FIGURES | SOCKET_FIGURES)


class SessionCounts(Payload):
    running: int
    total: int
    by_status: dict[Status, int]


class Totals(Payload):
    """Of the latest sessions of all conversations."""

    tokens_received: int
    tokens_delivered: int
    tokens_dropped: Annotated[int, Field(description="always 0")]


class RunnerRow(Payload):
    """An agent process."""

    pid: int
    for_: Annotated[str, Field(alias="for", description="`shared`, or the team that it runs alone")]
    ready: bool
    runs: int


class Lateness(Payload):
    """How late the event loop runs what is due, in ms; null where it was not looked at."""

    p50: float | None
    p99: float | None
    p999: float | None
    max: float | None


class DoorFigures(Payload):
    """What has become of connections: of the doors beside Socket.IO, and `over_limit` of all."""

    refused: Annotated[int, Field(description="found MAX_CONNECTIONS others")]
    over_limit: Annotated[int, Field(description="were refused, since their person or address has enough of them")]
    cut_off: Annotated[int, Field(description="took nothing for SLOW_CLIENT_TIMEOUT_S, though something waited")]


class StoreFigures(Payload):
    """What waits for the database."""

    state: Literal["ok", "unavailable"]
    message: str | None
    since: Annotated[str | None, Field(description="since when it is unavailable")]
    waiting: Annotated[int, Field(description="conversations with something that is not written yet")]
    waiting_bytes: Annotated[int, Field(description="what that takes, roughly; bounded by MAX_UNSAVED_BYTES")]
    lost: Annotated[int, Field(description="changes that were given up, because too much waited")]
    refused: Annotated[int, Field(description="changes that the database did not take; the log says which")]


class SocketStatus(Payload):
    """What the socket layer is doing."""

    status: Literal["running", "unavailable"]
    error: str | None
    async_mode: Literal["eventlet", "gevent", "threading"]
    namespace: str
    protocol: int
    version: str
    uptime_s: float
    active_connections: int
    connections: Annotated[dict[str, int], Field(description="connections by door")]
    doors: DoorFigures
    conversations: int
    sessions: SessionCounts
    totals: Totals
    store: StoreFigures
    delivery: Annotated[DeliveryFigures | LogFigures, Field(description="the latter where only HTTP is served")]
    runners: tuple[RunnerRow, ...]
    loop_lateness_ms: Lateness
    timestamp: Timestamp


class SessionsQuery(Payload):
    running: Annotated[bool, Field(description="only those that have not ended")] = False


class SessionRow(Payload):
    """The latest session of a conversation."""

    session_id: str
    conversation_id: str
    team: str
    status: Status
    state: Literal["idle", "streaming", "paused", "error", "closed"]
    demo: bool
    watchers: int
    offset: int
    metrics: SessionFigures


class SessionList(Payload):
    sessions: tuple[SessionRow, ...]
    total: int
    totals: Totals
    timestamp: Timestamp


class BroadcastAnswer(Payload):
    ok: Literal[True]
    recipients: Annotated[int, Field(description="how many connections were told")]
    timestamp: Timestamp


class ShortStatus(Payload):
    active_connections: int
    status: Literal["running", "unavailable"]
    timestamp: Timestamp


# --- health -----------------------------------------------------------------------------------------------------------


class Alive(Payload):
    status: Literal["healthy"]
    timestamp: Timestamp


class Check(Payload):
    ok: bool
    error: str | None


class ModelCheck(Payload):
    """What a provider said when it was asked."""

    ok: bool
    code: Annotated[str | None, Field(description="why not: a stable code")]
    latency_ms: float
    model: str
    circuit: Annotated[
        Literal["closed", "open", "half_open"],
        Field(description="`open`: it has failed so often that runs pass it over; `half_open`: one request may try it"),
    ]


class Checks(Payload):
    models: dict[str, ModelCheck]
    runner: Check
    log: Check
    store: Annotated[Check, Field(description="whether the database takes what it is given")]
    sockets: Check


class ModelState(Payload):
    label: Annotated[str, Field(description="which model answers")]
    answering: Annotated[str | None, Field(description="the first provider that has answered")]
    problem: str | None


class Readiness(Payload):
    status: Literal["ready", "degraded", "not_ready"]
    llm_status: Literal["connected", "loading", "unavailable"]
    model: ModelState
    checks: Checks
    timestamp: Timestamp
