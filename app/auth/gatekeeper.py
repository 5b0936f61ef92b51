"""Recognises who is asking, at every door."""

from __future__ import annotations

import hashlib
import ipaddress
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from app.auth.api_tokens import PREFIX, ApiTokens
from app.auth.attempts import Attempts, source_of
from app.auth.endings import Endings, OnEnded
from app.auth.guard import is_loopback_host, was_forwarded
from app.auth.identity import GUEST, NOBODY, Principal, bearer_token
from app.auth.jwts import JsonWebTokens
from app.auth.recent import Recent
from app.auth.shares import FoundLink
from app.auth.sign_ins import SignIns
from app.errors import TokenExpired, Unauthenticated

SIGN_IN = "_user_id"  # Flask-Login's name for it in the session
LINKS = "links"  # ids of share links, a list
_MOST = 10_000
_MAX_TOKEN_CHARS = 16_384
_VERIFIED_S = 600.0  # then a JWT is looked at again, though it has not run out: its key may have been withdrawn

SHARE = "colloquy.share"
"""In a WSGI environment: the secret of a share link that stood in the address; it was taken out of it."""

ReadSession = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""The Flask session that a request's cookie carries; empty where there is none, or it was not signed by us."""


class Gatekeeper:
    """Turns what a request or a connection carries into a :class:`Principal`.

    A bearer token wins over the cookie: whoever sends one means it. Without anything of its own, this is the guest.

    :param guests: whether who comes from this machine, straight, and brings nothing, is the guest.
    """

    def __init__(
        self,
        *,
        guests: bool = True,
        read_session: ReadSession = lambda _: {},
        sign_ins: SignIns | None = None,
        tokens: ApiTokens | None = None,
        jwts: JsonWebTokens | None = None,
        bad_tokens: Attempts | None = None,
        endings: Endings | None = None,
        find_link: Callable[[str], FoundLink | None] = lambda _: None,
    ) -> None:
        self._guests = guests
        self._read_session = read_session
        self._sign_ins = sign_ins
        self._tokens = tokens
        self._jwts = jwts
        self._bad_tokens = bad_tokens
        self._find_link = find_link
        self._endings = endings or Endings(None, None)
        self._verified: Recent[Principal] = Recent(_MOST, time.time)  # JWTs, by their hash
        self._key_changes = 0

    def identify(self, environ: Mapping[str, Any], token: str | None = None, link: str | None = None) -> Principal:
        """The principal of a request, from its WSGI environment. May wait for the database.

        :param token: a bearer token, where it came elsewhere than in the ``Authorization`` header.
        :param link: the secret of a share link that they bring.
        :raises Unauthenticated: when they bring something that is no good, or nothing where that is not enough.
        :raises TokenExpired: when it was good once.
        :raises LimitExceeded: when too many bad tokens came from that address; this one was not looked at.
        :raises StoreUnavailable: when the database would have to say, and does not answer.
        """
        address = str(environ.get("REMOTE_ADDR", ""))
        brought = link or environ.get(SHARE)
        links = frozenset({self.open_link(brought, address).link_id} if brought else ())
        found = bearer_token(environ, token)
        if found is not None:
            bearer = self.verify(found, address)
            return replace(bearer, links=links) if links else bearer
        session = self._read_session(environ)
        links |= {each for each in session.get(LINKS) or () if isinstance(each, str)}
        sign_in = session.get(SIGN_IN)
        if sign_in is not None and self._sign_ins is not None:
            principal = self._sign_ins.find(str(sign_in))
            if principal is None:
                raise Unauthenticated("you have been signed out: sign in again")
        elif self._guests and _from_this_machine(environ):
            principal = GUEST
        elif links:
            principal = NOBODY
        else:
            raise Unauthenticated("sign in first")
        return replace(principal, links=links) if links else principal

    @property
    def takes_jwts(self) -> bool:
        """Whether people come with tokens of another issuer, who need no account here."""
        return self._jwts is not None and self._jwts.wanted

    def open_link(self, secret: str, address: str) -> FoundLink:
        """What a share link's secret opens. May wait for the database.

        :param address: where it came from.
        :raises Unauthenticated: it is not known, or has ended. :raises LimitExceeded: :raises StoreUnavailable:
        """
        source = source_of(address)
        if self._bad_tokens is not None:
            self._bad_tokens.check(source)
        found = self._find_link(secret)
        if found is None:
            if self._bad_tokens is not None:
                self._bad_tokens.count(source)
            raise Unauthenticated("this link is not known, or has ended")
        return found

    def verify(self, token: str, address: str) -> Principal:
        """Whose token this is: an API token's or a JWT's person.

        :param address: where it came from.
        :raises Unauthenticated: :raises TokenExpired: :raises LimitExceeded: :raises StoreUnavailable:
        :raises KeysUnavailable:
        """
        key = hashlib.sha256(token[:_MAX_TOKEN_CHARS].encode("utf-8", "surrogatepass")).hexdigest()
        if len(token) <= _MAX_TOKEN_CHARS:
            verified = self._verified.get(key)
            if verified is not None:
                return verified
        source = source_of(address)
        known = self._tokens is not None and self._tokens.knows(token)
        if self._bad_tokens is not None and not known and not self._verified.known(key):
            self._bad_tokens.check(source)
        try:
            return self._look_at(token, key)
        except TokenExpired:
            raise
        except Unauthenticated:
            if self._bad_tokens is not None:
                self._bad_tokens.count(source)
            raise

    def _look_at(self, token: str, key: str) -> Principal:
        if len(token) > _MAX_TOKEN_CHARS:
            raise Unauthenticated("this is no token")
        if token.startswith(PREFIX):
            principal = self._tokens.find(token) if self._tokens is not None else None
            if principal is None:
                raise Unauthenticated("this token is not known, or was revoked")
            return principal
        if self._jwts is None or not self._jwts.wanted:
            raise Unauthenticated("this token is not known")
        changes = self._key_changes
        principal = self._jwts.verify(token)
        self._verified.put(key, principal, min(_VERIFIED_S, (principal.expires_at or 0) - time.time()))
        if changes != self._key_changes:  # while it was verified, perhaps by a key that is no more
            self._verified.drop(key)
        return principal

    def forget_verified(self) -> None:
        """Look at every JWT anew: the keys have changed."""
        self._key_changes += 1
        self._verified.clear()

    # --- what ends ----------------------------------------------------------------------------------------------------

    def on_ended(self, callback: OnEnded) -> None:
        """Call this with `sign_in:<id>`, `token:<id>` or `user:<id>` when a sign-in, a token or a person ends: at once
        for what this process ends, within two seconds for what others do. It may come twice. It must not block.
        """
        self._endings.on_ended(callback)

    def ended_since(self, since: str) -> list[tuple[str, str]]:
        """What has ended at or after a moment (UTC, ISO 8601), as (name, when). :raises StoreUnavailable:"""
        return self._endings.ended_since(since)

    def watch_endings(self) -> None:
        """Look for ever for what other processes have ended; for a background task."""
        self._endings.run()


def _from_this_machine(environ: Mapping[str, Any]) -> bool:
    """Whether a request comes straight from this machine, and was meant for it."""
    if was_forwarded(environ) or not is_loopback_host(str(environ.get("HTTP_HOST", "localhost"))):
        return False
    try:
        return ipaddress.ip_address(str(environ.get("REMOTE_ADDR", "")).split("%")[0]).is_loopback
    except ValueError:
        return False
