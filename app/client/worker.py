"""One thread for everything that is due later: attempts to connect, pings, acknowledgements, retries."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable

logger = logging.getLogger(__name__)


class Later:
    """A call that is due at some time. :meth:`cancel` is safe from any thread, and after the call."""

    __slots__ = ("cancelled", "due", "task")

    def __init__(self, due: float, task: Callable[[], None]) -> None:
        self.due = due
        self.task = task
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Worker:
    """Carries out calls in the order in which they are due, in one daemon thread that lives from start to stop."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._changed = threading.Condition()  # guards all below
        self._due: list[tuple[float, int, Later]] = []
        self._numbers = itertools.count()  # calls that are due at the same time keep their order
        self._thread: threading.Thread | None = None
        self._stopping = False

    def start(self) -> None:
        """Begin; once begun, this changes nothing."""
        with self._changed:
            if self._thread is None:
                self._stopping = False
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()

    def call(self, task: Callable[[], None], *, after_s: float = 0.0) -> Later:
        """Have something done in the worker's thread, at once or after some seconds. Does not block."""
        later = Later(time.monotonic() + after_s, task)
        with self._changed:
            heapq.heappush(self._due, (later.due, next(self._numbers), later))
            self._changed.notify()
        return later

    def stop(self) -> None:
        """Carry out what is due by now, drop what is not, and end the thread."""
        with self._changed:
            thread, self._thread = self._thread, None
            self._stopping = True
            self._changed.notify()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _run(self) -> None:
        while (later := self._next()) is not None:
            try:
                later.task()
            except Exception:
                logger.exception("a call of the client's own thread failed")

    def _next(self) -> Later | None:
        with self._changed:
            while True:
                wait_s = self._due[0][0] - time.monotonic() if self._due else None
                if wait_s is not None and wait_s <= 0:
                    later = heapq.heappop(self._due)[2]
                    if not later.cancelled:
                        return later
                elif self._stopping:
                    self._due.clear()
                    return None
                else:
                    self._changed.wait(wait_s)
