"""Settings that change while the server runs."""

from __future__ import annotations

from typing import Any

import pytest

from app.operation.fields import InvalidFields
from app.operation.live_settings import LIVE
from app.settings import Settings
from app.store.database import Database
from tests.operation.conftest import Server


def shown(server: Server, name: str) -> tuple[float, str]:
    row = next(each for each in server.live.all() if each.name == name)
    return row.value, row.source


def test_a_change_takes_effect_at_once_and_is_stored(server: Server) -> None:
    """Its source says so."""
    assert shown(server, "MAX_RUNNING_SESSIONS") == (200, "default")
    server.live.change({"MAX_RUNNING_SESSIONS": 3, "STREAM_TOKENS_PER_S": 7}, "root")
    assert server.applied == {"max_running_sessions": 3, "stream_tokens_per_s": 7.0}
    assert shown(server, "MAX_RUNNING_SESSIONS") == (3, "stored")


def test_null_takes_it_back(database: Database) -> None:
    """To what the environment says."""
    server = Server(database, max_running_sessions=50)
    assert shown(server, "MAX_RUNNING_SESSIONS") == (50, "environment")
    server.live.change({"MAX_RUNNING_SESSIONS": 3}, "root")
    server.live.change({"MAX_RUNNING_SESSIONS": None}, "root")
    assert shown(server, "MAX_RUNNING_SESSIONS") == (50, "environment")
    assert server.applied == {"max_running_sessions": 50}


def test_another_process_and_the_next_start_take_it_over(database: Database, server: Server) -> None:
    """From the database; what has not changed is not applied again."""
    server.live.change({"MAX_TOKENS_PER_DAY": 1000}, "root")
    other = Server(database)
    other.operation.refresh()
    assert other.applied == {"max_tokens_per_day": 1000}
    other.applied.clear()
    other.operation.refresh()
    assert other.applied == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MAX_RUNNING_SESSIONS", 0),
        ("MAX_RUNNING_SESSIONS", 2.5),
        ("MAX_RUNNING_SESSIONS", True),
        ("MAX_RUNNING_SESSIONS", "5"),
        ("MAX_RUNNING_SESSIONS", [5]),
        ("MAX_RUNNING_SESSIONS", 2**60),
        ("STREAM_TOKENS_PER_S", -0.1),
        ("STREAM_TOKENS_PER_S", float("inf")),
        ("STREAM_TOKENS_PER_S", float("nan")),
        ("SECRET_KEY", "x"),
        ("max_running_sessions", 5),
        ("PORT", 80),
    ],
)
def test_what_is_wrong_is_said_by_field_and_nothing_changes(server: Server, name: str, value: Any) -> None:
    """All of a change, or none."""
    with pytest.raises(InvalidFields) as refusal:
        server.live.change({name: value, "MAX_TOKENS_PER_DAY": 5}, "root")
    assert list(refusal.value.fields) == [name]
    assert server.applied == {}
    assert shown(server, "MAX_TOKENS_PER_DAY") == (0, "default")


def test_the_table_names_settings() -> None:
    """Each has a bound, and a sentence for people."""
    for name in LIVE:
        assert Settings.model_fields[name].description
        assert Settings.model_fields[name].metadata
