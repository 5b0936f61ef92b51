"""Migrations: what they make is what the code speaks of, and nobody is surprised."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, text

from app.concurrency import AsyncMode
from app.errors import StoreUnavailable
from app.store import migration
from app.store.base import MessageQuery
from app.store.database import Database, SchemaDiffers
from app.store.sql import SqlStore
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


def test_what_was_kept_before_a_migration_is_kept_after_it(tmp_path: Path) -> None:
    """A file of the first schema, with a conversation in it, is brought up to date when the server starts."""
    path = tmp_path / "store.sqlite3"
    with create_engine(f"sqlite:///{path}").begin() as connection:
        old = migration.config()
        old.attributes["connection"] = connection
        command.upgrade(old, "0001")
        connection.execute(
            text(
                "INSERT INTO conversations VALUES (1, 'c1', 'ann', NULL, 'Old', 'debate', 'text', 'completed', 0,"
                " '2026-01-01T00:00:00.000Z', '2026-01-01T00:00:00.000Z', 1, 3, 4, 0, '{}')"
            )
        )
        connection.execute(
            text(
                "INSERT INTO messages VALUES ('c1', 'm1', 1, 'user', 'user', 'What was said', 'text', 'complete', NULL,"
                " NULL, NULL, NULL, 0, 0, NULL, NULL, NULL, '2026-01-01T00:00:00.000Z')"
            )
        )
    database = Database(f"sqlite:///{path}", AsyncMode("threading"))
    database.prepare()
    store = SqlStore(database, AsyncMode("threading"))
    record = store.get("c1")
    assert record is not None
    assert (record.title, record.usage.completion_tokens, record.usage.cost_usd) == ("Old", 4, None)
    assert [(found.view.content, found.view.kind) for found in store.messages("c1", MessageQuery()).messages] == [
        ("What was said", "message")
    ]


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


def test_a_newer_versions_database_is_refused_in_a_sentence(database: Database) -> None:
    """After a step back to an older version; the server died of a stack trace."""
    database.write(lambda connection: connection.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    for look in (database.prepare, database.migrate, database.problem):
        with pytest.raises(
            SchemaDiffers, match=r"is 9999, which this version does not know \(its own is 0004\): a newer"
        ):
            look()


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Conversations are nobody else's business; folders are made as needed."""
    path = tmp_path / "a" / "b" / "store.sqlite3"
    Database(f"sqlite:///{path}", AsyncMode("threading")).prepare()
    assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "url",
    [
        *("", "nonsense", "mysql://user@host/name", "sqlite://", "sqlite:///:memory:", "postgresql+pg8000://u@h/n"),
        "sqlite:///file?mode=ro",  # was not obeyed
        "postgresql://user:s3cret/name",  # without the host: the password was told, as a port that is no number
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"^(?!.*(:pass|s3cret)).*sqlite:///path"):
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
