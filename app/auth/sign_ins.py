"""Sign-ins: the server's side of a session cookie. Every method may wait for the database."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass

from sqlalchemy import Connection, and_, delete, insert, select, update

from app.auth.accounts import Account, Accounts
from app.auth.endings import Endings
from app.auth.identity import Principal
from app.auth.recent import Recent
from app.auth.times import epoch_s, now_iso
from app.errors import NotFound
from app.store.database import Database
from app.store.tables import sign_ins, users

_FRESH_S = 2.0  # how long the database is not asked again about a sign-in
_MOST = 10_000
_KEPT_DAYS = 30  # ended ones, for the eyes of their person
_MOST_PER_PERSON = 100
_MAX_BROWSER = 300


@dataclass(frozen=True, slots=True)
class SignIn:
    """One browser of a person."""

    sign_in_id: str
    created_at: str
    expires_at: str
    address: str
    browser: str


class SignIns:
    """The sign-ins in the database, and those that were asked for a moment ago.

    :param hours: how long one lasts.
    """

    def __init__(self, database: Database, accounts: Accounts, endings: Endings, *, hours: float) -> None:
        self._database = database
        self._accounts = accounts
        self._endings = endings
        self._seconds = hours * 3600
        self._recent: Recent[Principal] = Recent(_MOST, time.monotonic)
        endings.on_ended(self._forget)

    def begin(self, account: Account, address: str, browser: str) -> str:
        """Sign somebody in; the id of the new sign-in is a secret of theirs."""
        now, sign_in_id = now_iso(), "sin_" + secrets.token_urlsafe(24)
        row = {
            "sign_in_id": sign_in_id,
            "user_id": account.user_id,
            "created_at": now,
            "expires_at": now_iso(ahead_s=self._seconds),
            "ended_at": None,
            "address": address[:200],
            "browser": browser[:_MAX_BROWSER],
        }
        mine = sign_ins.c.user_id == account.user_id

        def add(connection: Connection) -> list[str]:
            connection.execute(
                delete(sign_ins).where(mine & (sign_ins.c.expires_at < now_iso(ahead_s=-_KEPT_DAYS * 86_400)))
            )
            connection.execute(insert(sign_ins).values(row))
            oldest = (
                select(sign_ins.c.sign_in_id)
                .where(mine & sign_ins.c.ended_at.is_(None))
                .order_by(sign_ins.c.created_at.desc())
                .offset(_MOST_PER_PERSON)
            )
            beyond = list(connection.execute(oldest).scalars())
            if beyond:
                connection.execute(update(sign_ins).where(sign_ins.c.sign_in_id.in_(beyond)).values(ended_at=now))
            return beyond

        self._endings.tell(f"sign_in:{each}" for each in self._database.write(add))
        return sign_in_id

    def find(self, sign_in_id: str) -> Principal | None:
        """Who signed in so; None when it has ended, run out, or never was."""
        found = self._recent.get(sign_in_id)
        if found is None:
            found = self._look_up(sign_in_id)
            if found is not None:
                self._recent.put(sign_in_id, found, _FRESH_S)
        return found if found is not None and (found.expires_at or 0) > time.time() else None

    def _look_up(self, sign_in_id: str) -> Principal | None:
        statement = (
            select(users, sign_ins.c.expires_at)
            .join(sign_ins, sign_ins.c.user_id == users.c.user_id)
            .where(
                and_(
                    sign_ins.c.sign_in_id == sign_in_id,
                    sign_ins.c.ended_at.is_(None),
                    sign_ins.c.expires_at > now_iso(),
                    users.c.disabled_at.is_(None),
                )
            )
        )
        row = self._database.read(lambda connection: connection.execute(statement).mappings().first())
        if row is None:
            return None
        return Principal(
            id=row["user_id"],
            kind="user",
            name=row["name"],
            tenant=row["tenant"],
            admin=self._accounts.is_admin(row),
            credential=f"sign_in:{sign_in_id}",
            expires_at=epoch_s(row["expires_at"]),
        )

    def of(self, user_id: str) -> list[SignIn]:
        """Those of a person that have not ended, the newest first."""
        wanted = (sign_ins.c.user_id == user_id) & sign_ins.c.ended_at.is_(None) & (sign_ins.c.expires_at > now_iso())
        statement = select(sign_ins).where(wanted).order_by(sign_ins.c.created_at.desc())
        rows = self._database.read(lambda connection: connection.execute(statement).mappings().all())
        return [
            SignIn(row["sign_in_id"], row["created_at"], row["expires_at"], row["address"], row["browser"])
            for row in rows
        ]

    def end(self, user_id: str, sign_in_id: str) -> None:
        """Sign a browser out.

        :raises NotFound: when this person has none of that id.
        """
        if not self._end(user_id, sign_ins.c.sign_in_id == sign_in_id):
            raise NotFound("there is no such sign-in")

    def end_all(self, user_id: str, except_id: str | None = None) -> int:
        """Sign all browsers of a person out, but perhaps one; how many there were."""
        return len(self._end(user_id, sign_ins.c.sign_in_id != (except_id or "")))

    def refresh(self, user_id: str) -> None:
        """Forget what is remembered of a person: their name, say, has changed."""
        self._recent.drop_where(lambda principal: principal.id == user_id)

    def _end(self, user_id: str, which: object) -> list[str]:
        wanted = and_(sign_ins.c.user_id == user_id, sign_ins.c.ended_at.is_(None), which)  # type: ignore[arg-type]

        def end(connection: Connection) -> list[str]:
            found = list(connection.execute(select(sign_ins.c.sign_in_id).where(wanted)).scalars())
            if found:
                connection.execute(update(sign_ins).where(wanted).values(ended_at=now_iso()))
            return found

        ended = self._database.write(end)
        self._endings.tell(f"sign_in:{each}" for each in ended)
        return ended

    def _forget(self, ended: str) -> None:
        kind, _, name = ended.partition(":")
        if kind == "user":
            self.refresh(name)
        elif kind == "sign_in":
            self._recent.drop(name)
