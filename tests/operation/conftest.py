"""A database of its own for each test, and everything of the operation on it, as one process has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.concurrency import AsyncMode
from app.operation.key_vault import Fetch
from app.operation.operation import Operation, operation_of
from app.runner.models import ModelDirectory
from app.settings import load_settings
from app.store.database import Database

SECRET = "a signing key of the tests, long enough"


class Server:
    """One process: its models, its operation, and what was let take effect in it."""

    def __init__(self, database: Database, secret: str = SECRET, fetch: Fetch | None = None, **settings: Any) -> None:
        mode = AsyncMode("threading")
        self.settings = load_settings(None, **{"local_model": False, **settings})
        self.models = ModelDirectory(self.settings, mode)
        self.applied: dict[str, float] = {}
        self.operation: Operation = operation_of(
            self.settings, secret, database, self.models, mode, self.applied.__setitem__, fetch
        )
        self.providers = self.operation.providers
        self.live = self.operation.settings

    def names(self) -> list[str]:
        """Who may answer, in order."""
        return [spec.name for spec in self.models.ready_providers()]


@pytest.fixture
def database(tmp_path: Path) -> Database:
    made = Database(f"sqlite:///{tmp_path / 'operation.sqlite3'}", AsyncMode("threading"))
    made.prepare()
    return made


@pytest.fixture
def server(database: Database) -> Server:
    return Server(database)


def entered(name: str, /, **more: Any) -> dict[str, Any]:
    """What an administrator enters."""
    plain = {"name": name, "kind": "openai", "model": "m", "base_url": "http://127.0.0.1:1/v1", "enabled": True}
    return {**plain, **more}
