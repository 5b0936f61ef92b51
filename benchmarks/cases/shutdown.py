"""Ctrl-C, SIGTERM and kill -9 in mid-conversation: what is left after 3 s, in processes and in open model requests?"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable

from benchmarks.cases import Measured, Options
from benchmarks.client import Channel
from benchmarks.figures import Figure
from benchmarks.targets import Target, make_target
from tests.support.model_server import ModelServer
from tests.support.processes import alive

NAME = "shutdown"
TITLE = "Ctrl-C, SIGTERM and kill -9 of the server in mid-conversation"
CONVERSATIONS = 4
LIMIT_S = 3.0
WAYS: dict[str, Callable[[Target], None]] = {
    "Ctrl-C": lambda target: target.process.interrupt(),
    "SIGTERM": lambda target: target.process.signal(signal.SIGTERM),
    "kill -9": lambda target: target.process.signal(signal.SIGKILL),
}
FIGURES = tuple(
    figure
    for way in WAYS
    for figure in (
        Figure(f"{way}: processes left after 3 s", "count", target=0, worst=True),
        Figure(f"{way}: model requests left open", "count", target=0, worst=True),
        Figure(f"{way}: until all is gone", "ms", target=LIMIT_S * 1000, worst=True),
    )
)


def measure(target_name: str, options: Options) -> Measured:
    """One round: each way on a fresh server."""
    values: dict[str, float | None] = {}
    for way in WAYS:
        with ModelServer() as model:
            model.control(tokens=100_000, token_delay_ms=20, markers=True)
            target = make_target(target_name, model.url, "scripted")
            with target.process:
                values |= asyncio.run(_end(target, model, way))
    return Measured(values)


async def _end(target: Target, model: ModelServer, way: str) -> dict[str, float | None]:
    channels = [await Channel.connect(target.port) for _ in range(CONVERSATIONS)]
    for channel in channels:
        await target.start(channel, "What will the market do?")
    await asyncio.gather(*(channel.wait_tokens(10) for channel in channels))
    processes = [target.process.pid, *target.process.children()]
    signalled_s = time.monotonic()
    WAYS[way](target)
    gone_ms: float | None = None
    while time.monotonic() < signalled_s + LIMIT_S:
        target.process.wait(0)  # collect the zombie
        if not alive(processes) and model.stats(messages=False)["open"] == 0:
            gone_ms = (time.monotonic() - signalled_s) * 1000
            break
        await asyncio.sleep(0.01)
    left, still_open = alive(processes), model.stats(messages=False)["open"]
    for channel in channels:
        channel.close()
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return {
        f"{way}: processes left after 3 s": float(len(left)),
        f"{way}: model requests left open": float(still_open),
        f"{way}: until all is gone": gone_ms if gone_ms is not None else LIMIT_S * 1000 + 1,
    }
