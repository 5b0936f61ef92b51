"""Databases for the tests of the store: a new one for each test, of both kinds."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.concurrency import AsyncMode
from app.store.database import Database
from app.store.sql import SqlStore
from tests.support.postgres import PostgresServer
from tests.support.stored import migrated


@pytest.fixture
def sqlite(tmp_path: Path) -> Database:
    made = Database(f"sqlite:///{tmp_path / 'store.sqlite3'}", AsyncMode("threading"))
    made.prepare()
    return made


@pytest.fixture(scope="session")
def postgres_template(postgres: PostgresServer) -> str:
    """A database that was migrated once, to be copied."""
    return migrated(postgres)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Database:
    """A database that is ready, of each kind."""
    if request.param == "sqlite":
        found: Database = request.getfixturevalue("sqlite")
        return found
    template = request.getfixturevalue("postgres_template")
    return Database(request.getfixturevalue("postgres").new_database(like=template), AsyncMode("threading"))


@pytest.fixture
def store(database: Database) -> SqlStore:
    return SqlStore(database, AsyncMode("threading"))
