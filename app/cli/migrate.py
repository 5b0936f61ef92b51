"""``migrate``: bring the database's tables to what this version needs."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from app.concurrency import AsyncMode
from app.errors import StoreUnavailable
from app.settings import SettingsError, load_settings
from app.store.database import Database

_PROJECT = Path(__file__).resolve().parents[2]


@click.command()
def migrate() -> None:
    """Bring the database's tables to what this version needs.

    For PostgreSQL, once before the first start and after each update; a server brings its SQLite file up to date by
    itself. Harmless where there is nothing to do. Back up the database first.
    """
    try:
        database = Database(load_settings(_PROJECT / ".env").database_address(), AsyncMode("threading"))
        before, after = database.migrate()
    except (SettingsError, ValueError, StoreUnavailable) as error:
        click.echo(f"colloquy: {error}", err=True)
        sys.exit(1)
    if before == after:
        click.echo(f"{database.place()}: nothing to do, it is at {after}")
    else:
        click.echo(f"{database.place()}: from {before or 'empty'} to {after}")
