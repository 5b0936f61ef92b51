"""How late an eventlet loop wakes up: inside the plain app, and as an idle process beside every measurement.

``python -m benchmarks.lateness`` does nothing but sleep and look at the clock; each line on its standard input is a
number of seconds, and is answered by the figures of that last while. What it shows is the machine's own lateness, under
the same load.
"""

from __future__ import annotations

import json
import sys
import time
from collections import deque

import eventlet

from benchmarks.figures import LATENESS_INTERVAL_S, lateness_figures

MAX_SAMPLES = 120_000


class LatenessProbe:
    """Samples its own loop every 5 ms from a greenlet; keeps the last ten minutes."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, float]] = deque(maxlen=MAX_SAMPLES)

    def run(self) -> None:
        """The greenlet's body; never returns."""
        while True:
            due_s = time.monotonic() + LATENESS_INTERVAL_S
            eventlet.sleep(LATENESS_INTERVAL_S)
            now_s = time.monotonic()
            self._samples.append((now_s, max(0.0, now_s - due_s)))

    def figures(self, last_s: float) -> dict[str, float]:
        """What was seen in the last seconds, in milliseconds."""
        since_s = time.monotonic() - last_s
        return lateness_figures([late_s for at_s, late_s in self._samples if at_s >= since_s])


def main() -> None:
    """Run as an idle process."""
    from eventlet.green import os as green_os

    probe = LatenessProbe()
    eventlet.spawn(probe.run)
    print('{"port": 0}', flush=True)
    while line := green_os.read(0, 4096):
        sys.stdout.write(json.dumps(probe.figures(float(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
