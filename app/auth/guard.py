"""Keeps other people's web pages away from a server without sign-in."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from app.auth.origins import Origins
from app.errors import ColloquyError, NotPermitted

_FORWARDING = ("HTTP_FORWARDED", "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_HOST", "HTTP_X_REAL_IP")
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})


class LocalGuard:
    """WSGI middleware in front of everything, the sockets included.

    While everybody on this machine is the one user, any web page that this machine's browser shows could steer the
    server. So a request must name a known host (else DNS can be made to point here), come from a known origin if it
    names one, and must not have been forwarded by a proxy.

    :param allowed_hosts: host names beside loopback's, without port.
    """

    def __init__(self, app: Callable[..., Iterable[bytes]], allowed_hosts: tuple[str, ...], origins: Origins) -> None:
        self._app = app
        self._hosts = _LOOPBACK | {host.lower() for host in allowed_hosts}
        self._origins = origins

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        try:
            self._check(environ)
        except NotPermitted as error:
            return _refuse(error, start_response)
        return self._app(environ, start_response)

    def _check(self, environ: dict[str, Any]) -> None:
        if any(name in environ for name in _FORWARDING):  # even an empty one was added by a proxy
            raise NotPermitted("a forwarded request is not served until people can sign in")
        host = str(environ.get("HTTP_HOST", "")).lower()
        if _without_port(host) not in self._hosts:
            raise NotPermitted("this server is not known under that host name (ALLOWED_HOSTS)")
        if not self._origins.allowed(environ.get("HTTP_ORIGIN"), environ):
            raise NotPermitted("that origin may not use this server (CORS_ALLOWED_ORIGINS)")


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]


def _refuse(error: ColloquyError, start_response: Callable[..., Any]) -> Iterable[bytes]:
    body = json.dumps({"error": error.to_payload()}).encode()
    start_response("403 Forbidden", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
