"""Many readers at once, several conversations on one connection, and the library's own client, on a bad network."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from typing import Any

import pytest

from tests.chaos.campaign import ENV, MODEL, MODES, SCRIPT
from tests.chaos.client import Connection
from tests.chaos.invariant import History
from tests.chaos.proxy import FaultProxy, Faults
from tests.chaos.reader import Reader
from tests.chaos.wires import Lost
from tests.conftest import TIMEOUT_SCALE
from tests.support.http import http_json
from tests.support.model_server import ModelServer
from tests.support.server import ColloquyServer
from tests.support.watcher import TERMINAL, Watcher, check_chain

LIMIT_S = 60 * TIMEOUT_SCALE
CONTENT = "Who is there?"


def servers(mode: str) -> Iterator[ColloquyServer]:
    with (
        ModelServer() as model,
        ColloquyServer(model_url=model.url, model=MODEL, env={"ASYNC_MODE": mode, **ENV}) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def eventlet_server() -> Iterator[ColloquyServer]:
    """A server in the default mode."""
    yield from servers("eventlet")


@pytest.fixture(params=MODES)
def each_server(request: pytest.FixtureRequest) -> Iterator[ColloquyServer]:
    """A server in each mode."""
    yield from servers(request.param)


async def snapshot(server: ColloquyServer, conversation_id: str) -> dict[str, Any]:
    found: dict[str, Any] = await asyncio.to_thread(
        http_json, "GET", f"{server.url}/api/conversations/{conversation_id}"
    )
    return found


async def ended(server: ColloquyServer, conversation_id: str, histories: list[History]) -> dict[str, Any]:
    """The conversation at its end, when all have reached it."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            truth = await snapshot(server, conversation_id)
            if truth["status"] in TERMINAL and all(each.offset >= truth["offset"] for each in histories):
                return truth
            await asyncio.sleep(0.05)


def check(histories: list[History], truth: dict[str, Any]) -> None:
    for history in histories:
        history.check(truth, SCRIPT)
    violations = [str(each) for history in histories for each in history.violations]
    assert not violations, violations[:20]


async def storm(server: ColloquyServer, crowd: int) -> list[Reader]:
    """A conversation whose readers are all cut off at once, again and again; as they are at the end."""
    starter = await Connection.open(server.port, lambda *_: None)
    ack = await starter.call("start_stream", {"content": CONTENT, "options": {"tokens_per_s": 40}})
    rng = random.Random(1)
    async with FaultProxy(server.port, rng) as proxy:
        readers = [
            Reader(str(number), proxy.port, ack["conversation_id"], rng, options={"acks": True, "batch": True})
            for number in range(crowd)
        ]
        try:
            for times in range(3):
                async with asyncio.timeout(LIMIT_S):
                    while any(reader.history.events < 5 * times + 1 for reader in readers):  # noqa: ASYNC110
                        await asyncio.sleep(0.02)
                proxy.reset()
            histories = [reader.history for reader in readers]
            check(histories, await ended(server, ack["conversation_id"], histories))
        finally:
            await asyncio.gather(*(reader.close() for reader in readers))
            await starter.close()
    return readers


async def test_a_reconnect_storm(eventlet_server: ColloquyServer) -> None:
    """All come back at once, each with its position; nobody misses anything."""
    readers = await storm(eventlet_server, 20)
    assert all(reader.losses for reader in readers)
    assert sum(len(reader.losses) for reader in readers) >= 40
    assert sum(reader.history.recovered for reader in readers) >= 20


@pytest.mark.matrix
async def test_a_reconnect_storm_in_each_mode(each_server: ColloquyServer) -> None:
    """A larger one."""
    await storm(each_server, 100)


async def test_several_conversations_on_one_connection(eventlet_server: ColloquyServer) -> None:
    """Each has its own order; the connection is cut twice, and each goes on where it was."""
    rng = random.Random(2)
    histories: dict[str, History] = {}

    def take(name: str, payload: dict[str, Any]) -> None:
        if payload.get("conversation_id") in histories:
            histories[payload["conversation_id"]].take(name, payload)

    async def come_back(port: int) -> Connection:
        connection = await Connection.open(port, take)
        for conversation_id, history in histories.items():
            asked, payload = history.position, {"conversation_id": conversation_id, "position": history.position}
            await connection.call("join", payload, lambda ack, asked=asked, to=history: to.joined(asked, ack))
        return connection

    async with FaultProxy(eventlet_server.port, rng) as proxy:
        proxy.faults = Faults(slice_bytes=150)
        connection = await Connection.open(proxy.port, take)
        for number in range(3):

            def begun(ack: dict[str, Any], number: int = number) -> None:
                history = histories[ack["conversation_id"]] = History(str(number), ack["conversation_id"])
                history.joined(None, ack)

            await connection.call("start_stream", {"content": f"{CONTENT} {number}"}, begun)
        for events in (10, 25):
            async with asyncio.timeout(LIMIT_S):
                while any(each.events < events for each in histories.values()):  # noqa: ASYNC110  # no event says so
                    await asyncio.sleep(0.01)
            proxy.reset()
            await connection.until_lost()
            for history in histories.values():
                history.lost()
            connection = await come_back(proxy.port)
        for conversation_id, history in histories.items():
            check([history], await ended(eventlet_server, conversation_id, [history]))
            assert history.recovered == 2
        await connection.close()


@pytest.mark.parametrize("transport", ["websocket", "polling"])
async def test_the_librarys_own_client_on_a_bad_network(eventlet_server: ColloquyServer, transport: str) -> None:
    """python-socketio, through cut frames and jitter: every event, in order."""

    def watch(url: str) -> tuple[list[Any], dict[str, Any], str]:
        with Watcher(url, transports=(transport,), timeout_s=LIMIT_S) as watcher:
            ack = watcher.must("start_stream", {"content": CONTENT})
            status = watcher.wait_for_end()
            return watcher.events(), ack, status

    async with FaultProxy(eventlet_server.port, random.Random(3)) as proxy:
        proxy.faults = Faults(slice_bytes=90, latency_s=0.005, jitter_s=0.03)
        events, ack, status = await asyncio.to_thread(watch, proxy.url)
    assert status == "completed"
    check_chain(events, ack["offset"])
    history = History(transport, ack["conversation_id"])
    history.joined(None, ack)
    for name, payload in events:
        history.take(name, payload)
    check([history], await snapshot(eventlet_server, ack["conversation_id"]))


async def test_a_conversation_that_is_not_there_is_told_at_once(eventlet_server: ColloquyServer) -> None:
    """Not a reader that waits for ever."""
    reader = Reader("lost", eventlet_server.port, "no-such-conversation", random.Random(4))
    async with asyncio.timeout(LIMIT_S):
        while reader.refused is None:  # noqa: ASYNC110  # no event says so
            await asyncio.sleep(0.01)
    await reader.close()
    assert reader.refused == "conversation_unknown"
    with pytest.raises(Lost):
        await Connection.open(1, lambda *_: None)
