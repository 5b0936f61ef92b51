"""JSON Web Tokens: whose they are, if they are good.

Checked as Clerk documents it for its session tokens (https://clerk.com/docs/guides/sessions/manual-jwt-verification):
signature, `exp`, `nbf`, `azp` where there is one, and `sts`, which is `pending` until somebody has joined an
organisation. Beside that `iss`, `aud`, `iat`, as RFC 7519 and RFC 8725 have them.
"""

from __future__ import annotations

import binascii
import json
from dataclasses import dataclass
from typing import Any

import jwt
from jwt.utils import base64url_decode

from app.auth.accounts import USER_PREFIX
from app.auth.identity import GUEST_ID, Principal
from app.auth.jwks import KeySet
from app.errors import TokenExpired, Unauthenticated
from app.settings import Settings

MAX_CHARS = 8192
_MAX_HEADER_CHARS = 2048
_MAX_ID = 200
_SYMMETRIC = "HS256"
_ASYMMETRIC = ("RS256", "ES256")
_TIMES = ("exp", "nbf", "iat")


@dataclass(frozen=True, slots=True)
class JwtRules:
    """What a token must be like; see the settings of the same names."""

    secret: str | None = None
    issuer: str | None = None
    audience: tuple[str, ...] = ()
    authorized_parties: tuple[str, ...] = ()
    tenant_claim: str = "enterprise_id"
    leeway_s: float = 5.0
    admins: frozenset[str] = frozenset()

    @staticmethod
    def of(settings: Settings) -> JwtRules:
        return JwtRules(
            secret=settings.jwt_secret.get_secret_value() if settings.jwt_secret else None,
            issuer=settings.jwt_issuer,
            audience=settings.jwt_audience,
            authorized_parties=tuple(party.rstrip("/") for party in settings.jwt_authorized_parties),
            tenant_claim=settings.jwt_tenant_claim,
            leeway_s=settings.jwt_leeway_s,
            admins=frozenset(settings.admin_users),
        )


class JsonWebTokens:
    """Verifies tokens of the one issuer that the settings name.

    :param keys: the issuer's public keys; None: only tokens with the secret are taken.
    """

    def __init__(self, rules: JwtRules, keys: KeySet | None = None) -> None:
        self._rules = rules
        self._keys = keys

    @property
    def wanted(self) -> bool:
        """Whether any token can be good."""
        return self._rules.secret is not None or self._keys is not None

    def verify(self, token: str) -> Principal:
        """Whose token this is. May wait for the issuer's keys.

        :raises TokenExpired: when it was good once.
        :raises Unauthenticated: when it is no good; the sentence does not say what an attacker would like to know.
        :raises KeysUnavailable: when nobody can say.
        """
        header = _header(token)
        algorithm = header.get("alg")
        key = self._key(algorithm, header.get("kid"))
        if key is None:
            raise Unauthenticated("this token is not signed by who may")
        rules = self._rules
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=[str(algorithm)],  # the one that belongs to the key, not whatever the token says
                issuer=rules.issuer,
                audience=list(rules.audience) or None,
                leeway=rules.leeway_s,
                options={"require": ["exp", "sub"], "verify_aud": bool(rules.audience), "verify_jti": False},
            )
            _check_form(token, claims)
            ends_at = float(claims["exp"]) + rules.leeway_s
        except jwt.ExpiredSignatureError:
            raise TokenExpired("this token has run out") from None
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
            raise Unauthenticated("this token is no good") from None
        return self._principal(claims, ends_at)

    def _key(self, algorithm: Any, kid: Any) -> Any:
        if kid is not None and (not isinstance(kid, str) or len(kid) > _MAX_ID):
            return None
        if algorithm == _SYMMETRIC:
            return self._rules.secret
        if algorithm in _ASYMMETRIC and self._keys is not None:
            return self._keys.find(kid, algorithm)
        return None

    def _principal(self, claims: dict[str, Any], ends_at: float) -> Principal:
        subject = claims["sub"]
        if not _is_id(subject) or subject == GUEST_ID or subject.startswith(USER_PREFIX):
            raise Unauthenticated("this token's `sub` cannot be a person's id")
        if claims.get("sts", "active") != "active":
            raise Unauthenticated("this sign-in is not complete: its status (`sts`) is not active")
        party, parties = claims.get("azp"), self._rules.authorized_parties
        if party is not None and parties and (not isinstance(party, str) or party.rstrip("/") not in parties):
            raise Unauthenticated("this token was made for another site (`azp`)")
        tenant = _claim(claims, self._rules.tenant_claim)
        if tenant is not None and not _is_id(tenant):
            raise Unauthenticated("this token's tenant is none")
        return Principal(
            id=subject,
            kind="jwt",
            name=_name(claims, subject),
            tenant=tenant,
            admin=subject in self._rules.admins,
            expires_at=ends_at,
        )


def _header(token: str) -> dict[str, Any]:
    """A token's first part, looked at before anything is done with it."""
    first, _, rest = token.partition(".")
    if len(token) > MAX_CHARS or len(first) > _MAX_HEADER_CHARS or rest.count(".") != 1 or not token.isascii():
        raise Unauthenticated("this is no token")
    try:
        header = json.loads(base64url_decode(first), object_pairs_hook=_each_once)
    except (ValueError, RecursionError, binascii.Error):
        raise Unauthenticated("this is no token") from None
    if not isinstance(header, dict):
        raise Unauthenticated("this is no token")
    return header


def _check_form(token: str, claims: dict[str, Any]) -> None:
    """What PyJWT takes, and RFC 7519 does not: times that are no numbers, and (it leaves that open) a name twice.

    :raises ValueError:
    """
    if any(type(claims.get(name, 0)) not in (int, float) for name in _TIMES):
        raise ValueError("a time is no number")
    json.loads(base64url_decode(token.split(".")[1]), object_pairs_hook=_each_once)


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands there twice")  # two readers might see two different tokens
    return found


def _claim(claims: dict[str, Any], name: str) -> Any:
    """A claim by its name; or, where there is none, by its way through objects: ``o.id``."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for step in name.split("."):
        found = found.get(step) if isinstance(found, dict) else None
    return found


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _MAX_ID and value.isprintable()


def _name(claims: dict[str, Any], subject: str) -> str:
    for claim in ("name", "email"):
        value = claims.get(claim)
        if isinstance(value, str) and value.strip():
            return (
                " ".join("".join(letter if letter.isprintable() else " " for letter in value).split())[:100] or subject
            )
    return subject
