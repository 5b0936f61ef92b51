"""A model that floods: what is still taken from it after a pause was acked, and is it all there after the resume?"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from app.protocol.commands import PauseStream, ResumeStream, StopStream
from benchmarks.cases import Measured, Options
from benchmarks.client import Channel
from benchmarks.figures import Figure
from benchmarks.targets import Target, accepted, make_target
from tests.support.model_server import ModelServer

NAME = "pause"
TITLE = "a reply of 50 MB, as fast as it is taken; paused in the middle"
TOKENS_BEFORE = 200
TOKENS_AFTER = 300
FIGURES = (
    Figure("taken from the model after the ack", "bytes", target=0, worst=True),
    Figure("taken ahead of the client", "tokens"),
    Figure("new model requests while paused", "requests", target=0, worst=True),
    Figure("tokens to the client late in the pause", "tokens", target=0, worst=True),
    Figure("ack", "ms"),
    Figure("next token after the resume", "ms"),
    Figure("lost or doubled by the pause", "tokens", target=0, worst=True),
)


def measure(target_name: str, options: Options) -> Measured:
    """One round. The plain app has no pause: its one figure is how far it has read ahead of its client."""
    with ModelServer() as model:
        target = make_target(target_name, model.url, "flood")
        with target.process:
            return asyncio.run(_pause_once(target, model, options.pause_s))


async def _pause_once(target: Target, model: ModelServer, pause_s: float) -> Measured:
    channel = await Channel.connect(target.port)
    conversation_id = await target.start(channel, "What will the market do?")
    await channel.wait_tokens(TOKENS_BEFORE)
    named = {"conversation_id": conversation_id}
    if target.name == "plain":
        ahead = _tokens_taken(await asyncio.to_thread(_taken, model)) - channel.tokens
        channel.close()
        return Measured({"taken ahead of the client": ahead}, ("has no pause",))
    sent_s = time.monotonic()
    accepted(await channel.call(PauseStream.name, named))
    ack_ms = (time.monotonic() - sent_s) * 1000
    before = await asyncio.to_thread(_taken, model)
    await asyncio.sleep(pause_s / 2)
    half_way = channel.tokens
    await asyncio.sleep(pause_s / 2)
    after = await asyncio.to_thread(_taken, model)
    in_pause = channel.tokens - half_way
    tokens = channel.tokens
    resumed_s = time.monotonic()
    accepted(await channel.call(ResumeStream.name, named))
    await channel.wait_tokens(tokens + 1)
    next_ms = (time.monotonic() - resumed_s) * 1000
    await channel.wait_tokens(tokens + TOKENS_AFTER)
    await channel.call(StopStream.name, named)
    channel.close()
    return Measured(
        {
            "taken from the model after the ack": after["bytes"] - before["bytes"],
            "new model requests while paused": after["requests"] - before["requests"],
            "taken ahead of the client": _tokens_taken(after) - half_way,
            "tokens to the client late in the pause": in_pause,
            "ack": ack_ms,
            "next token after the resume": next_ms,
            "lost or doubled by the pause": channel.holes + channel.backwards,
        },
        ("taken: by the runner's program; what both kernels hold does not count. Read some ms after the ack",),
    )


def _taken(model: ModelServer) -> dict[str, float]:
    """Bytes that the model's clients have taken, how many that is per token, and how many requests there were."""
    stats: dict[str, Any] = model.stats(messages=False, queues=True)
    requests = stats["requests"]
    sent = sum(request["bytes_sent"] for request in requests)
    return {
        "bytes": sum(request.get("bytes_taken", request["bytes_sent"]) for request in requests),
        "bytes_per_token": sent / max(1, sum(request["tokens_sent"] for request in requests)),
        "requests": stats["total"],
    }


def _tokens_taken(taken: dict[str, float]) -> float:
    return taken["bytes"] / taken["bytes_per_token"]
