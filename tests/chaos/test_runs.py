"""Seeded runs with random faults: 0 holes, 0 doubles, 0 reorderings, 0 hung sessions. ``make chaos`` has many more.

A failure shows the plan of each run that went wrong; ``CHAOS_SEED`` with its number repeats it.
"""

from __future__ import annotations

import pytest

from tests.chaos.campaign import MODES, SHORT_LOG, campaign, chosen_seed
from tests.chaos.plan import plan


def all_is_well(mode: str, runs: int, env: dict[str, str], **options: float) -> None:
    seed = chosen_seed()
    print(f"CHAOS_SEED={seed} CHAOS_RUNS={runs} CHAOS_MODES={mode} make chaos")
    report = campaign(mode, seed, runs, env=env, **options)
    print(report)
    problems = report.problems()
    assert not problems, f"CHAOS_SEED={seed}\n{problems}"
    assert len(report.outcomes) == runs
    assert report.row()["events"]


def test_a_plan_is_its_seeds() -> None:
    """The same seed, the same plan; another seed, another one."""
    assert str(plan(7)) == str(plan(7)) != str(plan(8))


def test_random_faults() -> None:
    """Nobody loses, repeats or reorders anything, and no session hangs; a killed runner among them."""
    all_is_well("eventlet", 14, {}, kill_chance=0.1)


@pytest.mark.matrix
@pytest.mark.timeout(300)
@pytest.mark.parametrize("log", [{}, SHORT_LOG], ids=["whole log", "short log"])
@pytest.mark.parametrize("mode", MODES)
def test_random_faults_in_each_mode(mode: str, log: dict[str, str]) -> None:
    """With all that was missed, and with snapshots in its place."""
    all_is_well(mode, 24, log)
