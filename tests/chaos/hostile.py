"""A barrage of hostile connections on a real server, beside a neighbour who must not notice.

What must hold after it: no stack trace and no error in the server's log; each connection was answered or closed; no
connection, open file or session is left of the attackers; and the neighbour's stream goes on, in order.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.attacks import Attack
from tests.chaos.client import Connection
from tests.chaos.reader import Reader
from tests.conftest import TIMEOUT_SCALE
from tests.support.model_server import ModelServer
from tests.support.server import ColloquyServer

PARALLEL = 6
BATCH = 120  # attacks, after which the log is looked at
MODEL = "scripted?tokens=1000000&token_delay_ms=20"
ENV = {"STREAM_TOKENS_PER_S": "0", "PING_INTERVAL_S": "1", "PING_TIMEOUT_S": "3", "MAX_RUNNING_SESSIONS": "2"}
CONTENT = "Will you notice?"
_WRONG = ("Traceback", " ERROR ", " CRITICAL ", "Exception happened")


@dataclass
class Barrage:
    """What came of it."""

    mode: str
    seed: int
    attacks: int = 0
    frames: int = 0
    took_s: float = 0.0
    ended: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    neighbour_events: int = 0

    def __str__(self) -> str:
        return (
            f"mode {self.mode}  seed {self.seed}  attacks {self.attacks}  frames {self.frames}  "
            f"seconds {self.took_s:.1f}  ended {self.ended}  neighbour's events {self.neighbour_events}  "
            f"problems {len(self.problems)}"
        )


def barrage(mode: str, seed: int, frames: int, *, env: dict[str, str] | None = None) -> Barrage:
    """Send at least so many frames; stops after the fifth problem."""
    report = Barrage(mode, seed)
    began = time.monotonic()
    with (
        ModelServer() as model,
        ColloquyServer(model_url=model.url, model=MODEL, env={"ASYNC_MODE": mode, **ENV, **(env or {})}) as server,
    ):
        asyncio.run(_Siege(server, report).lay(frames))
    report.took_s = time.monotonic() - began
    return report


class _Siege:
    def __init__(self, server: ColloquyServer, report: Barrage) -> None:
        self._server = server
        self._report = report
        self._log_read = 0

    async def lay(self, frames: int) -> None:
        starter = await Connection.open(self._server.port, lambda *_: None)
        started = await starter.call("start_stream", {"content": CONTENT})
        neighbour = Reader("neighbour", self._server.port, started["conversation_id"], random.Random(0))
        try:
            await self._until(lambda: neighbour.history.events > 5, "the neighbour's stream did not begin")
            before = self._open_files()
            while self._report.frames < frames and len(self._report.problems) < 5:
                await self._batch()
                await self._check_neighbour(neighbour)
            await self._until(
                lambda: self._server.get("/ws/status")["active_connections"] <= 2 and self._open_files() <= before + 2,
                "connections of the attackers are left",
            )
            await self._check_neighbour(neighbour)
            self._check_log([])
        finally:
            await neighbour.close()
            await starter.close()

    async def _batch(self) -> None:
        batch = [Attack(self._report.seed, self._report.attacks + number) for number in range(BATCH)]
        todo = iter(batch)

        async def attacker() -> None:
            for attack in todo:
                await attack.carry_out(self._server.port)

        await asyncio.gather(*(attacker() for _ in range(PARALLEL)))
        for attack in batch:
            self._report.frames += len(attack.sent)
            self._report.ended[attack.ended] = self._report.ended.get(attack.ended, 0) + 1
            if attack.ended == "deaf":
                self._problem(f"neither answered nor closed: {attack}")
            elif attack.ended == "failed":
                self._problem(f"a failure of the server: {attack}")
        self._report.attacks += len(batch)
        if self._check_log(batch):
            await self._search(batch)

    async def _search(self, batch: list[Attack]) -> None:
        """Which of them was it? Each once more, alone."""
        for attack in batch:
            await attack.carry_out(self._server.port)
            await asyncio.sleep(0.02)
            if said := self._new_in_log():
                self._problem(f"{attack}\nmakes the server say\n{said}")

    def _check_log(self, batch: list[Attack]) -> bool:
        said = self._new_in_log()
        if said:
            numbers = f"{batch[0].number}…{batch[-1].number}" if batch else "the end"
            self._problem(f"attacks {numbers} make the server say\n{said}")
        return bool(said)

    def _new_in_log(self) -> str:
        output = self._server.output()
        new, self._log_read = output[self._log_read :], len(output)
        found = [new.index(word) for word in _WRONG if word in new]
        return new[max(0, min(found) - 200) :][:3_000] if found else ""

    async def _check_neighbour(self, neighbour: Reader) -> None:
        seen = neighbour.history.events
        await self._until(lambda: neighbour.history.events > seen + 2, "the neighbour's stream stands still")
        self._report.neighbour_events = neighbour.history.events
        if neighbour.losses or neighbour.history.violations:
            self._problem(f"the neighbour noticed: {neighbour.losses} {neighbour.history.violations}")
            neighbour.losses.clear()
            neighbour.history.violations.clear()

    async def _until(self, condition: object, otherwise: str) -> None:
        deadline = time.monotonic() + 20 * TIMEOUT_SCALE
        while not await asyncio.to_thread(condition):  # type: ignore[arg-type]  # a callable without arguments
            if time.monotonic() > deadline:
                self._problem(otherwise)
                return
            await asyncio.sleep(0.01)

    def _open_files(self) -> int:
        return len(list(Path(f"/proc/{self._server.pid}/fd").iterdir()))

    def _problem(self, what: str) -> None:
        self._report.problems.append(what)
