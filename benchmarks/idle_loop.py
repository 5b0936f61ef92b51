"""An idle eventlet loop in a process of its own, asked for its lateness beside a measurement."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Self

from tests.support.processes import ROOT


class IdleLoop:
    """Runs ``python -m benchmarks.lateness``. A context manager."""

    def __enter__(self) -> Self:
        command = [sys.executable, "-W", "ignore", "-m", "benchmarks.lateness"]
        self._child = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._child.stdout is not None
        self._child.stdout.readline()
        return self

    def __exit__(self, *_: object) -> None:
        self._child.communicate(timeout=5)

    def figures(self, last_s: float) -> dict[str, float]:
        """What it saw in the last seconds: p50, p99, p999, max in milliseconds."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(f"{last_s:.3f}\n".encode())
        self._child.stdin.flush()
        figures: dict[str, float] = json.loads(self._child.stdout.readline())
        return figures
