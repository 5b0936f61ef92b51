"""The HTTP side as an OpenAPI 3.1 document, made from the routes, their docstrings and their contracts."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Any, Literal

from flask import Flask
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema
from werkzeug.routing import Rule

from app.errors import ColloquyError, NotPermitted, Unauthenticated
from app.http.answers import ErrorAnswer
from app.http.contract import EVENT_STREAM, HTML, JSON, Contract, contract_of
from app.protocol.schema import AlwaysSent

_COMES: JsonSchemaMode = "validation"
_GOES: JsonSchemaMode = "serialization"
_REF = "#/components/schemas/{model}"
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_EVERYWHERE: tuple[type[ColloquyError], ...] = (Unauthenticated, NotPermitted)
_PARAMETERS = {
    "conversation_id": "the conversation's id",
    "message_id": "the message's id",
    "request_id": "the question's id, as `input_request` has it",
    "user": "their id or login; the `sub` of who comes with a JWT",
    "link_id": "the link's id, as the list has it",
    "secret": "the link's secret",
    "artifact_id": "as `chart_generated` and `tool_result` name it",
    "provider_id": "the provider's id",
    "team": "the team's name, as `/api/teams` lists it",
    "token_id": "the token's id, not its secret",
    "sign_in_id": "the sign-in's id, as it is listed",
}
"""What stands in paths."""

TAGS = {
    "agui": ("AG-UI", "A conversation as a thread of the Agent-User Interaction Protocol 1.0."),
    "conversations": ("Conversations", "What there is: listed, begun, read, renamed, deleted."),
    "messages": ("Messages", "What is said: read in pages, sent, edited, rated."),
    "steering": ("Steering", "What the commands of the sockets do, over HTTP."),
    "export": ("Export", "A conversation as a file."),
    "artifacts": ("Artifacts", "Pictures, and the whole answers of tools."),
    "shares": ("Sharing", "Who else may come into a conversation."),
    "teams": ("Teams", "Who may talk."),
    "sse": ("Streams", "A conversation, live, over plain HTTP."),
    "accounts": ("People", "Who somebody is, their tokens and their sign-ins."),
    "health": ("Health", "Is it alive, and can it work?"),
    "websocket": ("Operation", "What the server is doing."),
    "audit": ("Audit log", "Who did what, and how it went."),
    "operation": ("Settings", "What administrators change while the server runs: models and limits."),
    "protocol": ("Contracts", "This document and its siblings."),
    "pages": ("Pages", "What people see."),
    "account_pages": ("Account pages", "The forms to register, log in and out, and to look after an account."),
}
"""Blueprint → the chapter that its routes stand in, and a word on it; in this order."""

Mode = tuple[Any, JsonSchemaMode]  # a model, and whether it comes or goes


def openapi_document(app: Flask, version: str) -> dict[str, Any]:
    """The document.

    :raises KeyError: when a route has no contract.
    """
    routes = [(rule, _declared(app, rule)) for rule in documented_rules(app)]
    models = {(ErrorAnswer, _GOES), *(pair for _, declared in routes for pair in _models(declared))}
    schemas, components = models_json_schema(
        sorted(models, key=lambda pair: (pair[0].__name__, pair[1])), ref_template=_REF, schema_generator=AlwaysSent
    )
    paths: dict[str, dict[str, Any]] = {}
    for rule, declared in routes:
        for method in sorted(rule.methods & set(_METHODS) if rule.methods else ()):
            item = paths.setdefault(path_of(rule), {})
            item[method.lower()] = _operation(app, rule, declared, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Colloquy: HTTP",
            "version": version,
            "description": "Conversations of AutoGen agents over plain HTTP. Live events, and commands, travel over"
            " sockets: `/api/asyncapi.json`.",
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.values()],
        "paths": paths,
        "components": {"schemas": components.get("$defs", {})},
    }


def documented_rules(app: Flask) -> list[Rule]:
    """Every route but that of static files, chapter by chapter."""
    rules = [rule for rule in app.url_map.iter_rules() if rule.endpoint != "static"]
    order = list(TAGS)
    return sorted(rules, key=lambda rule: (order.index(rule.endpoint.partition(".")[0]), rule.rule))


def path_of(rule: Rule) -> str:
    """A route's path as OpenAPI writes it."""
    return re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", r"{\1}", rule.rule)


def _declared(app: Flask, rule: Rule) -> Contract:
    found = contract_of(app.view_functions[rule.endpoint])
    if found is None:
        raise KeyError(f"{rule.rule} ({rule.endpoint}) has no contract")
    return found


def _models(declared: Contract) -> Iterator[Mode]:
    answers: Iterable[type[BaseModel] | None] = (
        declared.answer,
        *declared.also.values(),
        *declared.also_media.values(),
    )
    for model in answers:
        if model is not None:
            yield model, _GOES
    for model in (declared.body, declared.query, declared.headers):
        if model is not None:
            yield model, _COMES


def _operation(app: Flask, rule: Rule, declared: Contract, schemas: dict[Mode, Any]) -> dict[str, Any]:
    blueprint, _, name = rule.endpoint.partition(".")
    summary, _, rest = inspect.cleandoc(app.view_functions[rule.endpoint].__doc__ or "").partition("\n\n")
    operation: dict[str, Any] = {
        "operationId": name,
        "tags": [TAGS[blueprint][0]],
        "summary": _plain(summary),
        "responses": _responses(declared, schemas),
    }
    if rest:
        operation["description"] = _plain(rest)
    parameters = [_path_parameter(each) for each in sorted(rule.arguments)]
    parameters += _parameters(declared.query, "query") + _parameters(declared.headers, "header")
    if parameters:
        operation["parameters"] = parameters
    if declared.body is not None:
        schema = schemas[declared.body, _COMES]
        operation["requestBody"] = {"required": declared.body_required, "content": {JSON: {"schema": schema}}}
    return operation


def _responses(declared: Contract, schemas: dict[Mode, Any]) -> dict[str, Any]:
    responses: dict[str, Any] = {
        str(declared.status): _answer(declared.answer, declared.media, schemas, declared.status)
    }
    for media, form in declared.also_media.items():
        responses[str(declared.status)]["content"] |= _answer(form, media, schemas)["content"]
    for status, model in declared.also.items():
        responses[str(status)] = _answer(model, JSON, schemas)
    by_status: dict[int, list[str]] = {}
    for error in (*declared.errors, *_EVERYWHERE):
        by_status.setdefault(error.http_status, []).append(f"`{error.code}`")
    refusal: dict[str, Any] = {JSON: {"schema": schemas[ErrorAnswer, _GOES]}}
    if declared.media == HTML:  # people are told on a page, or led to another one
        refusal = {HTML: {"schema": {"type": "string"}}}
    for status, codes in sorted(by_status.items()):
        known = responses.get(str(status))
        if known is None:
            responses[str(status)] = {"description": ", ".join(codes), "content": refusal}
        else:  # also an answer of its own
            schema = known["content"][JSON]["schema"]
            known["content"][JSON]["schema"] = {"anyOf": [schema, schemas[ErrorAnswer, _GOES]]}
    responses["default"] = {"description": "any other refusal or failure", "content": refusal}
    return responses


def _answer(model: type[BaseModel] | None, media: str, schemas: dict[Mode, Any], status: int = 200) -> dict[str, Any]:
    if status == HTTPStatus.NO_CONTENT:
        return {"description": "done; there is nothing to say"}
    if model is not None:
        text = inspect.cleandoc(model.__doc__ or "").partition("\n\n")[0] or "as described"
        return {"description": text, "content": {media: {"schema": schemas[model, _GOES]}}}
    if media == JSON:
        return {"description": "a JSON object", "content": {media: {"schema": {"type": "object"}}}}
    text = "Server-Sent Events; each has its position as its `id`" if media == EVENT_STREAM else "a page"
    return {"description": text, "content": {media: {"schema": {"type": "string"}}}}


def _path_parameter(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": _PARAMETERS[name],
        "schema": {"type": "string"},
    }


def _parameters(model: type[BaseModel] | None, where: Literal["query", "header"]) -> list[dict[str, Any]]:
    if model is None:
        return []
    properties = model.model_json_schema(ref_template=_REF)["properties"]
    found = []
    for name, schema in properties.items():
        schema = {key: value for key, value in _without_null(schema).items() if key != "title"}
        description = schema.pop("description", "")
        if schema.get("default", ...) is None:
            del schema["default"]
        parameter = {"name": name, "in": where, "schema": schema}
        found.append(parameter | ({"description": description} if description else {}))
    return found


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter that is not given is absent, not null."""
    kinds = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
    if len(kinds) != 1:
        return schema
    return {**{key: value for key, value in schema.items() if key != "anyOf"}, **kinds[0]}


def _plain(text: str) -> str:
    """A docstring as Markdown on one line per paragraph."""
    text = re.sub(r":\w+:`~?\.?([^`]+)`", r"`\1`", text).replace("``", "`")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))
