"""The published contracts, for programs and for people. Each is made once, when it is first asked for."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, current_app, redirect, render_template, request
from markupsafe import Markup, escape

from app.auth.permissions import Action
from app.http.caller import permit
from app.http.contract import HTML, JSON, contract
from app.http.openapi import openapi_document
from app.http.reference import Chapter, http_chapters, shapes_of, socket_chapters, words
from app.protocol.asyncapi import asyncapi_document
from app.protocol.schema import protocol_schema
from app.services import services

protocol = Blueprint("protocol", __name__)

_MADE = "colloquy.contracts"
_HOST = "host.invalid"  # stands for the host in what is kept
_WHO = Markup("<!-- who asks -->")  # stands for what is said to one person alone
_PAGES = {"HTTP": "/docs/http", "Sockets": "/docs/sockets"}
_EXAMPLE = """import { ColloquyClient, ConversationStream } from "/static/js/colloquy.js";

const client = new ColloquyClient();
await client.connect();
const stream = new ConversationStream(client, { onText: (id, text) => console.log(text) });
await stream.start({ team: "debate", content: "Are bank shares cheap?" });"""


@protocol.get("/api/protocol")
@contract()
def show_protocol() -> Response:
    """Commands, acks, events and snapshot as JSON Schema."""
    return _published(JSON, lambda: json.dumps(protocol_schema()))


@protocol.get("/api/openapi.json")
@contract()
def show_openapi() -> Response:
    """What this server offers over HTTP, as an OpenAPI 3.1 document."""
    return _published(JSON, lambda: json.dumps(_openapi()))


@protocol.get("/api/asyncapi.json")
@contract()
def show_asyncapi() -> Response:
    """What it offers over sockets and streams, as an AsyncAPI 3.0 document."""
    return _published(JSON, lambda: json.dumps(_asyncapi()))


@protocol.get("/docs")
@contract(media=HTML, status=302)
def docs() -> Response:
    """Leads to the reference."""
    return redirect(_PAGES["HTTP"])  # type: ignore[return-value]


@protocol.get("/docs/http")
@contract(media=HTML)
def http_reference() -> Response:
    """The OpenAPI document as a page."""

    def make() -> str:
        document = _openapi()
        chapters = http_chapters(document, f"{request.scheme}://{_HOST}")
        return _page(document, chapters, "/api/openapi.json", "openapi.json")

    return _published(HTML, make)


@protocol.get("/docs/sockets")
@contract(media=HTML)
def sockets_reference() -> Response:
    """The AsyncAPI document as a page."""

    def make() -> str:
        document = _asyncapi()
        return _page(document, socket_chapters(document), "/api/asyncapi.json", "asyncapi.json", _EXAMPLE)

    return _published(HTML, make)


def _published(media: str, make: Callable[[], str]) -> Response:
    permit(Action.CONNECT)
    made: dict[str, str] = current_app.extensions.setdefault(_MADE, {})
    text = made.get(request.path) or made.setdefault(request.path, make())
    if media != HTML:
        return Response(text.replace(_HOST, json.dumps(request.host)[1:-1]), mimetype=media)
    text = text.replace(_HOST, str(escape(request.host)))
    return Response(text.replace(_WHO, render_template("_who.html")), mimetype=media)


def _openapi() -> dict[str, Any]:
    return openapi_document(current_app, services().version)


def _asyncapi() -> dict[str, Any]:
    return asyncapi_document(_HOST, services().version)


def _page(
    document: dict[str, Any], chapters: tuple[Chapter, ...], source: str, source_name: str, example: str = ""
) -> str:
    return render_template(
        "reference.html",
        page="reference",
        title=document["info"]["title"].partition(": ")[2].capitalize().replace("Http", "HTTP"),
        lead=words(document["info"]["description"]),
        chapters=chapters,
        shapes=shapes_of(document),
        siblings=_PAGES,
        here=request.path,
        source=source,
        source_name=source_name,
        example=example,
        version=services().version,
        me=None,  # the page is kept, for everybody
        who=_WHO,
    )
