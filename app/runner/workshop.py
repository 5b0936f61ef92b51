"""Where teams are built only to see who is in them: a process beside the runners, while there is something to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from app.errors import RunnerLost
from app.runner.process import RunnerProcess
from app.runner.supervisor import Supervisor
from app.runner.wire import Describe, TeamSpec

KEY = "describe"
START_TIMEOUT_S = 30.0  # of the process, which imports what all teams need


class Workshop:
    """One process builds one team after the other. It is ended when a team hangs in it, or kills it; others go on anew.

    Not to be shared between greenlets.
    """

    def __init__(self, supervisor: Supervisor, timeout_s: float) -> None:
        self._supervisor = supervisor
        self._timeout_s = timeout_s
        self._runner: RunnerProcess | None = None

    def describe(self, team: TeamSpec) -> dict[str, Any]:
        """Who is in a team: what :func:`app.adapters.build.describe_team` answers, or ``problem``.

        :raises RunnerLost: when no process can be started.
        """
        while True:
            used = self._runner is not None
            runner = self._runner = self._runner or self._supervisor.grow(KEY)
            try:
                runner.await_ready(START_TIMEOUT_S)
                reply = runner.ask(lambda seq: Describe(seq=seq, team=team), self._timeout_s)
            except RunnerLost:
                self.close()
                if runner.alive:
                    return {"problem": f"its code does not build it within {self._timeout_s:g} s"}
                if not used:
                    return {"problem": f"the process dies in which its code builds it ({runner.last_words()})"}
                continue  # perhaps of what another team has left behind
            result: dict[str, Any] = reply["result"]
            return result

    def close(self) -> None:
        """End the process, whatever goes on in it."""
        if self._runner is not None:
            self._runner.kill()
            self._runner = None


@contextmanager
def opened(supervisor: Supervisor, timeout_s: float) -> Iterator[Callable[[TeamSpec], dict[str, Any]]]:
    """A workshop for a while.

    :param timeout_s: how long one team may take.
    """
    workshop = Workshop(supervisor, timeout_s)
    try:
        yield workshop.describe
    finally:
        workshop.close()
