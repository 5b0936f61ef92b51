"""Which runner processes there are, and which of them a run is given."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress
from typing import Any

from app.errors import RunnerLost
from app.runner.process import SHARED, RunnerProcess, RunnerRun
from app.runner.wire import Probe, ProviderSpec, StartRun
from app.streaming.ports import Concurrency, RunSink

logger = logging.getLogger(__name__)

_START_TIMEOUT_S = 5.0  # a runner takes about 1.6 s to import AutoGen
_TICK_S = 1.0
_SPARE = 4  # further processes of one team: for runs that may have killed theirs, and while others are silent


class Supervisor:
    """Keeps the runners: some for the bundled teams, one more for each team that a user brought.

    Implements :class:`app.streaming.ports.Runners`.

    :param shared: how many processes carry the bundled teams.
    :param per_team: how many carry each of the others, when there is enough to do.
    :param silence_s: a process whose event loop answers nothing for so long is killed; 0: it is waited for.
    """

    def __init__(
        self, concurrency: Concurrency, shared: int = 1, *, per_team: int = 1, silence_s: float = 60.0
    ) -> None:
        self._concurrency = concurrency
        self._shared = shared
        self._per_team = per_team
        self._silence_s = silence_s
        self._runners: list[RunnerProcess] = []
        self._lock = threading.Lock()  # guards the list
        self._placing = threading.Lock()  # two runs that come at once see each other's place
        self._closing = False

    def warm_up(self) -> None:
        """Start the shared runners ahead of their first use."""
        for _ in range(self._shared):
            self.grow(SHARED)

    def start(self, run: StartRun, sink: RunSink) -> RunnerRun:
        """Begin a run in the least busy runner of its kind.

        :raises RunnerLost: when no runner can be started.
        """
        for _ in range(3):
            with self._placing:
                runner = self._own_runner(run) if run.team.isolated else self._shared_runner()
                with suppress(RunnerLost):  # it died between the look and the call
                    return runner.start(run, sink)
        raise RunnerLost("the agent process dies as soon as it starts")

    def _shared_runner(self) -> RunnerProcess:
        found = [each for each in self.runners() if each.key == SHARED and each.alive]
        return min(found, key=lambda each: each.runs) if len(found) >= self._shared else self.grow(SHARED)

    def _own_runner(self, run: StartRun) -> RunnerProcess:
        """One that is idle, else a new one while there are few, else the least busy that answers.

        A run whose runner has died may have killed it: for that one there are spare processes, so that it does not take
        the same neighbours along again; nor do others join it while anywhere else is room.
        """
        key, version = f"team:{run.team.name}", run.team.version
        found = [each for each in self.runners() if each.key == key and each.version == version and each.alive]
        calm = [each for each in found if not each.silent]
        idle = next((each for each in calm if each.runs == 0), None)
        if idle is not None:
            runner = idle
        elif len(found) < self._per_team + (_SPARE if run.resumed or not calm else 0):
            runner = self.grow(key, version)
        else:
            runner = min(calm or found, key=lambda each: (each.convalescent, each.runs))
        runner.convalescent = run.resumed
        return runner

    def watch(self) -> None:
        """Ask all runners once a second for a sign of life, until the end; kill those that give none."""
        while not self._closing:
            for runner in self.runners():
                unheard = runner.tick()
                if self._silence_s and unheard > self._silence_s:
                    logger.error(
                        "runner %d (%s) has answered nothing for %g s: its event loop is blocked. It is killed; its "
                        "runs go on in another one", runner.pid, runner.key, self._silence_s,
                    )  # fmt: skip
                    runner.kill()
            self._concurrency.sleep(_TICK_S)

    def runners(self) -> list[RunnerProcess]:
        with self._lock:
            return list(self._runners)

    def probe(self, providers: tuple[ProviderSpec, ...], timeout_s: float, *, look: bool = False) -> dict[str, Any]:
        """Ask a shared runner whether the models answer; one that is starting is waited for.

        :param look: also whether each provider lists its model.
        :returns: the reply's result: ``providers``, of each name what :mod:`app.providers.health` answers.
        :raises RunnerLost: when no runner answers in time.
        """
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not (ready := [each for each in self.runners() if each.key == SHARED and each.alive and each.ready]):
            if time.monotonic() > deadline:
                raise RunnerLost("no agent process is ready")
            self._concurrency.sleep(0.02)
        reply = ready[0].ask(
            lambda seq: Probe(seq=seq, providers=providers, timeout_s=timeout_s, look=look), timeout_s + 1
        )
        result: dict[str, Any] = reply["result"]
        return result

    def close(self, deadline: float) -> None:
        """End all runners; those that still live at ``deadline`` of the monotonic clock are killed."""
        with self._lock:
            self._closing = True
            runners = list(self._runners)
        for runner in runners:
            runner.hang_up()
        for runner in runners:
            runner.wait(deadline)

    def grow(self, key: str, version: str = "") -> RunnerProcess:
        """Start one more process.

        :raises RunnerLost: when that cannot be done, or the server is shutting down.
        """
        with self._lock:
            if self._closing:
                raise RunnerLost("the server is shutting down")
            runner = RunnerProcess(key, self._concurrency, self._forget, version=version, on_idle=self._dismiss)
            self._runners.append(runner)
            return runner

    def _dismiss(self, runner: RunnerProcess) -> None:
        """Nothing runs in it any more. Of a user's team no more stay than are wanted, and none with old code."""
        if runner.key == SHARED:
            return
        found = [each for each in self.runners() if each.key == runner.key and each.alive]
        is_old = runner is not found[-1] and runner.version != found[-1].version
        if is_old or len(found) > self._per_team:
            runner.hang_up()
        for each in found[:-1]:
            if each.runs == 0 and each.version != found[-1].version:
                each.hang_up()

    def _forget(self, runner: RunnerProcess) -> None:
        with self._lock:
            if runner in self._runners:
                self._runners.remove(runner)
            again = not self._closing and runner.key == SHARED and runner.ready
        if again:
            self._concurrency.spawn(self.grow, SHARED)
