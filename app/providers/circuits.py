"""Circuit breakers: a provider that has failed again and again is left alone for a while. Shared by a process's runs.

closed ── failures in a window ──► open ── after a while ──► half open ── one request answered ──► closed
                                    ▲                            └────── that request failed ──┘
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Literal

from app.runner.wire import Limits, ProviderSpec

State = Literal["closed", "open", "half_open"]
OPEN = "circuit_open"
"""The reason that a room is told when a provider was passed over."""

_MOST_KEPT = 256  # administrators may change providers for ever


class Circuit:
    """One provider's. An answer that came to its end forgets earlier failures; what was stopped says nothing."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures: deque[float] = deque()
        self._open_s = 0.0
        self._opened_at: float | None = None
        self._tried_at: float | None = None  # when the request that may close it again was let through

    @property
    def state(self) -> State:
        if self._opened_at is None:
            return "closed"
        return "open" if self._clock() < self._opened_at + self._open_s else "half_open"

    @property
    def admits(self) -> bool:
        """Whether a request may go there now. Half open: one, and another where that one has no end in time."""
        if self.state == "half_open":
            return self._tried_at is None or self._clock() >= self._tried_at + self._open_s
        return self.state == "closed"

    def enter(self) -> None:
        """A request goes there."""
        if self._opened_at is not None:
            self._tried_at = self._clock()

    def succeeded(self) -> None:
        self._failures.clear()
        self._opened_at = self._tried_at = None

    def failed(self, limits: Limits) -> None:
        most, now = limits.circuit_failures, self._clock()
        if not most:
            return
        self._failures.append(now)
        while len(self._failures) > most or self._failures[0] < now - limits.circuit_window_s:
            self._failures.popleft()
        if self.state == "half_open" or len(self._failures) >= most:
            self._opened_at, self._open_s, self._tried_at = now, limits.circuit_open_s, None

    def undecided(self) -> None:
        """The request was broken off by us."""
        self._tried_at = None


class Circuits:
    """All of a process, by provider; one whose address, model or key was changed begins anew.

    :param clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._circuits: dict[tuple[object, ...], Circuit] = {}

    def of(self, spec: ProviderSpec) -> Circuit:
        key = (spec.name, spec.kind, spec.model, spec.base_url, spec.api_key, spec.api_version)
        circuit = self._circuits.get(key)
        if circuit is None:
            while len(self._circuits) >= _MOST_KEPT:
                del self._circuits[next(iter(self._circuits))]
            circuit = self._circuits[key] = Circuit(self._clock)
        return circuit
