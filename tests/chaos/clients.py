"""Colloquy's own client libraries as readers: the Python one in threads, the JavaScript one in Node.js."""

from __future__ import annotations

import asyncio
import json
import shutil
from dataclasses import dataclass
from typing import Any

from app.client import Client
from tests.conftest import TIMEOUT_SCALE
from tests.support.processes import ROOT

END_S = 60.0 * TIMEOUT_SCALE


@dataclass(frozen=True, slots=True)
class Seen:
    """What a client library holds at the end."""

    state: dict[str, Any]
    failure: str | None
    reconnects: int
    gaps: int

    def texts(self) -> list[tuple[str, str, str]]:
        """Id, text and state of each message."""
        return texts_of(self.state)


def texts_of(snapshot: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Id, text and state of each message of a snapshot."""
    return [(each["message_id"], each["content"], each["state"]) for each in snapshot["messages"]]


async def follow_in_python(url: str, conversation_id: str, following: asyncio.Event) -> Seen:
    """Follow with ``app.client`` until the end of the run, or until it gives up."""
    loop = asyncio.get_running_loop()

    def follow() -> Seen:
        client = Client(
            url,
            transports=("websocket",),
            ping_interval_s=0,
            reconnection_delay_s=0.05,
            reconnection_delay_max_s=0.2,
            connect_timeout_s=2.0 * TIMEOUT_SCALE,
        )
        with client, client.stream() as stream:
            stream.join(conversation_id)
            loop.call_soon_threadsafe(following.set)
            for _ in stream.events(timeout_s=END_S):
                continue
            failure = stream.failure.code if stream.failure is not None else None
            state = stream.state.model_dump(mode="json", by_alias=True)
            return Seen(state, failure, stream.metrics.reconnects, stream.metrics.gaps)

    return await asyncio.to_thread(follow)


async def follow_in_javascript(url: str, conversation_id: str, following: asyncio.Event) -> Seen:
    """Follow with ``static/js`` until the end of the run, or until it gives up."""
    node = shutil.which("node")
    assert node, "Node.js is missing"
    script = str(ROOT / "tests" / "chaos" / "follow.mjs")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        node, script, url, conversation_id, cwd=ROOT, stdout=pipe, stderr=pipe, limit=4_194_304
    )
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        first = await asyncio.wait_for(process.stdout.readline(), END_S)
        assert first, (await process.stderr.read()).decode()
        following.set()
        last = await asyncio.wait_for(process.stdout.readline(), END_S)
        assert last, (await process.stderr.read()).decode()
        return Seen(**json.loads(last))
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
