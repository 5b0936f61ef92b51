"""Databases for the tests of the store."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.concurrency import AsyncMode
from app.store.database import Database
from app.store.sql import SqlStore


@pytest.fixture
def database(tmp_path: Path) -> Database:
    """A database of its own for each test."""
    made = Database(f"sqlite:///{tmp_path / 'store.sqlite3'}", AsyncMode("threading"))
    made.prepare()
    return made


@pytest.fixture
def store(database: Database) -> SqlStore:
    return SqlStore(database)
