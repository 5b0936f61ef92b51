"""Many watchers of few conversations: tokens delivered per second of the web process's CPU time, at a fixed load."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from benchmarks.cases import Measured, Options
from benchmarks.cases.load import END_WAIT_S, run_load
from benchmarks.crowd import Crowd, compiled
from benchmarks.figures import Figure, percentile
from benchmarks.targets import Target, make_target
from tests.support.model_server import ModelServer

NAME = "fanout"
TITLE = "50 rooms x 10 watchers, and 1 room x 200, at 10,000 delivered tokens/s"
SHAPES = ((50, 10), (1, 200))
FIRST_TOKEN_DELAY_MS = 1_500.0  # so that all watchers are in before the first token, and every one must see all


_ASKED = {"50x10": 2.0}


def _figures(rooms: int, watchers: int) -> tuple[Figure, ...]:
    shape = f"{rooms}x{watchers}"
    return (
        Figure(f"{shape} tokens lost", "tokens", target=0, worst=True),
        Figure(f"{shape} holes, disorder", "tokens", target=0, worst=True),
        Figure(f"{shape} delivered per s", "tokens", better="none"),
        Figure(f"{shape} delivered per CPU second", "tokens", better="higher", target_ratio=_ASKED.get(shape)),
        Figure(f"{shape} delivered per CPU s, with runner", "tokens", better="higher"),
        Figure(f"{shape} tokens per frame", "tokens", better="none"),
        Figure(f"{shape} token to client p50", "ms"),
        Figure(f"{shape} token to client p99", "ms"),
    )


FIGURES = tuple(figure for shape in SHAPES for figure in _figures(*shape))


def measure(target_name: str, options: Options) -> Measured:
    """One round: both shapes, each on a fresh server."""
    values: dict[str, float | None] = {}
    watch = watch_with_crowd if compiled() else watch_with_python
    for rooms, watchers in SHAPES:
        rate = options.fanout_tokens_per_s / (rooms * watchers)
        with ModelServer() as model:
            model.control(
                tokens=round(rate * (FIRST_TOKEN_DELAY_MS / 1000 + options.seconds + 5)),
                token_delay_ms=1000 / rate,
                first_token_delay_ms=FIRST_TOKEN_DELAY_MS,
                markers=True,
            )
            target = make_target(target_name, model.url, "scripted")
            with target.process:
                seen = asyncio.run(watch(target, model, rooms, watchers, rate, options.seconds))
        shape = f"{rooms}x{watchers}"
        values |= {f"{shape} {name}": value for name, value in seen.items()}
    notes = () if compiled() else ("no C compiler: the watchers are a Python program, and slower",)
    return Measured(values, notes)


async def watch_with_crowd(
    target: Target, model: ModelServer, rooms: int, watchers: int, rate: float, seconds: float
) -> dict[str, float | None]:
    """Watch with the C program, which takes next to nothing of the machine."""
    async with Crowd(target.port, rooms, watchers, "What will the market do?", gap_ms=10) as crowd:
        await asyncio.sleep(FIRST_TOKEN_DELAY_MS / 1000 + 1.0)
        before = await crowd.take()
        began_s, web, runners = time.monotonic(), target.web_cpu_s(), target.runners_cpu_s()
        await asyncio.sleep(seconds)
        window = await crowd.take()
        took_s = time.monotonic() - began_s
        web, runners = target.web_cpu_s() - web, target.runners_cpu_s() - runners
        end = await _end_of(crowd, rooms * watchers)
    stats = await asyncio.to_thread(model.stats, messages=False)
    produced = sum(request["tokens_sent"] for request in stats["requests"] if not request["structured"])
    delivered = window["tokens"] - before["tokens"]
    return {
        "tokens lost": produced * watchers - end["tokens"],
        "holes, disorder": end["holes"] + end["backwards"],
        "delivered per s": delivered / took_s,
        "delivered per CPU second": delivered / web,
        "delivered per CPU s, with runner": delivered / (web + runners),
        "tokens per frame": delivered / max(1, window["frames"] - before["frames"]),
        "token to client p50": window["p50"],
        "token to client p99": window["p99"],
    }


async def _end_of(crowd: Crowd, count: int) -> dict[str, Any]:
    """The crowd's totals when every watcher has seen its conversation's end, or after a while."""
    began_s = time.monotonic()
    while True:
        totals = await crowd.take()
        if totals["done"] >= count or time.monotonic() > began_s + END_WAIT_S:
            return totals
        await asyncio.sleep(0.2)


async def watch_with_python(
    target: Target, model: ModelServer, rooms: int, watchers: int, rate: float, seconds: float
) -> dict[str, float | None]:
    """Watch with our asyncio client, where there is no C compiler."""
    settle_s = FIRST_TOKEN_DELAY_MS / 1000 + 1.0
    load = await run_load(
        target, model, rooms=rooms, watchers=watchers, tokens_per_s=rate, seconds=seconds, settle_s=settle_s
    )
    window = [latency_us / 1000 for latency_us in load.window_us()]
    return {
        "tokens lost": load.expected - load.delivered,
        "holes, disorder": load.holes + load.backwards,
        "delivered per s": len(window) / (load.to_s - load.from_s),
        "delivered per CPU second": len(window) / load.web_cpu_s,
        "delivered per CPU s, with runner": len(window) / (load.web_cpu_s + load.runners_cpu_s),
        "tokens per frame": load.delivered / (load.arrivals.frames or 1),
        "token to client p50": percentile(window, 0.5),
        "token to client p99": percentile(window, 0.99),
    }
