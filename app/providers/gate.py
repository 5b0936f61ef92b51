"""The gate of one run: nothing is taken from a model, and nothing is sent, while it is closed.

It is open while the user has not paused, the link to the web process takes bytes, and there is credit left. Credit is
what the web process has allowed in all, less what was sent, less what is *reserved*: taken from the model, unsent.
No more than half of it is ever reserved. Several calls may bring text at once, and what one of them has reserved may
wait behind what still needs credit: with all of it reserved nothing could be sent, and so nothing be granted, any more.
The web process grants more when half is left (:meth:`app.streaming.run_link.RunLink.grant`).

Belongs to one event loop; not safe to use from threads.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractContextManager


class RunAborted(Exception):
    """The run was stopped while this waited. Raised by everything that waits at its gate."""


class Gate:
    """Flow control of one run.

    :param allowed: tokens that may be sent before the first grant.
    """

    def __init__(self, allowed: int) -> None:
        self._allowed = allowed
        self._sent = 0
        self._reserved = 0
        self._most_reserved = max(1, allowed // 2)
        self._paused = False
        self._writable = True
        self._aborted = False
        self._waiters: list[asyncio.Future[None]] = []
        self._interrupts: set[Callable[[], None]] = set()
        self._was_open = self.is_open
        self.opened_at = time.monotonic()

    @property
    def credit(self) -> int:
        """Tokens that may still be reserved; never negative."""
        return max(0, self._allowed - self._sent - self._reserved)

    @property
    def is_open(self) -> bool:
        """Whether a new token may be taken from the model now."""
        return self._flowing and self.credit > 0

    @property
    def paused(self) -> bool:
        return self._paused

    @property
    def aborted(self) -> bool:
        return self._aborted

    @property
    def _flowing(self) -> bool:
        return not self._paused and self._writable and not self._aborted

    async def opened(self) -> None:
        """Wait until the gate is open; reserve nothing.

        :raises RunAborted: the run was stopped.
        """
        while not self.is_open:
            await self._change()
        self._check()

    async def reserve(self, tokens: int) -> int:
        """Reserve between one and ``tokens`` tokens for what is taken from the model now and sent when its turn comes.

        Waits while the gate is closed, and while half of what was allowed is reserved. Returns how many.

        :raises RunAborted: the run was stopped.
        """
        while not (self.is_open and self._reserved < self._most_reserved):
            await self._change()
        self._check()
        taken = min(tokens, self.credit, self._most_reserved - self._reserved)
        self._reserved += taken
        return taken

    async def admit(self, tokens: int) -> int:
        """Reserve between one and ``tokens`` tokens for what is sent next; wait while the gate is closed.

        Returns how many.

        :raises RunAborted: the run was stopped.
        """
        await self.opened()
        taken = min(tokens, self.credit)
        self._reserved += taken
        return taken

    async def admit_event(self) -> None:
        """Account for one event that is no model delta. Waits for credit only where waiting can help:

        while reserved tokens are still unsent, the reader cannot free any, so the event goes ahead of its credit.

        :raises RunAborted: the run was stopped.
        """
        while not (self._flowing and (self.credit > 0 or self._reserved > 0)):
            await self._change()
        self._check()
        self._sent += 1

    def sent(self, tokens: int, *, reserved: bool) -> None:
        """Tokens went out; ``reserved`` says whether :meth:`admit` had counted them. Never waits."""
        self._sent += tokens
        if reserved:
            self._reserved = max(0, self._reserved - tokens)
            self._notify()

    def refund(self, tokens: int) -> None:
        """Give back reserved tokens that will never be sent."""
        self._reserved = max(0, self._reserved - tokens)
        self._notify()

    def grant(self, allowed: int) -> None:
        """Raise the tokens allowed in all; a smaller figure than before changes nothing."""
        self._allowed = max(self._allowed, allowed)
        self._most_reserved = max(self._most_reserved, (self._allowed - self._sent) // 2)
        self._notify()

    def pause(self) -> None:
        """Close the gate and break off reads that wait for the model; :meth:`settled` tells when they have ended."""
        self._paused = True
        self._notify()
        for interrupt in tuple(self._interrupts):
            interrupt()

    def resume(self) -> None:
        self._paused = False
        self._notify()

    def set_writable(self, writable: bool) -> None:
        """Whether the link takes more bytes."""
        self._writable = writable
        self._notify()

    def abort(self) -> None:
        """Wake everything that waits, with :class:`RunAborted`, for good."""
        self._aborted = True
        self._notify()

    def reading(self, interrupt: Callable[[], None]) -> AbstractContextManager[None]:
        """Mark one read from the model. ``interrupt`` is called by a pause and must end it without losing a byte."""
        return _Reading(self._interrupts, interrupt, self._notify)

    async def settled(self) -> None:
        """Wait until no read is under way; call after :meth:`pause`. Returns early where the pause was taken back."""
        while self._interrupts and self._paused and not self._aborted:
            await self._change(check=False)

    def _check(self) -> None:
        if self._aborted:
            raise RunAborted

    async def _change(self, *, check: bool = True) -> None:
        if check:
            self._check()
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
        if check:
            self._check()

    def _notify(self) -> None:
        if self.is_open and not self._was_open:
            self.opened_at = time.monotonic()
        self._was_open = self.is_open
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


class _Reading(AbstractContextManager[None]):
    """One read. A class, since there is one for each word: a generator costs four times as much."""

    __slots__ = ("_interrupt", "_interrupts", "_over")

    def __init__(
        self, interrupts: set[Callable[[], None]], interrupt: Callable[[], None], over: Callable[[], None]
    ) -> None:
        self._interrupts = interrupts
        self._interrupt = interrupt
        self._over = over

    def __enter__(self) -> None:
        self._interrupts.add(self._interrupt)

    def __exit__(self, *_: object) -> None:
        self._interrupts.discard(self._interrupt)
        if not self._interrupts:
            self._over()
