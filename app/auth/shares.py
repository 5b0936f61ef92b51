"""Whom conversations are shared with: people by name, and whoever holds a link."""

from __future__ import annotations

import hashlib
import itertools
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, RowMapping, delete, func, insert, or_, select, update

from app.auth.recent import Recent
from app.auth.times import now_iso
from app.errors import InvalidState, LimitExceeded, NotFound
from app.store.database import Database
from app.store.tables import conversations, links, shares, users
from app.streaming.access import Access, LinkGrant, Role
from app.streaming.library import is_conversation_id

MOST = 200
"""People a conversation is shared with at most; and links that live at once."""

_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")  # 256 bits
_KNOWN_S = 2.0  # a link that another process has revoked opens nothing after so long
_KNOWN = 1000


@dataclass(frozen=True, slots=True)
class Share:
    """A person whom a conversation is shared with. ``name`` is their id, where they have no account here."""

    user_id: str
    name: str
    role: Role
    created_at: str


@dataclass(frozen=True, slots=True)
class Link:
    """A link that lives, without its secret."""

    link_id: str
    role: Role
    created_at: str
    expires_at: str | None


@dataclass(frozen=True, slots=True)
class FoundLink:
    """What a secret opens."""

    link_id: str
    conversation_id: str
    expires_at: str | None


@dataclass(frozen=True, slots=True)
class Changed:
    """Who may come in now. The number grows with each change: an older one must not win over a newer one."""

    access: Access
    number: int


class Shared(Protocol):
    """A conversation in memory, as far as this module looks at it."""

    access: Access


class Shares:
    """Shares and links in the database. Every method but :meth:`install` may wait for it.

    A link's secret is shown once; what is stored is its SHA-256. It has 256 random bits, so that nothing slower is
    needed.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._numbers = itertools.count(1)  # drawn within a write, and writes come one after the other
        self._known: Recent[FoundLink] = Recent(_KNOWN, time.monotonic)
        self._lock = threading.Lock()  # guards the installed numbers
        self._installed: WeakKeyDictionary[Shared, int] = WeakKeyDictionary()

    # --- who may come in ----------------------------------------------------------------------------------------------

    def load_access(self, conversation_id: str, owner: str, tenant: str | None) -> Access:
        """Who may come into a stored conversation. :raises StoreUnavailable:"""
        return self._database.read(lambda connection: _access(connection, conversation_id, owner, tenant))

    def access_of(self, conversation_id: str) -> Access | None:
        """Who may come into a stored conversation; None if there is none. It asks as much in both cases.

        :raises StoreUnavailable:
        """
        if not is_conversation_id(conversation_id):
            return None

        def look(connection: Connection) -> Access | None:
            asked = select(conversations.c.owner, conversations.c.tenant)
            row = connection.execute(asked.where(conversations.c.conversation_id == conversation_id)).first()
            owner, tenant = (row.owner, row.tenant) if row is not None else ("", None)
            access = _access(connection, conversation_id, owner, tenant)
            return access if row is not None else None

        return self._database.read(look)

    def install(self, conversation: Shared, changed: Changed) -> None:
        """Let a change hold for a conversation in memory, unless a later one already does. Does not wait."""
        with self._lock:
            if self._installed.get(conversation, 0) < changed.number:
                self._installed[conversation] = changed.number
                conversation.access = changed.access

    def of(self, conversation_id: str) -> tuple[list[Share], list[Link]]:
        """Whom a conversation is shared with, and its links that live; the oldest first."""

        def look(connection: Connection) -> tuple[list[Share], list[Link]]:
            named = (
                select(shares, users.c.name)
                .outerjoin(users, users.c.user_id == shares.c.user_id)
                .where(shares.c.conversation_id == conversation_id)
                .order_by(shares.c.created_at, shares.c.user_id)
            )
            people = [
                Share(row["user_id"], row["name"] or row["user_id"], Role(row["role"]), row["created_at"])
                for row in connection.execute(named).mappings()
            ]
            return people, [_link(row) for row in _living(connection, conversation_id)]

        return self._database.read(look)

    # --- people -------------------------------------------------------------------------------------------------------

    def grant(self, conversation_id: str, user_id: str, role: Role, by: str) -> tuple[Changed, Share]:
        """Share a conversation with a person, or change their role.

        :raises LimitExceeded: with too many already.
        """

        def put(connection: Connection) -> Changed | None:
            mine = (shares.c.conversation_id == conversation_id, shares.c.user_id == user_id)
            known = connection.execute(update(shares).where(*mine).values(role=role.value)).rowcount
            if not known:
                if _count(connection, select(shares).where(mine[0])) >= MOST:
                    return None
                row = {"role": role.value, "created_by": by, "created_at": now_iso()}
                connection.execute(
                    insert(shares).values(conversation_id=conversation_id, user_id=user_id, **row),
                )
            return self._changed(connection, conversation_id)

        changed = self._write(conversation_id, put)
        if changed is None:
            raise LimitExceeded(f"a conversation is shared with {MOST} people at most")
        people, _ = self.of(conversation_id)
        return changed, next(each for each in people if each.user_id == user_id)

    def withdraw(self, conversation_id: str, user_id: str) -> Changed:
        """Share a conversation with a person no longer. :raises NotFound:"""

        def take(connection: Connection) -> Changed | None:
            mine = (shares.c.conversation_id == conversation_id, shares.c.user_id == user_id)
            gone = connection.execute(delete(shares).where(*mine)).rowcount
            return self._changed(connection, conversation_id) if gone else None

        changed = self._write(conversation_id, take)
        if changed is None:
            raise NotFound("it is not shared with them")
        return changed

    # --- links --------------------------------------------------------------------------------------------------------

    def make_link(
        self, conversation_id: str, role: Role, by: str, expires_in_s: float | None
    ) -> tuple[Changed, Link, str]:
        """Make a link; its secret, last in the answer, is told this once.

        :raises LimitExceeded: with too many already.
        """
        secret = secrets.token_urlsafe(32)
        made = Link(
            f"lnk_{secrets.token_urlsafe(12)}",
            role,
            now_iso(),
            now_iso(ahead_s=expires_in_s) if expires_in_s is not None else None,
        )

        def add(connection: Connection) -> Changed | None:
            dead = or_(links.c.revoked_at.is_not(None), links.c.expires_at <= made.created_at)
            connection.execute(delete(links).where(links.c.conversation_id == conversation_id, dead))
            if _count(connection, select(links).where(links.c.conversation_id == conversation_id)) >= MOST:
                return None
            connection.execute(
                insert(links).values(
                    link_id=made.link_id,
                    conversation_id=conversation_id,
                    token_hash=_hash(secret),
                    role=role.value,
                    created_by=by,
                    created_at=made.created_at,
                    expires_at=made.expires_at,
                )
            )
            return self._changed(connection, conversation_id)

        changed = self._write(conversation_id, add)
        if changed is None:
            raise LimitExceeded(f"a conversation has {MOST} links at most")
        return changed, made, secret

    def revoke(self, conversation_id: str, link_id: str) -> Changed:
        """End a link. :raises NotFound:"""

        def end(connection: Connection) -> Changed | None:
            mine = (links.c.conversation_id == conversation_id, links.c.link_id == link_id)
            living = update(links).where(*mine, links.c.revoked_at.is_(None)).values(revoked_at=now_iso())
            ended = connection.execute(living).rowcount
            return self._changed(connection, conversation_id) if ended else None

        changed = self._write(conversation_id, end)
        self._known.drop_where(lambda found: found.link_id == link_id)
        if changed is None:
            raise NotFound("there is no such link")
        return changed

    def find_link(self, secret: str) -> FoundLink | None:
        """What a secret opens; None for one that is not known, was revoked, or has run out."""
        if not _SECRET.fullmatch(secret):
            return None
        key = _hash(secret)
        found = self._known.get(key)
        if found is None:
            found = self._database.read(lambda connection: _find(connection, key))
            if found is not None:
                self._known.put(key, found, _KNOWN_S)
        return found if found is not None and (found.expires_at is None or now_iso() < found.expires_at) else None

    # --- the database -------------------------------------------------------------------------------------------------

    def _write(self, conversation_id: str, work: Callable[[Connection], Changed | None]) -> Changed | None:
        def guarded(connection: Connection) -> tuple[bool, Changed | None]:
            known = select(conversations.c.conversation_id).where(conversations.c.conversation_id == conversation_id)
            if connection.execute(known).first() is None:
                return False, None
            return True, work(connection)

        there, changed = self._database.write(guarded)
        if not there:
            raise InvalidState("the conversation is not in the store yet; try again in a moment")
        return changed

    def _changed(self, connection: Connection, conversation_id: str) -> Changed:
        row = connection.execute(
            select(conversations.c.owner, conversations.c.tenant).where(
                conversations.c.conversation_id == conversation_id
            )
        ).one()
        return Changed(_access(connection, conversation_id, row.owner, row.tenant), next(self._numbers))


def _access(connection: Connection, conversation_id: str, owner: str, tenant: str | None) -> Access:
    people = connection.execute(
        select(shares.c.user_id, shares.c.role).where(shares.c.conversation_id == conversation_id)
    )
    return Access(
        owner,
        tenant,
        {row.user_id: Role(row.role) for row in people},
        {
            row["link_id"]: LinkGrant(Role(row["role"]), row["expires_at"])
            for row in _living(connection, conversation_id)
        },
    )


def _living(connection: Connection, conversation_id: str) -> Iterable[RowMapping]:
    living = (
        select(links)
        .where(
            links.c.conversation_id == conversation_id,
            links.c.revoked_at.is_(None),
            or_(links.c.expires_at.is_(None), links.c.expires_at > now_iso()),
        )
        .order_by(links.c.created_at, links.c.link_id)
    )
    return connection.execute(living).mappings().all()


def _find(connection: Connection, key: str) -> FoundLink | None:
    row = connection.execute(
        select(links.c.link_id, links.c.conversation_id, links.c.expires_at).where(
            links.c.token_hash == key, links.c.revoked_at.is_(None)
        )
    ).first()
    return FoundLink(row.link_id, row.conversation_id, row.expires_at) if row is not None else None


def _count(connection: Connection, rows: Any) -> int:
    return int(connection.execute(select(func.count()).select_from(rows.subquery())).scalar_one())


def _link(row: RowMapping) -> Link:
    return Link(row["link_id"], Role(row["role"]), row["created_at"], row["expires_at"])


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
