"""How many tokens a run may spend: its own budget, and what is left of one that it shares with other runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from app.errors import BudgetExhausted
from app.providers.gate import RunAborted

REPORT_EVERY_TOKENS = 16

Report = Callable[[int, int], None]
"""Tells the web process: tokens spent so far, those of open requests included; tokens that it waits to be allowed."""


class Purse:
    """Asked before each request and told of each read.

    :param limit: of this run alone, prompts and replies together; None: unlimited.
    :param report: where other runs spend from the same budget; each question is answered by :meth:`allow`.
    """

    def __init__(self, limit: int | None = None, report: Report | None = None) -> None:
        self._limit = limit
        self._report = report
        self._reported = 0
        self._allowed: int | None = None
        self._turn = asyncio.Lock()  # one question at a time: what it allows must be spent before the next
        self._answer: asyncio.Future[None] | None = None
        self._asked = 0

    @property
    def bounded(self) -> bool:
        """Whether anything need be counted."""
        return self._limit is not None or self._report is not None

    async def admit(self, spent: Callable[[], int], wanted: int) -> None:
        """Return when a request with so many tokens may begin; begin it before anything else is waited for.

        :param spent: tokens so far.
        :raises BudgetExhausted: it may not.
        :raises RunAborted: the run was stopped.
        """
        async with self._turn:
            self._check(self._limit, spent() + wanted)
            if self._report is not None:
                self._answer = asyncio.get_running_loop().create_future()
                self._reported = spent()
                self._asked = max(1, wanted)
                self._report(self._reported, self._asked)
                await self._answer
                self._check(self._allowed, spent() + wanted)

    def note(self, spent: int) -> BudgetExhausted | None:
        """So much has been spent. The error with which everything ends, where that was too much for this run alone."""
        if self._report is not None and abs(spent - self._reported) >= REPORT_EVERY_TOKENS:
            self._reported = spent
            self._report(spent, 0)
        return self._excess(self._limit, spent)

    def allow(self, allowed: int, wanted: int, spent: int) -> BudgetExhausted | None:
        """The web process's word: so many tokens may be spent in all. The error as in :meth:`note`.

        :param wanted: what was asked for; 0: it answers a report.
        """
        self._allowed = allowed
        if self._answer is not None and not self._answer.done() and wanted == self._asked:
            self._answer.set_result(None)
        return self._excess(allowed, spent)

    def abort(self) -> None:
        """Nobody need wait any more."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(RunAborted())

    def _check(self, limit: int | None, tokens: int) -> None:
        error = self._excess(limit, tokens)
        if error is not None:
            raise error

    def _excess(self, limit: int | None, tokens: int) -> BudgetExhausted | None:
        if limit is None or tokens <= limit:
            return None
        whose = "conversation" if limit == self._limit else "day"
        return BudgetExhausted(f"the tokens of this {whose} are spent; what was said until now is kept")
