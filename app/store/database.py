"""The database: its engines, its threads, its errors. Everything that speaks SQL goes through here."""

from __future__ import annotations

import os
import queue
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DataError, IntegrityError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from app.concurrency import AsyncMode
from app.errors import StoreUnavailable
from app.store.migration import UnknownSchema, migrate, problem_of
from app.store.reservation import reserve

Result = TypeVar("Result")
Work = Callable[[Connection], Result]

_READERS = 3
_BUSY_S = 5.0
_PRAGMAS = ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "secure_delete=ON")


class Refused(StoreUnavailable):
    """The database answers, and does not take what it was given: the same again would be refused again."""


class SchemaDiffers(StoreUnavailable):
    """The database's tables are not those of this version; the message names the command that helps."""


def is_outage(error: Exception) -> bool:
    """Whether trying the same again later makes sense."""
    return isinstance(error, StoreUnavailable) and not isinstance(error, Refused)


class Database:
    """Runs work on connections, in native threads: whatever the database does, the event loop goes on.

    Work comes in *lanes*, each with an engine of its own, so that no two native threads ever wait for one lock of
    SQLAlchemy's (see :meth:`AsyncMode.native`). One lane writes, a few read; whoever finds none free waits for one,
    cooperatively. Connections are not pooled (NullPool).

    :param url: ``sqlite:///path`` or ``postgresql://user:password@host/name``.
    :raises ValueError: for another kind of database, or no address at all.
    """

    def __init__(self, url: str, mode: AsyncMode, *, busy_timeout_s: float = _BUSY_S) -> None:
        self.url = _checked(url)
        self._mode = mode
        self._busy_timeout_s = busy_timeout_s
        self._writers: queue.Queue[Engine] = queue.Queue()
        self._readers: queue.Queue[Engine] = queue.Queue()
        self._writers.put(self._engine(writes=True))
        for _ in range(_READERS):
            self._readers.put(self._engine(writes=False))

    @property
    def is_sqlite(self) -> bool:
        return self.url.get_backend_name() == "sqlite"

    def place(self) -> str:
        """Where the data lies, for a person; never a password."""
        if self.is_sqlite:
            return f"SQLite, {self.url.database}"
        return self.url.set(drivername="postgresql").render_as_string(hide_password=True)

    def read(self, work: Work[Result]) -> Result:
        """Run work that only reads; return what it returns. It runs in a native thread: it takes no lock, logs nothing.

        :raises StoreUnavailable: when the database does not answer, or refuses.
        """
        return self._run(self._readers, work)

    def write(self, work: Work[Result]) -> Result:
        """Run work in one transaction of its own: all of it is kept, or nothing. Writers come one after the other.

        :raises StoreUnavailable: nothing was kept.
        :raises Refused: because of what was to be written.
        """
        return self._run(self._writers, work)

    def _run(self, lanes: queue.Queue[Engine], work: Work[Result]) -> Result:
        engine = lanes.get()
        try:
            result: Result = self._mode.native(_in_transaction, engine, work)
            return result
        except (DataError, IntegrityError) as error:
            raise Refused(_sentence(error)) from error
        except (SQLAlchemyError, OSError) as error:
            raise StoreUnavailable(_sentence(error)) from error
        finally:
            lanes.put(engine)

    def reserve(self, patience_s: float) -> None:
        """Keep SQLite's file for this process, which is a server; PostgreSQL is not guarded.

        :param patience_s: so long a server that ends may take, in seconds.

        :raises Occupied: another server has it.
        """
        if self.is_sqlite:
            reserve(Path(self.url.database or ""), patience_s)

    def prepare(self) -> None:
        """Bring the schema up to date: SQLite at once; PostgreSQL is only looked at. Call it before the first work.

        :raises SchemaDiffers: PostgreSQL: somebody has to migrate it; both: a newer version has made it.
        :raises StoreUnavailable: when the database cannot be had.
        """
        if self.is_sqlite:
            self._set_up(_make_ready)
        elif (problem := self._set_up(problem_of)) is not None:
            raise SchemaDiffers(problem)

    def migrate(self) -> tuple[str | None, str]:
        """Bring the schema up to date, whatever the database is; for the command line.

        :returns: the revisions before (None: it was empty) and after.
        :raises SchemaDiffers: a newer version has made it.
        :raises StoreUnavailable:
        """
        return self._set_up(_make_ready)

    def problem(self) -> str | None:
        """Why the database cannot be used as it is; None if it can. A file that is not there yet can.

        :raises SchemaDiffers: a newer version has made it: no migration helps.
        :raises StoreUnavailable:
        """
        if self.is_sqlite and not Path(self.url.database or "").exists():
            return None
        return self._set_up(problem_of)

    def _set_up(self, work: Callable[[Engine], Result]) -> Result:
        engine = self._writers.get()
        try:
            result: Result = self._mode.native(work, engine)
            return result
        except UnknownSchema as error:
            raise SchemaDiffers(str(error)) from None
        except (SQLAlchemyError, sqlite3.Error, OSError) as error:
            raise StoreUnavailable(_sentence(error)) from error
        finally:
            self._writers.put(engine)

    def ping(self) -> None:
        """:raises StoreUnavailable: when the database does not answer."""
        self.read(lambda connection: connection.execute(text("SELECT 1")).scalar())

    def empty_log(self) -> None:
        """Move SQLite's write-ahead log into its file, and empty it; readers that are at work may prevent the latter.

        :raises StoreUnavailable:
        """
        self._set_up(_checkpoint)

    def _engine(self, *, writes: bool) -> Engine:
        if not self.is_sqlite:
            arguments = {
                "connect_timeout": 5,
                "options": f"-c statement_timeout={int(self._busy_timeout_s * 2000)}",
                "application_name": "colloquy",
                "tcp_user_timeout": int(self._busy_timeout_s * 2000),
            }
            return create_engine(self.url, poolclass=NullPool, connect_args=arguments)
        # mode=rw: where the file is gone, e.g. with its mount, no empty one shall take its place
        place = f"file:{quote(self.url.database or '')}?mode=rw"

        def connect() -> sqlite3.Connection:
            return sqlite3.connect(
                place, uri=True, timeout=self._busy_timeout_s, check_same_thread=False, isolation_level=None
            )

        engine = create_engine(self.url, poolclass=NullPool, creator=connect)

        def on_connect(connection: Any, _record: Any) -> None:
            for pragma in _PRAGMAS:
                connection.execute(f"PRAGMA {pragma}")

        def on_begin(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

        event.listen(engine, "connect", on_connect)
        event.listen(engine, "begin", on_begin)
        return engine


def _make_ready(engine: Engine) -> tuple[str | None, str]:
    if engine.dialect.name == "sqlite":
        _prepare_file(engine.url)
    return migrate(engine)


def _checkpoint(engine: Engine) -> None:
    connection = engine.raw_connection()
    try:
        connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").close()
    finally:
        connection.close()


def _in_transaction(engine: Engine, work: Work[Result]) -> Result:
    with engine.begin() as connection:
        return work(connection)


def _checked(given: str) -> URL:
    try:
        url = make_url(given)
    except (ArgumentError, ValueError):  # the latter with a piece of what was given, which may be the password
        raise ValueError("not the address of a database: sqlite:///path or postgresql://user@host/name") from None
    if url.drivername in ("postgres", "postgresql", "postgresql+psycopg2"):
        return url.set(drivername="postgresql+psycopg2")
    if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
        raise ValueError("SQLite needs a file: sqlite:///path")
    if url.get_backend_name() == "sqlite" and url.query:
        raise ValueError("SQLite's address has no parameters: sqlite:///path")
    if url.drivername not in ("sqlite", "sqlite+pysqlite"):
        raise ValueError("only SQLite and PostgreSQL are supported: sqlite:///path or postgresql://user@host/name")
    return url


def _prepare_file(url: URL) -> None:
    """Make the file, for this user alone."""
    path = Path(url.database or "")
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))


_SQLITE_TROUBLE = {
    sqlite3.SQLITE_BUSY: "another program has locked it",
    sqlite3.SQLITE_LOCKED: "another program has locked it",
    sqlite3.SQLITE_FULL: "its disk is full",
    sqlite3.SQLITE_READONLY: "it may only be read, not written",
    sqlite3.SQLITE_CANTOPEN: "its file cannot be opened: it is gone, or this user has no right to it",
    sqlite3.SQLITE_IOERR: "its file cannot be read or written: the disk is full or broken, or a limit is reached",
    sqlite3.SQLITE_NOTADB: "its file is no database",
    sqlite3.SQLITE_CORRUPT: "its file is damaged: restore a backup",
}


def _sentence(error: Exception) -> str:
    """What went wrong, without the statement, its values or the address: they may be secrets."""
    cause = getattr(error, "orig", None) or error
    code = getattr(cause, "sqlite_errorcode", None)
    if code is not None and (known := _SQLITE_TROUBLE.get(code & 0xFF)) is not None:
        return f"the database failed: {known}"
    if isinstance(cause, OSError):
        return f"the database failed: {cause.strerror or type(cause).__name__}"
    first = str(cause).strip().splitlines()
    return f"the database failed: {first[0][:200] if first else type(cause).__name__}"
