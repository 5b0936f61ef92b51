"""Accounts of people who sign in here. Every method may wait for the database."""

from __future__ import annotations

import re
import secrets
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from app.auth.identity import GUEST_ID
from app.auth.passwords import Passwords, check_password
from app.auth.times import now_iso
from app.errors import InvalidPayload, InvalidState, NotFound
from app.store.database import Database
from app.store.rows import person
from app.store.tables import api_tokens, shares, sign_ins, usage_days, users

USER_PREFIX = "usr_"
_MAX_LOGIN = 200
_MAX_NAME = 100
_UNSEEN = re.compile(  # what Python calls printable
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\ufe00-\ufe0f\U000e0100-\U000e01ef]"
)
_ALIKE = frozenset({"LATIN", "CYRILLIC", "GREEK"})  # the first word of their letters' names


@dataclass(frozen=True, slots=True)
class Account:
    """A person, without their password.

    :param admin: whether they are an administrator, by their account or by ADMIN_USERS.
    """

    user_id: str
    login: str
    name: str
    admin: bool
    tenant: str | None
    created_at: str
    disabled_at: str | None


def without_case(login: str) -> str:
    """A login as logins are compared: what is typed in another way is the same one."""
    return unicodedata.normalize("NFKC", login).strip().casefold()


def plain_login(login: str) -> str:
    """A login as it is stored: without regard to case.

    :raises InvalidPayload: for what cannot be one.
    """
    plain = without_case(login)
    if not plain:
        raise InvalidPayload("login: an e-mail address or a name is needed")
    if len(plain) > _MAX_LOGIN or not plain.isprintable() or any(letter.isspace() for letter in plain):
        raise InvalidPayload(f"login: at most {_MAX_LOGIN} visible characters, without spaces")
    if plain == GUEST_ID or plain.startswith(USER_PREFIX) or "/" in plain:
        raise InvalidPayload("login: this one cannot be had")  # it would be taken for an id, or for a part of a path
    return plain


def check_looks(login: str) -> None:
    """Refuse a new login that passes for another one in people's eyes; there is no protection within one alphabet.

    :raises InvalidPayload:
    """
    if _UNSEEN.search(login):
        raise InvalidPayload("login: it has characters that nobody sees")
    if len({unicodedata.name(letter, "").partition(" ")[0] for letter in login} & _ALIKE) > 1:
        raise InvalidPayload("login: its letters are of different alphabets, and look alike")


def plain_name(name: str, login: str) -> str:
    """A name as it is shown: one line; where there is none, what stands before the login's ``@``."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in name).split())
    if len(line) > _MAX_NAME:
        raise InvalidPayload(f"name: at most {_MAX_NAME} characters")
    return line or login.partition("@")[0][:_MAX_NAME]


def _deleted() -> ColumnElement[bool]:
    """What is left of an account that was deleted: no login looks like an id."""
    return users.c.login == users.c.user_id


class Accounts:
    """The accounts in the database.

    :param admins: ids and logins of people who are administrators, whatever their account says.
    """

    def __init__(self, database: Database, passwords: Passwords, admins: Iterable[str] = ()) -> None:
        self._database = database
        self._passwords = passwords
        self._admins = frozenset(without_case(entry) for entry in admins)

    def is_admin(self, row: RowMapping) -> bool:
        """Whether the person of this row of `users` is an administrator."""
        return bool(row["admin"]) or self.is_named_admin(row["user_id"], row["login"])

    def is_named_admin(self, *names: str) -> bool:
        """Whether ADMIN_USERS has one of these ids or logins."""
        return any(without_case(name) in self._admins for name in names)

    def register(
        self, login: str, password: str, name: str = "", *, admin: bool = False, tenant: str | None = None
    ) -> Account:
        """Make an account.

        :raises InvalidPayload: for a login, a password or a name that cannot be one.
        :raises InvalidState: when the login is taken.
        """
        plain = plain_login(login)
        check_looks(plain)
        shown = plain_name(name, plain)
        check_password(password)
        if self._row(plain) is not None:
            raise InvalidState("this login is taken")
        row = {
            "user_id": USER_PREFIX + secrets.token_hex(10),
            "login": plain,
            "name": shown,
            "password_hash": self._passwords.hash(password),
            "admin": admin,
            "tenant": tenant,
            "created_at": now_iso(),
            "disabled_at": None,
        }

        def add(connection: Connection) -> bool:
            try:
                connection.execute(insert(users).values(row))
            except IntegrityError:
                return False
            return True

        if self._row(plain) is not None or not self._database.write(add):
            raise InvalidState("this login is taken")
        return self._account(row)

    def authenticate(self, login: str, password: str) -> Account | None:
        """The account whose login and password these are; an unknown login takes as long as a known one."""
        try:
            row = self._row(plain_login(login))
        except InvalidPayload:
            row = None
        right = self._passwords.verify(row["password_hash"] if row else None, password)
        if row is None or not right or row["disabled_at"] is not None:
            return None
        if self._passwords.outdated(row["password_hash"]):
            self._store_hash(row["user_id"], self._passwords.hash(password))
        return self._account(row)

    def find(self, who: str) -> Account | None:
        """An account by its id or its login."""
        row = self._database.read(
            lambda connection: (
                connection.execute(
                    select(users).where((users.c.user_id == who) | (users.c.login == without_case(who)), ~_deleted())
                )
                .mappings()
                .first()
            )
        )
        return None if row is None else self._account(row)

    def logins(self, ids: Iterable[str]) -> dict[str, str]:
        """id → login, of those that have an account."""
        wanted = select(users.c.user_id, users.c.login).where(users.c.user_id.in_(list(ids)), ~_deleted())
        rows = self._database.read(lambda connection: connection.execute(wanted).all())
        return {row.user_id: row.login for row in rows}

    def all(self) -> list[Account]:
        rows = self._database.read(
            lambda connection: (
                connection.execute(select(users).where(~_deleted()).order_by(users.c.created_at)).mappings().all()
            )
        )
        return [self._account(row) for row in rows]

    def rename(self, user_id: str, name: str) -> Account:
        """:raises InvalidPayload: :raises NotFound:"""
        account = self.find(user_id)
        if account is None:
            raise NotFound("there is no such account")
        self._update(user_id, name=plain_name(name, account.login))
        found = self.find(user_id)
        if found is None:
            raise NotFound("there is no such account")
        return found

    def set_password(self, user_id: str, password: str) -> None:
        """:raises InvalidPayload: for one that is too short or too long."""
        check_password(password)
        self._store_hash(user_id, self._passwords.hash(password))

    def set_disabled(self, user_id: str, disabled: bool) -> None:
        """Keep somebody out, or let them in again."""
        self._update(user_id, disabled_at=now_iso() if disabled else None)

    def delete(self, user_id: str) -> None:
        """Remove an account for good, with its tokens, its sign-ins and what was shared with it.

        What stays is the id, which says nothing: by it servers see that the account has ended, and that its
        conversations are to be deleted. Its login may be had by others, who get another id.

        :raises NotFound:
        """
        nobody = {"login": user_id, "name": "", "password_hash": None, "admin": False, "tenant": None}

        def remove(connection: Connection) -> bool:
            there = (users.c.user_id == user_id) & ~_deleted()
            tenant = connection.execute(select(users.c.tenant).where(there)).scalar()
            if not connection.execute(update(users).where(there).values(**nobody, disabled_at=now_iso())).rowcount:
                return False
            for table in (api_tokens, sign_ins, shares):
                connection.execute(delete(table).where(table.c.user_id == user_id))
            days = usage_days.c.user_id
            connection.execute(delete(usage_days).where(days == person(tenant, user_id, days)))
            return True

        if not self._database.write(remove):
            raise NotFound("there is no such account")

    def set_admin(self, user_id: str, admin: bool) -> None:
        self._update(user_id, admin=admin)

    def _store_hash(self, user_id: str, password_hash: str) -> None:
        self._update(user_id, password_hash=password_hash)

    def _update(self, user_id: str, **values: Any) -> None:
        statement = update(users).where(users.c.user_id == user_id).values(**values)
        if not self._database.write(lambda connection: connection.execute(statement).rowcount):
            raise NotFound("there is no such account")

    def _row(self, login: str) -> RowMapping | None:
        statement = select(users).where(users.c.login == login)
        return self._database.read(lambda connection: connection.execute(statement).mappings().first())

    def _account(self, row: Any) -> Account:
        return Account(
            user_id=row["user_id"],
            login=row["login"],
            name=row["name"],
            admin=self.is_admin(row),
            tenant=row["tenant"],
            created_at=row["created_at"],
            disabled_at=row["disabled_at"],
        )
