"""A client comes back to a conversation of which it missed 10,000 tokens: how long until it has them all?"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from app.protocol.commands import Join
from app.protocol.events import ConversationComplete
from benchmarks.cases import Measured, Options
from benchmarks.client import Channel
from benchmarks.figures import Figure, percentile
from benchmarks.targets import Target, accepted, make_target
from tests.support.model_server import ModelServer

NAME = "resume"
TITLE = "back after 10,000 missed tokens: from the join to the last of them"
MISSED_TOKEN_DELAY_MS = 0.5
FIGURES = (
    Figure("resume p50", "ms"),
    Figure("resume p99", "ms", target=500),
    Figure("tokens missing or twice", "tokens", target=0, worst=True),
    Figure("frames per resume", "count", better="none"),
    Figure("web process CPU per resume", "ms"),
)


def measure(target_name: str, options: Options) -> Measured:
    """One round."""
    if target_name == "plain":
        return Measured({}, ("it keeps nothing that one could come back to",))
    with ModelServer() as model:
        model.control(tokens=options.missed_tokens, token_delay_ms=MISSED_TOKEN_DELAY_MS, markers=True)
        target = make_target(target_name, model.url, "scripted")
        with target.process:
            return Measured(asyncio.run(_come_back(target, options)))


async def _come_back(target: Target, options: Options) -> dict[str, float | None]:
    starter = await Channel.connect(target.port)
    ended = asyncio.Event()

    def note(name: str, payload: dict[str, Any]) -> None:
        if name == ConversationComplete.name:
            ended.set()

    starter.on_event = note
    conversation_id = await target.start(starter, "What will the market do?")
    snapshot = accepted(await starter.call(Join.name, {"conversation_id": conversation_id}))
    position = {"epoch": snapshot["epoch"], "offset": 0}
    async with asyncio.timeout(120):
        await ended.wait()
    took_ms: list[float] = []
    wrong = frames = 0
    cpu_s = target.web_cpu_s()
    for _ in range(options.resumes):
        channel = await Channel.connect(target.port)
        began_s = time.monotonic()
        accepted(await channel.call(Join.name, {"conversation_id": conversation_id, "position": position}))
        await channel.wait_tokens(options.missed_tokens)
        took_ms.append((time.monotonic() - began_s) * 1000)
        wrong += channel.holes + channel.backwards
        frames += channel.frames
        channel.close()
    cpu_s = target.web_cpu_s() - cpu_s
    starter.close()
    took_ms.sort()
    return {
        "resume p50": percentile(took_ms, 0.5),
        "resume p99": percentile(took_ms, 0.99),
        "tokens missing or twice": wrong,
        "frames per resume": frames / options.resumes,
        "web process CPU per resume": cpu_s / options.resumes * 1000,
    }
