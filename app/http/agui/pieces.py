"""Pieces of AG-UI events: what the translator puts together."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ag_ui.core import BaseEvent, CustomEvent, Interrupt, StateDeltaEvent, TextMessageStartEvent, TokenUsage

from app.http.agui.pictures import KEY, STATE_KEY
from app.protocol.common import Usage
from app.protocol.snapshot import InputView
from app.streaming.log import LogEntry

Place = tuple[str, int]
_ENVELOPE = frozenset({"conversation_id", "epoch", "prev_offset", "offset", "timestamp", "demo"})


class Told:
    """A log entry, with the places before and after it."""

    def __init__(self, entry: LogEntry) -> None:
        self.name = entry.name
        self.payload: dict[str, Any] = entry.payload
        self.place: Place = (entry.payload["epoch"], entry.offset)
        self.place_before: Place = (entry.payload["epoch"], entry.prev_offset)

    @property
    def after(self) -> dict[str, Any]:
        return metadata_of(self.place)

    @property
    def before(self) -> dict[str, Any]:
        return metadata_of(self.place_before)

    @property
    def own(self) -> dict[str, Any]:
        """The event's own fields, without the envelope."""
        return {name: value for name, value in self.payload.items() if name not in _ENVELOPE}


def metadata_of(place: Place | None, facts: Mapping[str, Any] | None = None) -> dict[str, Any]:
    where = {} if place is None else {"epoch": place[0], "offset": place[1]}
    return {KEY: {**where, **(facts or {})}}


def patch(changes: Mapping[str, Any], metadata: dict[str, Any]) -> BaseEvent:
    # `add` sets a member whether or not it is there
    operations: list[Any] = [
        {"op": "add", "path": f"/{STATE_KEY}/{name}", "value": value} for name, value in changes.items()
    ]
    return StateDeltaEvent(delta=operations, metadata=metadata)


def custom(told: Told) -> BaseEvent:
    return CustomEvent(name=told.name, value=told.own, metadata=told.after)


def start_of(key: str, told: Told, metadata: dict[str, Any]) -> BaseEvent:
    role, name = told.payload.get("role", "agent"), told.payload["agent"]
    if role == "user":
        return TextMessageStartEvent(message_id=key, role="user", metadata=metadata)
    if role == "system":
        return TextMessageStartEvent(message_id=key, role="system", name=name, metadata=metadata)
    return TextMessageStartEvent(message_id=key, role="assistant", name=name, metadata=metadata)


def interrupt_of(request: InputView) -> Interrupt:
    """A question, as what a run waits for."""
    permission = request.kind == "permission"
    return Interrupt(
        id=request.request_id,
        reason="permission" if permission else "input",
        message=request.prompt,
        response_schema={"type": "boolean" if permission else "string"},
        expires_at=request.deadline,
        metadata=metadata_of(None, {"agent": request.agent, "secret": request.secret}),
    )


def token_usage(usage: Usage | None, model: str | None) -> list[TokenUsage] | None:
    if usage is None:
        return None
    return [TokenUsage(model=model, input_tokens=usage.prompt_tokens, output_tokens=usage.completion_tokens)]


def milliseconds(timestamp: str) -> int:
    return int(datetime.fromisoformat(timestamp).timestamp() * 1000)


def place_of(event: BaseEvent) -> str | None:
    """The reader's place after this event as ``epoch:offset``, for SSE's ``id``; None where it has none."""
    facts = (event.metadata or {}).get(KEY, {})
    return f"{facts['epoch']}:{facts['offset']}" if "offset" in facts else None
