"""Memory of the web process per client that is connected and does nothing."""

from __future__ import annotations

import asyncio

from app.protocol.commands import Join
from app.protocol.events import ConversationComplete
from benchmarks.cases import Measured, Options
from benchmarks.client import Channel
from benchmarks.figures import Figure
from benchmarks.targets import Target, accepted, connect_many, make_target
from tests.support.model_server import ModelServer

NAME = "idle"
TITLE = "memory per idle client: growth of the web process"
FIRST_CLIENTS = 30  # load code and fill pools before the measurement begins
SETTLE_S = 1.5
FIGURES = (
    Figure("connected, no room", "kB", target_ratio=1.0),
    Figure("in the room of an ended conversation", "kB", target_ratio=1.0),
    Figure("connections lost", "count", target=0, worst=True),
    Figure("web process before", "MB"),
    Figure("CPU while idle", "%"),
)


def measure(target_name: str, options: Options) -> Measured:
    """One round: both kinds, each on a fresh server."""
    with ModelServer() as model:
        model.control(tokens=50, token_delay_ms=2)
        values: dict[str, float | None] = {}
        for name, joining in (("connected, no room", False), ("in the room of an ended conversation", True)):
            target = make_target(target_name, model.url, "scripted")
            with target.process:
                measured = asyncio.run(_grow(target, options.idle_connections, joining))
            values[name] = measured.pop("kB")
            values |= measured
    return Measured(values)


async def _grow(target: Target, count: int, joining: bool) -> dict[str, float | None]:
    starter = await Channel.connect(target.port)
    ended = asyncio.Event()
    starter.on_event = lambda name, payload: ended.set() if name == ConversationComplete.name else None
    conversation_id = await target.start(starter, "What will the market do?")
    async with asyncio.timeout(30):
        await ended.wait()

    async def join(channels: list[Channel]) -> None:
        for channel in channels:
            accepted(await channel.call(Join.name, {"conversation_id": conversation_id}))

    first = await connect_many(target, FIRST_CLIENTS)
    await join(first)
    await asyncio.sleep(SETTLE_S)
    before = target.web_rss_bytes()
    channels = await connect_many(target, count)
    if joining:
        await join(channels)
    await asyncio.sleep(SETTLE_S)
    grown = target.web_rss_bytes() - before
    cpu_before = target.web_cpu_s()
    await asyncio.sleep(1.0)
    busy = target.web_cpu_s() - cpu_before
    lost = sum(channel.closed for channel in channels)
    for channel in (starter, *first, *channels):
        channel.close()
    return {
        "kB": grown / 1024 / count,
        "connections lost": float(lost),
        "web process before": before / 1e6,
        "CPU while idle": busy * 100,
    }
