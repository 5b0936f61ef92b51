"""What keeps one team's tools from harming another team's conversation."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from typing import Annotated

import pytest
from autogen_core import CancellationToken

from app.errors import FetchFailed
from app.providers.gate import RunAborted
from app.tools import finance, guard
from app.tools.fetch import FetchRefused
from app.tools.functions import as_tool
from app.tools.guard import ToolFailed, ToolTimedOut, guarded


class NoSuchWord(ValueError):
    """As a tool of one's own may say what it means."""

    tool_failure = "not_found"


async def test_a_blocking_tool_blocks_nobody() -> None:
    """It runs in a thread; the loop goes on."""
    released = threading.Event()

    def slow(text: str) -> str:
        released.wait(5)
        return text

    task = asyncio.create_task(guarded(slow)("done"))
    began = time.monotonic()
    await asyncio.sleep(0)
    assert time.monotonic() - began < 1
    released.set()
    assert await task == "done"


async def test_a_tool_that_hangs_is_given_up() -> None:
    """Whether it blocks or waits: a typed result in time."""
    released = threading.Event()

    def blocks() -> None:
        released.wait(5)

    async def waits() -> None:
        await asyncio.Event().wait()

    for tool in (blocks, waits):
        with pytest.raises(ToolTimedOut, match=f"Error: {tool.__name__} had no answer within 0.05 s"):
            await guarded(tool, 0.05)()
    released.set()


@pytest.mark.parametrize(
    ("raised", "sentence", "code"),
    [
        (ValueError("first line\nsecond line"), "Error: first line", "failed"),
        (KeyError(), "Error: breaks failed: KeyError", "failed"),
        (FetchFailed("no answer"), "Error: no answer", "unavailable"),
        (FetchRefused("no public one"), "Error: no public one", "refused"),
        (ConnectionResetError("gone"), "Error: gone", "unavailable"),
        (TimeoutError(), "Error: breaks failed: TimeoutError", "timeout"),
        (NoSuchWord("no such word"), "Error: no such word", "not_found"),
        (SystemExit(1), "Error: SystemExit", "failed"),
    ],
)
async def test_what_a_tool_raises_is_a_sentence(raised: BaseException, sentence: str, code: str) -> None:
    """Without a stack trace, and without an end to the process; programs read the code."""

    def breaks() -> None:
        raise raised

    with pytest.raises(ToolFailed) as caught:
        await guarded(breaks)()
    assert (str(caught.value), caught.value.tool_failure) == (sentence, code)


async def test_a_stop_passes() -> None:
    """It is no failure of the tool."""

    async def shows() -> None:
        raise RunAborted

    with pytest.raises(RunAborted):
        await guarded(shows)()
    task = asyncio.create_task(guarded(lambda: time.sleep(0.05))())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_threads_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all hang, the next one fails at once."""
    monkeypatch.setattr(guard, "_free", threading.BoundedSemaphore(1))
    released = threading.Event()
    first = asyncio.create_task(guarded(lambda: released.wait(5))())
    await asyncio.sleep(0)
    with pytest.raises(ToolFailed, match="too many"):
        await guarded(lambda: None)()
    released.set()
    assert await first


def test_frameworks_read_a_guarded_tool_as_its_function() -> None:
    """Name, description, types and their meanings."""

    def add(first: Annotated[int, "a number"], second: int = 2) -> int:
        """Add two numbers."""
        return first + second

    tool = as_tool(guarded(add))
    assert (tool.name, tool.description) == ("add", "Add two numbers.")
    properties = tool.schema["parameters"]["properties"]
    assert properties["first"]["description"] == "a number"
    assert tool.schema["parameters"]["required"] == ["first"]
    assert list(inspect.signature(finance.ONE_TOOL[0]).parameters) == ["symbol", "since", "until"]


async def test_autogen_calls_it() -> None:
    """With its arguments as JSON."""
    tool = as_tool(finance.TOOLS[1])
    told = await tool.run_json({"symbol": "Apple", "since": "2008", "until": "2009"}, CancellationToken())
    assert told.startswith("AAPL rose by 55.7%")
