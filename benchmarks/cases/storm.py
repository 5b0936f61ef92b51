"""A thousand clients lose their connections and come back at once: how long until all are in step?"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from app.protocol.commands import Join
from benchmarks.cases import Measured, Options
from benchmarks.client import Channel
from benchmarks.figures import Figure, percentile
from benchmarks.targets import Target, accepted, connect_many, make_target
from tests.support.model_server import ModelServer

NAME = "storm"
TITLE = "1,000 clients of 10 rooms, 2 tokens/s each, reconnect at once"
ROOMS = 10
TOKENS_PER_S = 2.0
LASTS_S = 60.0
GIVE_UP_S = 30.0
FIGURES = (
    Figure("in step, the last", "s", target=10),
    Figure("in step p50", "s"),
    Figure("not in step after 30 s", "count", target=0, worst=True),
    Figure("clients that missed tokens", "count", target=0, worst=True),
    Figure("web process CPU", "s"),
)


def measure(target_name: str, options: Options) -> Measured:
    """One round."""
    with ModelServer() as model:
        model.control(tokens=round(TOKENS_PER_S * LASTS_S), token_delay_ms=1000 / TOKENS_PER_S, markers=True)
        target = make_target(target_name, model.url, "scripted")
        with target.process:
            return Measured(asyncio.run(_storm(target, options)))


async def _storm(target: Target, options: Options) -> dict[str, float | None]:
    channels = await connect_many(target, options.storm_clients)
    size = options.storm_clients // ROOMS
    rooms = [await target.start(channels[number * size], "What will the market do?") for number in range(ROOMS)]
    for number, channel in enumerate(channels):
        if number % size:
            accepted(await channel.call(Join.name, {"conversation_id": rooms[min(number // size, ROOMS - 1)]}))
    async with asyncio.timeout(30):
        await asyncio.gather(*(channel.wait_tokens(channel.tokens + 1, timeout_s=30) for channel in channels))
    cpu_s = target.web_cpu_s()
    began_s = time.monotonic()
    for channel in channels:
        channel.close()
    back = await asyncio.gather(
        *(_come_back(target, rooms[min(n // size, ROOMS - 1)], earlier, began_s) for n, earlier in enumerate(channels)),
        return_exceptions=True,
    )
    cpu_s = target.web_cpu_s() - cpu_s
    done = [each for each in back if isinstance(each, tuple)]
    took_s = sorted(seconds for seconds, _ in done)
    everybody = len(done) == len(channels)
    return {
        "in step, the last": took_s[-1] if everybody else None,
        "in step p50": percentile(took_s, 0.5),
        "not in step after 30 s": len(channels) - len(done),
        "clients that missed tokens": sum(missed for _, missed in done),
        "web process CPU": cpu_s,
    }


async def _come_back(target: Target, conversation_id: str, earlier: Channel, began_s: float) -> tuple[float, bool]:
    """Until a token has come that was made after the join was answered; and whether any was missed."""
    async with asyncio.timeout(GIVE_UP_S):
        channel = await Channel.connect(target.port, timeout_s=GIVE_UP_S)
        channel.go_on_from(earlier)
        payload: dict[str, Any] = {"conversation_id": conversation_id}
        if (position := earlier.position) is not None:
            payload["position"] = position
        accepted(await channel.call(Join.name, payload, timeout_s=GIVE_UP_S))
        joined_us = time.monotonic_ns() // 1000
        while channel.last_made_us < joined_us:
            await channel.wait_tokens(channel.tokens + 1, timeout_s=GIVE_UP_S)
        took_s = time.monotonic() - began_s
    missed = channel.holes + channel.backwards > 0
    channel.close()
    return took_s, missed
