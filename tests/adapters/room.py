"""A run in this process, without a web process at its other end: what it says, collected and checked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from app.protocol.common import Payload, Usage
from app.providers.network import Network
from app.runner.run import Run
from app.runner.wire import Answer, Artifact, Checkpoint, Ended, Limits, RunEvent, StartRun, TeamSpec
from tests.conftest import TIMEOUT_SCALE
from tests.runner.harness import provider
from tests.support.model_server import ModelServer

MODEL = "scripted?tokens=12&token_delay_ms=1"
WAIT_S = 20.0 * TIMEOUT_SCALE


class Room:
    """A link that keeps what it is given, and grants at once what was sent."""

    def __init__(self, allowed: int = 10_000) -> None:
        self.heard: list[Payload] = []
        self.texts: dict[str, str] = {}
        self.tokens = 0
        self.allowed = allowed
        self.run: Run | None = None
        self.living: asyncio.Task[None] | None = None

    def send(self, message: Payload, session: str | None = None) -> None:
        self.heard.append(message)
        if isinstance(message, RunEvent):
            self.tokens += message.tokens
            if message.name == "message_reset":
                self.texts.pop(message.payload["message_id"])

    def send_delta(self, session: str, message_id: str, agent: str, text: str, tokens: int, *, demo: bool) -> None:
        self.texts[message_id] = self.texts.get(message_id, "") + text
        self.tokens += tokens

    def payloads(self, name: str) -> list[dict[str, Any]]:
        return [m.payload for m in self.heard if isinstance(m, RunEvent) and m.name == name]

    def names(self, *wanted: str) -> list[str]:
        """The names of the events so far, of these only."""
        return [m.name for m in self.heard if isinstance(m, RunEvent) and m.name in wanted]

    def said(self, kind: str = "message") -> list[tuple[str, str]]:
        """(agent, text) of all whole messages of a kind."""
        return [(m["agent"], m["content"]) for m in self.payloads("agent_message") if m["kind"] == kind]

    @property
    def checkpoints(self) -> list[dict[str, Any]]:
        return [message.state for message in self.heard if isinstance(message, Checkpoint)]

    @property
    def artifacts(self) -> dict[str, Artifact]:
        return {message.artifact_id: message for message in self.heard if isinstance(message, Artifact)}

    @property
    def ended(self) -> Ended:
        assert isinstance(self.heard[-1], Ended), self.heard[-3:]
        return self.heard[-1]

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait until it holds, taking all that comes."""
        assert self.run is not None
        assert self.living is not None
        async with asyncio.timeout(WAIT_S):
            while not condition():
                self.run.gate.grant(self.tokens + self.allowed)
                assert not self.living.done() or condition(), f"the run has ended: {self.heard[-3:]}"
                await asyncio.wait([self.living], timeout=0.01)

    async def over(self) -> None:
        """Wait for the end, and check that every message is what was streamed of it."""
        assert self.living is not None
        assert self.run is not None
        await self.until(self.living.done)
        self.check()
        assert self.run.gate.credit + self.tokens >= self.allowed  # nothing is left reserved

    def check(self) -> None:
        started = {start["message_id"]: start for start in self.payloads("message_start")}
        for message in self.payloads("agent_message"):
            if message["role"] == "system":
                continue
            assert self.texts.get(message["message_id"], "") == message["content"]
            start = started[message["message_id"]]
            assert (start["agent"], start["kind"]) == (message["agent"], message["kind"])

    async def stop(self) -> Usage:
        """Stop the run, as the host does."""
        assert self.run is not None
        spent = await self.run.stop()
        await self.run.put_down()
        return spent

    def answer(self, resolution: str = "answered", content: str = "") -> None:
        """Answer the last question."""
        assert self.run is not None
        request_id = self.payloads("input_request")[-1]["request_id"]
        given: dict[str, Any] = {"resolution": resolution, "content": content}
        self.run.answer(Answer(session="s", request_id=request_id, **given))


@asynccontextmanager
async def a_run(
    network: Network, model: ModelServer, factory: str, allowed: int = 10_000, **fields: Any
) -> AsyncIterator[Room]:
    """A run of a team, under way; stopped in the end, if it has not ended by itself.

    :param factory: a function of ``own_teams``, or ``module:function``.
    """
    values: dict[str, Any] = {
        "content": "A question.",
        "content_type": "text",
        "providers": (provider(model.url, fields.pop("model_name", MODEL)),),
        "limits": Limits(word_delay_ms=0, **fields.pop("limits", {})),
        **fields,
    }
    team = TeamSpec(name="mine", factory=factory if ":" in factory else f"tests.adapters.own_teams:{factory}")
    room = Room(allowed)
    start = StartRun(session="s", conversation="c", team=team, allowed=allowed, **values)
    run = room.run = Run(start, room, network)  # type: ignore[arg-type]
    room.living = asyncio.create_task(run.live())
    try:
        yield room
    finally:
        if not room.living.done():
            await room.stop()
            await room.living


async def play(network: Network, model: ModelServer, factory: str, allowed: int = 10_000, **fields: Any) -> Room:
    """Run a team to its end, with a reader that takes everything."""
    async with a_run(network, model, factory, allowed, **fields) as room:
        await room.over()
    return room
