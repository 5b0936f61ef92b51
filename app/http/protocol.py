"""The published contracts, for programs and for people."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, current_app, redirect, render_template, request
from werkzeug import Response

from app.auth.identity import identify
from app.auth.permissions import Action, authorise
from app.http.contract import HTML, contract
from app.http.openapi import openapi_document
from app.http.reference import http_chapters, shapes_of, socket_chapters, words
from app.protocol.asyncapi import asyncapi_document
from app.protocol.schema import protocol_schema
from app.services import services

protocol = Blueprint("protocol", __name__)

_PAGES = {"HTTP": "/docs/http", "Sockets": "/docs/sockets"}
_EXAMPLE = """import { ColloquyClient, ConversationStream } from "/static/js/colloquy.js";

const client = new ColloquyClient();
await client.connect();
const stream = new ConversationStream(client, { onText: (id, text) => console.log(text) });
await stream.start({ team: "debate", content: "Are bank shares cheap?" });"""


@protocol.get("/api/protocol")
@contract()
def show_protocol() -> dict[str, Any]:
    """Commands, acks, events and snapshot as JSON Schema."""
    authorise(identify(request.environ), Action.CONNECT)
    return protocol_schema()


@protocol.get("/api/openapi.json")
@contract()
def show_openapi() -> dict[str, Any]:
    """What this server offers over HTTP, as an OpenAPI 3.1 document."""
    authorise(identify(request.environ), Action.CONNECT)
    return openapi_document(current_app, services().version)


@protocol.get("/api/asyncapi.json")
@contract()
def show_asyncapi() -> dict[str, Any]:
    """What it offers over sockets and streams, as an AsyncAPI 3.0 document."""
    authorise(identify(request.environ), Action.CONNECT)
    return asyncapi_document(request.host, services().version)


@protocol.get("/docs")
@contract(media=HTML, status=302)
def docs() -> Response:
    """Leads to the reference."""
    return redirect(_PAGES["HTTP"])


@protocol.get("/docs/http")
@contract(media=HTML)
def http_reference() -> str:
    """The OpenAPI document as a page."""
    authorise(identify(request.environ), Action.CONNECT)
    document = openapi_document(current_app, services().version)
    return _page(document, http_chapters(document, request.host_url.rstrip("/")), "/api/openapi.json", "openapi.json")


@protocol.get("/docs/sockets")
@contract(media=HTML)
def sockets_reference() -> str:
    """The AsyncAPI document as a page."""
    authorise(identify(request.environ), Action.CONNECT)
    document = asyncapi_document(request.host, services().version)
    return _page(document, socket_chapters(document), "/api/asyncapi.json", "asyncapi.json", _EXAMPLE)


def _page(document: dict[str, Any], chapters: object, source: str, source_name: str, example: str = "") -> str:
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
    )
