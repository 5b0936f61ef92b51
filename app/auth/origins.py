"""Which web pages may use this server, and how their browsers are told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

_ALLOW_ORIGIN = "Access-Control-Allow-Origin"
_PREFLIGHT = [
    ("Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE, OPTIONS"),
    ("Access-Control-Allow-Headers", "authorization, content-type, last-event-id, x-csrftoken"),
    ("Access-Control-Max-Age", "600"),
    ("Content-Length", "0"),
]


class Origins:
    """Which web pages may use this server: its own, and those of CORS_ALLOWED_ORIGINS.

    :param allowed: origins beside the server's own; ``*`` for all.
    """

    def __init__(self, allowed: tuple[str, ...]) -> None:
        self._allowed = frozenset(origin.lower().rstrip("/") for origin in allowed)

    def own(self, origin: str, environ: Mapping[str, Any]) -> bool:
        """Whether this is the origin of the server's own pages, under the name by which it was asked.

        Where it is asked by TLS, a page without is somebody else's: of whoever sits in between. The other way round, a
        proxy may have ended the TLS, and be none that is believed.
        """
        try:
            parts = urlsplit(origin.lower())
        except ValueError:
            return False
        schemes = ("https",) if environ.get("wsgi.url_scheme") in ("https", "wss") else ("http", "https")
        return parts.scheme in schemes and parts.netloc == str(environ.get("HTTP_HOST", "")).lower()

    def allowed(self, origin: str | None, environ: Mapping[str, Any]) -> bool:
        """Whether a page from there may ask for this; without an origin, no page asks."""
        if not origin:
            return True
        listed = "*" in self._allowed or origin.lower() in self._allowed
        return listed or self.own(origin, environ)


class OtherOrigins:
    """WSGI middleware: lets the pages of allowed origins read what they are answered (CORS), without cookies.

    Browsers ask first whether a page may send JSON, or a token: that is answered here. Engine.IO answers for itself.
    """

    def __init__(self, app: Callable[..., Iterable[bytes]], origins: Origins) -> None:
        self._app = app
        self._origins = origins

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        origin = str(environ.get("HTTP_ORIGIN", ""))
        if not origin or self._origins.own(origin, environ) or not self._origins.allowed(origin, environ):
            return self._app(environ, start_response)
        shared = [(_ALLOW_ORIGIN, origin), ("Vary", "Origin")]

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            said = any(name.lower() == _ALLOW_ORIGIN.lower() for name, _ in headers)
            return start_response(status, headers if said else [*headers, *shared], *rest)

        asks_first = environ["REQUEST_METHOD"] == "OPTIONS" and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ
        if asks_first and not environ.get("PATH_INFO", "").startswith("/socket.io"):
            start_response("204 No Content", [*shared, *_PREFLIGHT])
            return []
        return self._app(environ, start)
