"""Who is asking. Until people exist, everybody on this machine is the one user ``local``."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.errors import Unauthenticated


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who acts. ``id`` owns conversations."""

    id: str


LOCAL = Principal("local")


def bearer_token(environ: Mapping[str, Any], elsewhere: str | None = None) -> str | None:
    """The token that a request carries in its ``Authorization`` header; else the one that was found ``elsewhere``."""
    scheme, _, token = str(environ.get("HTTP_AUTHORIZATION") or elsewhere or "").strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else scheme or None


def identify(environ: Mapping[str, Any], token: str | None = None) -> Principal:
    """The principal of a request, from its WSGI environment.

    :param token: see :func:`bearer_token`; until people can sign in, any one and none are the same.
    :raises Unauthenticated: when the request does not come from this machine.
    """
    address = str(environ.get("REMOTE_ADDR", ""))
    try:
        loopback = ipaddress.ip_address(address.split("%")[0]).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise Unauthenticated("only requests from this machine are served until people can sign in")
    return LOCAL
