"""One thing after the other: the task of a conversation."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar, cast

logger = logging.getLogger(__name__)

Result = TypeVar("Result")


class _Call(Generic[Result]):
    __slots__ = ("done", "error", "function", "result")

    def __init__(self, function: Callable[[], Result]) -> None:
        self.function = function
        self.done = False
        self.result: Result | None = None
        self.error: BaseException | None = None


class Serial:
    """Runs functions one after the other, in the order of their calls, whoever calls.

    :meth:`post` is for those who need no result, and for whoever may be called from inside such a function.

    There is no task of its own: the caller that finds nobody at work carries out its own call and whatever is added
    meanwhile; the others wait for their result. No lock is held while a function runs, so it may emit. A function must
    not call :meth:`run` of the same object.

    :param condition: makes the condition variable of the async mode in use.
    """

    def __init__(self, condition: Callable[[], threading.Condition] = threading.Condition) -> None:
        self._calls: deque[_Call[object]] = deque()
        self._working = False
        self._changed = condition()  # guards the two above, and the fields of the calls

    def run(self, function: Callable[[], Result]) -> Result:
        """Carry out ``function`` when everything called before is done; return its result or raise its exception."""
        call = None
        with self._changed:
            if self._working:
                call = _Call(function)
                self._calls.append(cast("_Call[object]", call))
                self._changed.wait_for(lambda: call.done)
            self._working = self._working or call is None
        if call is None:
            return self._at_work(function)
        if call.error is not None:
            raise call.error
        return cast(Result, call.result)

    def attempt(self, function: Callable[[], bool]) -> bool:
        """The same for what has a second way: false, and nothing is done, where something else is at work."""
        with self._changed:
            if self._working:
                return False
            self._working = True
        return self._at_work(function)

    def _at_work(self, function: Callable[[], Result]) -> Result:
        """Carry out the caller's own call, then what others have added meanwhile."""
        try:
            return function()
        finally:
            self._work()

    def post(self, function: Callable[[], object]) -> None:
        """Have ``function`` carried out in its turn, and do not wait for it; an exception is logged.

        May be called from a function that this object is carrying out; then it comes later.
        """

        def guarded() -> None:
            try:
                function()
            except Exception:
                logger.exception("%s failed", getattr(function, "__qualname__", function))

        with self._changed:
            self._calls.append(cast("_Call[object]", _Call(guarded)))
            mine = not self._working
            self._working = True
        if mine:
            self._work()

    def _work(self) -> None:
        while True:
            with self._changed:
                if not self._calls:
                    self._working = False
                    return
                call = self._calls.popleft()
            try:
                call.result = call.function()
            except BaseException as error:  # noqa: BLE001  # it is raised again where the call came from
                call.error = error  # also GreenletExit and the like: who dies here must not leave the others waiting
            with self._changed:
                call.done = True
                self._changed.notify_all()
