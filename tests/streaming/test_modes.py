"""The core in the three real async modes: no hole, no double, no hang, with real greenlets and threads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import TIMEOUT_SCALE

_PROJECT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("mode", ["eventlet", "gevent", "threading"])
def test_sessions_under_load(mode: str) -> None:
    """Twelve sessions, steered, watched, left and rejoined at random, some stopped, some losing their runner."""
    command = [sys.executable, "-m", "tests.streaming.in_mode", mode]
    done = subprocess.run(
        command, cwd=_PROJECT, capture_output=True, text=True, timeout=40 * TIMEOUT_SCALE, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert f"{mode}: " in done.stdout
    assert "Traceback" not in done.stderr
