"""What a tool may tell those who watch the conversation in which it is called: a chart, so far.

A team's tools are plain functions; AutoGen calls them without saying for whom. The run that they belong to is a context
variable: tasks inherit it, and so do threads that are started by :func:`asyncio.to_thread`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Protocol

from app.protocol.common import ToolFailure
from app.protocol.events import ChartGenerated, Event
from app.runner.wire import Limits


class ToolRun(Protocol):
    """The part of a run's port that tools use."""

    @property
    def conversation(self) -> str:
        """The conversation's id."""

    @property
    def limits(self) -> Limits:
        """The settings that the run obeys."""

    async def emit(self, event: Event) -> None: ...

    def artifact(self, media_type: str, data: bytes) -> str | None: ...

    def caller(self) -> str | None:
        """The agent whose tool is at work; None: not known."""

    def tool_failed(self, sentence: str, code: ToolFailure) -> None:
        """A tool fails with this sentence, which its framework will give back as its answer, and with nothing else."""

    def at_end(self, ending: Callable[[], Awaitable[None]]) -> None:
        """Call this when the run is over, however it ends; it may take a while."""


RUN: ContextVar[ToolRun | None] = ContextVar("run", default=None)


class ChartNotKept(Exception):
    """The picture cannot be shown: it is too large, or the run has shown too many."""


async def show_chart(
    picture: bytes,
    *,
    media_type: str = "image/svg+xml",
    title: str = "",
    symbol: str = "",
    agent: str | None = None,
) -> str:
    """Show a picture to everybody who watches the conversation: ``chart_generated``.

    :param picture: SVG or PNG. Scripts in it never run.
    :param symbol: what it is about, for machines: ``AAPL``.
    :param agent: whose it is; default: the agent that has called the tool, where no other one waits for its tool.
    :returns: the chart's id.
    :raises ChartNotKept: it is too large (MAX_ARTIFACT_BYTES), or the run has shown too many (MAX_ARTIFACTS).
    :raises RuntimeError: outside of a run.
    """
    run = RUN.get()
    if run is None:
        raise RuntimeError("a chart can only be shown in a conversation")
    chart_id = run.artifact(media_type, picture)
    if chart_id is None:
        raise ChartNotKept("the chart cannot be shown: it is too large, or there were too many")
    await run.emit(
        ChartGenerated(
            chart_id=chart_id,
            url=f"/api/conversations/{run.conversation}/artifacts/{chart_id}",
            title=title,
            symbol=symbol,
            agent=agent or run.caller(),
        )
    )
    return chart_id
