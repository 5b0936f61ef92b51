"""The published contract."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, request

from app.auth.identity import identify
from app.auth.permissions import Action, authorise
from app.protocol.schema import protocol_schema

protocol = Blueprint("protocol", __name__)


@protocol.get("/api/protocol")
def show_protocol() -> dict[str, Any]:
    """Commands, acks, events and snapshot as JSON Schema."""
    authorise(identify(request.environ), Action.CONNECT)
    return protocol_schema()
