"""What a runner process costs per token beside the bare framework, which stands in the place of the plain app.

For each generation of AutoGen: agents that answer once, many at the same time, from the scripted model at its pace; in
a real runner process (gate, failover, usage, agent names, events as JSON lines over the link), and as the
framework's own documents show it (``benchmarks/bare.py``).
"""

from __future__ import annotations

import asyncio
import json
import sys

from app.protocol.events import MessageDelta
from app.runner.wire import Ended, RunEvent, TeamSpec
from benchmarks.cases import Measured, Options
from benchmarks.figures import Figure
from tests.runner.harness import RunnerProcess, provider, start_run
from tests.support.model_server import ModelServer
from tests.support.processes import ROOT, cpu_s

NAME = "runners"
TITLE = "one agent's reply of 400 tokens in a runner, many at once; `plain` is the bare framework"
FACTORIES = {
    "agentchat": "tests.adapters.own_teams:single",
    "classic": "tests.adapters.classic_teams:single",
    "ag2": "tests.adapters.ag2_teams:solo",
}
TOKENS = 400
MODEL = f"scripted?tokens={TOKENS}&token_delay_ms=20"
WARM_UP = "scripted?tokens=40&token_delay_ms=5"
TIMEOUT_S = 120.0
FIGURES = tuple(Figure(f"{generation}: CPU per token", "µs", target_ratio=1.15) for generation in FACTORIES)


def measure(target_name: str, options: Options) -> Measured:
    """One round of all generations."""
    side = in_runner if target_name == "colloquy" else bare
    figures: dict[str, float | None] = {}
    with ModelServer() as model:
        for generation, figure in zip(FACTORIES, FIGURES, strict=True):
            used_s, tokens = asyncio.run(side(generation, model.url, options.runs))
            if tokens != options.runs * TOKENS:
                raise RuntimeError(f"{generation}: {tokens} tokens came of {options.runs * TOKENS}")
            figures[figure.name] = used_s / tokens * 1e6
    return Measured(figures)


async def in_runner(generation: str, url: str, runs: int) -> tuple[float, int]:
    """(CPU seconds of the runner process, tokens that came) of so many runs at once, after one to warm up."""
    team = TeamSpec(name="bench", factory=FACTORIES[generation])
    async with RunnerProcess() as runner:

        async def play(count: int, batch: str, model: str) -> None:
            for number in range(count):
                order = start_run(provider(url, model), team=team, session=f"{batch}{number}", allowed=1_000_000)
                runner.say(order)
            await runner.until(
                lambda: sum(isinstance(m, Ended) and m.session.startswith(batch) for m in runner.heard) == count,
                TIMEOUT_S,
            )

        await play(1, "warm", WARM_UP)
        before_s, known = cpu_s(runner.process.pid), len(runner.heard)
        await play(runs, "run", MODEL)
        used_s = cpu_s(runner.process.pid) - before_s
        news = [m for m in runner.heard[known:] if isinstance(m, RunEvent) and m.name == MessageDelta.name]
        return used_s, sum(message.payload["tokens"] for message in news)


async def bare(generation: str, url: str, runs: int) -> tuple[float, int]:
    """The same of the bare framework."""
    arguments = ("-W", "ignore", "-m", "benchmarks.bare", generation, url, str(runs), WARM_UP, MODEL)
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(TIMEOUT_S):
            out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise RuntimeError(f"the bare {generation} has failed")
    found = json.loads(out.splitlines()[-1])
    return found["cpu_s"], found["tokens"]
