"""The wire contract: names, payloads, schemas, round trips; and that nobody writes a name anywhere else."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from app.errors import ColloquyError
from app.http.conversation_shapes import GivenInput
from app.http.operation import NewProvider, ProviderChange
from app.http.shares import LinkRequest
from app.protocol import NAMESPACE, room_of
from app.protocol.commands import (
    COMMANDS,
    COMMANDS_BY_NAME,
    Ack,
    Command,
    ErrorAck,
    Join,
    Ping,
    RunOptions,
    StartStream,
)
from app.protocol.common import Payload, Position, Usage
from app.protocol.dialects import bridge, messages, tasks
from app.protocol.events import EVENT_NAMES, LOGGED, LOGGED_BY_NAME, TRANSIENT, Envelope, Event, FallbackMode, Progress
from app.protocol.schema import protocol_schema
from app.protocol.snapshot import Snapshot

APP = Path(__file__).resolve().parents[2] / "app"
NAMES = {*EVENT_NAMES, *COMMANDS_BY_NAME}

ALLOWED = {
    ("adapters/classic_scene.py", "input_request"): "AG2's own event of that name",
    ("adapters/classic_scene.py", "tool_call"): "AG2's own event of that name",
    ("auth/audit.py", "broadcast"): "the kind of entry of that name",
    ("auth/audit.py", "conversation_deleted"): "the kind of entry of that name",
    ("auth/live.py", "signed_out"): "the code of that name, with which a sign-in ends",
    ("auth/permissions.py", "broadcast"): "the action of that name, which is asked of the gate",
    ("http/sockets/ag2_events.py", "input_request"): "AG2's own event of that name",
    ("errors.py", "input_resolved"): "the code of that name, for who answers too late",
    ("runner/wire.py", "ping"): "an order of the link to a runner",
    ("providers/anthropic_stream.py", "message_start"): "an event of Anthropic's",
    ("providers/anthropic_stream.py", "message_delta"): "the same",
    ("providers/anthropic.py", "tool_result"): "a kind of content of Anthropic's",
    ("http/message_view.py", "feedback"): "the field of MessageView",
    ("http/messages.py", "feedback"): "the same",
    ("streaming/fold.py", "progress"): "the part of a stored state of that name",
    ("store/archive.py", "progress"): "the same",
    ("streaming/editing.py", "feedback"): "the field of MessageView",
    ("store/tables.py", "feedback"): "the table and the column of that name",
    ("store/migrations/versions/0001_the_first_schema.py", "feedback"): "the same",
    ("client/wire.py", "connected"): "a state of python-engineio's client",
    ("http/health.py", "connected"): "FEATURES D5: the state of the model in /api/v1/health/ready",
    ("http/answers.py", "connected"): "the same",
}
"""Strings that equal a name and mean something else."""


def subclasses(base: type[Any]) -> set[type[Any]]:
    found = set(base.__subclasses__())
    return found.union(*(subclasses(each) for each in found)) if found else found


PAYLOADS = sorted(
    (each for each in subclasses(Payload) if each.__module__.startswith("app.protocol.")),
    key=lambda each: each.__name__,
)


# --- names ------------------------------------------------------------------------------------------------------------


def test_every_command_and_event_is_in_its_table() -> None:
    """A class that is declared and not listed would be in no document and no generated file."""
    assert set(COMMANDS) == {each for each in subclasses(Command) if each.__module__.startswith("app.")}
    declared = {each for each in subclasses(Event) if hasattr(each, "name") and each.__module__.startswith("app.")}
    assert {*LOGGED, *TRANSIENT} == declared
    assert all(each.logged for each in LOGGED)
    assert not any(each.logged for each in TRANSIENT)


def test_names_are_unique() -> None:
    """But for `progress`, which is logged or transient; the transient one has all fields of the logged one."""
    assert len(COMMANDS_BY_NAME) == len(COMMANDS)
    assert len(LOGGED_BY_NAME) == len(LOGGED)
    transient = [each.name for each in TRANSIENT]
    assert len(set(transient)) == len(transient)
    twice = set(transient) & set(LOGGED_BY_NAME)
    assert twice == {Progress.name}
    (still,) = [each for each in TRANSIENT if each.name == Progress.name]
    assert set(Progress.model_fields) <= set(still.model_fields)
    assert not set(EVENT_NAMES) & set(COMMANDS_BY_NAME)


@pytest.mark.parametrize("name", sorted(NAMES))
def test_names_are_plain_and_free(name: str) -> None:
    """Lower case with underscores; none that Socket.IO reserves."""
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", name)
    assert name not in {"connect", "connect_error", "disconnect", "disconnecting", "message", "error"}


def test_no_name_is_written_elsewhere() -> None:
    """House rule 4: the name of an event or command is a literal in app/protocol only. Docstrings do not count."""
    found: set[tuple[str, str]] = set()
    for path in APP.rglob("*.py"):
        where = path.relative_to(APP).as_posix()
        if where.startswith("protocol/"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and node.value in NAMES:
                found.add((where, str(node.value)))
    assert not found - set(ALLOWED), "use the class's name, e.g. MessageDelta.name"
    assert not set(ALLOWED) - found, "no longer there: take it from the list"


def test_room_names() -> None:
    """One room for each conversation, in the one namespace."""
    assert room_of("c1") == "conversation:c1"
    assert NAMESPACE == "/conversations"


def test_error_codes_are_unique_and_documented() -> None:
    """One class for each code; the tree at the top of errors.py names them all."""
    import app.errors

    codes = [each.code for each in subclasses(ColloquyError) if each.__module__ == "app.errors"]
    assert len(set(codes)) == len(codes)
    tree = app.errors.__doc__ or ""
    named = [
        each for each in subclasses(ColloquyError) if each.__module__ == "app.errors" and each.__name__ not in tree
    ]
    assert not named
    error = ColloquyError("Something went wrong", code="special")
    assert error.to_payload() == {"code": "special", "message": "Something went wrong", "retryable": False}


# --- payloads ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", PAYLOADS, ids=lambda kind: kind.__name__)
def test_payloads_are_frozen_and_refuse_unknown_fields(kind: type[BaseModel]) -> None:
    """All of them."""
    assert kind.model_config["frozen"] is True
    assert kind.model_config["extra"] == "forbid"
    with pytest.raises(ValidationError, match="Extra inputs"):
        kind.model_validate({"no_such_field": 1})


def test_a_payload_cannot_be_changed() -> None:
    """It may be on its way to several readers."""
    with pytest.raises(ValidationError, match="frozen"):
        Usage().prompt_tokens = 5  # type: ignore[misc]  # that is the point


@pytest.mark.parametrize("kind", LOGGED, ids=lambda kind: kind.__name__)
def test_no_logged_event_has_a_field_of_the_envelope(kind: type[Event]) -> None:
    """It would be overwritten."""
    assert not {field.alias or name for name, field in kind.model_fields.items()} & set(Envelope.model_fields)


@pytest.mark.parametrize("kind", PAYLOADS, ids=lambda kind: kind.__name__)
def test_a_schema_can_be_made(kind: type[BaseModel]) -> None:
    """With a type for each field, as JSON."""
    for mode in ("validation", "serialization"):
        schema = kind.model_json_schema(mode=mode)  # type: ignore[arg-type]  # both are modes
        assert schema["type"] == "object"
        json.dumps(schema)


def test_the_whole_contract_as_schema() -> None:
    """Every command with its ack and every event is in it, each with a description."""
    schema = json.loads(json.dumps(protocol_schema()))
    assert set(schema["commands"]) == set(COMMANDS_BY_NAME)
    assert [each["name"] for each in schema["events"]] == [each.name for each in (*LOGGED, *TRANSIENT)]
    described = [*schema["commands"].values(), *(each for each in schema["events"])]
    assert all(each["description"] for each in described)


def example_of(schema: dict[str, Any], definitions: dict[str, Any]) -> Any:
    """The smallest value that a schema allows, with every field filled in."""
    if "$ref" in schema:
        return example_of(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "anyOf" in schema:
        return example_of(schema["anyOf"][0], definitions)
    if "const" in schema or "enum" in schema:
        return schema.get("const", schema.get("enum", [None])[0])
    match schema.get("type"):
        case "object":
            return {key: example_of(each, definitions) for key, each in schema.get("properties", {}).items()}
        case "array":
            return [example_of(schema["items"], definitions)]
        case "string" if schema.get("format") == "date-time":
            return "2026-01-01T00:00:00.000000Z"
        case "string":
            return "é" * max(1, schema.get("minLength", 1))
        case "boolean":
            return True
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "null":
            return None
    return {"any": [1, "thing"]}


@pytest.mark.parametrize("kind", PAYLOADS, ids=lambda kind: kind.__name__)
def test_wire_round_trip(kind: type[BaseModel]) -> None:
    """What is sent, parsed and sent again is the same, by its wire names."""
    schema = kind.model_json_schema(by_alias=True)
    example = example_of(schema, schema.get("$defs", {}))
    wire = json.loads(kind.model_validate(example).model_dump_json(by_alias=True))
    again = kind.model_validate(wire)
    assert json.loads(again.model_dump_json(by_alias=True)) == wire
    assert again == kind.model_validate(example)
    assert set(wire) == set(schema.get("properties", {}))
    if isinstance(again, Event):
        assert again.to_wire() == wire


def test_an_alias_is_the_wire_name() -> None:
    """`from` is a word of Python, so the field has another name there."""
    event = FallbackMode(mode="provider", reason="model_stalled", from_="a", to="b")
    assert event.to_wire() == {"mode": "provider", "reason": "model_stalled", "from": "a", "to": "b"}
    assert FallbackMode.model_validate(event.to_wire()) == event


# --- commands at the edge ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (Join, {}),
        (Join, {"conversation_id": ""}),
        (Join, {"conversation_id": "x" * 65}),
        (Join, {"conversation_id": 5}),
        (Join, {"conversation_id": "c", "position": {"epoch": "", "offset": 0}}),
        (Join, {"conversation_id": "c", "position": {"epoch": "e", "offset": -1}}),
        (Join, {"conversation_id": "c", "position": {"epoch": "e"}}),
        (StartStream, {"team": "debate"}),
        (StartStream, {"content": "x", "team": ""}),
        (StartStream, {"content": "x", "content_type": "html"}),
        (StartStream, {"content": "x", "options": {"tokens_per_s": -1}}),
        (StartStream, {"content": "x", "options": {"tokens_per_s": float("nan")}}),
        (StartStream, {"content": "x", "options": {"max_turns": 0}}),
        (StartStream, {"content": "x", "options": {"unknown": 1}}),
        (Ping, {"echo": {"deep": 1}}),
    ],
)
def test_malformed_commands_are_refused(kind: type[Command], wrong: dict[str, Any]) -> None:
    """At the edge, so that nobody inside has to look again."""
    with pytest.raises(ValidationError):
        kind.model_validate(wrong)


def test_every_command_has_an_ack_and_every_ack_is_ok_or_an_error() -> None:
    """The fields beside `ok: true`; a failed one has the one error shape."""
    for command in COMMANDS:
        assert issubclass(command.ack, Ack)
        assert "ok" not in command.ack.model_fields
        assert (command.__doc__ or "").strip()
    wire = {"ok": False, "error": {"code": "x", "message": "y", "retryable": True}}
    assert TypeAdapter(ErrorAck).validate_python(wire).model_dump() == wire
    with pytest.raises(ValidationError):
        ErrorAck.model_validate({**wire, "ok": True})


def test_usage_adds_up() -> None:
    """And an estimate in it makes the sum one."""
    total = Usage(prompt_tokens=1, completion_tokens=2) + Usage(prompt_tokens=10, estimated=True)
    assert total == Usage(prompt_tokens=11, completion_tokens=2, estimated=True)
    assert Usage() + Usage() == Usage()


def test_the_snapshot_names_its_position() -> None:
    """Epoch and offset: what a client hands in when it comes back."""
    fields = Snapshot.model_fields
    assert {"epoch", "offset"} <= set(fields)
    Position.model_validate({"epoch": "e", "offset": 0})


SENT: tuple[type[BaseModel], ...] = (
    *(*COMMANDS, RunOptions, Position, *bridge.BRIDGE_COMMANDS, *tasks.TASK_COMMANDS, messages.ProvideInput),
    *(GivenInput, LinkRequest, NewProvider, ProviderChange),
)
"""Whatever clients send as JSON and has numbers or booleans in it."""


def _published(kind: type[BaseModel]) -> dict[str, set[str]]:
    """The types of each field, as JSON Schema names them."""
    fields = kind.model_json_schema().get("properties", {}).items()
    return {name: {str(each.get("type")) for each in (field, *field.get("anyOf", ()))} for name, field in fields}


@pytest.mark.parametrize(
    ("kind", "name", "boolean"),
    [
        (kind, name, "boolean" in types)
        for kind in SENT
        for name, types in _published(kind).items()
        if types & {"boolean", "integer", "number"} and "string" not in types
    ],
)
def test_words_are_no_numbers_and_not_true(kind: type[BaseModel], name: str, boolean: bool) -> None:
    """As the published schema says, at every door: "yes" counted as true, true and "1" as 1."""
    for wrong in ("yes", "true", "1", 1 if boolean else True):
        with pytest.raises(ValidationError) as refusal:
            kind.model_validate({name: wrong})
        assert name in [each["loc"][0] for each in refusal.value.errors()], wrong
