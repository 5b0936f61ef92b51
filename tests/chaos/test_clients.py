"""Colloquy's own clients where the network fails and the server dies: they hold the server's text, or say so."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.chaos.campaign import ENV
from tests.chaos.client import Connection
from tests.chaos.clients import Seen, follow_in_javascript, follow_in_python, texts_of
from tests.chaos.proxy import BLACK_HOLE, FaultProxy, Faults
from tests.conftest import TIMEOUT_SCALE
from tests.support.http import http_json
from tests.support.model_server import ModelServer
from tests.support.server import ColloquyServer
from tests.support.watcher import TERMINAL

FOLLOW = (follow_in_python, follow_in_javascript)
LIMIT_S = 60 * TIMEOUT_SCALE


@pytest.fixture
def model() -> Iterator[ModelServer]:
    """The scripted model."""
    with ModelServer() as server:
        yield server


async def until(condition: Callable[[], Any]) -> Any:
    async with asyncio.timeout(LIMIT_S):
        while not (value := await asyncio.to_thread(condition)):  # noqa: ASYNC110  # it asks the server
            await asyncio.sleep(0.02)
        return value


class Audience:
    """Both clients, each behind a proxy of its own, following one conversation."""

    def __init__(self, stack: AsyncExitStack, server: ColloquyServer) -> None:
        self._stack = stack
        self._server = server
        self.proxies: list[FaultProxy] = []
        self.tasks: list[asyncio.Task[Seen]] = []
        self.conversation_id = ""

    async def gather(self) -> None:
        starter = await Connection.open(self._server.port, lambda *_: None)
        self._stack.push_async_callback(starter.close)
        ack = await starter.call("start_stream", {"content": "Will it hold?"})
        self.conversation_id = ack["conversation_id"]
        for follow in FOLLOW:
            proxy = await self._stack.enter_async_context(FaultProxy(self._server.port, random.Random(5)))
            following = asyncio.Event()
            task = asyncio.create_task(follow(proxy.url, self.conversation_id, following))
            self.proxies.append(proxy)
            self.tasks.append(task)
            waiting = asyncio.create_task(following.wait())
            await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED, timeout=LIMIT_S)
            waiting.cancel()
            assert following.is_set(), task.result()

    def snapshot(self) -> dict[str, Any]:
        found: dict[str, Any] = http_json("GET", f"{self._server.url}/api/conversations/{self.conversation_id}")
        return found

    def grown_by(self, offset: int) -> Callable[[], bool]:
        """A condition: so many events more than now."""
        wanted = self.snapshot()["offset"] + offset
        return lambda: self.snapshot()["offset"] >= wanted

    async def seen(self) -> list[Seen]:
        return await asyncio.wait_for(asyncio.gather(*self.tasks), LIMIT_S)


async def test_our_clients_hold_the_servers_text_on_a_failing_network(model: ModelServer) -> None:
    """Cut frames, resets, a black hole, a pulled plug: at the end both show what the server shows."""
    model.control(tokens=120, token_delay_ms=10)
    with ColloquyServer(model_url=model.url, env=ENV) as server:
        async with AsyncExitStack() as stack:
            audience = Audience(stack, server)
            await audience.gather()
            for proxy in audience.proxies:
                proxy.faults = Faults(slice_bytes=7, latency_s=0.01, jitter_s=0.02)
            for fault in ("reset", "pull_the_plug", "reset"):
                await until(audience.grown_by(20))
                for proxy in audience.proxies:
                    getattr(proxy, fault)()
            await until(audience.grown_by(20))
            for proxy in audience.proxies:
                proxy.faults = BLACK_HOLE
            await until(audience.grown_by(20))
            for proxy in audience.proxies:
                proxy.heal()
            seen = await audience.seen()
            truth = audience.snapshot()
    assert truth["status"] == "completed"
    for each in seen:
        assert each.failure is None
        assert each.texts() == texts_of(truth)
        assert (each.state["status"], each.state["offset"]) == ("completed", truth["offset"])
        assert each.reconnects >= 1
        assert each.gaps == 0, "a hole, although the server sends none"


async def test_a_killed_server_leaves_the_clients_their_text(model: ModelServer) -> None:
    """Its memory is gone: `conversation_unknown`; what had arrived stays, marked as interrupted."""
    model.control(tokens=100_000, token_delay_ms=10)
    async with AsyncExitStack() as stack:
        server = stack.enter_context(ColloquyServer(model_url=model.url, env=ENV))
        audience = Audience(stack, server)
        await audience.gather()
        await until(audience.grown_by(20))
        children = server.children()
        server.kill()
        assert children
        second = stack.enter_context(ColloquyServer(model_url=model.url, env=ENV))
        for proxy in audience.proxies:
            proxy.target_port = second.port
        seen = await audience.seen()
        running = second.get("/api/websocket/status")["sessions"]["running"]
    assert running == 0
    for each in seen:
        assert each.failure == "conversation_unknown"
        assert (each.state["status"], each.state["error"]["code"]) == ("error", "interrupted")
        *whole, (_, text, state) = each.texts()
        assert (state, text) == ("partial", "".join(f"word{number + 1} " for number in range(text.count(" "))))
        assert len(text) > 20
        assert [state for _, _, state in whole] == ["complete"] * len(whole)
    assert all(each.state["status"] in TERMINAL for each in seen)
