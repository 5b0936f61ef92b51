"""Providers in the database: rows in, rows out. What is work for :class:`Database` takes no lock and logs nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from app.auth.times import now_iso
from app.errors import NotFound
from app.operation.fields import InvalidFields
from app.store.database import Database
from app.store.tables import providers

MOST = 50


@dataclass(frozen=True, slots=True)
class ProviderRow:
    """A stored provider. The fields are the columns of the table.

    :param key_cipher: its key, encrypted; None where it has none, or a reference.
    :param key_reference: the name of a secret in the Key Vault.
    """

    provider_id: str
    position: int
    name: str
    kind: str
    model: str
    base_url: str | None
    api_version: str | None
    key_cipher: bytes | None
    key_reference: str | None
    options: dict[str, Any]
    enabled: bool
    updated_at: str
    updated_by: str


class ProviderRows:
    """The table of providers. Methods wait for the database, and raise StoreUnavailable where it does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> tuple[ProviderRow, ...]:
        """In order of preference."""
        statement = select(providers).order_by(providers.c.position, providers.c.provider_id)
        rows = self._database.read(lambda connection: connection.execute(statement).mappings().all())
        return tuple(ProviderRow(**row) for row in rows)

    def add(self, values: Mapping[str, Any], by: str) -> None:
        """At the end of the order.

        :raises InvalidFields: when the name is taken, or there are too many.
        """

        def work(connection: Connection) -> str | None:
            count, last = connection.execute(select(func.count(), func.max(providers.c.position))).one()
            if count >= MOST:
                return "full"
            if _taken(connection, str(values["name"]), str(values["provider_id"])):
                return "taken"
            place = 0 if last is None else last + 1
            row = {**values, "position": place, "updated_at": now_iso(), "updated_by": by}
            connection.execute(insert(providers).values(row))
            return None

        _refuse(self._database.write(work))

    def change(self, provider_id: str, values: Mapping[str, Any], by: str) -> None:
        """:raises NotFound: :raises InvalidFields: when the name is taken."""

        def work(connection: Connection) -> str | None:
            if "name" in values and _taken(connection, str(values["name"]), provider_id):
                return "taken"
            chosen = providers.c.provider_id == provider_id
            changed = {**values, "updated_at": now_iso(), "updated_by": by}
            found = connection.execute(update(providers).where(chosen).values(changed)).rowcount
            return None if found else "unknown"

        _refuse(self._database.write(work))

    def remove(self, provider_id: str) -> None:
        """:raises NotFound:"""
        statement = delete(providers).where(providers.c.provider_id == provider_id)
        if not self._database.write(lambda connection: connection.execute(statement).rowcount):
            raise NotFound("there is no such provider")

    def order(self, provider_ids: Sequence[str], by: str) -> None:
        """Put all stored providers in this order.

        :raises InvalidFields: when these are not exactly those that there are.
        """

        def work(connection: Connection) -> str | None:
            rows = connection.execute(select(providers.c.provider_id, providers.c.position))
            known = {row.provider_id: row.position for row in rows}
            if sorted(known) != sorted(provider_ids):
                return "order"
            for place, provider_id in enumerate(provider_ids):
                if known[provider_id] != place:
                    moved = {"position": place, "updated_at": now_iso(), "updated_by": by}
                    chosen = providers.c.provider_id == provider_id
                    connection.execute(update(providers).where(chosen).values(moved))
            return None

        _refuse(self._database.write(work))


def _taken(connection: Connection, name: str, provider_id: str) -> bool:
    others = select(func.count()).where(providers.c.name == name, providers.c.provider_id != provider_id)
    return bool(connection.execute(others).scalar())


def _refuse(problem: str | None) -> None:
    if problem == "unknown":
        raise NotFound("there is no such provider")
    if problem == "taken":
        raise InvalidFields({"name": "another provider has this name"})
    if problem == "full":
        raise InvalidFields({"name": f"there are {MOST} providers: delete one first"})
    if problem == "order":
        said = "these are not all stored providers, each once: somebody may have changed the list just now"
        raise InvalidFields({"provider_ids": said})
