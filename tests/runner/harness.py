"""A real runner process at the other end of a socket pair, and what it says, collected."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any, Self

from app.protocol.common import Payload
from app.runner.wire import UP, Checkpoint, Control, Ended, Grant, ProviderSpec, Reply, RunEvent, StartRun, TeamSpec
from app.teams.registry import find_teams
from tests.conftest import TIMEOUT_SCALE
from tests.support.processes import ROOT

WAIT_S = 10.0 * TIMEOUT_SCALE


def provider(base_url: str, model: str = "scripted", name: str = "openai", **fields: Any) -> ProviderSpec:
    """A provider for the scripted model server."""
    return ProviderSpec(name=name, kind="openai", model=model, base_url=base_url, api_key="sk-test", **fields)


def start_run(
    *providers: ProviderSpec, session: str = "s1", team: str | TeamSpec = "debate", **fields: Any
) -> StartRun:
    """An order to run a bundled team."""
    values: dict[str, Any] = {"content": "Shares of ACME fell by 5 %.", "content_type": "text", "allowed": 100_000}
    spec = find_teams()[team] if isinstance(team, str) else team
    return StartRun(session=session, conversation="c1", team=spec, providers=providers, **{**values, **fields})


class RunnerProcess:
    """``python -m app.runner`` with one end of a socket pair; ``heard`` is all that it has said. An async context."""

    def __init__(self, *, read: bool = True) -> None:
        self.heard: list[Any] = []
        self.eof = asyncio.Event()
        self._news = asyncio.Condition()
        self._read = read
        self._seq = 0

    async def __aenter__(self) -> Self:
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "app.runner", str(theirs.fileno()),
            pass_fds=[theirs.fileno()], stdin=asyncio.subprocess.DEVNULL, start_new_session=True, cwd=ROOT,
        )  # fmt: skip
        theirs.close()
        self.reader, self.writer = await asyncio.open_connection(sock=ours, limit=2**26)
        if self._read:
            self._task = asyncio.create_task(self._listen())
            await self.until(lambda: any(message.op == "hello" for message in self.heard))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()
        if self._read:
            self._task.cancel()
        try:
            async with asyncio.timeout(3):
                await self.process.wait()
        except TimeoutError:
            os.killpg(self.process.pid, signal.SIGKILL)
            await self.process.wait()
            raise

    async def _listen(self) -> None:
        while line := await self.reader.readline():
            async with self._news:
                self.heard.append(UP.validate_json(line))
                self._news.notify_all()
        self.eof.set()
        async with self._news:
            self._news.notify_all()

    def say(self, order: Payload) -> None:
        """Send an order."""
        self.writer.write(order.model_dump_json().encode() + b"\n")

    def grant(self, allowed: int, session: str = "s1") -> None:
        self.say(Grant(session=session, allowed=allowed))

    async def control(self, op: str, session: str = "s1") -> Reply:
        """Pause, resume or stop, and the reply."""
        self._seq += 1
        seq = self._seq
        self.say(Control(op=op, session=session, seq=seq))  # type: ignore[arg-type]
        found: list[Reply] = await self.until(lambda: [m for m in self.heard if isinstance(m, Reply) and m.seq == seq])
        return found[0]

    async def until(self, condition: Callable[[], Any], wait_s: float = WAIT_S) -> Any:
        """Wait until the condition holds of what was heard; returns its value."""
        try:
            async with asyncio.timeout(wait_s), self._news:
                await self._news.wait_for(condition)
                return condition()
        except TimeoutError:
            raise AssertionError(f"it never came to it: {self.heard[-12:]}") from None

    async def ended(self, session: str = "s1", wait_s: float = WAIT_S) -> Ended:
        """Wait for the end of the run."""
        found: list[Ended] = await self.until(
            lambda: [m for m in self.heard if isinstance(m, Ended) and m.session == session], wait_s
        )
        return found[0]

    def events(self, *names: str, session: str = "s1") -> list[RunEvent]:
        """The events so far, of these names or all."""
        events = [m for m in self.heard if isinstance(m, RunEvent) and m.session == session]
        return [event for event in events if not names or event.name in names]

    def payloads(self, name: str, session: str = "s1") -> list[dict[str, Any]]:
        return [event.payload for event in self.events(name, session=session)]

    def checkpoints(self, session: str = "s1") -> list[Checkpoint]:
        return [m for m in self.heard if isinstance(m, Checkpoint) and m.session == session]

    def streamed(self, session: str = "s1") -> dict[str, str]:
        """The text of each message as its deltas have built it; a reset message is gone."""
        texts: dict[str, str] = {}
        for event in self.events("message_delta", "message_reset", session=session):
            key = event.payload["message_id"]
            if event.name == "message_reset":
                texts.pop(key, None)
            else:
                texts[key] = texts.get(key, "") + event.payload["delta"]
        return texts


def check_messages(runner: RunnerProcess, session: str = "s1") -> None:
    """What was streamed of each message is its content."""
    streamed = runner.streamed(session)
    for message in runner.payloads("agent_message", session):
        assert streamed.get(message["message_id"], "") == message["content"]
