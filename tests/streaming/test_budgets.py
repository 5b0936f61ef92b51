"""What runs may spend: each conversation by itself, all of one person together."""

from __future__ import annotations

from collections.abc import Iterable

from app.protocol.common import Usage
from app.streaming.budgets import Budgets

ADA = (None, "ada")


class Allows:
    def __init__(self, left: int | None, of_conversation: int = 0) -> None:
        self.left, self.of_conversation = left, of_conversation

    def most_running(self) -> int:
        return 9

    def most_running_of(self, owner: str) -> int:
        return 0

    def most_tokens_of_conversation(self) -> int:
        return self.of_conversation

    def tokens_left(self, owner: tuple[str | None, str], ended: Iterable[str]) -> int | None:
        return self.left

    def check_tokens(self, owner: tuple[str | None, str], received: int, ended: Iterable[str]) -> None: ...


def test_a_conversations_limit_and_the_callers_wish() -> None:
    """The lower one counts; what earlier runs have spent is gone."""
    spent = Usage(prompt_tokens=60, completion_tokens=30)
    assert Budgets(Allows(None)).of_conversation(spent, None) is None
    assert Budgets(None).of_conversation(spent, 5) == 5
    limited = Budgets(Allows(None, of_conversation=100))
    assert limited.of_conversation(spent, None) == 10
    assert limited.of_conversation(spent, 7) == 7
    assert limited.of_conversation(spent, 70) == 10
    assert limited.of_conversation(spent + spent, None) == 0


def test_parallel_runs_spend_from_one_day() -> None:
    """What one of them waits to spend is not there for another."""
    budgets = Budgets(Allows(100))
    one, other = budgets.meter(ADA, "one", []), budgets.meter(ADA, "other", [])
    assert one is not None
    assert other is not None
    assert one.note(0, 60) == 100
    assert other.note(0, 60) == 40  # too little: it ends
    other.end(0)
    assert one.note(80, 0) == 100
    assert budgets.spent_by(ADA, "one") == 80
    third = budgets.meter((None, "bob"), "third", [])
    assert third is not None
    assert third.note(0, 100) == 100


def test_who_was_refused_keeps_nothing_from_the_others() -> None:
    """Only who is allowed holds what was asked for."""
    budgets = Budgets(Allows(100))
    one, other = budgets.meter(ADA, "one", []), budgets.meter(ADA, "other", [])
    assert one is not None
    assert other is not None
    assert one.note(30, 90) == 100
    assert other.note(0, 70) == 70


def test_an_ended_run_counts_until_the_store_has_counted_it() -> None:
    """And not twice."""
    allows = Allows(100)
    budgets = Budgets(allows)
    one, other = budgets.meter(ADA, "one", []), budgets.meter(ADA, "other", [])
    assert one is not None
    assert other is not None
    one.end(30)
    one.end(30)
    assert one.note(50, 0) == 0
    assert other.note(0, 0) == 70
    allows.left = 70  # the store has it
    third = budgets.meter(ADA, "third", [])
    assert third is not None
    assert third.note(0, 0) == other.note(0, 0) == 70
    other.end(1)
    third.end(1)
    assert budgets.spent_by(ADA, "third") == 0


def test_without_a_limit_nobody_is_metered() -> None:
    """No message goes back and forth."""
    assert Budgets(None).meter(ADA, "one", []) is None
    assert Budgets(Allows(None)).meter(ADA, "one", []) is None
