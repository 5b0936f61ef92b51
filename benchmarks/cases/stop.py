"""Stops at random moments, also before the first token: how long until the model's side sees its request closed?"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from typing import Any

from app.protocol.commands import StopStream
from benchmarks.cases import Measured, Options
from benchmarks.client import Channel
from benchmarks.figures import Figure, percentile
from benchmarks.targets import Target, accepted, make_target
from tests.support.model_server import ModelServer

NAME = "stop"
TITLE = "from the stop command to the model's side seeing its request closed"
AT_ONCE = 4  # conversations that run beside each other
FIRST_TOKEN_DELAY_MS = 800.0
LATEST_STOP_S = 1.6  # so half of the stops come before the first token
CLOSE_WAIT_S = 3.0
FIGURES = (
    Figure("request closed, before the first token, p50", "ms"),
    Figure("request closed, before the first token, max", "ms", target=250, worst=True),
    Figure("request closed, in mid-stream, p50", "ms"),
    Figure("request closed, in mid-stream, max", "ms", target=250, worst=True),
    Figure("never closed in 3 s", "requests", target=0, worst=True),
    Figure("ack p50", "ms"),
    Figure("ack max", "ms", worst=True),
    Figure("stops without a token count", "stops", target=0, worst=True),
    Figure("counted tokens off by, max", "tokens", worst=True),
)


@dataclass(slots=True)
class Stop:
    """One stop: when, and what the ack said."""

    tag: str
    sent_s: float
    ack_ms: float
    tokens: dict[str, Any] | None


def measure(target_name: str, options: Options) -> Measured:
    """One round."""
    with ModelServer() as model:
        model.control(tokens=2_000, token_delay_ms=20, first_token_delay_ms=FIRST_TOKEN_DELAY_MS)
        target = make_target(target_name, model.url, "scripted")
        with target.process:
            stops = asyncio.run(_stop_often(target, options.stops))
            deadline_s = time.monotonic() + CLOSE_WAIT_S
            while model.stats(messages=False)["open"] and time.monotonic() < deadline_s:
                time.sleep(0.05)
            requests = model.stats()["requests"]
    return _figures(stops, requests)


async def _stop_often(target: Target, count: int) -> list[Stop]:
    """Spread the moments evenly over the span, in random order, always the same one."""
    moments = [LATEST_STOP_S * (number + 0.5) / count for number in range(count)]
    random.Random(2).shuffle(moments)
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> Stop:
        async with gate:
            return await _stop_after(target, f"stop-{number:03d}", moments[number])

    return list(await asyncio.gather(*(one(number) for number in range(count))))


async def _stop_after(target: Target, tag: str, after_s: float) -> Stop:
    channel = await Channel.connect(target.port)
    conversation_id = await target.start(channel, f"What will the market do? ({tag})")
    await asyncio.sleep(after_s)
    sent_s = time.monotonic()
    ack = accepted(await channel.call(StopStream.name, {"conversation_id": conversation_id}))
    ack_ms = (time.monotonic() - sent_s) * 1000
    channel.close()
    return Stop(tag, sent_s, ack_ms, ack.get("tokens"))


def _figures(stops: list[Stop], requests: list[dict[str, Any]]) -> Measured:
    early: list[float] = []
    late: list[float] = []
    never = unasked = uncounted = 0
    off: list[float] = []
    for stop in stops:
        mine = [request for request in requests if stop.tag in str(request["messages"])]
        sent = sum(request["tokens_sent"] for request in mine)
        uncounted += stop.tokens is None
        if stop.tokens is not None:
            off.append(abs(sent - stop.tokens["completion_tokens"]))
        if not mine:
            unasked += 1  # stopped before the model was asked: nothing to close
        elif mine[-1]["ended"] != "client_closed":
            never += 1
        else:
            took_ms = max(0.0, (mine[-1]["ended_s"] - stop.sent_s) * 1000)
            began_s = mine[-1]["first_token_s"]
            (early if began_s is None or began_s > stop.sent_s else late).append(took_ms)
    early.sort()
    late.sort()
    acks = sorted(stop.ack_ms for stop in stops)
    values = {
        "request closed, before the first token, p50": percentile(early, 0.5),
        "request closed, before the first token, max": percentile(early, 1.0),
        "request closed, in mid-stream, p50": percentile(late, 0.5),
        "request closed, in mid-stream, max": percentile(late, 1.0),
        "never closed in 3 s": float(never),
        "ack p50": percentile(acks, 0.5),
        "ack max": percentile(acks, 1.0),
        "stops without a token count": float(uncounted),
        "counted tokens off by, max": max(off, default=None),
    }
    return Measured(values, (f"{unasked} of {len(stops)} stops came before the model was asked",) if unasked else ())
