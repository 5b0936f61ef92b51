"""Which process a run is given, and which processes stay."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from app.concurrency import AsyncMode
from app.errors import RunnerLost
from app.protocol.common import ContentType
from app.runner import process
from app.runner import supervisor as module
from app.runner.output import MAX_LINES_PER_S, Output
from app.runner.supervisor import Supervisor
from app.runner.wire import StartRun, TeamSpec
from tests.conftest import TIMEOUT_SCALE
from tests.support.processes import alive, descendants
from tests.support.waiting import wait_until


class Process:
    """What a supervisor sees of a runner; ``unheard`` counts its seconds of silence."""

    def __init__(self, key: str, _: object, on_exit: Any, *, version: str = "", on_idle: Any = None) -> None:
        self.key, self.version, self.pid = key, version, 1
        self.alive = self.ready = True
        self.convalescent = self.silent = False
        self.unheard = 0
        self.runs = 0
        self.killed = False
        self._on_idle = on_idle

    def start(self, run: StartRun, sink: Any) -> Process:
        self.runs += 1
        return self

    def end(self) -> None:
        self.runs -= 1
        if not self.runs:
            self._on_idle(self)

    def tick(self) -> int:
        self.unheard += self.silent
        return self.unheard

    def kill(self) -> None:
        self.killed = True
        self.alive = False

    def hang_up(self) -> None:
        self.alive = False


@pytest.fixture
def supervisor(monkeypatch: pytest.MonkeyPatch) -> Supervisor:
    monkeypatch.setattr(module, "RunnerProcess", Process)
    return Supervisor(AsyncMode("threading"), per_team=2)


def start(supervisor: Supervisor, *, version: str = "", resumed: bool = False, team: str = "mine") -> Any:
    """The process that a run of a user's team gets."""
    spec = TeamSpec(name=team, factory="my_team:team", isolated=True, version=version)
    run = StartRun(
        session="s", conversation="c", team=spec, content="x", content_type=ContentType.TEXT, resumed=resumed
    )
    return supervisor.start(run, None)  # type: ignore[arg-type]


def test_a_team_has_as_many_processes_as_it_needs(supervisor: Supervisor) -> None:
    """An idle one is taken first; the least busy when there are enough."""
    first = start(supervisor)
    first.end()
    assert start(supervisor) is first
    second = start(supervisor)
    assert second is not first
    assert start(supervisor) in (first, second)
    assert (first.runs, second.runs) in ((2, 1), (1, 2))
    assert start(supervisor, team="other") not in (first, second)


def test_a_silent_process_gets_no_further_runs(supervisor: Supervisor) -> None:
    """Where all of a team are silent there are spare ones, but not without end."""
    first, second = start(supervisor), start(supervisor)
    first.silent = True
    second.runs = 5
    assert start(supervisor) is second
    second.silent = True
    spare = start(supervisor)
    assert spare not in (first, second)
    for _ in range(20):
        for each in supervisor.runners():
            each.silent = True  # type: ignore[misc]
        start(supervisor)
    assert len(supervisor.runners()) == 2 + 4


def test_who_comes_back_after_a_crash_is_alone(supervisor: Supervisor) -> None:
    """It may have caused it: it has no neighbours, and new ones go elsewhere."""
    first, second = start(supervisor), start(supervisor)
    back = start(supervisor, resumed=True)
    assert back not in (first, second)
    assert start(supervisor) in (first, second)
    assert start(supervisor, resumed=True) not in (first, second, back)


def test_two_that_come_back_at_once_do_not_meet(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both had the new process of the first, which the second took for an idle one."""
    both = threading.Barrier(2)
    begin = Process.start

    def start_together(self: Process, run: StartRun, sink: Any) -> Process:
        with suppress(threading.BrokenBarrierError):
            both.wait(0.3)
        return begin(self, run, sink)

    monkeypatch.setattr(Process, "start", start_together)
    places: list[Process] = []
    threads = [threading.Thread(target=lambda: places.append(start(supervisor, resumed=True))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert places[0] is not places[1]


def test_processes_that_are_too_many_go_when_they_are_idle(supervisor: Supervisor) -> None:
    first, second, third = start(supervisor), start(supervisor), start(supervisor, resumed=True)
    first.end()
    assert (first.alive, second.alive, third.alive) == (False, True, True)
    third.end()
    assert third.alive


def test_changed_code_runs_in_a_new_process(supervisor: Supervisor) -> None:
    """What runs goes on with the code that it began with; then its process goes."""
    old = start(supervisor, version="1")
    new = start(supervisor, version="2")
    assert new is not old
    old.end()
    assert not old.alive
    new.end()
    assert new.alive
    newer = start(supervisor, version="3")
    newer.end()
    assert (new.alive, newer.alive) == (False, True)


def test_a_process_that_stays_silent_is_killed(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    """After RUNNER_SILENCE_S seconds in which it was asked."""
    blocked, living = start(supervisor), start(supervisor)
    blocked.silent = True
    seconds = iter(range(70))

    def sleep(_: float) -> None:
        if next(seconds) == 65:
            supervisor._closing = True

    monkeypatch.setattr(supervisor._concurrency, "sleep", sleep)
    supervisor.watch()
    assert blocked.killed
    assert not living.killed


def test_a_dead_process_is_noticed_though_its_children_live() -> None:
    """A forked child holds the socket, so that no end of file came: its conversations stood still for ever."""
    supervisor = Supervisor(AsyncMode("threading"), per_team=1)
    sink = Mock()
    spec = TeamSpec(name="mine", factory="tests.runner.quitters:forking", isolated=True)
    run = StartRun(session="s", conversation="c", team=spec, content="x", content_type=ContentType.TEXT)
    supervisor.start(run, sink)
    [runner] = supervisor.runners()
    try:
        wait_until(lambda: descendants(runner.pid), "its child", 60)
        children = descendants(runner.pid)
        os.kill(runner.pid, signal.SIGKILL)
        wait_until(lambda: runner.tick() is not None and sink.on_lost.called, "the news of its death", 20)
        wait_until(lambda: not alive(children), "the end of its child", 20)
        assert supervisor.runners() == []
    finally:
        runner.kill()
        supervisor.close(time.monotonic() + 5)


@pytest.mark.parametrize("order", ["pause", "stop"])
def test_who_pauses_a_process_that_is_busy_does_not_kill_it(
    order: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be importing a framework: it was begun again, to be killed by the next pause. A stop waits for nobody."""
    monkeypatch.setattr(process, "_CONTROL_TIMEOUT_S", 0.2)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    supervisor = Supervisor(AsyncMode("threading"), per_team=1)
    sink = Mock()
    spec = TeamSpec(name="mine", factory="tests.runner.quitters:blocking", isolated=True, file=str(pipe))
    run = StartRun(session="s", conversation="c", team=spec, content="x", content_type=ContentType.TEXT)
    handle = supervisor.start(run, sink)
    try:
        with pipe.open("w", encoding="ascii") as released:  # waits for its reader
            if order == "stop":
                with pytest.raises(RunnerLost):
                    handle.stop()
                wait_until(lambda: sink.on_lost.called, "its end", 20)
                return
            handle.pause()
            handle.resume()
            released.write("go on")
        wait_until(lambda: sink.on_ended.called, "the end of its run", 60)
        assert not sink.on_lost.called
    finally:
        supervisor.close(time.monotonic() + 5)


def test_what_a_team_prints_goes_to_the_log_in_small_doses(caplog: pytest.LogCaptureFixture) -> None:
    """The first lines of a second; the others are counted; a line without end is cut off."""
    caplog.set_level(logging.INFO, logger="app.runner.output")
    output = Output("team:mine", AsyncMode("threading"), lambda: 1.0)
    writer: socket.socket = output.theirs.dup()
    output.begin()
    with writer:
        writer.settimeout(30 * TIMEOUT_SCALE)
        writer.sendall(b"hello\n" + b"y" * 100_000 + b"\n" + b"x\n" * 1000)
    wait_until(lambda: any("left out" in record.message for record in caplog.records))
    said = [record.getMessage() for record in caplog.records]
    assert said[0] == "team:mine: hello"
    assert max(map(len, said)) < 600
    assert len(said) == MAX_LINES_PER_S + 1
    assert said[-1] == f"team:mine: {1002 - MAX_LINES_PER_S} more lines, which are left out"
