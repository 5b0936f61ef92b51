"""The two servers that are measured, behind one face."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from typing import Any

from app.protocol.commands import RunOptions, StartStream
from benchmarks.client import Channel
from tests.support.http import HttpError, http_json
from tests.support.processes import ServerProcess, alive, cpu_s, rss_bytes
from tests.support.server import ColloquyServer

STATUS_PATH = "/api/websocket/status"
UNLIMITED = {"STREAM_TOKENS_PER_S": "0"}  # pacing off: what is measured is the way, not the pace


class Target:
    """One running server and what can be asked of it."""

    def __init__(self, name: str, process: ServerProcess) -> None:
        self.name = name
        self.process = process

    @property
    def port(self) -> int:
        return self.process.port

    def web_cpu_s(self) -> float:
        """CPU time of the web process so far, in seconds."""
        return cpu_s(self.process.pid)

    def runners_cpu_s(self) -> float:
        """CPU time of its living child processes so far, in seconds."""
        return sum(cpu_s(pid) for pid in alive(self.process.children()))

    def web_rss_bytes(self) -> int:
        """Resident memory of the web process."""
        return rss_bytes(self.process.pid)

    def open_files(self) -> int:
        """Open descriptors of the web process, its connections among them."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def loop_lateness_ms(self, last_s: float) -> dict[str, float]:
        """Lateness of the web process's event loop in the last seconds; empty where the server does not tell."""
        try:
            status = http_json("GET", f"http://127.0.0.1:{self.port}{STATUS_PATH}?lateness_s={last_s:.3f}")
        except (OSError, HttpError):
            return {}
        lateness = status.get("loop_lateness_ms") if isinstance(status, dict) else None
        return {name: float(value) for name, value in (lateness or {}).items() if isinstance(value, int | float)}

    async def start(self, channel: Channel, content: str) -> str:
        """Start a conversation of one turn; its id. The caller is in its room.

        :raises RuntimeError: if the server refuses.
        """
        options = RunOptions(tokens_per_s=0, max_turns=1).model_dump(exclude_none=True)
        ack = await channel.call(StartStream.name, {"content": content, "team": "debate", "options": options})
        return str(accepted(ack)["conversation_id"])


def accepted(ack: dict[str, Any]) -> dict[str, Any]:
    """The ack, if it is a good one.

    :raises RuntimeError: with the error that it carries.
    """
    if ack.get("ok") is not True:
        raise RuntimeError(f"refused: {ack}")
    return ack


def make_target(name: str, model_url: str, model: str, env: Mapping[str, str] | None = None) -> Target:
    """A server that is not started yet: ``colloquy`` or ``plain``, with the scripted model as its provider.

    :param env: further settings, for Colloquy only. What stands in this process's environment (RUNNERS, ASYNC_MODE …)
        is passed on, too.
    """
    if name == "plain":
        settings = {"OPENAI_BASE_URL": model_url, "OPENAI_MODEL": model}
        argv = [sys.executable, "-m", "benchmarks.plain_app"]
        return Target(name, ServerProcess(argv, ready_pattern=rb"http://127\.0\.0\.1:(\d+)", env=settings))
    return Target(name, ColloquyServer(model_url=model_url, model=model, env=UNLIMITED | dict(env or {})))


async def connect_many(target: Target, count: int, **options: Any) -> list[Channel]:
    """Connections, 25 at a time, so that connecting is no load of its own."""
    channels: list[Channel] = []
    while len(channels) < count:
        batch = min(25, count - len(channels))
        channels += await asyncio.gather(*(Channel.connect(target.port, **options) for _ in range(batch)))
    return channels


def raise_file_limit() -> None:
    """Allow as many open files as the system lets us, here and in the servers that we start."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, 16_384) if hard != resource.RLIM_INFINITY else 16_384
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
