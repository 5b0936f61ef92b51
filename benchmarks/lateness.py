"""How late an eventlet loop wakes up: inside the plain app, and as an idle process beside every measurement.

``python -m benchmarks.lateness`` does nothing but sleep and look at the clock; at each line on its standard input it
prints the figures since the line before. What it shows is the machine's own lateness, under the same load.
"""

from __future__ import annotations

import json
import sys
import time

import eventlet

from benchmarks.figures import LATENESS_INTERVAL_S, lateness_figures

MAX_SAMPLES = 120_000  # ten minutes; beyond, sampling goes on but is not noted


class LatenessProbe:
    """Samples its own loop every 5 ms from a greenlet."""

    def __init__(self) -> None:
        self._late_s: list[float] = []

    def run(self) -> None:
        """The greenlet's body; never returns."""
        while True:
            due_s = time.monotonic() + LATENESS_INTERVAL_S
            eventlet.sleep(LATENESS_INTERVAL_S)
            if len(self._late_s) < MAX_SAMPLES:
                self._late_s.append(max(0.0, time.monotonic() - due_s))

    def take(self) -> dict[str, float]:
        """The figures since the last call."""
        samples, self._late_s = self._late_s, []
        return lateness_figures(samples)


def main() -> None:
    """Run as an idle process."""
    from eventlet.green import os as green_os

    probe = LatenessProbe()
    eventlet.spawn(probe.run)
    print('{"port": 0}', flush=True)
    while green_os.read(0, 4096):
        sys.stdout.write(json.dumps(probe.take()) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
