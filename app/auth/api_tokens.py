"""API tokens: `cq_`, 36 random characters, and a checksum, so that nonsense costs no query."""

from __future__ import annotations

import hashlib
import secrets
import time
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Connection, and_, func, insert, select, update

from app.auth.accounts import USER_PREFIX, Accounts
from app.auth.endings import Endings
from app.auth.identity import SCOPES, Principal, Scope
from app.auth.recent import Recent
from app.auth.times import epoch_s, iso, now, now_iso
from app.concurrency import AsyncMode
from app.errors import InvalidPayload, LimitExceeded, NotFound, StoreUnavailable, TokenExpired
from app.store.database import Database
from app.store.tables import api_tokens, users

PREFIX = "cq_"
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_RANDOM_CHARS = 36  # 214 bits
_CHECK_CHARS = 6  # CRC-32 in base 62, as in the tokens of GitHub
_LENGTH = len(PREFIX) + _RANDOM_CHARS + _CHECK_CHARS
_HINT_CHARS = 4
_FRESH_S = 2.0
_MOST = 10_000
_MOST_PER_PERSON = 100
_USED_EVERY_S = 60.0


def new_token() -> str:
    """A fresh secret."""
    start = PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM_CHARS))
    return start + _checksum(start)


def well_formed(token: str) -> bool:
    """Whether this may be a token of ours: its checksum is right."""
    if len(token) != _LENGTH or not token.startswith(PREFIX) or not token.isascii():
        return False
    return token[-_CHECK_CHARS:] == _checksum(token[:-_CHECK_CHARS])


def _checksum(start: str) -> str:
    number, found = zlib.crc32(start.encode()), ""
    for _ in range(_CHECK_CHARS):
        number, rest = divmod(number, 62)
        found = _ALPHABET[rest] + found
    return found


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A token, without its secret.

    :param hint: its last characters, to tell one from another.
    """

    token_id: str
    user_id: str
    name: str
    hint: str
    scopes: tuple[str, ...]
    created_at: str
    expires_at: str | None
    last_used_at: str | None
    revoked_at: str | None


class ApiTokens:
    """The tokens in the database, and those that were asked for a moment ago. Methods may wait for the database."""

    def __init__(self, database: Database, accounts: Accounts, endings: Endings, mode: AsyncMode) -> None:
        self._database = database
        self._accounts = accounts
        self._endings = endings
        self._mode = mode
        self._recent: Recent[Principal] = Recent(_MOST, time.monotonic)
        self._used: Recent[bool] = Recent(_MOST, time.monotonic)
        endings.on_ended(self._forget)

    def create(
        self,
        user_id: str,
        name: str,
        scopes: Collection[str],
        *,
        tenant: str | None = None,
        expires_at: datetime | None = None,
    ) -> tuple[ApiToken, str]:
        """A new token, and its secret, which is not to be had again.

        :raises InvalidPayload: for a name, scopes or a time that are no good.
        :raises LimitExceeded: when this person has too many.
        """
        line = " ".join(name.split())
        if not 0 < len(line) <= 100 or not line.isprintable():
            raise InvalidPayload("name: 1 to 100 characters, to know the token by")
        if not scopes or not set(scopes) <= set(SCOPES):
            raise InvalidPayload(f"scopes: some of {', '.join(SCOPES)}")
        if expires_at is not None and expires_at <= now():
            raise InvalidPayload("expires_at: a time in the future is needed")
        secret = new_token()
        row: dict[str, Any] = {
            "token_id": "tok_" + secrets.token_hex(10),
            "user_id": user_id,
            "tenant": tenant,
            "name": line,
            "token_hash": _hash(secret),
            "hint": secret[-_HINT_CHARS:],
            "scopes": [scope for scope in SCOPES if scope in scopes],
            "created_at": now_iso(),
            "expires_at": None if expires_at is None else iso(expires_at),
            "last_used_at": None,
            "revoked_at": None,
        }
        live = (api_tokens.c.user_id == user_id) & api_tokens.c.revoked_at.is_(None)

        def add(connection: Connection) -> bool:
            if (connection.execute(select(func.count()).where(live)).scalar() or 0) >= _MOST_PER_PERSON:
                return False
            connection.execute(insert(api_tokens).values(row))
            return True

        if not self._database.write(add):
            raise LimitExceeded(f"one person has at most {_MOST_PER_PERSON} tokens: revoke some first")
        return _token(row), secret

    def knows(self, token: str) -> bool:
        """Whether this one was good a while ago; asks nobody."""
        return self._recent.known(_hash(token))

    def find(self, token: str) -> Principal | None:
        """Whose token this is; None when it was revoked or never was.

        :raises TokenExpired:
        """
        if not well_formed(token):
            return None
        key = _hash(token)
        found = self._recent.get(key)
        if found is None:
            found = self._look_up(key)
            if found is None:
                self._recent.drop(key)
                return None
            self._recent.put(key, found, _FRESH_S)
        if found.expires_at is not None and found.expires_at <= time.time():
            raise TokenExpired("this token has run out")
        self._note_use(found)
        return found

    def _look_up(self, token_hash: str) -> Principal | None:
        wanted = and_(api_tokens.c.token_hash == token_hash, api_tokens.c.revoked_at.is_(None))

        def look(connection: Connection) -> tuple[Any, Any]:
            token = connection.execute(select(api_tokens).where(wanted)).mappings().first()
            if token is None:
                return None, None
            person = select(users).where(users.c.user_id == token["user_id"])
            return token, connection.execute(person).mappings().first()

        token, person = self._database.read(look)
        if token is None:
            return None
        owner: str = token["user_id"]
        if person is None and owner.startswith(USER_PREFIX):
            return None
        if person is not None and person["disabled_at"] is not None:
            return None
        scopes = frozenset(cast(Scope, scope) for scope in token["scopes"])
        admin = self._accounts.is_admin(person) if person is not None else self._accounts.is_named_admin(owner)
        return Principal(
            id=owner,
            kind="token",
            name=person["name"] if person is not None else owner,
            tenant=person["tenant"] if person is not None else token["tenant"],
            admin=admin and "admin" in scopes,
            scopes=scopes,
            credential=f"token:{token['token_id']}",
            expires_at=None if token["expires_at"] is None else epoch_s(token["expires_at"]),
        )

    def of(self, user_id: str | None) -> list[ApiToken]:
        """Those of a person (or of all people) that were not revoked, the newest first."""
        statement = select(api_tokens).where(api_tokens.c.revoked_at.is_(None))
        if user_id is not None:
            statement = statement.where(api_tokens.c.user_id == user_id)
        statement = statement.order_by(api_tokens.c.created_at.desc())
        rows = self._database.read(lambda connection: connection.execute(statement).mappings().all())
        return [_token(row) for row in rows]

    def revoke(self, token_id: str, user_id: str | None = None) -> None:
        """End a token.

        :param user_id: only if it is this person's.
        :raises NotFound:
        """
        wanted = (api_tokens.c.token_id == token_id) & api_tokens.c.revoked_at.is_(None)
        if user_id is not None:
            wanted &= api_tokens.c.user_id == user_id
        statement = update(api_tokens).where(wanted).values(revoked_at=now_iso())
        if not self._database.write(lambda connection: connection.execute(statement).rowcount):
            raise NotFound("there is no such token")
        self._endings.tell([f"token:{token_id}"])

    def _note_use(self, principal: Principal) -> None:
        """Once a minute, in the background: nobody waits for it, and the database may be away."""
        credential = str(principal.credential)
        if self._used.get(credential) is None:
            self._used.put(credential, True, _USED_EVERY_S)
            self._mode.spawn(self._write_use, credential.partition(":")[2])

    def _write_use(self, token_id: str) -> None:
        statement = update(api_tokens).where(api_tokens.c.token_id == token_id).values(last_used_at=now_iso())
        try:
            self._database.write(lambda connection: connection.execute(statement).rowcount)
        except StoreUnavailable:
            self._used.drop(f"token:{token_id}")

    def _forget(self, ended: str) -> None:
        kind, _, name = ended.partition(":")
        if kind == "token":
            self._recent.drop_where(lambda principal: principal.credential == ended)
        elif kind == "user":
            self._recent.drop_where(lambda principal: principal.id == name)


def _token(row: Any) -> ApiToken:
    return ApiToken(
        token_id=row["token_id"],
        user_id=row["user_id"],
        name=row["name"],
        hint=row["hint"],
        scopes=tuple(row["scopes"]),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        last_used_at=row["last_used_at"],
        revoked_at=row["revoked_at"],
    )
