"""All runs of one runner process, and the orders that come down the link."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Coroutine
from typing import Any

import httpx2
from pydantic import ValidationError

from app.adapters.build import describe_team
from app.providers.health import ask_providers
from app.providers.network import Network
from app.runner.link import Link
from app.runner.run import Run
from app.runner.wire import DOWN, Answer, Budget, Control, Describe, Ended, Grant, Hello, Ping, Probe, Reply, StartRun

log = logging.getLogger(__name__)
SHUTDOWN_TIMEOUT_S = 0.6


class Host:
    """Dispatches orders. Replies to a pause when nothing is read any more, to a stop when all requests are closed.

    :param transport: stands in for the network (tests).
    """

    def __init__(self, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        self._network = Network(transport)
        self._runs: dict[str, Run] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._link: Link | None = None
        self._writable = True
        self._over = asyncio.Event()

    async def serve(self, fd: int) -> None:
        """Serve the link until its end of file, or until :meth:`leave`; then close what is open. Bounded in time."""
        self._link = await Link.connect(fd, self._on_line, self._on_writable, self.leave)
        self._link.send(Hello(pid=os.getpid()))
        await self._over.wait()
        runs = tuple(self._runs.values())
        closing = [asyncio.ensure_future(run.model.abort_all()) for run in runs]
        if closing:
            await asyncio.wait(closing, timeout=SHUTDOWN_TIMEOUT_S)

    def leave(self) -> None:
        """End the process soon."""
        self._over.set()

    @property
    def link(self) -> Link:
        assert self._link is not None
        return self._link

    def _on_writable(self, writable: bool) -> None:
        self._writable = writable
        for run in self._runs.values():
            run.gate.set_writable(writable)

    def _on_line(self, line: bytes) -> None:
        try:
            order = DOWN.validate_json(line)
        except ValidationError as error:
            log.warning("an order was not understood: %s", error.errors(include_input=False, include_url=False))
            return
        if isinstance(order, StartRun):
            self._start(order)
        elif isinstance(order, Grant):
            run = self._runs.get(order.session)
            if run is not None:
                run.gate.grant(order.allowed)
        elif isinstance(order, Control):
            self._control(order)
        elif isinstance(order, Budget):
            run = self._runs.get(order.session)
            if run is not None:
                run.model.allow(order.allowed, order.wanted)
        elif isinstance(order, Answer):
            run = self._runs.get(order.session)
            if run is not None:
                run.answer(order)
        elif isinstance(order, Ping):
            self.link.send(Reply(seq=order.seq))
        elif isinstance(order, Describe):
            self._spawn(self._describe(order))
        else:
            self._spawn(self._probe(order))

    def _start(self, order: StartRun) -> None:
        if order.session in self._runs:
            log.warning("session %s runs already", order.session)
            return
        run = self._runs[order.session] = Run(order, self.link, self._network)
        run.gate.set_writable(self._writable)
        self._spawn(self._live(run))

    async def _live(self, run: Run) -> None:
        try:
            await run.live()
        finally:
            if not run.stopping:
                self._runs.pop(run.start.session, None)

    def _control(self, order: Control) -> None:
        run = self._runs.get(order.session)
        if run is None or run.stopping:
            error = {"error": "session_unknown"}
            self.link.send(Reply(seq=order.seq, ok=False, result=error))
        elif order.op == "resume":
            run.gate.resume()
            self.link.send(Reply(seq=order.seq), order.session)
        elif order.op == "pause":
            run.gate.pause()
            self._spawn(self._pause(run, order))
        else:
            run.stopping = True
            self._spawn(self._stop(run, order))

    async def _pause(self, run: Run, order: Control) -> None:
        await run.gate.settled()
        self.link.send(Reply(seq=order.seq), order.session)

    async def _stop(self, run: Run, order: Control) -> None:
        usage = await run.stop()
        self.link.send(Reply(seq=order.seq, result={"usage": usage.model_dump()}), order.session)
        self.link.send(Ended(session=order.session, outcome="stopped", usage=usage), order.session)
        self._runs.pop(order.session, None)
        await run.put_down()

    async def _describe(self, order: Describe) -> None:
        self.link.send(Reply(seq=order.seq, result=await describe_team(order.team)))

    async def _probe(self, order: Probe) -> None:
        result = await ask_providers(self._network, order.providers, order.timeout_s, look=order.look)
        self.link.send(Reply(seq=order.seq, result={"providers": result}))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
