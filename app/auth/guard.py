"""Keeps other people's web pages away from this server, whoever has signed in."""

from __future__ import annotations

import ipaddress
import json
import re
import socket
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from app.auth.origins import Origins
from app.errors import ColloquyError, NotPermitted
from app.settings import LOOPBACK_HOSTS, Settings

_FORWARDING = (
    "HTTP_FORWARDED",
    "HTTP_X_FORWARDED",
    "HTTP_X_REAL_IP",
    "HTTP_X_CLIENT_IP",
    "HTTP_X_CLUSTER_CLIENT_IP",
    "HTTP_X_ORIGINAL",
    "HTTP_TRUE_CLIENT_IP",
    "HTTP_CF_CONNECTING_IP",
    "HTTP_VIA",
)
_HOST = re.compile(r"(\[[^\[\]]*\]|[^:@/\[\]\s]*)(?::[0-9]*)?")
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})


def was_forwarded(environ: Mapping[str, Any]) -> bool:
    """Whether a proxy says that it stands in between. Even an empty header was added by one."""
    return any(name.startswith(_FORWARDING) for name in environ)


def is_loopback_host(host: str) -> bool:
    """Whether a request was meant for this machine by one of loopback's names, with or without a port."""
    return _without_port(host.lower()) in _LOOPBACK


class LocalGuard:
    """WSGI middleware in front of everything, the sockets included.

    A request must name a known host: else DNS can be made to point here, and somebody else's page would be our own in
    the browser's eyes (rebinding). And it must come from a known origin, if it names one.

    :param allowed_hosts: host names beside loopback's, without port.
    :param any_address: whether an IP address passes as a host, which no DNS can be made to point anywhere.
    """

    def __init__(
        self,
        app: Callable[..., Iterable[bytes]],
        allowed_hosts: tuple[str, ...],
        origins: Origins,
        *,
        any_address: bool = False,
    ) -> None:
        self._app = app
        self._hosts = _LOOPBACK | {host.lower() for host in allowed_hosts}
        self._origins = origins
        self._any_address = any_address

    @staticmethod
    def of(settings: Settings, app: Callable[..., Iterable[bytes]], origins: Origins) -> LocalGuard:
        """A guard as the settings have it.

        On an address beside loopback, where nobody is the guest, this machine's own name and every IP address pass, so
        that the server can be used under what people type; each other name must stand in ALLOWED_HOSTS.
        """
        exposed = settings.host not in LOOPBACK_HOSTS
        own = (settings.host, socket.gethostname()) if exposed else ()
        return LocalGuard(app, (*settings.allowed_hosts, *own), origins, any_address=exposed)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        try:
            self._check(environ)
        except NotPermitted as error:
            return _refuse(error, start_response)
        return self._app(environ, start_response)

    def _check(self, environ: dict[str, Any]) -> None:
        host = _without_port(str(environ.get("HTTP_HOST", "")).lower())
        if host not in self._hosts and not (self._any_address and _is_address(host)):
            raise NotPermitted("this server is not known under that host name (ALLOWED_HOSTS)")
        if not self._origins.allowed(environ.get("HTTP_ORIGIN"), environ):
            raise NotPermitted("that origin may not use this server (CORS_ALLOWED_ORIGINS)")


def _without_port(host: str) -> str:
    found = _HOST.fullmatch(host)
    return found.group(1) if found is not None else ""  # `127.0.0.1:x@evil.example` is nobody's name


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def _refuse(error: ColloquyError, start_response: Callable[..., Any]) -> Iterable[bytes]:
    body = json.dumps({"error": error.to_payload()}).encode()
    start_response("403 Forbidden", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
