"""A database of its own for each test, and quick password hashes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from app.auth.accounts import Accounts
from app.auth.api_tokens import ApiTokens
from app.auth.attempts import Attempts
from app.auth.endings import Endings
from app.auth.passwords import Passwords
from app.auth.people import People
from app.auth.sign_ins import SignIns
from app.concurrency import AsyncMode
from app.store.database import Database
from tests.support.issuer import Issuer

QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
PASSWORD = "correct horse battery"
MODE = AsyncMode("threading")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.matrix)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    """A database that is ready, of each kind."""
    if request.param == "sqlite":
        made = Database(f"sqlite:///{tmp_path / 'people.sqlite3'}", MODE)
    else:
        made = Database(request.getfixturevalue("postgres").new_database(), MODE)
    made.migrate()
    return made


@pytest.fixture
def people(database: Database) -> People:
    return people_in(database)


def people_in(database: Database, admins: tuple[str, ...] = ("root@example.com",)) -> People:
    """The people in a database, as another process has them."""
    endings = Endings(database, MODE)
    accounts = Accounts(database, Passwords(MODE, QUICK), admins)
    return People(
        accounts=accounts,
        sign_ins=SignIns(database, accounts, endings, hours=1),
        tokens=ApiTokens(database, accounts, endings, MODE),
        endings=endings,
        attempts=Attempts(10, "too many attempts"),
        login_attempts=Attempts(100, "too many attempts"),
        noted_floods=Attempts(1, "too many"),
    )


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with Issuer() as running:
        running.publish("rsa1", "ec1")
        yield running
