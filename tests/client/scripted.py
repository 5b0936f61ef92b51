"""A client's core without a network: the server's answers and the time are given by the test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from app.client.core import Core, Wishes
from app.client.errors import DISCONNECTED, ClientError
from app.client.feed import Feed
from app.client.happenings import Happening, Reason
from app.client.link import Connection, LinkSettings
from app.client.worker import Later
from app.protocol.common import Status
from app.protocol.events import ConversationStatus, Event, MessageDelta, MessageStart
from app.protocol.snapshot import Snapshot
from app.streaming.fold import ConversationFold

ID, EPOCH, AT = "c1", "e1", "2026-11-21T09:30:00.000Z"

Payload = dict[str, Any]


class Wire:
    """What was sent, and the way to answer it; in the place of the link."""

    def __init__(self) -> None:
        self.state = Connection.OPEN
        self.ready = True
        self.reconnects = 0
        self.sent: list[tuple[str, Payload, Callable[..., None] | None]] = []

    def emit(self, name: str, payload: Payload, on_ack: Callable[..., None] | None = None) -> None:
        self.sent.append((name, payload, on_ack))

    def take(self, name: str) -> tuple[Payload, Callable[..., None]]:
        """The oldest command of this name that was not taken: its payload, and the function that answers it."""
        for at, (each, payload, on_ack) in enumerate(self.sent):
            if each == name:
                del self.sent[at]
                return payload, on_ack or (lambda *_: None)
        raise AssertionError(f"no {name} was sent: {self.sent}")


class Clock:
    """Calls that are due later, made when the test says so; in the place of the worker."""

    def __init__(self) -> None:
        self.due: list[tuple[float, Later]] = []

    def call(self, task: Callable[[], None], *, after_s: float = 0.0) -> Later:
        later = Later(after_s, task)
        self.due.append((after_s, later))
        return later

    def pass_(self, up_to_s: float) -> None:
        """Make all calls that are due within this time, and were not cancelled."""
        due, self.due = self.due, []
        for after_s, later in due:
            if after_s > up_to_s:
                self.due.append((after_s, later))
            elif not later.cancelled:
                later.task()


class Heard:
    """Whom the feed tells."""

    def __init__(self) -> None:
        self.applied_: list[Happening] = []
        self.replaced_: list[Reason] = []
        self.failed_: list[ClientError] = []

    def applied(self, happening: Happening) -> None:
        self.applied_.append(happening)

    def replaced(self, reason: Reason) -> None:
        self.replaced_.append(reason)

    def failed(self, error: ClientError) -> None:
        self.failed_.append(error)


class Scripted:
    """A feed with its surroundings."""

    def __init__(self) -> None:
        settings = LinkSettings("http://example.test", None, (), 1, 1, 1)
        self.core = Core(settings, Wishes(10, 0, 5, 500, acks=True, batch=True))
        self.wire, self.clock, self.heard = Wire(), Clock(), Heard()
        self.core.link = self.wire  # type: ignore[assignment]
        self.core.worker = self.clock  # type: ignore[assignment]
        self.feed = Feed(self.core, self.heard)

    def says(self, *events: tuple[str, Payload], size: int = 100) -> None:
        for name, payload in events:
            self.feed.hear(name, payload, size)

    def drops(self) -> None:
        """The connection is lost."""
        self.wire.ready = False
        self.core.lost(ClientError(DISCONNECTED, "lost", retryable=True))
        self.feed.connection_changed(Connection.REOPENING)
        self.wire.sent.clear()

    def opens(self) -> None:
        """The connection is back."""
        self.wire.ready = True
        self.feed.connection_changed(Connection.OPEN)


def script(tokens: int = 6) -> list[tuple[str, Payload]]:
    """A conversation's log: it begins, one message starts, and its words come."""
    events: list[Event] = [
        ConversationStatus(status=Status.INITIALIZING, session_id="s1", team="debate"),
        ConversationStatus(status=Status.ACTIVE, session_id="s1", team="debate"),
        MessageStart(message_id="m1", agent="Ann"),
        *(MessageDelta(message_id="m1", agent="Ann", delta=f"word{number} ") for number in range(tokens)),
    ]
    return [(event.name, enveloped(event, offset)) for offset, event in enumerate(events, start=1)]


def enveloped(event: Event, offset: int, *, after: int | None = None, epoch: str = EPOCH) -> Payload:
    envelope = {
        "conversation_id": ID,
        "epoch": epoch,
        "prev_offset": offset - 1 if after is None else after,
        "offset": offset,
        "timestamp": AT,
        "demo": False,
    }
    return {**event.to_wire(), **envelope}


def folded(events: list[tuple[str, Payload]], epoch: str = EPOCH) -> Snapshot:
    """What the server would hold."""
    fold = ConversationFold(ID, epoch, created_at=AT)
    for name, payload in events:
        fold.apply(name, payload)
    return fold.snapshot()


def answer(snapshot: Snapshot) -> Payload:
    """A join's answer with a snapshot."""
    wire = snapshot.model_dump(mode="json", by_alias=True)
    place = {"conversation_id": ID, "epoch": snapshot.epoch, "offset": snapshot.offset}
    return {"ok": True, **place, "recovered": False, "snapshot": wire}


def recovered(offset: int, epoch: str = EPOCH) -> Payload:
    """A join's answer that what was missed follows."""
    return {"ok": True, "conversation_id": ID, "epoch": epoch, "offset": offset, "recovered": True, "snapshot": None}


def refused(code: str, *, retryable: bool = False) -> Payload:
    return {"ok": False, "error": {"code": code, "message": "no", "retryable": retryable}}
