"""What keeps one team's tools from harming another team's conversation: time limits, threads, errors as sentences."""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
import typing
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import copy_context
from typing import Any, ParamSpec, TypeVar, cast, get_args

from app.errors import ColloquyError, FetchFailed
from app.protocol.common import ToolFailure
from app.providers.gate import RunAborted
from app.providers.tool_words import FAILED
from app.runner.wire import Limits
from app.tools.context import RUN

MAX_THREADS = 64
"""Blocking tools at once, in one runner. One that hangs keeps its thread: Python cannot end it."""
MAX_SENTENCE_CHARS = 500

_KINDS: tuple[tuple[type[Exception], ToolFailure], ...] = (
    (TimeoutError, "timeout"),
    (ConnectionError, "unavailable"),
    (FetchFailed, "unavailable"),
)
"""Of exceptions that do not say it themselves."""

Given = ParamSpec("Given")
Result = TypeVar("Result")

_free = threading.BoundedSemaphore(MAX_THREADS)


class ToolFailed(Exception):
    """A tool could not answer. Its text is what the model reads, its code stands in ``tool_result``."""

    def __init__(self, sentence: str, code: ToolFailure = "failed") -> None:
        super().__init__(f"{FAILED}{sentence}"[:MAX_SENTENCE_CHARS])
        self.tool_failure = code


class ToolTimedOut(ToolFailed):
    """A tool had no answer in time."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, "timeout")


async def in_thread(function: Callable[Given, Result], *args: Given.args, **kwargs: Given.kwargs) -> Result:
    """Call what blocks in a thread of its own; the run it belongs to is known there (``RUN``).

    No pool: one that hangs would be missing in it, and would hold up the end of the process.

    :raises ToolFailed: too many hang already.
    """
    if not _free.acquire(blocking=False):
        raise ToolFailed("too many tools are at work", "unavailable")
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Result] = loop.create_future()
    context = copy_context()

    def work() -> None:
        try:
            settle = functools.partial(_settle, done, context.run(function, *args, **kwargs), None)
        except BaseException as error:  # noqa: BLE001  # raised where it is waited for
            settle = functools.partial(_settle, done, None, error)
        finally:
            _free.release()
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(settle)

    threading.Thread(target=work, name="tool", daemon=True).start()
    return await done


def guarded(function: Callable[..., Any], timeout_s: float | None = None) -> Callable[..., Awaitable[Any]]:
    """A tool that may block, hang or raise. Every AutoGen generation takes the result in the function's place.

    A plain function is called in a thread. What it raises becomes a sentence without a stack trace; an exception says
    by its attribute ``tool_failure`` what the code of ``tool_result`` shall be.

    :param timeout_s: default: setting TOOL_TIMEOUT_S. A thread is left behind, its answer is not waited for.
    :raises ToolFailed: from the result.
    """
    asynchronous = inspect.iscoroutinefunction(function)
    name = getattr(function, "__name__", "the tool")

    @functools.wraps(function)
    async def call(*args: Any, **kwargs: Any) -> Any:
        run = RUN.get()
        limit_s = timeout_s or (run.limits if run is not None else Limits()).tool_timeout_s
        timer = asyncio.timeout(limit_s)
        try:
            async with timer:
                if asynchronous:
                    return await function(*args, **kwargs)
                return await in_thread(function, *args, **kwargs)
        except RunAborted:
            raise
        except Exception as error:  # a tool may raise anything
            failed = (
                ToolTimedOut(f"{name} had no answer within {limit_s:g} s") if timer.expired() else _failure(name, error)
            )
            if run is not None:
                run.tool_failed(str(failed), failed.tool_failure)
            raise failed from error

    call.__annotations__ = typing.get_type_hints(function, include_extras=True)
    call.__signature__ = inspect.signature(function, eval_str=True)  # type: ignore[attr-defined]  # inspect reads it
    return call


def _settle(done: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if done.done():
        return  # nobody waits any more
    if error is None:
        done.set_result(result)
    else:
        done.set_exception(error if isinstance(error, Exception) else RuntimeError(type(error).__name__))


def _failure(name: str, error: Exception) -> ToolFailed:
    if isinstance(error, ToolFailed):
        return ToolFailed(str(error).removeprefix(FAILED), error.tool_failure)
    lines = (error.message if isinstance(error, ColloquyError) else str(error)).strip().splitlines()
    return ToolFailed(lines[0] if lines else f"{name} failed: {type(error).__name__}", failure_of(error))


def failure_of(error: Exception) -> ToolFailure:
    """What ``tool_result`` says of an exception."""
    stated = getattr(error, "tool_failure", None)
    if stated in get_args(ToolFailure):
        return cast("ToolFailure", stated)
    return next((code for kind, code in _KINDS if isinstance(error, kind)), "failed")
