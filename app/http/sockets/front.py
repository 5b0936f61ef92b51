"""WSGI middleware: leads a WebSocket to its door. Everything else goes on to Engine.IO and Flask."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, urlencode

from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule

from app.auth.identity import NOBODY, Principal, bearer_token
from app.auth.permissions import Action, authorise
from app.errors import ColloquyError
from app.http.sockets.ag2 import Ag2Door
from app.http.sockets.bridge import Bridge
from app.http.sockets.door import Door
from app.http.sockets.messages import MessageDoor
from app.http.sockets.tasks import TaskDoor
from app.http.sockets.websocket import Closed, HandshakeRefused, WebSocket, shake_hands
from app.protocol.close_codes import CloseCode
from app.services import Services
from app.wsgi import end_without_response

logger = logging.getLogger(__name__)

_UPGRADE = json.dumps(
    {"error": {"code": "upgrade_required", "message": "a WebSocket is needed at this address", "retryable": False}}
).encode()
_IN_QUERY = "authorization"  # query parameter, FEATURES E1; it is taken out before anybody can log it
_RAW_ADDRESS = ("REQUEST_URI", "RAW_URI")


@dataclass(frozen=True, slots=True)
class DoorKind:
    """A door and where it stands.

    :param token_in_query: whether a token may stand in the address.
    :param upgrade_only: nothing else is answered there.
    :param bytes_are_text: binary messages are taken as UTF-8, not refused.
    """

    path: str
    door: type[Door]
    token_in_query: bool = False
    upgrade_only: bool = True
    bytes_are_text: bool = False


DOORS: tuple[DoorKind, ...] = (
    DoorKind("/api/conversations/<key>/stream", Bridge, upgrade_only=False),
    DoorKind("/ws/stream", TaskDoor),
    DoorKind("/v1/conversation/<key>/stream", MessageDoor, token_in_query=True),
    DoorKind("/ag2/<key>", Ag2Door, bytes_are_text=True),  # as AG2's own server takes them
)


class SocketDoors:
    """Answers WebSocket handshakes at the doors' paths.

    Refused by plain HTTP: what is no handshake, and one connection too many. Everything else is refused by a word in
    the door's own dialect and a close code, since browsers hide the answer of a handshake.
    """

    def __init__(self, app: Callable[..., Iterable[bytes]], parts: Services) -> None:
        self._app = app
        self._parts = parts
        self._map = Map([Rule(kind.path, endpoint=kind, websocket=True) for kind in DOORS], strict_slashes=False)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        try:
            kind, values = self._map.bind_to_environ(environ).match(websocket=True)
        except HTTPException:
            return self._app(environ, start_response)
        query = dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
        in_query = query.pop(_IN_QUERY, None) if kind.token_in_query else None
        if in_query is not None:
            environ["QUERY_STRING"] = urlencode(query)
            for raw in _RAW_ADDRESS:
                environ.pop(raw, None)
        if environ.get("HTTP_UPGRADE", "").lower() != "websocket" or environ.get("REQUEST_METHOD") != "GET":
            if not kind.upgrade_only:
                return self._app(environ, start_response)
            return _answer(start_response, HTTPStatus.UPGRADE_REQUIRED, "application/json", _UPGRADE)
        try:
            self._parts.connections.check_room()
            self._parts.seats.check(environ)
            websocket = self._shake_hands(environ, kind)
        except HandshakeRefused as refused:
            return _answer(start_response, refused.status, "text/plain; charset=utf-8", refused.body)
        except ColloquyError as error:
            body = json.dumps({"error": error.to_payload()}).encode()
            return _answer(start_response, HTTPStatus(error.http_status), "application/json", body, error.retry_after_s)
        except Closed:
            return end_without_response(environ)
        self._serve(kind, websocket, environ, bearer_token(environ, in_query), query, values.get("key", ""))
        return end_without_response(environ)

    def _shake_hands(self, environ: dict[str, Any], kind: DoorKind) -> WebSocket:
        settings = self._parts.settings
        return shake_hands(
            environ,
            self._parts.mode,
            self._parts.clock,
            max_frame_bytes=settings.max_frame_bytes,
            compression=settings.websocket_compression,
            send_buffer_bytes=settings.socket_send_buffer_bytes,
            bytes_are_text=kind.bytes_are_text,
        )

    def _serve(
        self,
        kind: DoorKind,
        websocket: WebSocket,
        environ: dict[str, Any],
        token: str | None,
        query: dict[str, str],
        key: str,
    ) -> None:
        door, live = None, self._parts.live
        try:
            ticket = live.ticket()
            principal, refusal = self._who(environ, token, websocket)
            door = kind.door(self._parts, websocket, principal, query, key)
            door.address = str(environ.get("REMOTE_ADDR", ""))
            self._parts.connections.enter(door)
            if refusal is None:
                live.enter(door, ticket)
            door.run(refusal)
        except ColloquyError as error:
            websocket.close(CloseCode.GOING_AWAY, error.error_code)
            websocket.finish()
        except Exception:
            logger.exception("the door %s failed", kind.path)
            websocket.outlet.abort()
        finally:
            websocket.outlet.give_back()
            if door is not None:
                self._parts.connections.leave(door)
                live.leave(door)

    def _who(
        self, environ: dict[str, Any], token: str | None, websocket: WebSocket
    ) -> tuple[Principal, ColloquyError | None]:
        """Who connects; and why they may not, which their door shall tell them."""
        try:
            principal = self._parts.gate.identify(environ, token)
            authorise(principal, Action.CONNECT)
            websocket.outlet.seat = self._parts.seats.take(environ, principal)
        except ColloquyError as error:
            return NOBODY, error
        return principal, None


def _answer(
    start_response: Callable[..., Any],
    status: HTTPStatus,
    kind: str,
    body: bytes,
    retry_after_s: float | None = None,
) -> Iterable[bytes]:
    headers = [("Content-Type", kind), ("Content-Length", str(len(body))), ("Connection", "close")]
    if retry_after_s is not None:
        headers.append(("Retry-After", str(math.ceil(retry_after_s))))
    if status is HTTPStatus.UPGRADE_REQUIRED:
        headers.append(("Upgrade", "websocket"))
    start_response(f"{status.value} {status.phrase}", headers)
    return [body]
