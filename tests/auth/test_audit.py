"""The audit log."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import insert

from app.auth.audit import Audited, AuditLog
from app.auth.times import now_iso
from app.concurrency import SystemClock
from app.errors import InvalidPayload
from app.store import tables
from app.store.database import Database
from tests.auth.conftest import MODE
from tests.conftest import TIMEOUT_SCALE
from tests.support.waiting import wait_until

CLOCK = SystemClock()


@pytest.fixture
def log(database: Database) -> AuditLog:
    return AuditLog(database, MODE, CLOCK)


def noted(log: AuditLog) -> list[str]:
    return [entry.target for entry in log.page(limit=100).entries]


def test_an_entry_is_kept_as_it_was_noted(log: AuditLog) -> None:
    """Who, from where, what, to what, how it went."""
    log.note("usr_1", "10.0.0.7", Audited.SHARE_SET, "c1", "refused", {"with": "usr_2", "roles": ["viewer"], "n": 3})
    assert len(log) == 1
    assert log.flush()
    assert len(log) == 0
    (entry,) = log.page().entries
    assert (entry.actor, entry.address, entry.action, entry.target) == ("usr_1", "10.0.0.7", "share_set", "c1")
    assert (entry.outcome, entry.details) == ("refused", {"with": "usr_2", "roles": ["viewer"], "n": 3})
    assert now_iso(ahead_s=-60) < entry.at <= now_iso()


def test_pages_filters_and_a_cursor(log: AuditLog) -> None:
    """The newest first; each entry once."""
    for number in range(7):
        log.note("ada" if number % 2 else "bob", "", Audited.SIGN_IN if number < 4 else Audited.SIGN_OUT, str(number))
    assert log.flush()
    seen: list[str] = []
    cursor = None
    while True:
        page = log.page(limit=3, cursor=cursor)
        seen += [entry.target for entry in page.entries]
        cursor = page.cursor
        if cursor is None:
            break
    assert seen == list("6543210")
    assert [entry.target for entry in log.page(actor="ada").entries] == list("531")
    assert [entry.target for entry in log.page(action="sign_in", actor="bob").entries] == list("20")
    assert log.page(action="broadcast").entries == ()
    for nonsense in ("x", "-1", "1 or 1", "٣", "9" * 30):
        with pytest.raises(InvalidPayload):
            log.page(cursor=nonsense)


def test_what_no_database_takes_is_made_such(log: AuditLog) -> None:
    """NUL, half characters, and texts without an end."""
    log.note("a\0b", "\ud800", Audited.SIGN_IN, "x" * 5000, details={"login\0": "\udfff" + "y" * 5000})
    assert log.flush()
    (entry,) = log.page().entries
    assert (entry.actor, entry.address, entry.target) == ("a\ufffdb", "?", "x" * 250)
    assert list(entry.details) == ["login\ufffd"]
    assert len(entry.details["login\ufffd"]) == 250


def test_it_waits_for_a_database_that_is_away(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is lost, nothing is there twice, and whoever notes does not wait."""
    database = Database(f"sqlite:///{tmp_path / 'late.sqlite3'}", MODE)
    log = AuditLog(database, MODE, CLOCK)
    for number in range(3):
        log.note("ada", "", Audited.SIGN_IN, str(number))
    assert not log.flush()
    assert not log.flush()
    assert len(log) == 3
    assert caplog.text.count("waits for the database") == 1
    database.prepare()
    assert log.flush()
    assert noted(log) == list("210")


def test_beyond_the_bound_entries_are_counted_and_told_to_the_servers_log(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """The oldest are kept: an attacker shall not push out what they did first."""
    log = AuditLog(database, MODE, CLOCK, most=2)
    for number in range(4):
        log.note("ada", "", Audited.SIGN_IN, f"target {number}")
    assert (len(log), log.lost) == (2, 2)
    assert "target 2" in caplog.text
    assert "target 3" in caplog.text
    assert log.flush()
    assert noted(log) == ["target 1", "target 0"]


def test_noting_never_fails_the_action(log: AuditLog) -> None:
    """Whatever it is given."""
    log.note(None, object(), "nothing known", 7, details={"x": object()})  # type: ignore[arg-type,dict-item]


def test_one_that_the_database_refuses_takes_no_others_with_it(
    log: AuditLog, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is counted as lost; the others are there once."""
    for number in range(3):
        log.note("ada", "", Audited.SIGN_IN, str(number))
    log._waiting[1]["actor"] = None
    assert log.flush()
    assert noted(log) == list("20")
    assert log.lost == 1
    assert "was not kept" in caplog.text


def test_old_entries_go_when_it_begins(database: Database) -> None:
    """Those beyond the retention, and no others; what waits at the end is written."""

    def row(days: float) -> dict[str, object]:
        texts = dict.fromkeys(("actor", "address", "action", "outcome"), "x")
        return {"at": now_iso(ahead_s=-days * 86_400), "target": f"{days} days", "details": {}, **texts}

    database.write(lambda connection: connection.execute(insert(tables.audit), [row(366), row(364), row(2)]))
    log = AuditLog(database, MODE, CLOCK, keep_days=365)
    worker = threading.Thread(target=log.run)
    worker.start()
    wait_until(lambda: noted(log) == ["2 days", "364 days"], "the old entry is gone", 5 * TIMEOUT_SCALE)
    log.note("ada", "", Audited.SIGN_OUT, "the last word")
    log.close(time.monotonic() + 5 * TIMEOUT_SCALE)
    worker.join(5 * TIMEOUT_SCALE)
    assert noted(log) == ["the last word", "2 days", "364 days"]
    assert log.lost == 0


def test_what_cannot_be_written_at_the_end_is_told_to_the_servers_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The server ends in time all the same."""
    caplog.set_level(logging.ERROR)
    log = AuditLog(Database(f"sqlite:///{tmp_path / 'never.sqlite3'}", MODE), MODE, CLOCK)
    log.note("ada", "", Audited.SIGN_OUT, "unwritten")
    log.close(time.monotonic())
    log.note("ada", "", Audited.SIGN_OUT, "too late")
    assert log.lost == 2
    assert "unwritten" in caplog.text
    assert "too late" in caplog.text
