"""What a reader of a conversation is given: the protocol's events, and the client's own."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from pydantic import ValidationError

from app.protocol.events import LOGGED_BY_NAME, TRANSIENT, Envelope, Event
from app.protocol.snapshot import Snapshot

_TRANSIENT_BY_NAME = {event.name: event for event in TRANSIENT}
ENVELOPE = tuple(Envelope.model_fields)


class ClientEvent(StrEnum):
    """Names of the client's own events, which no server event can have."""

    CONNECTION = "client:connection"
    LATENCY = "client:latency"
    QUEUE = "client:queue"
    REPLACED = "client:replaced"
    FAILURE = "client:failure"


Reason = Literal["joined", "resynced", "behind", "interrupted"]


@dataclass(frozen=True, slots=True)
class Replaced:
    """The conversation as it stands, in the place of everything before.

    :param reason: ``joined``: the beginning, or the answer to a position that is no longer kept; ``resynced``: this
        connection fell too far behind; ``behind``: whoever reads the events was too slow for its queue;
        ``interrupted``: the server has forgotten the conversation in the middle of a run.
    """

    state: Snapshot
    reason: Reason


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that has happened, in the order of the log.

    :param name: an event's name, or a :class:`ClientEvent`.
    :param body: the event, typed: one of ``app.protocol.events``, or :class:`Replaced`; None for a name that this
        version of the client does not know, and for what has only a payload.
    :param payload: as it came over the wire, with the envelope.
    """

    name: str
    body: Event | Replaced | None
    payload: dict[str, Any]

    @property
    def offset(self) -> int | None:
        """Its place in the log; None for what is not logged."""
        offset: int | None = self.payload.get("offset")
        return offset

    @property
    def timestamp(self) -> str | None:
        """When the server logged or sent it: UTC, ISO 8601."""
        timestamp: str | None = self.payload.get("timestamp")
        return timestamp

    @property
    def demo(self) -> bool:
        """True: no model spoke, this is a prepared script."""
        return bool(self.payload.get("demo", False))


def happening_of(name: str, payload: dict[str, Any]) -> Happening:
    """A server's event, typed. Fields that this version does not know are left out of the body."""
    logged = "prev_offset" in payload
    kind = (LOGGED_BY_NAME if logged else _TRANSIENT_BY_NAME).get(name)
    if kind is None:
        return Happening(name, None, payload)
    try:
        return Happening(name, kind.model_validate(payload, extra="ignore"), payload)
    except ValidationError:
        return Happening(name, None, payload)
