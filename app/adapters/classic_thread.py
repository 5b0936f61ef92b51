"""Classic AG2 is synchronous: each run has a thread of its own, and this is its way into the runner's event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from typing import Any, TypeVar

from app.providers.compat_threads import WHILE_BUILT, CallEnded
from app.providers.gate import RunAborted

Result = TypeVar("Result")
Work = Callable[[], Coroutine[Any, Any, Result]]


class Crossing:
    """Lets other threads have things done on the event loop that this was made on.

    Only :meth:`call`, :meth:`post` and :meth:`check` may be used from other threads.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._lock = threading.Lock()  # guards the two below
        self._over = False
        self._waiting: set[Future[Any]] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def check(self) -> None:
        """:raises CallEnded: the run is over."""
        if self._over:
            raise CallEnded

    def call(self, work: Work[Result]) -> Result:
        """Have ``work`` done on the loop, and wait for what it returns or raises.

        :raises CallEnded: the run was stopped meanwhile.
        :raises RuntimeError: this is the loop's own thread, which must never wait.
        """
        if threading.get_ident() == self._thread:
            raise RuntimeError(WHILE_BUILT)
        future: Future[Result] = Future()
        with self._lock:
            if self._over:
                raise CallEnded
            self._waiting.add(future)
        try:
            self._loop.call_soon_threadsafe(self._begin, work, future)
            return future.result()
        except (RunAborted, CancelledError, asyncio.CancelledError):
            raise CallEnded from None
        finally:
            with self._lock:
                self._waiting.discard(future)

    def post(self, work: Callable[[], None]) -> None:
        """Have something done on the loop soon. From any thread; nothing happens where the loop has ended."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(work)

    def end(self) -> None:
        """Everything that waits now or comes later is told that the run is over."""
        with self._lock:
            self._over = True
            waiting = tuple(self._waiting)
        for future in waiting:
            future.cancel()
        for task in tuple(self._tasks):
            task.cancel()

    def _begin(self, work: Work[Any], future: Future[Any]) -> None:
        if future.cancelled():
            return
        task = self._loop.create_task(_carry_out(work, future))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _carry_out(work: Work[Any], future: Future[Any]) -> None:
    try:
        result = await work()
    except asyncio.CancelledError:
        future.cancel()
        raise
    except BaseException as error:  # noqa: BLE001  # raised in the thread that waits
        if not future.done():
            future.set_exception(error)
    else:
        if not future.done():
            future.set_result(result)
