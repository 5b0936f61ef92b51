"""Many seeded runs on one real server, several at a time, and one table of what came of them."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.chaos.plan import plan
from tests.chaos.run import Outcome, Run
from tests.conftest import TIMEOUT_SCALE
from tests.support.model_server import ModelServer
from tests.support.server import ColloquyServer

TOKENS = 30
TOKEN_BYTES = 600  # large ones: a stall is felt early
MODEL = f"scripted?tokens={TOKENS}&token_delay_ms=6&first_token_delay_ms=30&piece_bytes={TOKEN_BYTES}"
SCRIPT = "".join(f"word{number + 1} ".ljust(TOKEN_BYTES, ".") for number in range(TOKENS))
PARALLEL = 6
MODES = ("eventlet", "gevent", "threading")
ENV = {
    "STREAM_TOKENS_PER_S": "0",
    "RUNNERS": "2",
    "RUNNER_RESTARTS": "20",  # a kill hits every run of its runner
    "SOCKET_SEND_BUFFER_BYTES": "8192",
    "CATCH_UP_INTERVAL_S": "0.05",
    "PING_INTERVAL_S": "1",
    "PING_TIMEOUT_S": "3",
    "HEARTBEAT_S": "1",
}
SHORT_LOG = {"MAX_LOG_ENTRIES": "25"}  # whoever misses more than that gets a snapshot
BAD_KINDS = ("hole", "double", "reordering", "hung", "stuck")


def chosen_seed() -> int:
    """``CHAOS_SEED``, or a random one."""
    return int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(1_000_000))


@dataclass
class Report:
    """What came of a campaign."""

    mode: str
    seed: int
    outcomes: list[Outcome] = field(default_factory=list)
    took_s: float = 0.0
    tokens_dropped: int = 0
    lagged: int = 0
    connections_left: int = 0
    tracebacks: str = ""

    @property
    def bad(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.violations]

    def problems(self) -> str:
        """Everything that must not be, with the seeds to see it again; empty if all is well."""
        found = [str(outcome) for outcome in self.bad[:10]]
        if len(self.bad) > 10:
            found.append(f"and {len(self.bad) - 10} runs more: {[outcome.plan.seed for outcome in self.bad[10:]]}")
        if self.tokens_dropped:
            found.append(f"the server counts {self.tokens_dropped} dropped tokens")
        if self.connections_left:
            found.append(f"the server still counts {self.connections_left} connections")
        if self.tracebacks:
            found.append(f"the server's log has a stack trace:\n{self.tracebacks}")
        return "\n".join(found)

    def row(self) -> dict[str, object]:
        """The campaign in figures."""
        slowest = max(self.outcomes, key=lambda outcome: outcome.took_s)
        kinds = Counter(violation.kind for outcome in self.outcomes for violation in outcome.violations)
        total: Callable[[str], int] = lambda name: sum(getattr(outcome, name) for outcome in self.outcomes)  # noqa: E731
        return {
            "mode": self.mode,
            "runs": len(self.outcomes),
            "seconds": round(self.took_s, 1),
            "slowest": f"{slowest.took_s:.1f} s ({slowest.plan.seed})",
            "connections": total("connections"),
            "losses": total("losses"),
            "events": total("events"),
            "recovered": total("recovered"),
            "snapshots": total("snapshots"),
            "resyncs": total("resyncs"),
            "lagged": self.lagged,
            "kills": sum(outcome.plan.kills_runner for outcome in self.outcomes),
            **Counter(outcome.status for outcome in self.outcomes),
            **{kind: kinds.pop(kind, 0) for kind in BAD_KINDS},
            "other": sum(kinds.values()),
            "dropped": self.tokens_dropped,
        }

    def __str__(self) -> str:
        return "  ".join(f"{name} {value}" for name, value in self.row().items())


def campaign(
    mode: str, seed: int, runs: int, *, env: dict[str, str] | None = None, kill_chance: float = 0.04
) -> Report:
    """Carry out runs ``seed``, ``seed`` + 1, … on a server of this async mode."""
    report = Report(mode, seed)
    began = time.monotonic()
    with (
        ModelServer() as model,
        ColloquyServer(model_url=model.url, model=MODEL, env={"ASYNC_MODE": mode, **ENV, **(env or {})}) as server,
    ):
        asyncio.run(_carry_out(server, report, runs, kill_chance))
        _look_at(server, report)
    report.took_s = time.monotonic() - began
    return report


async def _carry_out(server: ColloquyServer, report: Report, runs: int, kill_chance: float) -> None:
    places = asyncio.Semaphore(PARALLEL)

    async def one(seed: int) -> None:
        async with places:
            run = Run(plan(seed, kill_chance=kill_chance), server.port, script=SCRIPT)
            report.outcomes.append(await run.go())

    async with asyncio.TaskGroup() as group:
        for number in range(runs):
            group.create_task(one(report.seed + number))


def _look_at(server: ColloquyServer, report: Report) -> None:
    status = server.get("/api/websocket/status")
    report.tokens_dropped = status["totals"]["tokens_dropped"]
    report.lagged = status["delivery"]["readers_lagged"]
    deadline = time.monotonic() + 20 * TIMEOUT_SCALE
    while (left := server.get("/ws/status")["active_connections"]) and time.monotonic() < deadline:
        time.sleep(0.1)
    report.connections_left = left
    output = server.output()
    if "Traceback" in output:
        report.tracebacks = output[max(0, output.index("Traceback") - 500) :][:4_000]
