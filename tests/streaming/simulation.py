"""Greenlets on one thread in virtual time: every interleaving can be repeated, and a deadlock is an exception.

:class:`Simulation` implements :class:`app.streaming.ports.Concurrency` and :class:`app.streaming.ports.Clock`. Time
stands still while anybody can run, and jumps to the next timer when nobody can. With a :class:`random.Random`, it also
switches wherever threads could: at each lock, and at whatever calls :meth:`Simulation.switch`.
"""

from __future__ import annotations

import heapq
import itertools
import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import greenlet

START = datetime(2026, 1, 1, tzinfo=UTC)


class Deadlock(AssertionError):
    """The test waits for something that nobody will do."""


class SimulatedTask:
    """A background greenlet."""

    def __init__(self, simulation: Simulation, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.name = getattr(function, "__qualname__", str(function))
        self.done = False
        self.result: Any = None
        self.error: Exception | None = None
        self._simulation = simulation
        self._function = function
        self._args = args

    def body(self) -> None:
        try:
            self.result = self._function(*self._args)
        except Exception as error:  # noqa: BLE001  # looked at by the test, or raised at its end
            self.error = error
        self.done = True

    def join(self) -> None:
        while not self.done:
            self._simulation.sleep(0.001)


class Simulation:
    """See the module. The test itself runs in the main greenlet; whatever waits there lets the others run.

    :param choices: where switches happen, and to whom; None: only where somebody waits, first come, first served.
    """

    def __init__(self, choices: random.Random | None = None) -> None:
        self.now = 0.0
        self.tasks: list[SimulatedTask] = []
        self.held = 0  # conditions that somebody holds: nothing may switch now
        self._choices = choices
        self._count = itertools.count()
        self._ready: list[greenlet.greenlet] = []
        self._timers: list[tuple[float, int, greenlet.greenlet, _Waiter]] = []
        self._main = greenlet.getcurrent()
        self._hub = greenlet.greenlet(self._run, parent=self._main)

    # --- Clock

    def monotonic(self) -> float:
        return self.now

    def now_iso(self) -> str:
        at = START + timedelta(seconds=round(self.now, 3))
        return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    # --- Concurrency

    def spawn(self, function: Callable[..., Any], *args: Any) -> SimulatedTask:
        task = SimulatedTask(self, function, args)
        self.tasks = [each for each in self.tasks if not each.done or each.error]
        self.tasks.append(task)

        def body() -> None:
            task.body()

        self._ready.append(greenlet.greenlet(body, parent=self._hub))
        return task

    def sleep(self, seconds: float) -> None:
        self.block(_Waiter(), seconds)

    def condition(self) -> threading.Condition:
        return cast(threading.Condition, SimulatedCondition(self))

    # --- for tests

    def advance(self, seconds: float) -> None:
        """Let so much time pass, and everything happen in it."""
        self.sleep(seconds)
        self.settle()

    def settle(self) -> None:
        """Let everybody run until all wait, without letting time pass."""
        while self._ready:
            self._ready.append(greenlet.getcurrent())
            self._hub.switch()

    def switch(self) -> None:
        """Somebody else may run here: an emit, a lock."""
        if self._choices is not None and self._ready and self._choices.random() < 0.5:
            self._ready.append(greenlet.getcurrent())
            self._leave()

    def waiting(self) -> list[str]:
        """Names of the background tasks that have not ended."""
        return [task.name for task in self.tasks if not task.done]

    def raise_errors(self) -> None:
        """Raise the first exception that ended a background task."""
        for task in self.tasks:
            if task.error is not None:
                raise task.error

    # --- inside

    def block(self, waiter: _Waiter, timeout_s: float | None) -> None:
        """Wait until the waiter is woken, or the time is up."""
        waiter.greenlet = greenlet.getcurrent()
        if timeout_s is not None:
            heapq.heappush(self._timers, (self.now + timeout_s, next(self._count), waiter.greenlet, waiter))
        self._leave()

    def wake(self, waiter: _Waiter) -> None:
        if not waiter.woken and waiter.greenlet is not None:
            waiter.woken = True
            self._ready.append(waiter.greenlet)

    def _leave(self) -> None:
        assert not self.held, "somebody waits while a condition is held"
        self._hub.switch()

    def _run(self) -> None:
        while True:
            while self._ready:
                index = self._choices.randrange(len(self._ready)) if self._choices is not None else 0
                self._ready.pop(index).switch()
            while self._timers and self._timers[0][3].woken:
                heapq.heappop(self._timers)
            if not self._timers:
                self._main.throw(Deadlock(f"all wait: the test, and {self.waiting()}"))
                continue
            at, _, _, waiter = heapq.heappop(self._timers)
            self.now = max(self.now, at)
            self.wake(waiter)


class _Waiter:
    def __init__(self) -> None:
        self.greenlet: greenlet.greenlet | None = None
        self.woken = False


class SimulatedCondition:
    """What the core uses of :class:`threading.Condition`."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._waiters: list[_Waiter] = []

    def __enter__(self) -> bool:
        self._simulation.switch()
        assert not self._simulation.held, "a condition is taken while another one is held"
        self._simulation.held += 1
        return True

    def __exit__(self, *_: object) -> None:
        self._simulation.held -= 1

    def wait(self, timeout: float | None = None) -> bool:
        assert self._simulation.held
        waiter = _Waiter()
        self._waiters.append(waiter)
        self._simulation.held -= 1
        try:
            self._simulation.block(waiter, timeout)
        finally:
            self._simulation.held += 1
            told = waiter not in self._waiters
            if not told:
                self._waiters.remove(waiter)
        return told

    def wait_for(self, predicate: Callable[[], object], timeout: float | None = None) -> object:
        end = None if timeout is None else self._simulation.now + timeout
        while not (result := predicate()):
            left = None if end is None else end - self._simulation.now
            if left is not None and left <= 0:
                return result
            self.wait(left)
        return result

    def notify_all(self) -> None:
        assert self._simulation.held, "notify without the lock"
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            self._simulation.wake(waiter)
