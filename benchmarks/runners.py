"""``python -m benchmarks.runners [--runs N] [--rounds N]``: what the runner costs beside the bare framework.

For each generation of AutoGen, single agents that answer once, many at the same time, from the scripted model at its
pace: in a real runner process (gate, failover, usage, agent names, events as JSON lines over the link), and as the
framework's own documents show it (``bare.py``). What is printed is the median of the CPU time per token.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys

from app.protocol.events import MessageDelta
from app.runner.wire import Ended, RunEvent, TeamSpec
from benchmarks.targets import cores
from tests.runner.harness import RunnerProcess, provider, start_run
from tests.support.model_server import ModelServer
from tests.support.processes import ROOT, cpu_s

FACTORIES = {
    "agentchat": "tests.adapters.own_teams:single",
    "classic": "tests.adapters.classic_teams:single",
    "ag2": "tests.adapters.ag2_teams:solo",
}
TOKENS = 400
DELAY_MS = 20
TIMEOUT_S = 300.0
TARGET = 1.15


async def in_runner(generation: str, url: str, runs: int, model: str) -> tuple[float, int]:
    """(CPU seconds of the runner process, tokens that came) of so many runs at once, after one to warm up."""
    team = TeamSpec(name="bench", factory=FACTORIES[generation])
    async with RunnerProcess() as runner:

        async def play(count: int, batch: str) -> None:
            for number in range(count):
                order = start_run(provider(url, model), team=team, session=f"{batch}{number}", allowed=1_000_000)
                runner.say(order)
            await runner.until(
                lambda: sum(isinstance(m, Ended) and m.session.startswith(batch) for m in runner.heard) == count,
                TIMEOUT_S,
            )

        await play(1, "warm")
        before_s, known = cpu_s(runner.process.pid), len(runner.heard)
        await play(runs, "run")
        used_s = cpu_s(runner.process.pid) - before_s
        news = [m for m in runner.heard[known:] if isinstance(m, RunEvent) and m.name == MessageDelta.name]
        return used_s, sum(message.payload["tokens"] for message in news)


async def bare(generation: str, url: str, runs: int, model: str) -> tuple[float, int]:
    """The same of the bare framework."""
    arguments = ("-W", "ignore", "-m", "benchmarks.bare", generation, url, str(runs), model)
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    out, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"the bare {generation} has failed")
    found = json.loads(out.splitlines()[-1])
    return found["cpu_s"], found["tokens"]


async def main() -> int:
    """The command line; 1 where the target was missed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=10, help="at once")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    model = f"scripted?tokens={TOKENS}&token_delay_ms={DELAY_MS}"
    missed = False
    print(f"{options.runs} runs of {TOKENS} tokens at once, {1000 // DELAY_MS} tokens/s each; CPU per token, median\n")
    print(f"{'generation':12} {'runner':>10} {'bare':>10} {'ratio':>7}   target ≤ {TARGET}")
    with ModelServer() as server:
        for generation in FACTORIES:
            ours, theirs = [], []
            for number in range(options.rounds):
                for side in (in_runner, bare)[:: 1 if number % 2 == 0 else -1]:
                    used_s, tokens = await side(generation, server.url, options.runs, model)
                    if side is in_runner and tokens != options.runs * TOKENS:
                        raise RuntimeError(f"{generation}: {tokens} tokens came of {options.runs * TOKENS}")
                    (ours if side is in_runner else theirs).append(used_s / (options.runs * TOKENS) * 1e6)
            mine, bare_us = statistics.median(ours), statistics.median(theirs)
            missed = missed or mine > TARGET * bare_us
            print(f"{generation:12} {mine:7.0f} µs {bare_us:7.0f} µs {mine / bare_us:6.2f}x")
    print(f"\n{cores()} cores")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
