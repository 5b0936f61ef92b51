"""Half of a room's readers stop to read: what it costs the server, and those who go on."""

from __future__ import annotations

import asyncio
import contextlib
import time

from app.protocol.commands import Join
from benchmarks.cases import Measured, Options
from benchmarks.client import Arrivals
from benchmarks.figures import Figure, percentile
from benchmarks.targets import Target, accepted, connect_many, make_target
from tests.support.model_server import ModelServer

NAME = "stalled"
TITLE = "200 readers of one room, 50 tokens/s; 100 of them stop to read"
TOKENS_PER_S = 50.0
FIRST_TOKEN_DELAY_MS = 3_000.0
WATCH_S = 45.0  # from when they stop
TICK_S = 0.25
FIGURES = (
    Figure("memory grows by", "MB", target=50),
    Figure("p99 of the others, before", "ms", better="none"),
    Figure("p99 of the others, during", "ms", better="none"),
    Figure("p99 worsens beyond 10 % or 1 ms by", "ms", target=0),
    Figure("stalled readers left after 35 s", "count", target=0, worst=True),
    Figure("the last of them gone after", "s", target=35),
    Figure("memory kept after that", "MB"),
    Figure("tokens lost by the others", "tokens", target=0, worst=True),
)


def measure(target_name: str, options: Options) -> Measured:
    """One round."""
    tokens = round(TOKENS_PER_S * (FIRST_TOKEN_DELAY_MS / 1000 + options.seconds + WATCH_S + 10))
    with ModelServer() as model:
        model.control(
            tokens=tokens,
            token_delay_ms=1000 / TOKENS_PER_S,
            first_token_delay_ms=FIRST_TOKEN_DELAY_MS,
            markers=True,
        )
        target = make_target(target_name, model.url, "scripted")
        with target.process:
            return Measured(asyncio.run(_watch(target, options)))


async def _watch(target: Target, options: Options) -> dict[str, float | None]:
    arrivals = Arrivals()
    healthy = await connect_many(target, options.readers // 2, arrivals=arrivals)
    stalled = await connect_many(target, options.readers - len(healthy))
    conversation_id = await target.start(healthy[0], "What will the market do?")
    for channel in (*healthy[1:], *stalled):
        accepted(await channel.call(Join.name, {"conversation_id": conversation_id}))
    await healthy[0].wait_tokens(round(TOKENS_PER_S))
    from_s = time.monotonic()
    await asyncio.sleep(options.seconds)
    before = _p99_ms(arrivals, from_s, time.monotonic())
    memory, files = target.web_rss_bytes(), target.open_files()
    for channel in stalled:
        channel.stop_reading()
    seen = await _while_they_stall(target, files - len(stalled), files, memory)
    during = _p99_ms(arrivals, seen["from_s"], seen["to_s"])
    worse = None if before is None or during is None else during - before - max(0.1 * before, 1.0)
    lost = sum(channel.holes + channel.backwards for channel in healthy)
    for channel in (*healthy, *stalled):
        channel.close()
    return {
        "memory grows by": seen["grown"] / 1e6,
        "p99 of the others, before": before,
        "p99 of the others, during": during,
        "p99 worsens beyond 10 % or 1 ms by": None if worse is None else max(0.0, worse),
        "stalled readers left after 35 s": seen["left"],
        "the last of them gone after": seen.get("gone_s"),
        "memory kept after that": seen["kept"] / 1e6,
        "tokens lost by the others": lost,
    }


async def _while_they_stall(target: Target, wanted_files: int, files: int, memory: int) -> dict[str, float]:
    began_s = time.monotonic()
    seen: dict[str, float] = {"from_s": began_s, "grown": 0.0, "left": float(files - wanted_files)}
    while (passed_s := time.monotonic() - began_s) < WATCH_S:
        await asyncio.sleep(TICK_S)
        seen["grown"] = max(seen["grown"], target.web_rss_bytes() - memory)
        left = max(0, target.open_files() - wanted_files)
        if passed_s <= 35.0:
            seen["left"] = float(left)
        if left == 0 and "gone_s" not in seen:
            seen["gone_s"] = passed_s
            break
    seen["to_s"] = time.monotonic()
    with contextlib.suppress(OSError):
        await asyncio.sleep(1.0)
    seen["kept"] = max(0.0, float(target.web_rss_bytes() - memory))
    return seen


def _p99_ms(arrivals: Arrivals, from_s: float, to_s: float) -> float | None:
    late_us = percentile(arrivals.between(from_s, to_s), 0.99)
    return None if late_us is None else late_us / 1000
