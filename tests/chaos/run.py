"""One seeded run: a conversation, its readers behind a fault proxy each, and what the seed lets happen to them."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.client import Connection
from tests.chaos.invariant import History, Violation
from tests.chaos.plan import STORM, Plan, Step
from tests.chaos.proxy import FaultProxy
from tests.chaos.reader import Reader
from tests.chaos.sse import SseReader
from tests.chaos.wires import Lost
from tests.conftest import TIMEOUT_SCALE
from tests.support.http import http_json
from tests.support.watcher import TERMINAL

END_TIMEOUT_S = 30.0 * TIMEOUT_SCALE
POLL_S = 0.05
CONTENT = "Should the bank keep its dividend after this quarter?"


@dataclass
class Outcome:
    """What came of a run."""

    plan: Plan
    conversation_id: str = ""
    status: str = ""
    took_s: float = 0.0
    violations: list[Violation] = field(default_factory=list)
    connections: int = 0
    losses: int = 0
    events: int = 0
    recovered: int = 0
    snapshots: int = 0
    resyncs: int = 0

    def __str__(self) -> str:
        return "\n".join([str(self.plan), *(f"  !! {each}" for each in self.violations[:8])])


class Run:
    """Carries out a plan on a server.

    :param script: what each agent of the scripted model says.
    :param errors: codes of ``conversation_error`` that the run may end with.
    """

    def __init__(self, plan: Plan, port: int, *, script: str, errors: tuple[str, ...] = ()) -> None:
        self.plan = plan
        self.port = port
        self.script = script
        self.errors = errors
        self.outcome = Outcome(plan)
        self.readers: list[Reader] = []
        self.proxies: list[FaultProxy] = []
        self._rng = random.Random(plan.seed)
        self._later: set[asyncio.Task[None]] = set()

    async def go(self) -> Outcome:
        """From the start of the conversation to the comparison of what everybody has seen."""
        began = asyncio.get_running_loop().time()
        async with AsyncExitStack() as stack:
            starter = _Starter(self.port, self.plan)
            stack.push_async_callback(starter.close)
            self.outcome.conversation_id = await starter.start()
            stack.push_async_callback(self._close)
            await self._gather_readers(stack)
            await self._follow_the_plan()
            self._heal()
            truth = await self._end(starter)
            histories = [starter.history, *(reader.history for reader in self.readers)]
            await self._until_all_are_there(histories, truth)
            self._judge(histories, truth)
            self.outcome.took_s = asyncio.get_running_loop().time() - began
        return self.outcome

    # --- the faults

    async def _gather_readers(self, stack: AsyncExitStack) -> None:
        for number, each in enumerate(self.plan.readers):
            proxy = await stack.enter_async_context(
                FaultProxy(self.port, self._rng, buffer_bytes=each.receive_buffer_bytes)
            )
            self.proxies.append(proxy)
            kind = SseReader if each.transport == "sse" else Reader
            self.readers.append(
                kind(
                    f"{self.plan.seed}/{number}",
                    proxy.port,
                    self.outcome.conversation_id,
                    self._rng,
                    transport=each.transport,
                    options=each.options,
                    late_s=each.late_s,
                    receive_buffer_bytes=each.receive_buffer_bytes,
                )
            )

    async def _follow_the_plan(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        if self.plan.kills_runner:
            self._after(self._rng.uniform(0.1, 0.9), lambda: kill_runner(self.port, self._rng))
        for step in self.plan.steps:
            await asyncio.sleep(max(0.0, began + step.at_s - loop.time()))
            for number in range(len(self.readers)) if step.reader == STORM else (step.reader,):
                self._take(step, self.readers[number], self.proxies[number])

    def _take(self, step: Step, reader: Reader, proxy: FaultProxy) -> None:
        match step.what:
            case "faults":
                proxy.faults = step.value
            case "reset" | "pull_the_plug":
                getattr(proxy, step.what)()
            case "half_close":
                proxy.half_close(step.value)
            case "refuse":
                proxy.refuse()
                self._after(step.value, proxy.accept)
            case "stall" | "leave":
                getattr(reader, step.what)(step.value)
            case "drop" | "reload":
                getattr(reader, step.what)()
            case command:
                reader.command(command)

    def _after(self, seconds: float, act: Callable[[], Any]) -> None:
        async def wait() -> None:
            await asyncio.sleep(seconds)
            act()

        task = asyncio.create_task(wait())
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    def _heal(self) -> None:
        for proxy in self.proxies:
            proxy.heal()

    # --- the end

    async def _end(self, starter: _Starter) -> dict[str, Any]:
        """Wait for the run's end; a pause that nobody has ended is ended."""
        deadline = asyncio.get_running_loop().time() + END_TIMEOUT_S
        while True:
            await asyncio.gather(*self._later)
            truth = await self.snapshot()
            if truth["status"] in TERMINAL:
                break
            if asyncio.get_running_loop().time() > deadline:
                self._note("hung", f"still {truth['status']} after {END_TIMEOUT_S} s")
                break
            if truth["status"] == "paused":
                await starter.command("resume_stream")
            await asyncio.sleep(POLL_S)
        self.outcome.status = truth["status"]
        return truth

    async def snapshot(self) -> dict[str, Any]:
        """The conversation as the server holds it."""
        address = f"http://127.0.0.1:{self.port}/api/conversations/{self.outcome.conversation_id}"
        found: dict[str, Any] = await asyncio.to_thread(http_json, "GET", address, timeout_s=END_TIMEOUT_S)
        return found

    async def _until_all_are_there(self, histories: list[History], truth: dict[str, Any]) -> None:
        deadline = asyncio.get_running_loop().time() + END_TIMEOUT_S
        while any(each.offset < truth["offset"] for each in histories):
            if asyncio.get_running_loop().time() > deadline:
                return  # the comparison says who is stuck
            await asyncio.sleep(POLL_S / 5)

    def _judge(self, histories: list[History], truth: dict[str, Any]) -> None:
        for history in histories:
            history.check(truth, self.script)
            self.outcome.violations += history.violations
            self.outcome.events += history.events
            self.outcome.recovered += history.recovered
            self.outcome.snapshots += history.snapshots
            self.outcome.resyncs += history.resyncs
        self.outcome.losses = sum(len(reader.losses) for reader in self.readers)
        self.outcome.connections = sum(proxy.accepted for proxy in self.proxies)
        status, error = truth["status"], truth["error"]
        allowed = status == "completed" or (status == "stopped" and self.plan.stops)
        if not allowed and not (status == "error" and error and error["code"] in self.errors):
            self._note("status", f"it ended as {status}: {error}")
        for reader in self.readers:
            if reader.refused is not None:
                self._note("refused", f"{reader.history.name}: {reader.refused}")

    def _note(self, kind: str, what: str) -> None:
        self.outcome.violations.append(Violation(kind, f"run {self.plan.seed}", what))

    async def _close(self) -> None:
        for task in self._later:
            task.cancel()
        await asyncio.gather(*(reader.close() for reader in self.readers))


class _Starter:
    """Starts the conversation on an undisturbed connection, and sees it to the end: the neighbour of all the others."""

    def __init__(self, port: int, plan: Plan) -> None:
        self.history = History(f"{plan.seed}/starter", "")
        self._port = port
        self._plan = plan
        self._connection: Connection | None = None

    async def start(self) -> str:
        connection = self._connection = await Connection.open(self._port, lambda *event: self.history.take(*event))

        def take(ack: dict[str, Any]) -> None:
            assert ack["ok"], ack
            self.history.conversation_id = ack["conversation_id"]
            self.history.joined(None, ack)

        await connection.call("start_stream", {"content": CONTENT, "options": self._plan.options}, take)
        return self.history.conversation_id

    async def command(self, name: str) -> None:
        assert self._connection is not None
        try:
            await self._connection.call(name, {"conversation_id": self.history.conversation_id})
        except Lost as error:
            self.history.violations.append(Violation("neighbour", self.history.name, f"{name}: {error}"))

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()


def kill_runner(port: int, rng: random.Random) -> None:
    """SIGKILL to one of the agent processes that carry runs."""
    runners = http_json("GET", f"http://127.0.0.1:{port}/api/websocket/status")["runners"]
    busy = [runner["pid"] for runner in runners if runner["ready"] and runner["runs"]]
    if busy:
        os.kill(rng.choice(busy), signal.SIGKILL)
