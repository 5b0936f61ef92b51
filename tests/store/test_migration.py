"""Migrations: what they make is what the code speaks of, and nobody is surprised."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from app.concurrency import AsyncMode
from app.errors import StoreUnavailable
from app.store.database import Database, SchemaDiffers
from app.store.tables import metadata
from tests.support.postgres import PostgresServer


def test_the_migrations_make_what_the_tables_say(database: Database) -> None:
    """Beside them there is only the full text index."""

    def ours(_object: Any, name: str | None, *_: Any) -> bool:
        return not str(name).startswith("search")

    def compare(connection: Any) -> list[Any]:
        options = {"include_object": ours, "compare_type": True, "compare_server_default": True}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))

    assert database.read(compare) == []


def test_preparing_twice_changes_nothing(sqlite: Database) -> None:
    sqlite.prepare()
    assert sqlite.read(lambda connection: connection.execute(text("SELECT version_num FROM alembic_version")).scalar())


def test_postgresql_is_not_migrated_behind_anybodys_back(postgres: PostgresServer) -> None:
    """The sentence names the command; after it, all is well."""
    database = Database(postgres.new_database(), AsyncMode("threading"))
    with pytest.raises(SchemaDiffers, match="flask colloquy migrate"):
        database.prepare()
    database.migrate()
    database.prepare()


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Conversations are nobody else's business; folders are made as needed."""
    path = tmp_path / "a" / "b" / "store.sqlite3"
    Database(f"sqlite:///{path}", AsyncMode("threading")).prepare()
    assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "url", ["", "nonsense", "mysql://user@host/name", "sqlite://", "sqlite:///:memory:", "postgresql+pg8000://u@h/n"]
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"^(?!.*:pass)"):
        Database(url, AsyncMode("threading"))


def test_a_password_is_not_shown(postgres: PostgresServer) -> None:
    """Neither in the start-up line nor in an error."""
    url = postgres.url_of("nowhere").replace("colloquy@", "colloquy:s3cret@")
    database = Database(url, AsyncMode("threading"))
    assert "s3cret" not in database.place()
    with pytest.raises(StoreUnavailable) as caught:
        database.ping()
    assert "s3cret" not in str(caught.value)
    assert "nowhere" in str(caught.value)
