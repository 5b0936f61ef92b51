"""Limits that change while the server runs."""

from __future__ import annotations

from typing import Any

import pytest

from app.auth.in_force import LIMITS, LimitsInForce
from app.settings import Settings, load_settings


def test_they_begin_as_the_settings_have_them() -> None:
    """Each is a setting of that name, whose lowest value is the limit's."""
    limits = LimitsInForce.of(load_settings(None, max_running_per_user=7))
    assert limits.value("max_running_per_user") == 7
    assert set(limits.values()) == set(LIMITS) <= set(Settings.model_fields)
    for name, least in LIMITS.items():
        assert load_settings(None, **{name: least})
        with pytest.raises(ValueError, match=name.upper()):
            load_settings(None, **{name: least - 1})


def test_one_is_replaced_and_given_back() -> None:
    """From then on; the others stay."""
    limits = LimitsInForce.of(load_settings(None))
    before = limits.values()
    limits.set("max_tokens_per_day", 5000)
    assert limits.values() == before | {"max_tokens_per_day": 5000}
    limits.reset("max_tokens_per_day")
    assert limits.values() == before


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_tokens", 1),
        ("max_running_sessions", 0),
        ("max_tokens_per_day", -1),
        ("max_tokens_per_day", 1.5),
        ("max_tokens_per_day", True),
        ("max_tokens_per_day", "9"),
        ("max_tokens_per_day", 2**60),
    ],
)
def test_what_is_no_limit_is_refused(name: str, value: Any) -> None:
    """And changes nothing."""
    limits = LimitsInForce.of(load_settings(None))
    before = limits.values()
    with pytest.raises(ValueError, match=name):
        limits.set(name, value)
    assert limits.values() == before
