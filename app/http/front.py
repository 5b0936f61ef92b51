"""WSGI middleware: what is settled before a request reaches Engine.IO or Flask."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode

from app.auth.gatekeeper import SHARE
from app.auth.request_rate import RequestRate
from app.errors import LimitExceeded

logger = logging.getLogger(__name__)

_SHARE = "share"
_LINKS = "/s/"


class RefuseCompression:
    """Hides a client's offer of WebSocket compression: browsers always offer it, and eventlet would always accept.

    Compressing costs half again the CPU and 90 kB of memory per connection (setting WEBSOCKET_COMPRESSION).
    """

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self._app = app

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        environ.pop("HTTP_SEC_WEBSOCKET_EXTENSIONS", None)
        return self._app(environ, start_response)


class SafeRefusals:
    """Gives what is answered before Flask has it (foreign hosts, sockets that are none) the headers of everything else:
    nothing in it is run, framed, guessed at or kept.
    """

    _HEADERS = (
        ("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "same-origin"),
        ("Cache-Control", "no-store"),
    )

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self._app = app

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            said = {name.lower() for name, _ in headers}
            if "content-security-policy" not in said:  # Flask has not seen it
                headers = [*headers, *(each for each in self._HEADERS if each[0].lower() not in said)]
            return start_response(status, headers, *rest)

        return self._app(environ, start)


class TakeShareLink:
    """Takes the secret of a share link (``?share=``) out of the address, before anybody logs it, for the gatekeeper."""

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self._app = app

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        text = environ.get("QUERY_STRING", "")
        if _SHARE in text:
            query = parse_qsl(text, keep_blank_values=True)
            secret = next((value for name, value in query if name == _SHARE), None)
            if secret is not None:
                environ[SHARE] = secret
                environ["QUERY_STRING"] = urlencode([(name, value) for name, value in query if name != _SHARE])
                for raw in ("REQUEST_URI", "RAW_URI"):
                    environ.pop(raw, None)
        return self._app(environ, start_response)


class LimitRequests:
    """Refuses who asks too often from one address, before anything is done for them.

    Static files are excepted, and the polls of a Socket.IO session, whose commands have a limit of their own.
    """

    def __init__(self, app: Callable[..., Iterable[bytes]], rate: RequestRate) -> None:
        self._app = app
        self._rate = rate

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        try:
            if not _is_cheap(environ):
                self._rate.count_address(environ)
        except LimitExceeded as error:
            body = json.dumps({"error": error.to_payload()}).encode()
            headers = [
                ("Content-Type", "application/json"),
                ("Content-Length", str(len(body))),
                ("Retry-After", str(math.ceil(error.retry_after_s or 0))),
            ]
            start_response("429 Too Many Requests", headers)
            return [body]
        return self._app(environ, start_response)


def _is_cheap(environ: dict[str, Any]) -> bool:
    path = str(environ.get("PATH_INFO", ""))
    if path.startswith("/socket.io/"):
        return "sid" in parse_qs(environ.get("QUERY_STRING", ""))
    return path.startswith("/static/")


class LogFailures:
    """Logs what a request dies of before Flask has it: eventlet's server answers 500 and says nothing."""

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self._app = app

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        try:
            return self._app(environ, start_response)
        except OSError:  # the client is gone, or Werkzeug is told that nothing more comes
            raise
        except Exception:
            logger.exception(
                "a request failed: %s %s", environ.get("REQUEST_METHOD"), told_path(environ.get("PATH_INFO", ""))
            )
            raise


def told_path(path: str) -> str:
    """A path as it may stand in a log: without a share link's secret."""
    return _LINKS + "…" if path.startswith(_LINKS) else path
