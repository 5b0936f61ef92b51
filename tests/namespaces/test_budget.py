"""How many commands pass."""

from __future__ import annotations

from app.namespaces.budget import CommandBudget


def test_twice_a_seconds_worth_passes_at_once_and_then_so_many_in_a_second() -> None:
    """Ten per second: twenty at first, five after half a second."""
    budget = CommandBudget(10, 0.0)
    assert sum(budget.take(0.0) for _ in range(50)) == 20
    assert sum(budget.take(0.5) for _ in range(50)) == 5


def test_less_than_one_in_a_second_is_possible() -> None:
    """One command every ten seconds, the first at once."""
    budget = CommandBudget(0.1, 0.0)
    assert [budget.take(now) for now in (0.0, 0.0, 9.0, 10.0)] == [True, False, False, True]


def test_zero_is_unlimited() -> None:
    """As the setting says."""
    budget = CommandBudget(0, 0.0)
    assert all(budget.take(0.0) for _ in range(1_000))
    assert not budget.is_flooded


def test_a_flood_is_told_from_a_hasty_client() -> None:
    """Ten bursts of refusals before the bucket was full again; whoever pauses begins anew."""
    budget = CommandBudget(10, 0.0)
    for _ in range(200):
        budget.take(0.0)
    assert not budget.is_flooded
    budget.take(10.0)
    for _ in range(219):
        budget.take(10.0)
    assert not budget.is_flooded
    budget.take(10.0)
    assert budget.is_flooded
