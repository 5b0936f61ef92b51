"""50 conversations at 50 tokens/s, one watcher each: is everything there, in order, how late, at what cost?"""

from __future__ import annotations

import asyncio
import time

from benchmarks.cases import Measured, Options
from benchmarks.cases.load import Load, run_load
from benchmarks.figures import Figure, percentile
from benchmarks.idle_loop import IdleLoop
from benchmarks.targets import make_target
from tests.support.model_server import ModelServer

NAME = "streams"
TITLE = "50 conversations x 50 tokens/s, one watcher each, pacing off"
FIGURES = (
    Figure("tokens lost", "tokens", target=0, worst=True),
    Figure("holes in a message", "count", target=0, worst=True),
    Figure("out of order or twice", "tokens", target=0, worst=True),
    Figure("conversations that did not end", "count", target=0, worst=True),
    Figure("tokens per s", "1/s", better="higher"),
    Figure("token to client p50", "ms"),
    Figure("token to client p99", "ms", target=100),
    Figure("token to client p99.9", "ms"),
    Figure("token to client max", "ms"),
    Figure("p99 with the start-up", "ms"),
    Figure("tokens per frame", "tokens", better="none"),
    Figure("web process CPU per token", "µs", target=40),
    Figure("runner CPU per token", "µs"),
    Figure("all CPU per token", "µs"),
    Figure("event loop late p99.9", "ms", target=50),
    Figure("event loop late max", "ms"),
    Figure("idle loop late p99.9", "ms", better="none"),
    Figure("idle loop late max", "ms", better="none"),
    Figure("ping command p99.9", "ms"),
    Figure("client's loop late p99.9", "ms", better="none"),
)


def measure(target_name: str, options: Options) -> Measured:
    """One round."""
    with ModelServer() as model, IdleLoop() as idle:
        target = make_target(target_name, model.url, "scripted")
        with target.process:
            load = asyncio.run(
                run_load(
                    target,
                    model,
                    rooms=options.conversations,
                    watchers=1,
                    tokens_per_s=options.tokens_per_s,
                    seconds=options.seconds,
                )
            )
            idle_ms = idle.figures(time.monotonic() - load.from_s)
    return Measured(figures_of(load, idle_ms))


def figures_of(load: Load, idle_ms: dict[str, float]) -> dict[str, float | None]:
    """A run's figures by name."""
    window = [latency_us / 1000 for latency_us in load.window_us()]
    everything = sorted(latency_us / 1000 for latency_us in load.arrivals.latency_us)
    delivered = len(window) or 1
    return {
        "tokens lost": load.expected - load.delivered,
        "holes in a message": load.holes,
        "out of order or twice": load.backwards,
        "conversations that did not end": load.incomplete,
        "tokens per s": len(window) / (load.to_s - load.from_s),
        "token to client p50": percentile(window, 0.5),
        "token to client p99": percentile(window, 0.99),
        "token to client p99.9": percentile(window, 0.999),
        "token to client max": percentile(window, 1.0),
        "p99 with the start-up": percentile(everything, 0.99),
        "tokens per frame": load.delivered / (load.arrivals.frames or 1),
        "web process CPU per token": load.web_cpu_s / delivered * 1e6,
        "runner CPU per token": load.runners_cpu_s / delivered * 1e6,
        "all CPU per token": (load.web_cpu_s + load.runners_cpu_s) / delivered * 1e6,
        "event loop late p99.9": load.loop_ms.get("p999"),
        "event loop late max": load.loop_ms.get("max"),
        "idle loop late p99.9": idle_ms.get("p999"),
        "idle loop late max": idle_ms.get("max"),
        "ping command p99.9": percentile(load.ping_ms, 0.999),
        "client's loop late p99.9": load.client_ms.get("p999"),
    }
