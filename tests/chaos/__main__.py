"""``python -m tests.chaos``: the long version of the chaos suite. Exits 1 when anything was not as it must be.

``CHAOS_RUNS`` seeded runs (default 1,000) in all async modes together, from ``CHAOS_SEED`` on (default: random); a
failure names its seed: ``CHAOS_SEED=that CHAOS_RUNS=1 CHAOS_MODES=its_mode`` carries out that run alone. Then
``CHAOS_FRAMES`` hostile frames (default 100,000), in all modes together, too; 0 of either leaves them out.
"""

from __future__ import annotations

import os
import signal
import sys

from tests.chaos.campaign import MODES, SHORT_LOG, campaign, chosen_seed
from tests.chaos.hostile import barrage


def main() -> int:
    """Everything, one part after the other; the exit status."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the servers end with us
    seed = chosen_seed()
    runs = int(os.environ.get("CHAOS_RUNS", "1000"))
    modes = tuple(os.environ.get("CHAOS_MODES", ",".join(MODES)).split(","))
    frames = int(os.environ.get("CHAOS_FRAMES", "100000"))
    failed = seeded_runs(seed, runs, modes) if runs else False
    if frames:
        failed |= hostile_frames(seed, frames, modes)
    return int(failed)


def seeded_runs(seed: int, runs: int, modes: tuple[str, ...]) -> bool:
    """Runs with random faults; whether anything was wrong."""
    parts = [(mode, log) for mode in modes for log in ({}, SHORT_LOG)] if runs > 1 else [(modes[0], {})]
    failed = False
    print(f"{runs} runs from seed {seed} on", flush=True)
    for number, (mode, log) in enumerate(parts):
        first, last = (runs * at // len(parts) for at in (number, number + 1))
        report = campaign(mode, seed + first, last - first, env=log)
        print(report, flush=True)
        if problems := report.problems():
            failed = True
            print(problems, flush=True)
    return failed


def hostile_frames(seed: int, frames: int, modes: tuple[str, ...]) -> bool:
    """Hostile frames; whether anything was wrong."""
    failed = False
    print(f"{frames} hostile frames from seed {seed} on", flush=True)
    for mode in modes:
        report = barrage(mode, seed, frames // len(modes))
        print(report, flush=True)
        for problem in report.problems:
            failed = True
            print(problem, flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
