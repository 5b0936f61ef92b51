"""Many watchers of few conversations: tokens delivered per second of the web process's CPU time, at a fixed load."""

from __future__ import annotations

import asyncio

from benchmarks.cases import Measured, Options
from benchmarks.cases.load import run_load
from benchmarks.figures import Figure, percentile
from benchmarks.targets import make_target
from tests.support.model_server import ModelServer

NAME = "fanout"
TITLE = "50 rooms x 10 watchers, and 1 room x 200, at 10,000 delivered tokens/s"
SHAPES = ((50, 10), (1, 200))
FIRST_TOKEN_DELAY_MS = 1_500.0  # so that all watchers are in before the first token, and every one must see all


def _figures(rooms: int, watchers: int) -> tuple[Figure, ...]:
    shape = f"{rooms}x{watchers}"
    return (
        Figure(f"{shape} tokens lost", "tokens", target=0, worst=True),
        Figure(f"{shape} holes, disorder", "tokens", target=0, worst=True),
        Figure(f"{shape} delivered per CPU second", "tokens", better="higher"),
        Figure(f"{shape} delivered per CPU s, with runner", "tokens", better="higher"),
        Figure(f"{shape} tokens per frame", "tokens", better="none"),
        Figure(f"{shape} token to client p50", "ms"),
        Figure(f"{shape} token to client p99", "ms"),
        Figure(f"{shape} client's loop late p99.9", "ms", better="none"),
    )


FIGURES = tuple(figure for shape in SHAPES for figure in _figures(*shape))


def measure(target_name: str, options: Options) -> Measured:
    """One round: both shapes, each on a fresh server."""
    values: dict[str, float | None] = {}
    for rooms, watchers in SHAPES:
        values |= _measure_shape(target_name, rooms, watchers, options)
    return Measured(values)


def _measure_shape(target_name: str, rooms: int, watchers: int, options: Options) -> dict[str, float | None]:
    with ModelServer() as model:
        model.control(first_token_delay_ms=FIRST_TOKEN_DELAY_MS)
        target = make_target(target_name, model.url, "scripted")
        rate = options.fanout_tokens_per_s / (rooms * watchers)
        with target.process:
            load = asyncio.run(
                run_load(
                    target,
                    model,
                    rooms=rooms,
                    watchers=watchers,
                    tokens_per_s=rate,
                    seconds=options.seconds,
                    settle_s=FIRST_TOKEN_DELAY_MS / 1000 + 1.0,
                )
            )
    window = [latency_us / 1000 for latency_us in load.window_us()]
    shape = f"{rooms}x{watchers}"
    return {
        f"{shape} tokens lost": load.expected - load.delivered,
        f"{shape} holes, disorder": load.holes + load.backwards,
        f"{shape} delivered per CPU second": len(window) / load.web_cpu_s,
        f"{shape} delivered per CPU s, with runner": len(window) / (load.web_cpu_s + load.runners_cpu_s),
        f"{shape} tokens per frame": load.delivered / (load.arrivals.frames or 1),
        f"{shape} token to client p50": percentile(window, 0.5),
        f"{shape} token to client p99": percentile(window, 0.99),
        f"{shape} client's loop late p99.9": load.client_ms.get("p999"),
    }
