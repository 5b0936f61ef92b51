"""The published contracts: complete, valid, and shown whole on their pages."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from flask import Flask
from jsonschema.validators import validator_for
from openapi_spec_validator import validate

from app import create_app
from app.http.openapi import documented_rules, openapi_document, path_of
from app.protocol.asyncapi import asyncapi_document
from app.protocol.commands import COMMANDS
from app.protocol.dialects.ag2 import AG2_EVENTS
from app.protocol.dialects.bridge import BRIDGE_COMMANDS
from app.protocol.dialects.messages import MESSAGE_TYPES
from app.protocol.dialects.tasks import TASK_COMMANDS, TASK_EVENTS
from app.protocol.events import LOGGED, TRANSIENT, Envelope
from app.settings import load_settings
from tests.support.processes import ROOT

HOST = "127.0.0.1:5000"


@pytest.fixture(scope="module")
def app() -> Flask:
    return create_app(load_settings(None, async_mode="threading", local_model=False))


@pytest.fixture(scope="module")
def http(app: Flask) -> dict[str, Any]:
    return openapi_document(app, "1.2.3")


@pytest.fixture(scope="module")
def sockets() -> dict[str, Any]:
    return asyncapi_document(HOST, "1.2.3")


def test_the_openapi_document_is_valid(http: dict[str, Any]) -> None:
    """As the OpenAPI 3.1 schema has it; no operation id twice, no reference into nothing."""
    validate(http)


def test_every_route_is_in_it(app: Flask, http: dict[str, Any]) -> None:
    """Path and method; nothing but static files is left out."""
    served = {
        (path_of(rule), method.lower())
        for rule in app.url_map.iter_rules()
        if rule.endpoint != "static"
        for method in rule.methods or ()
        if method not in ("HEAD", "OPTIONS")
    }
    told = {(path, method) for path, item in http["paths"].items() for method in item}
    assert told == served
    assert all(operation["summary"] for item in http["paths"].values() for operation in item.values())


def test_a_route_without_a_contract_is_noticed() -> None:
    """The document cannot be made."""
    app = create_app(load_settings(None, async_mode="threading", local_model=False))
    app.add_url_rule("/api/forgotten", "protocol.forgotten", lambda: "")
    with pytest.raises(KeyError, match="/api/forgotten"):
        openapi_document(app, "1")


def test_the_asyncapi_document_is_valid(sockets: dict[str, Any]) -> None:
    """As AsyncAPI's own schema has it; no reference into nothing."""
    schema = json.loads((ROOT / "node_modules/@asyncapi/specs/schemas/3.0.0.json").read_text())
    errors = [f"{error.json_path}: {error.message}" for error in validator_for(schema)(schema).iter_errors(sockets)]
    assert not errors
    for reference in references(sockets):
        target: Any = sockets
        for step in reference.removeprefix("#/").split("/"):
            target = target[step]


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [found for each in value.values() for found in references(each)]
    if isinstance(value, list):
        return [found for each in value for found in references(each)]
    return []


def messages_of(document: dict[str, Any], channel: str) -> list[dict[str, Any]]:
    keys = document["channels"][channel]["messages"]
    return [document["components"]["messages"][key] for key in keys]


def test_every_command_has_its_ack(sockets: dict[str, Any]) -> None:
    """As an operation with a reply: the ack, or the error."""
    for command in COMMANDS:
        operation = sockets["operations"][command.name]
        assert operation["action"] == "receive"
        replies = [each["$ref"].rpartition("/")[2] for each in operation["reply"]["messages"]]
        assert replies == [command.ack.__name__, "ErrorAck"]


def test_every_event_is_in_it_with_its_envelope(sockets: dict[str, Any]) -> None:
    """Each field of the event and, where it is logged, of the envelope."""
    schemas = sockets["components"]["schemas"]
    for event in LOGGED + TRANSIENT:
        message = sockets["components"]["messages"][event.__name__]
        fields = set(schemas[message["payload"]["$ref"].rpartition("/")[2]]["properties"])
        own = {field.alias or name for name, field in event.model_fields.items()}
        assert fields == own | (set(Envelope.model_fields) if event.logged else {"timestamp"})
    told = {message["name"] for channel in ("connection", "room") for message in messages_of(sockets, channel)}
    assert {event.name for event in LOGGED + TRANSIENT} <= told


def test_the_dialects_are_in_it(sockets: dict[str, Any]) -> None:
    """Each command and each message of each door."""
    named = {key: {message["name"] for message in messages_of(sockets, key)} for key in sockets["channels"]}
    assert {command.name for command in BRIDGE_COMMANDS} | {event.name for event in LOGGED} <= named["bridge"]
    assert {event.type for event in TASK_EVENTS} | {command.name for command in TASK_COMMANDS} <= named["tasks"]
    assert set(MESSAGE_TYPES) <= named["messages"]
    assert {event.type for event in AG2_EVENTS} | {"words", "question"} == named["ag2"]
    assert {event.name for event in LOGGED} <= named["stream"]


class Outline(HTMLParser):
    """Ids, inner links and words of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: set[str] = set()
        self.scripts = 0
        self.words = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids += [given["id"]] if given.get("id") else []
        self.scripts += tag in ("script", "style") or "style" in given
        if (given.get("href") or "").startswith("#"):
            self.links.add(str(given["href"])[1:])

    def handle_data(self, data: str) -> None:
        self.words += f" {data}"


@pytest.mark.parametrize(
    ("path", "source"), [("/docs/http", "/api/openapi.json"), ("/docs/sockets", "/api/asyncapi.json")]
)
def test_a_page_shows_its_whole_document(app: Flask, path: str, source: str) -> None:
    """Every path or message, every shape; every link leads somewhere; nothing that the policy forbids."""
    client = app.test_client()
    page = client.get(path, headers={"Host": HOST})
    document = client.get(source, headers={"Host": HOST}).get_json()
    outline = Outline(page.get_data(as_text=True))
    assert len(outline.ids) == len(set(outline.ids))
    assert outline.links <= set(outline.ids)
    assert not outline.scripts
    assert {f"shape-{name}" for name in document["components"]["schemas"]} <= set(outline.ids)
    names = set(document.get("paths", ())) | {m["name"] for m in document["components"].get("messages", {}).values()}
    missing = {name for name in names if not re.search(rf"(^|\s){re.escape(name)}(\s|$)", outline.words)}
    assert not missing - {"ack"}  # acks stand beside their commands


def test_the_documents_come_in_the_servers_order(app: Flask) -> None:
    """Chapters as they are declared, not as the alphabet has them."""
    assert next(rule.endpoint for rule in documented_rules(app)) == "agui.run_agent"
