"""Who is asking."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

GUEST_ID = "local"

Kind = Literal["guest", "user", "token", "jwt", "link"]
Scope = Literal["read", "write", "admin"]
SCOPES: tuple[Scope, ...] = ("read", "write", "admin")
"""Of an API token. `read`: lists and watches; `write`: starts, steers, edits; `admin`: what administrators may."""


Person = tuple[str | None, str]
"""Tenant and id."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who acts.

    :param id: owns conversations; empty for somebody who only holds links.
    :param kind: how they were recognised: the guest of this machine, a sign-in's cookie, an API token, a JWT, a link.
    :param name: for people to read.
    :param admin: whether they may operate the server.
    :param scopes: what their credential allows; a sign-in, a JWT and the guest allow everything that its person may.
    :param credential: what ends with its revocation: `sign_in:<id>`, `token:<id>`, or None.
    :param expires_at: when the credential ends, in seconds of the Unix epoch; None: not by itself.
    :param links: ids of the share links that they hold.
    """

    id: str
    kind: Kind = "guest"
    name: str = ""
    tenant: str | None = None
    admin: bool = False
    scopes: frozenset[Scope] = frozenset(SCOPES)
    credential: str | None = None
    expires_at: float | None = None
    links: frozenset[str] = frozenset()

    @property
    def person(self) -> Person | None:
        """By which to remember what is theirs: names are unique within a tenant alone. None: they only hold links."""
        return (self.tenant, self.id) if self.id else None


GUEST = Principal(GUEST_ID, "guest", "Guest", admin=True)
"""Everybody on this machine who has not signed in, in development."""

NOBODY = Principal("", "link")


def bearer_token(environ: Mapping[str, Any], elsewhere: str | None = None) -> str | None:
    """The token that a request carries in its ``Authorization`` header; else the one that was found ``elsewhere``."""
    scheme, _, token = str(environ.get("HTTP_AUTHORIZATION") or elsewhere or "").strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else scheme or None
