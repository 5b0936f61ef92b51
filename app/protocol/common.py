"""Payload pieces that commands, events and snapshots share."""

from __future__ import annotations

import re
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError


def whole_characters(text: str) -> str:
    """The text with U+FFFD in the place of each half of a surrogate pair: no pipe takes such a half."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class Payload(BaseModel):
    """The base of everything on the wire: frozen, and strict about unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False)


def sentence_of(error: ValidationError) -> str:
    """What is wrong with a payload, for a person; the first thing only, and never the value itself."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    what = "an object is needed" if first["type"] == "model_type" else str(first["msg"])
    return f"{where}: {what}" if where else what


def _written(value: object) -> object:
    if isinstance(value, datetime) or (isinstance(value, str) and _DATE.match(value)):
        return value
    raise ValueError("a time with its zone is needed, as ISO 8601 writes it")  # a bare number might be anything


_DATE = re.compile(r"\d{4}-\d\d-\d\d[T ]")

Moment = Annotated[AwareDatetime, BeforeValidator(_written)]
"""A time that somebody asks for."""


class Status(StrEnum):
    """What a conversation is doing. The table of legal changes is ``app/streaming/states.py``."""

    IDLE = "idle"
    INITIALIZING = "initializing"
    ACTIVE = "active"
    PAUSED = "paused"
    COMPLETED = "completed"
    STOPPED = "stopped"
    ERROR = "error"


class ContentType(StrEnum):
    """What the user's content is: a request, a text to be quoted and not obeyed, or an address to be fetched."""

    TEXT = "text"
    ARTICLE = "article"
    URL = "url"


Role = Literal["user", "agent", "system"]
MessageKind = Literal["message", "facts", "plan", "ledger", "thought"]
"""See MESSAGE_KINDS."""
MESSAGE_KINDS = "words for the others, or an orchestrator's facts, plan or ledger, or an agent's thinking"
"""What a message is, in the order of its kinds."""
ToolFailure = Literal["failed", "timeout", "unavailable", "not_found", "refused"]
"""Why a tool failed; ``failed`` is whatever is none of the others."""
TOOL_FAILURES = (
    "why it failed: it raised an error or said no more than that, had no answer in time, asks something that cannot be "
    "reached, was asked for what there is not, or may not do that; null: it did not fail"
)
"""The same in words, in the same order."""
CUT_OFF = "the reply has reached the length that it may have, and ends there"
"""Of a message: its model had more to say."""


def _a_number(value: object) -> object:
    if isinstance(value, bool | str):
        raise ValueError("a number is needed")  # else true would be 1
    return value


ANumber = BeforeValidator(_a_number)
"""Of a field that takes numbers: true and "1" are none, as the published schema says. (Of one that takes true or false,
pydantic's StrictBool.)
"""

RetryAfter = Annotated[
    float | None,
    Field(description="seconds after which to try again; only where that is known", exclude_if=lambda v: v is None),
]
"""Of an error."""


class Position(Payload):
    """A reader's place in a conversation's log."""

    epoch: Annotated[str, Field(min_length=1, max_length=64)]
    offset: Annotated[int, Field(ge=0), ANumber]


class Filter(Payload):
    """What a reader wants to see of a conversation. What is left out is not filtered by.

    An event passes when it has one of the ``types`` *and*, where it names a role or an agent, one of those. Status,
    errors and the end always pass: a reader that does not hear them would wait for ever.
    """

    types: Annotated[tuple[str, ...], Field(max_length=50, description="names of logged events")] = ()
    roles: Annotated[tuple[Role, ...], Field(max_length=3, description="whose messages: user, agent, system")] = ()
    agents: Annotated[tuple[str, ...], Field(max_length=50, description="names of agents")] = ()


class Usage(Payload):
    """Tokens spent with a model. ``estimated``: the provider gave no figures, and received deltas were counted."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    estimated: bool = False
    cost_usd: Annotated[float | None, Field(ge=0, description="in US dollars; null: no price is known")] = None

    def __add__(self, other: Usage) -> Usage:
        costs = [usage.cost_usd for usage in (self, other) if usage.cost_usd is not None]
        return Usage(
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            estimated=self.estimated or other.estimated,
            cost_usd=sum(costs) if costs else None,
        )

    def cost_words(self) -> str:
        """What it costs, to be read behind the tokens: ``, $0.0021``; nothing where that is not known."""
        if self.cost_usd is None:
            return ""
        small = 0 < self.cost_usd < 1
        return f", ${self.cost_usd:.6f}".rstrip("0") if small else f", ${self.cost_usd:,.2f}"


class AgentCard(Payload):
    """How an agent presents itself before it has spoken."""

    name: str
    description: str = ""
    emoji: str = ""


def failed_as(code: ToolFailure | None) -> str:
    """``failed``, and why where that is known, for people."""
    return "failed" if code in (None, "failed") else f"failed ({code.replace('_', ' ')})"
