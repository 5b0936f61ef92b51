"""What runs may spend: each conversation by itself, and all runs of one person together. No I/O of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

from app.protocol.common import Usage
from app.streaming.access import Person
from app.streaming.ports import Allowance


def total(usage: Usage) -> int:
    """Prompts and replies together."""
    return usage.prompt_tokens + usage.completion_tokens


@dataclass(slots=True)
class _Account:
    """One person's day.

    :param left: tokens that were left when a run last began; without what the runs below spend.
    """

    left: int = 0
    running: dict[str, tuple[int, int]] = field(default_factory=dict)  # session → spent, waits to be allowed
    ended: dict[str, int] = field(default_factory=dict)  # session → spent, since `left` was known

    def left_for(self, session: str) -> int:
        others = sum(spent + wanted for each, (spent, wanted) in self.running.items() if each != session)
        return self.left - others - sum(self.ended.values())


class Spending:
    """A metered run's entry in its owner's account. Safe to use from several threads or greenlets; never waits."""

    def __init__(self, budgets: Budgets, person: Person, session: str) -> None:
        self._budgets = budgets
        self._person = person
        self._session = session

    def note(self, tokens: int, wanted: int) -> int:
        """So much has been spent in all, and a prompt waits to be allowed. Returns what the run may spend in all."""
        return self._budgets.note(self._person, self._session, tokens, wanted)

    def end(self, tokens: int) -> None:
        """The run is over."""
        self._budgets.end(self._person, self._session, tokens)


class Budgets:
    """The accounts of those who have runs, where there is a limit. Safe to use from several threads or greenlets."""

    def __init__(self, allowance: Allowance | None) -> None:
        self._allowance = allowance
        self._lock = threading.Lock()  # guards the accounts
        self._accounts: dict[Person, _Account] = {}

    def of_conversation(self, spent: Usage, wish: int | None) -> int | None:
        """Tokens that a run of this conversation may spend; None: unlimited.

        :param spent: by its earlier runs.
        :param wish: the caller's own limit for this run.
        """
        most = self._allowance.most_tokens_of_conversation() if self._allowance is not None else 0
        bounds = [*([max(0, most - total(spent))] if most else []), *([wish] if wish is not None else [])]
        return min(bounds, default=None)

    def meter(self, person: Person, session: str, ended: Iterable[str]) -> Spending | None:
        """Enter a run that is about to begin; None: its owner may spend as much as they like. May wait for the store.

        :param ended: their conversations in memory whose last run has ended, perhaps just now.
        :raises StoreUnavailable: nobody can say what they have spent.
        """
        if self._allowance is None:
            return None
        with self._lock:
            known = tuple(self._accounts[person].ended) if person in self._accounts else ()
        left = self._allowance.tokens_left(person, ended)
        if left is None:
            return None
        with self._lock:
            account = self._accounts.setdefault(person, _Account())
            account.left = left
            for each in known:  # the store has counted them
                account.ended.pop(each, None)
            account.running[session] = (0, 0)
        return Spending(self, person, session)

    def spent_by(self, person: Person, session: str) -> int:
        """What a running session has spent until now; 0 where it is not metered."""
        with self._lock:
            account = self._accounts.get(person)
            return account.running.get(session, (0, 0))[0] if account is not None else 0

    def note(self, person: Person, session: str, tokens: int, wanted: int) -> int:
        """See :meth:`Spending.note`."""
        with self._lock:
            account = self._accounts.get(person)
            if account is None or session not in account.running:  # it has ended
                return 0
            left = account.left_for(session)
            refused = tokens + wanted > left
            account.running[session] = (tokens, 0 if refused else wanted)
            return left

    def end(self, person: Person, session: str, tokens: int) -> None:
        """See :meth:`Spending.end`."""
        with self._lock:
            account = self._accounts.get(person)
            if account is None or account.running.pop(session, None) is None:
                return
            account.ended[session] = tokens
            if not account.running:
                del self._accounts[person]  # the next one asks the store
