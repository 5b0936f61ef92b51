"""``python -m tests.chaos``: the long version of the chaos suite. Exits 1 when anything was not as it must be.

``CHAOS_RUNS`` seeded runs (default 1,000) in all async modes together, from ``CHAOS_SEED`` on (default: random); a
failure names its seed: ``CHAOS_SEED=that CHAOS_RUNS=1 CHAOS_MODES=its_mode`` carries out that run alone.
"""

from __future__ import annotations

import os
import sys

from tests.chaos.campaign import MODES, SHORT_LOG, campaign, chosen_seed


def main() -> int:
    seed = chosen_seed()
    runs = int(os.environ.get("CHAOS_RUNS", "1000"))
    modes = tuple(os.environ.get("CHAOS_MODES", ",".join(MODES)).split(","))
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
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
