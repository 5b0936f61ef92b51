"""Brings a database's schema up to date, by Alembic."""

from __future__ import annotations

import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

for _name in ("alembic", "alembic.runtime.migration", "alembic.runtime.plugins"):
    logging.getLogger(_name).disabled = True  # migrations run in a native thread, which must not take the log's lock

_FOLDER = Path(__file__).parent / "migrations"


def config() -> Config:
    """Alembic's configuration, without a file: what it needs stands here."""
    made = Config()
    made.set_main_option("script_location", str(_FOLDER))
    return made


class UnknownSchema(Exception):
    """A newer version of Colloquy has been at work on the database; the message says what helps."""


def current(engine: Engine) -> str | None:
    """The revision of a database; None for an empty one."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def migrate(engine: Engine) -> tuple[str | None, str]:
    """Bring a database to the newest revision, in one transaction; (from, to).

    :raises UnknownSchema: nothing was done.
    """
    found, needed = _revisions(engine)
    if found == needed:
        return found, needed
    made = config()
    with engine.begin() as connection:
        made.attributes["connection"] = connection
        command.upgrade(made, "head")
    return found, needed


def problem_of(engine: Engine) -> str | None:
    """Why a database cannot be used as it is; None if it can.

    :raises UnknownSchema: no migration helps.
    """
    found, needed = _revisions(engine)
    if found == needed:
        return None
    return f"the database's schema is {found or 'empty'}, not {needed}: run `flask colloquy migrate` first"


def _revisions(engine: Engine) -> tuple[str | None, str]:
    """What the database has, and what this version needs."""
    scripts = ScriptDirectory.from_config(config())
    found, needed = current(engine), str(scripts.get_current_head())
    if found is not None and found not in {script.revision for script in scripts.walk_revisions()}:
        raise UnknownSchema(
            f"the database's schema is {found}, which this version does not know (its own is {needed}): a newer "
            "Colloquy has made it; run that one, or restore a backup"
        )
    return found, needed
