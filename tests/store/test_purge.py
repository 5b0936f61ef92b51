"""Deleting really deletes: no byte of the text stays in SQLite's files."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from app.protocol.common import ContentType
from app.protocol.snapshot import MessageView
from app.store.base import ConversationChanged, ConversationRecord, ListQuery, MessageWritten, Reader
from app.store.database import Database
from app.store.sql import SqlStore
from tests.support.waiting import wait_until

WORD = "zyzzogeton"  # in no text but the one that goes


def fill(store: SqlStore, conversation_id: str, text: str, messages: int = 40) -> None:
    at = "2026-01-01T00:00:00.000Z"
    record = ConversationRecord(conversation_id, "ann", text[:60], "debate", ContentType.TEXT, at, at)
    record.state = {"outcome": {"summary": text}}
    views = [
        MessageView(message_id=f"m{number}", agent="Ann", content=f"{text} {number}", state="complete", timestamp=at)
        for number in range(messages)
    ]
    store.write([ConversationChanged(record), *(MessageWritten(conversation_id, view) for view in views)])


def where(folder: Path, word: str) -> list[str]:
    """The files that have a word."""
    found = []
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):  # the write-ahead log comes and goes
            if word.encode() in path.read_bytes():
                found.append(path.name)
    return found


@pytest.mark.parametrize("others", [0, 30])
def test_what_was_deleted_is_in_no_file(sqlite: Database, store: SqlStore, tmp_path: Path, others: int) -> None:
    """Neither in the tables, nor in the full text index, nor in the write-ahead log, nor in free pages."""
    for number in range(others):
        fill(store, f"c{number}", "nothing special is said here")
    for number in range(3):
        fill(store, f"secret{number}", f"{WORD} {'and much more ' * 300}")
        fill(store, f"d{number}", "nothing special is said here either")
    assert where(tmp_path, WORD) == ["store.sqlite3"]
    for number in range(3):
        assert store.delete(f"secret{number}")
    wait_until(lambda: not where(tmp_path, WORD), "the text's last byte to go", within_s=20)
    wait_until(lambda: not store._purge._running, "the purge to end", within_s=20)
    assert store.find(Reader("ann"), ListQuery(search="special")).total == others + 3
    sqlite.read(lambda connection: connection.exec_driver_sql("PRAGMA integrity_check").scalar_one())
    sqlite.write(
        lambda connection: connection.exec_driver_sql("INSERT INTO search (search) VALUES ('integrity-check')").close()
    )


@pytest.fixture
def store(sqlite: Database) -> SqlStore:
    """SQLite only: PostgreSQL has autovacuum."""
    from app.concurrency import AsyncMode

    return SqlStore(sqlite, AsyncMode("threading"))
