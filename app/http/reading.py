"""What a reader asks for in an address: where it begins, and what it wants to see. The same on all doors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter, ValidationError

from app.auth.identity import Principal
from app.auth.permissions import Action, role_in
from app.errors import ConversationUnknown, InvalidPayload, StoreUnavailable
from app.protocol.common import Filter, Moment, Position, sentence_of, whole_characters
from app.services import Services
from app.store.base import Reader
from app.streaming.conversation import Conversation
from app.streaming.view import ALL, View

_TRUE = ("1", "true", "yes")
_time: TypeAdapter[datetime] = TypeAdapter(Moment)


@dataclass(frozen=True, slots=True)
class Wish:
    """Where a reader begins (``position``, else ``since``, else a snapshot), and what it wants to see."""

    position: Position | None = None
    since: datetime | None = None
    view: View = ALL
    batch_s: float = 0.0


def wish_of(query: Mapping[str, str], last_event_id: str | None = None) -> Wish:
    """Read ``epoch`` and ``offset`` (or ``last_event_id``), ``since``, ``types``, ``roles``, ``agents``,
    ``changes_only`` and ``batch_ms`` from an address.

    :param last_event_id: ``epoch:offset``, as the header of SSE carries it; wins over the address, whose position is
        that of the first connection when an ``EventSource`` comes back by itself.
    :raises InvalidPayload:
    """
    try:
        wanted = Filter.model_validate(
            {name: words for name in ("types", "roles", "agents") if (words := _words(query.get(name)))}
        )
        view = View(wanted if wanted != Filter() else None, changes_only=query.get("changes_only", "").lower() in _TRUE)
        return Wish(_position(query, last_event_id), _since(query), view, milliseconds(query, "batch_ms") / 1000)
    except ValidationError as error:
        raise InvalidPayload(sentence_of(error)) from None


def milliseconds(query: Mapping[str, str], name: str, default: int = 0, most: int = 10_000) -> int:
    """A whole number of milliseconds. :raises InvalidPayload:"""
    try:
        value = int(query.get(name) or default)
    except ValueError:
        value = -1
    if not 0 <= value <= most:
        raise InvalidPayload(f"{name}: a whole number from 0 to {most} is needed")
    return value


def switched_on(query: Mapping[str, str], name: str) -> bool:
    """Whether a switch in an address is on."""
    return query.get(name, "").lower() in _TRUE


def _words(value: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in (value or "").split(",") if part.strip())


def _since(query: Mapping[str, str]) -> datetime | None:
    given = query.get("since")
    try:
        return _time.validate_python(given.replace(" ", "+")) if given else None
    except ValidationError as error:
        raise InvalidPayload(f"since: {sentence_of(error)}") from None


def _position(query: Mapping[str, str], last_event_id: str | None) -> Position | None:
    """:raises InvalidPayload: for half a position; one that makes no sense to us is like one that is lost."""
    given = last_event_id or query.get("last_event_id")
    if given:
        epoch, _, offset = given.rpartition(":")
        number = offset_in(offset)
        return Position(epoch=epoch, offset=number) if 0 < len(epoch) <= 64 and isinstance(number, int) else None
    epoch, offset = query.get("epoch", ""), query.get("offset", "")
    if not epoch and not offset:
        return None
    position: dict[str, Any] = {"epoch": epoch, "offset": offset_in(offset)}
    return Position.model_validate(position)


def offset_in(text: str) -> int | str:
    """The offset that stands in an address; what is none stays as it is, and is refused where it is parsed."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else text


def find_conversation(parts: Services, principal: Principal, key: str, action: Action = Action.WATCH) -> Conversation:
    """A conversation by its id, or by its name: its title; the one of that name that has changed last.

    :raises ConversationUnknown: when there is none, or they are no part of it.
    """
    try:
        return parts.entrance.find(principal, action, key)
    except ConversationUnknown:
        named = _named(parts, principal, key)
        if named is None:
            raise
        return parts.entrance.find(principal, action, named)


def _named(parts: Services, principal: Principal, title: str) -> str | None:
    """Memory knows what was named a moment ago, the store knows all the others."""
    if not principal.id or not title or "\0" in title or whole_characters(title) != title:
        return None
    known = [
        each
        for each in parts.manager.conversations()
        if each.fold.title == title and role_in(principal, each) is not None
    ]
    newest = max(known, key=lambda each: each.fold.updated_at, default=None)
    try:
        stored = parts.store.named(Reader(principal.id, principal.tenant), title)
    except StoreUnavailable:
        if newest is None:
            raise
        return newest.id
    if stored is None or newest is None or stored == newest.id:
        return newest.id if newest is not None else stored
    in_memory = parts.manager.in_memory(stored)
    if in_memory is not None:  # known here by another title, or older
        return newest.id
    record = parts.store.get(stored)
    return stored if record is not None and record.updated_at > newest.fold.updated_at else newest.id
