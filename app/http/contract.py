"""What a route takes and answers, declared beside its view; the OpenAPI document is made from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel

from app.errors import ColloquyError

JSON = "application/json"
HTML = "text/html"
EVENT_STREAM = "text/event-stream"


View = TypeVar("View", bound=Callable[..., Any])
_ATTRIBUTE = "__contract__"


@dataclass(frozen=True, slots=True)
class Contract:
    """One route.

    :param answer: the model of its body; None where it is no JSON, or has no fixed shape.
    :param also: further answers by status; ``also_media``: the same one in other
        media, with the model of each that has one.
    :param query: each field is a parameter of the address; ``headers``: the same with headers, by their aliases.
    :param body_required: False: the request may come without one.
    :param errors: what it refuses, beside what every route does.
    """

    answer: type[BaseModel] | None = None
    media: str = JSON
    also_media: Mapping[str, type[BaseModel] | None] = field(default_factory=dict)
    status: int = 200
    also: Mapping[int, type[BaseModel]] = field(default_factory=dict)
    body: type[BaseModel] | None = None
    body_required: bool = True
    query: type[BaseModel] | None = None
    headers: type[BaseModel] | None = None
    errors: tuple[type[ColloquyError], ...] = ()


def contract(answer: type[BaseModel] | None = None, **more: Any) -> Callable[[View], View]:
    """Declare what a view takes and answers; the parameters are those of :class:`Contract`."""

    def note(view: View) -> View:
        setattr(view, _ATTRIBUTE, Contract(answer, **more))
        return view

    return note


def contract_of(view: Callable[..., Any]) -> Contract | None:
    """What was declared beside a view."""
    found: Contract | None = getattr(view, _ATTRIBUTE, None)
    return found
