"""HTTP management of the sockets (FEATURES B7, D5)."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict
from typing import Annotated, Any, Literal

from flask import Blueprint
from pydantic import Field

from app.auth.audit import Audited
from app.auth.permissions import Action
from app.errors import InvalidPayload, SocketsUnavailable
from app.http.answers import (
    BroadcastAnswer,
    SessionList,
    SessionsQuery,
    ShortStatus,
    SocketStatus,
    StatusQuery,
)
from app.http.audit import note
from app.http.body import parse_body, parse_query
from app.http.caller import permit
from app.http.contract import contract
from app.protocol import NAMESPACE, PROTOCOL_VERSION
from app.protocol.common import Payload
from app.protocol.events import Broadcast
from app.services import Services, services

websocket = Blueprint("websocket", __name__)


class BroadcastRequest(Payload):
    """The body of a broadcast."""

    message: Annotated[str, Field(min_length=1, max_length=2000)]
    level: Literal["info", "warning", "error"] = "info"


@websocket.get("/api/websocket/status")
@contract(SocketStatus, query=StatusQuery, errors=(InvalidPayload,))
def status() -> dict[str, Any]:
    """What the socket layer is doing; ``?lateness_s=`` looks at the event loop over less than 60 s."""
    permit(Action.OPERATE)
    lateness_s = parse_query(StatusQuery).lateness_s
    parts = services()
    sessions = parts.manager.sessions()
    return {
        "status": "running" if parts.sockets.error is None else "unavailable",
        "error": parts.sockets.error,
        "async_mode": parts.mode.name,
        "namespace": NAMESPACE,
        "protocol": PROTOCOL_VERSION,
        "version": parts.version,
        "uptime_s": round(time.monotonic() - parts.started_at, 3),
        "active_connections": parts.active_connections(),
        "connections": {"socketio": parts.sockets.connections(), **parts.connections.by_door()},
        "doors": {
            "refused": parts.connections.refused,
            "over_limit": parts.seats.refused,
            "cut_off": parts.connections.cut_off,
        },
        "conversations": len(parts.manager.conversations()),
        "sessions": {
            "running": sum(not session.ended for session in sessions),
            "total": len(sessions),
            "by_status": Counter(session.status for session in sessions),
        },
        "totals": _totals(parts),
        "store": _store(parts),
        "delivery": {**parts.manager.figures(), **parts.sockets.figures()},
        "runners": [
            {"pid": runner.pid, "for": runner.key, "ready": runner.ready, "runs": runner.runs}
            for runner in parts.supervisor.runners()
        ],
        "loop_lateness_ms": parts.lateness.figures(lateness_s),
        "timestamp": parts.clock.now_iso(),
    }


@websocket.get("/api/websocket/sessions")
@contract(SessionList, query=SessionsQuery, errors=(InvalidPayload,))
def sessions() -> dict[str, Any]:
    """The latest session of each conversation, with its figures; ``?running=true`` for those that have not ended."""
    permit(Action.OPERATE)
    parts = services()
    now = parts.clock.monotonic()
    found = [session.describe(now) for session in parts.manager.sessions(running=parse_query(SessionsQuery).running)]
    return {"sessions": found, "total": len(found), "totals": _totals(parts), "timestamp": parts.clock.now_iso()}


@websocket.post("/api/websocket/broadcast")
@contract(BroadcastAnswer, body=BroadcastRequest, errors=(InvalidPayload, SocketsUnavailable))
def broadcast() -> dict[str, Any]:
    """Send a word to every connection. Body: ``{"message", "level"?}``."""
    permit(Action.BROADCAST)
    parts = services()
    if parts.sockets.error is not None:
        raise SocketsUnavailable(f"the socket layer could not start: {parts.sockets.error}")
    body = parse_body(BroadcastRequest)
    event, timestamp = Broadcast(message=body.message, level=body.level), parts.clock.now_iso()
    recipients = parts.sockets.broadcast(event, timestamp)
    recipients += parts.connections.broadcast(event.name, {**event.to_wire(), "timestamp": timestamp})
    note(Audited.BROADCAST, level=body.level, message=body.message, recipients=recipients)
    return {"ok": True, "recipients": recipients, "timestamp": parts.clock.now_iso()}


@websocket.get("/ws/status")
@contract(ShortStatus)
def ws_status() -> dict[str, Any]:
    """A short form for monitoring."""
    permit(Action.OPERATE)
    parts = services()
    return {
        "active_connections": parts.active_connections(),
        "status": "running" if parts.sockets.error is None else "unavailable",
        "timestamp": parts.clock.now_iso(),
    }


def _store(parts: Services) -> dict[str, Any]:
    state = parts.recorder.state()
    figures = asdict(state)
    return {"state": "ok" if figures.pop("ok") else "unavailable", **figures}


def _totals(parts: Services) -> dict[str, int]:
    figures = [session.metrics for session in parts.manager.sessions()]
    received = sum(each.tokens_received for each in figures)
    delivered = sum(each.tokens_delivered for each in figures)
    return {
        "tokens_received": received,
        "tokens_delivered": delivered,
        "tokens_dropped": sum(session.tokens_dropped for session in parts.manager.sessions()),
    }
