"""Messages of an AsyncAPI document, and the schemas that they stand on."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from pydantic import BaseModel, create_model
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from app.protocol.commands import Ack, Command
from app.protocol.common import Payload
from app.protocol.events import Envelope, Event
from app.protocol.schema import AlwaysSent

_REF = "#/components/schemas/{model}"
COMES: JsonSchemaMode = "validation"
GOES: JsonSchemaMode = "serialization"


@dataclass(frozen=True, slots=True)
class Message:
    """One message.

    :param key: its name in the document, unique.
    :param name: its name on the wire.
    :param model: its payload, or what stands under ``wrapped_in`` beside ``type``.
    :param plain: it is text, and no JSON.
    """

    key: str
    name: str
    text: str
    model: type[BaseModel] | None = None
    mode: JsonSchemaMode = GOES
    wrapped_in: str | None = None
    plain: bool = False


class Timestamped(Payload):
    """What a transient event carries beside its own fields."""

    timestamp: str


def text_of(declared: type) -> str:
    """The first paragraph of what is said of a declaration."""
    own = declared.__dict__.get("__doc__") or ""
    return " ".join(inspect.cleandoc(own).split("\n\n")[0].replace("``", "`").split())


@cache
def with_envelope(event: type[Event]) -> type[BaseModel]:
    """An event as it stands on the wire."""
    return shaped(event, **fields_of(Envelope if event.logged else Timestamped))


@cache
def success(ack: type[Ack]) -> type[BaseModel]:
    """An ack as it stands on the wire."""
    return shaped(ack, ok=(Literal[True], ...))


def shaped(model: type[BaseModel], name: str | None = None, **more: Any) -> type[BaseModel]:
    """A model with the fields of another one and further ones; no subclass of it, so that no list of those grows."""
    fields: dict[str, Any] = {**fields_of(model), **more}
    made: type[BaseModel] = create_model(name or model.__name__, __base__=Payload, __doc__=model.__doc__, **fields)
    return made


def fields_of(model: type[BaseModel]) -> dict[str, Any]:
    """A model's fields, as :func:`pydantic.create_model` takes them."""
    return {name: (field.annotation, field) for name, field in model.model_fields.items()}


def of_event(event: type[Event], prefix: str = "", wrapped_in: str | None = None) -> Message:
    return Message(f"{prefix}{event.__name__}", event.name, text_of(event), with_envelope(event), GOES, wrapped_in)


def of_command(command: type[Command]) -> Message:
    return Message(command.__name__, command.name, text_of(command), command, COMES)


class Catalogue:
    """All messages of a document, each once, with their schemas."""

    def __init__(self) -> None:
        self._messages: dict[str, Message] = {}

    def add(self, messages: Iterable[Message]) -> list[str]:
        """Take messages in. :returns: their keys."""
        keys = []
        for message in messages:
            self._messages.setdefault(message.key, message)
            keys.append(message.key)
        return keys

    def components(self) -> dict[str, Any]:
        """``components`` of the document."""
        asked = [(message.model, message.mode) for message in self._messages.values() if message.model]
        refs, definitions = models_json_schema(
            list(dict.fromkeys(asked)), ref_template=_REF, schema_generator=AlwaysSent
        )
        schemas: dict[Any, Any] = dict(refs)
        shown = {
            key: _shown(message, schemas.get((message.model, message.mode))) for key, message in self._messages.items()
        }
        return {"messages": shown, "schemas": definitions.get("$defs", {})}


def _shown(message: Message, schema: Any) -> dict[str, Any]:
    if message.plain:
        plain = {"contentType": "text/plain", "payload": {"type": "string"}}
        return {"name": message.name, "title": message.name, "summary": message.text, **plain}
    payload: dict[str, Any] = {"type": "object"} if schema is None else schema
    if message.wrapped_in is not None:
        fields = {"type": {"const": message.name}, message.wrapped_in: payload}
        required = ["type"] if message.model is None else ["type", message.wrapped_in]
        payload = {"type": "object", "required": required, "properties": fields}
    shown = {"name": message.name, "title": message.name, "contentType": "application/json", "payload": payload}
    return shown | ({"summary": message.text} if message.text else {})
