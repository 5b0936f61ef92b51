"""What tools of classic AG2's teams may tell the room. They are called in threads, also those that are coroutines."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from app.adapters.classic_thread import Crossing
from app.protocol.common import ToolFailure
from app.protocol.events import Event
from app.runner.wire import Limits
from app.tools.context import ToolRun

InOrder = Callable[[Callable[[], Coroutine[Any, Any, None]]], Coroutine[Any, Any, None]]


class CrossingRun:
    """A run (:class:`app.tools.context.ToolRun`) for threads other than that of its loop.

    :param in_order: does something behind all that was told before.
    """

    def __init__(self, run: ToolRun, crossing: Crossing, in_order: InOrder) -> None:
        self._run = run
        self._crossing = crossing
        self._in_order = in_order

    @property
    def conversation(self) -> str:
        return self._run.conversation

    @property
    def limits(self) -> Limits:
        return self._run.limits

    def caller(self) -> str | None:
        return self._run.caller()

    async def emit(self, event: Event) -> None:
        """Send an event.

        :raises CallEnded: the run was stopped.
        """
        await asyncio.to_thread(self._crossing.call, lambda: self._in_order(lambda: self._run.emit(event)))

    def artifact(self, media_type: str, data: bytes) -> str | None:
        """Hand over a file; returns its id.

        :raises CallEnded: the run was stopped.
        """

        async def hand_over() -> str | None:
            return self._run.artifact(media_type, data)

        return self._crossing.call(hand_over)

    def tool_failed(self, sentence: str, code: ToolFailure) -> None:
        """Remember why a tool fails; safe to call from any thread."""
        self._run.tool_failed(sentence, code)

    def at_end(self, ending: Callable[[], Awaitable[None]]) -> None:
        """Call this, on the run's loop, when the run is over."""
        self._crossing.post(lambda: self._run.at_end(ending))
