"""What streams and fanout share: rooms at a steady rate, a measured window in the middle, all counted at the end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from app.protocol.commands import Join, Ping
from app.protocol.events import ConversationComplete
from benchmarks.client import Arrivals, Channel
from benchmarks.figures import LATENESS_INTERVAL_S, lateness_figures
from benchmarks.targets import Target, accepted, connect_many
from tests.support.model_server import ModelServer

END_WAIT_S = 20.0  # for what is still under way after the window


@dataclass(slots=True)
class Load:
    """The outcome of one run."""

    arrivals: Arrivals
    from_s: float = 0.0
    to_s: float = 0.0
    produced: int = 0
    delivered: int = 0
    expected: int = 0
    holes: int = 0
    backwards: int = 0
    incomplete: int = 0
    web_cpu_s: float = 0.0
    runners_cpu_s: float = 0.0
    loop_ms: dict[str, float] = field(default_factory=dict)
    client_ms: dict[str, float] = field(default_factory=dict)
    ping_ms: list[float] = field(default_factory=list)

    def window_us(self) -> list[int]:
        """The sorted latencies of the measured window, in microseconds."""
        return self.arrivals.between(self.from_s, self.to_s)


async def run_load(
    target: Target,
    model: ModelServer,
    *,
    rooms: int,
    watchers: int,
    tokens_per_s: float,
    seconds: float,
    settle_s: float = 1.0,
) -> Load:
    """Stream to ``rooms`` x ``watchers`` connections and count.

    :param tokens_per_s: of each room.
    :param seconds: length of the measured window; streams last a little longer on both sides.
    :param settle_s: between the last start and the window.
    """
    ramp_s = min(2.0, rooms / 25)
    tokens = round(tokens_per_s * (ramp_s + settle_s + seconds + 1.5))
    model.control(tokens=tokens, token_delay_ms=1000 / tokens_per_s, markers=True)
    load = Load(Arrivals())
    channels = await connect_many(target, rooms * watchers, arrivals=load.arrivals)
    pinger = await Channel.connect(target.port)
    ended: set[str] = set()
    all_ended = asyncio.Event()

    def note_end(name: str, payload: dict[str, Any]) -> None:
        if name == ConversationComplete.name:
            ended.add(str(payload["conversation_id"]))
            if len(ended) == rooms:
                all_ended.set()

    gc.collect()
    gc.disable()  # the client's own pauses are not the server's
    try:
        for number in range(rooms):
            await _fill_room(target, channels[number * watchers : (number + 1) * watchers], note_end)
            await asyncio.sleep(ramp_s / rooms)
        await asyncio.sleep(settle_s)
        load.from_s, web, runners = time.monotonic(), target.web_cpu_s(), target.runners_cpu_s()
        async with _watching_the_clock(load), _pinging(pinger, load):
            await asyncio.sleep(seconds)
        load.web_cpu_s, load.runners_cpu_s = target.web_cpu_s() - web, target.runners_cpu_s() - runners
        load.to_s = time.monotonic()
        load.loop_ms = await asyncio.to_thread(target.loop_lateness_ms, load.to_s - load.from_s)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(all_ended.wait(), END_WAIT_S)
        await asyncio.sleep(0.3)  # for the last frames of the others in the room
    finally:
        gc.enable()
    _count(load, channels, await asyncio.to_thread(model.stats, messages=False), watchers)
    load.incomplete = rooms - len(ended)
    for channel in (*channels, pinger):
        channel.close()
    return load


async def _fill_room(target: Target, watchers: list[Channel], on_event: Callable[[str, dict[str, Any]], None]) -> None:
    """The first watcher starts the conversation; the others join while the model is silent before its first token."""
    first, *others = watchers
    first.on_event = on_event
    conversation_id = await target.start(first, "What will the market do?")
    acks = await asyncio.gather(*(other.call(Join.name, {"conversation_id": conversation_id}) for other in others))
    for ack in acks:
        accepted(ack)


def _count(load: Load, channels: list[Channel], stats: dict[str, Any], watchers: int) -> None:
    load.produced = sum(request["tokens_sent"] for request in stats["requests"] if not request["structured"])
    load.expected = load.produced * watchers
    load.delivered = sum(channel.tokens for channel in channels)
    load.holes = sum(channel.holes for channel in channels)
    load.backwards = sum(channel.backwards for channel in channels)


@contextlib.asynccontextmanager
async def _watching_the_clock(load: Load) -> AsyncIterator[None]:
    """Note how late the client's own loop is: it bounds what the other figures can say."""
    late_s: list[float] = []

    async def watch() -> None:
        while True:
            due_s = time.monotonic() + LATENESS_INTERVAL_S
            await asyncio.sleep(LATENESS_INTERVAL_S)
            late_s.append(max(0.0, time.monotonic() - due_s))

    async with _background(watch()):
        yield
    load.client_ms = lateness_figures(late_s)


@contextlib.asynccontextmanager
async def _pinging(channel: Channel, load: Load) -> AsyncIterator[None]:
    """A command of a client of its own every 20 ms: the server's loop, seen from outside."""

    async def ping() -> None:
        while True:
            sent_s = time.monotonic()
            await channel.call(Ping.name, {"echo": 1})
            load.ping_ms.append((time.monotonic() - sent_s) * 1000)
            await asyncio.sleep(0.02)

    async with _background(ping()):
        yield
    load.ping_ms.sort()


@contextlib.asynccontextmanager
async def _background(work: Any) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, TimeoutError, ConnectionError):
            await task
