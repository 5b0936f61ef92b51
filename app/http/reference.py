"""The contracts as pages: OpenAPI and AsyncAPI documents in the shape that templates print."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

_NOTHING = Markup()
_SHORT = re.compile(r"`([^`]+)`")
_LINK = re.compile(r"\[([^\]]+)\]\([^)]*\)")
_SERVERS = {"socketio": "Socket.IO", "websocket": "WebSocket", "http": "SSE"}
_METHODS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True, slots=True)
class Row:
    """One field or parameter."""

    name: str
    kind: Markup
    text: Markup
    note: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    title: str
    rows: tuple[Row, ...]
    kind: Markup = _NOTHING


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that can be called, said or heard."""

    anchor: str
    mark: str
    title: str
    summary: Markup
    text: Markup = _NOTHING
    tables: tuple[Table, ...] = ()
    example: str = ""


@dataclass(frozen=True, slots=True)
class Chapter:
    anchor: str
    title: str
    text: Markup
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Shape:
    """A named schema."""

    name: str
    text: Markup
    rows: tuple[Row, ...]
    kind: Markup = _NOTHING


def words(text: str) -> Markup:
    """Markdown's back-ticks as HTML; links lose their targets, which lie in other documents."""
    return Markup(_SHORT.sub(r"<code>\1</code>", str(escape(_LINK.sub(r"\1", text)))))  # noqa: S704  # escaped


def kind_of(schema: Mapping[str, Any]) -> Markup:
    """A schema's type in a few words, with links to the named ones."""
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        return Markup('<a href="#shape-{0}">{0}</a>').format(name)
    if "const" in schema:
        return Markup("<code>{}</code>").format(json.dumps(schema["const"]))
    if "enum" in schema:
        return Markup(" | ").join(Markup("<code>{}</code>").format(json.dumps(value)) for value in schema["enum"])
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            kinds = list(dict.fromkeys(kind_of(each) for each in schema[several]))
            return Markup(" | ").join(kinds)
    if schema.get("type") == "array":
        return Markup("list of {}").format(kind_of(schema.get("items", {})))
    if schema.get("type") == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return Markup("map of {}").format(kind_of(schema["additionalProperties"]))
    return escape(schema.get("type", "anything"))


def rows_of(schema: Mapping[str, Any]) -> tuple[Row, ...]:
    """The fields of an object."""
    required = set(schema.get("required", ()))
    return tuple(
        Row(name, kind_of(field), words(field.get("description", "")), _note(field, required=name in required))
        for name, field in schema.get("properties", {}).items()
    )


def _note(schema: Mapping[str, Any], *, required: bool) -> str:
    notes = ["required"] if required else []
    if not required and schema.get("default") not in (None, "", []) and not isinstance(schema["default"], dict):
        notes.append(f"default {json.dumps(schema['default'])}")
    for name, sign in (("minimum", "≥"), ("maximum", "≤"), ("maxLength", "length ≤"), ("maxItems", "at most")):
        if name in schema:
            notes.append(f"{sign} {schema[name]}")
    return ", ".join(notes)


def shapes_of(document: Mapping[str, Any]) -> tuple[Shape, ...]:
    """All named schemas, by name."""
    found = sorted(document["components"]["schemas"].items())
    return tuple(
        Shape(name, words(_first(schema)), rows_of(schema), Markup() if "properties" in schema else kind_of(schema))
        for name, schema in found
    )


def _first(schema: Mapping[str, Any]) -> str:
    return str(schema.get("description", "")).partition("\n\n")[0].replace("``", "`")


# --- HTTP -------------------------------------------------------------------------------------------------------------


def http_chapters(document: Mapping[str, Any], base: str) -> tuple[Chapter, ...]:
    """An OpenAPI document, chapter by chapter.

    :param base: the server's address, for examples.
    """
    by_tag: dict[str, list[Entry]] = {}
    for path, item in document["paths"].items():
        for method in _METHODS:
            if method in item:
                by_tag.setdefault(item[method]["tags"][0], []).append(_operation(path, method, item[method], base))
    return tuple(
        Chapter(_anchor(tag["name"]), tag["name"], words(tag["description"]), tuple(by_tag[tag["name"]]))
        for tag in document["tags"]
        if tag["name"] in by_tag
    )


def _operation(path: str, method: str, operation: Mapping[str, Any], base: str) -> Entry:
    parameters = tuple(
        Row(
            each["name"],
            kind_of(each["schema"]),
            words(each.get("description", "")),
            ", ".join(filter(None, (each["in"], _note(each["schema"], required=each.get("required", False))))),
        )
        for each in operation.get("parameters", ())
    )
    tables = [Table("Parameters", parameters)] if parameters else []
    body = operation.get("requestBody", {}).get("content", {})
    tables += [Table(f"Body: {media}", (), kind_of(content["schema"])) for media, content in body.items()]
    answers = tuple(
        Row(status, _answer_kind(answer), words(answer["description"]))
        for status, answer in operation["responses"].items()
    )
    return Entry(
        f"{method}-{operation['operationId']}",
        method.upper(),
        path,
        words(operation["summary"]),
        words(operation.get("description", "")),
        (*tables, Table("Answers", answers)),
        _curl(path, method, operation, base),
    )


def _answer_kind(answer: Mapping[str, Any]) -> Markup:
    for media, content in answer.get("content", {}).items():
        kind = kind_of(content["schema"])
        return kind if media == "application/json" else escape(media)
    return Markup()


def _curl(path: str, method: str, operation: Mapping[str, Any], base: str) -> str:
    live = "text/event-stream" in operation["responses"].get("200", {}).get("content", {})
    parts = ["curl", "-N" if live else "-s", "" if method == "get" else f"-X {method.upper()}"]
    if "requestBody" in operation:
        parts.append("-H 'Content-Type: application/json' -d @body.json")
    return " ".join(filter(None, (*parts, f"'{base}{path}'")))


# --- sockets ----------------------------------------------------------------------------------------------------------


def socket_chapters(document: Mapping[str, Any]) -> tuple[Chapter, ...]:
    """An AsyncAPI document, channel by channel: first what clients send, then what they hear."""
    return tuple(_channel(document, key, channel) for key, channel in document["channels"].items())


def _channel(document: Mapping[str, Any], key: str, channel: Mapping[str, Any]) -> Chapter:
    server = _SERVERS[_names(channel["servers"][0])]
    told = [operation for operation in document["operations"].values() if _names(operation["channel"]) == key]
    entries = [entry for operation in told for entry in _messages(document, key, operation)]
    query = [operation["bindings"]["http"]["query"] for operation in told if "bindings" in operation]
    query += [binding["query"] for binding in channel.get("bindings", {}).values()]
    address = Table("Address", tuple(_address_rows(channel, query)))
    first = Entry(f"{key}-address", server, channel["address"], words(""), tables=(address,) if address.rows else ())
    text = words(channel["description"])
    return Chapter(_anchor(key), channel["title"].capitalize(), text, (first, *entries))


def _address_rows(channel: Mapping[str, Any], query: list[Mapping[str, Any]]) -> Iterator[Row]:
    for name, parameter in channel.get("parameters", {}).items():
        yield Row(name, Markup("string"), words(parameter["description"]), "path, required")
    for schema in query:
        for name, field in schema["properties"].items():
            yield Row(name, kind_of(field), words(field["description"]), "query")


def _messages(document: Mapping[str, Any], channel: str, operation: Mapping[str, Any]) -> Iterator[Entry]:
    mark = "send" if operation["action"] == "receive" else "hear"  # as a client sees it
    for reference in operation["messages"]:
        message = document["components"]["messages"][_names(reference)]
        tables = [_payload(document, message)]
        acks = [
            kind_of(document["components"]["messages"][_names(reply)]["payload"])
            for reply in operation.get("reply", {}).get("messages", ())
        ]
        tables.append(Table("Ack", (), Markup(" | ").join(acks)))
        yield Entry(
            f"{channel}-{_names(reference)}",
            mark,
            message["name"],
            words(message.get("summary", "")),
            tables=tuple(table for table in tables if table.rows or table.kind),
        )


def _payload(document: Mapping[str, Any], message: Mapping[str, Any]) -> Table:
    payload = message["payload"]
    if "$ref" in payload:
        return Table("Payload", rows_of(document["components"]["schemas"][_names(payload)]))
    return Table("Payload", rows_of(payload))


def _names(reference: Mapping[str, Any]) -> str:
    return str(reference["$ref"]).rpartition("/")[2]


def _anchor(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower())
