"""The contract as JSON Schema, made from the declarations."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from app.protocol import NAMESPACE, PROTOCOL_VERSION
from app.protocol.commands import COMMANDS, ErrorAck
from app.protocol.events import LOGGED, TRANSIENT, Envelope, Event
from app.protocol.snapshot import Snapshot


class AlwaysSent(GenerateJsonSchema):
    """What the server sends has all its fields, also those with a default: so they are required.

    Left out of an answer, and so not required, is only what says `exclude_if`.
    """

    def field_is_required(
        self,
        field: core_schema.ModelField | core_schema.DataclassField | core_schema.TypedDictField,
        total: bool,
    ) -> bool:
        if self.mode == "serialization":
            return not (field.get("serialization_exclude") or field.get("serialization_exclude_if"))
        return super().field_is_required(field, total)


def protocol_schema() -> dict[str, Any]:
    """Every command with payload and ack, every event with payload, each as JSON Schema (draft 2020-12).

    A logged event's schema is its own part; ``envelope`` is what each of them carries beside it.
    """
    return {
        "protocol": PROTOCOL_VERSION,
        "namespace": NAMESPACE,
        "commands": {
            command.name: {
                "description": (command.__doc__ or "").strip(),
                "payload": command.model_json_schema(by_alias=True),
                "ack": command.ack.model_json_schema(by_alias=True, mode="serialization"),
            }
            for command in COMMANDS
        },
        "error_ack": ErrorAck.model_json_schema(mode="serialization"),
        "events": [_event(event) for event in LOGGED + TRANSIENT],
        "envelope": Envelope.model_json_schema(mode="serialization"),
        "snapshot": Snapshot.model_json_schema(by_alias=True, mode="serialization"),
    }


def _event(event: type[Event]) -> dict[str, Any]:
    return {
        "name": event.name,
        "logged": event.logged,
        "description": (event.__doc__ or "").strip(),
        "payload": event.model_json_schema(by_alias=True, mode="serialization"),
    }
