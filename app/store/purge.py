"""After a deletion: what SQLite has deleted leaves its files, too."""

from __future__ import annotations

import logging
import threading

from sqlalchemy import Connection, text

from app.errors import StoreUnavailable
from app.store.database import Database
from app.streaming.ports import Concurrency

logger = logging.getLogger(__name__)

_PAGES = 200  # of the index, in one transaction: others write in between
_PAUSE_S = 0.05


class Purge:
    """Merges the full text index, which else only marks words as deleted, and empties the write-ahead log.

    ``secure_delete`` sees to the rest: whatever is deleted is overwritten. With PostgreSQL that is autovacuum's work.
    """

    def __init__(self, database: Database, concurrency: Concurrency) -> None:
        self._database = database
        self._concurrency = concurrency
        self._lock = threading.Lock()  # guards the two below
        self._wanted = False
        self._running = False

    def soon(self) -> None:
        """Do it in the background. Deletions that come meanwhile are seen to by one further round."""
        if not self._database.is_sqlite:
            return
        with self._lock:
            begin, self._wanted, self._running = not self._running, True, True
        if begin:
            self._concurrency.spawn(self._work)

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._wanted:
                    self._running = False
                    return
                self._wanted = False
            try:
                self.run()
            except StoreUnavailable as error:  # the next deletion does it
                logger.warning("what was deleted is still in the database's files: %s", error.message)

    def run(self) -> None:
        """Do it now, piece by piece.

        :raises StoreUnavailable:
        """
        first = True
        while self._database.write(_merge_anew if first else _merge_on):
            first = False
            self._concurrency.sleep(_PAUSE_S)
        self._database.empty_log()


def _merge_anew(connection: Connection) -> bool:
    return _merge(connection, -_PAGES)


def _merge_on(connection: Connection) -> bool:
    return _merge(connection, _PAGES)


def _merge(connection: Connection, pages: int) -> bool:
    """One step; False when there is nothing left to do (https://sqlite.org/fts5.html#the_merge_command)."""
    counted = text("SELECT total_changes()")
    before = connection.execute(counted).scalar_one()
    connection.execute(text("INSERT INTO search (search, rank) VALUES ('merge', :pages)"), {"pages": pages})
    return bool(connection.execute(counted).scalar_one() - before >= 2)
