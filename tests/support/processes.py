"""Real server processes for tests and benchmarks: started, waited for, measured, and ended by their own pid.

Everything here reads ``/proc`` (Linux). Where there is none (macOS), children are found with ``ps``, and CPU and memory
figures are not available.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

ROOT = Path(__file__).resolve().parents[2]
STOP_WAIT_S = 5.0
ORPHAN_WAIT_S = 1.0


class ServerProcess:
    """A server in a process group of its own. A context manager: leaving it stops the process.

    Output goes to a file (``output_path``), so that a full pipe never blocks the server.

    :param argv: the command.
    :param ready_pattern: searched in the output; its first group is the port.
    :param env: added to this process's environment; None as a value removes the name.
    :param ready_timeout_s: how long the line may take, in seconds.
    :param stdin_pipe: hold a pipe as its standard input, which closes when this process ends, however it ends.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        ready_pattern: bytes,
        env: Mapping[str, str | None] | None = None,
        cwd: Path = ROOT,
        ready_timeout_s: float = 30.0,
        stdin_pipe: bool = False,
    ) -> None:
        self._argv = list(argv)
        self._ready = re.compile(ready_pattern)
        self._env = dict(env or {})
        self._cwd = cwd
        self._ready_timeout_s = ready_timeout_s
        self._stdin_pipe = stdin_pipe
        self._child: subprocess.Popen[bytes] | None = None
        self.port = 0
        self.output_path = Path(os.devnull)

    def start(self) -> Self:
        """Start and wait for the line that says the port.

        :raises RuntimeError: with the output, if the process ends first or the line does not come in time.
        """
        environment = dict(os.environ) | {"PYTHONUNBUFFERED": "1"}
        for name, value in self._env.items():
            environment.pop(name, None)
            if value is not None:
                environment[name] = value
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.default_int_handler)  # else a child of a background job ignores Ctrl-C
        descriptor, path = tempfile.mkstemp(prefix="colloquy-", suffix=".log")
        self.output_path = Path(path)
        with os.fdopen(descriptor, "wb") as output:
            self._child = subprocess.Popen(
                self._argv,
                cwd=self._cwd,
                env=environment,
                stdin=subprocess.PIPE if self._stdin_pipe else subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline_s = time.monotonic() + self._ready_timeout_s
        while True:
            found = self._ready.search(self.output_path.read_bytes())
            if found is not None:
                self.port = int(found.group(1))
                return self
            if self._child.poll() is not None:
                raise RuntimeError(f"{self._argv} ended with {self._child.returncode}:\n{self.output()}")
            if time.monotonic() > deadline_s:
                said = self.output()
                self.kill()
                raise RuntimeError(f"{self._argv} was not ready after {self._ready_timeout_s} s:\n{said}")
            time.sleep(0.02)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Stop it. A child that outlives it by a second is killed, and is an error where there was none before.

        :raises RuntimeError: naming the children that were left.
        """
        children = self.children() if self.returncode is None else []
        self.stop()
        deadline_s = time.monotonic() + ORPHAN_WAIT_S
        while (left := alive(children)) and time.monotonic() < deadline_s:
            time.sleep(0.02)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(FileNotFoundError):
            self.output_path.unlink()
        if left and kind is None:
            raise RuntimeError(f"{self._argv} left its children {left} behind")

    @property
    def pid(self) -> int:
        """The server's process id."""
        assert self._child is not None, "not started"
        return self._child.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        return None if self._child is None else self._child.poll()

    def output(self) -> str:
        """Everything that it has printed."""
        return self.output_path.read_text(encoding="utf-8", errors="replace")

    def children(self) -> list[int]:
        """The pids of its living descendants, now. Note them before a kill: orphans are nobody's descendants."""
        return descendants(self.pid)

    def signal(self, number: int) -> None:
        """Send a signal to the server alone."""
        assert self._child is not None, "not started"
        self._child.send_signal(number)

    def interrupt(self) -> None:
        """Ctrl-C: SIGINT to the whole process group, as a terminal sends it."""
        os.killpg(self.pid, signal.SIGINT)

    def wait(self, timeout_s: float) -> int | None:
        """Its return code, or None if it still runs after ``timeout_s``."""
        assert self._child is not None, "not started"
        try:
            return self._child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def stop(self) -> int | None:
        """SIGTERM; SIGKILL after 5 s. Returns the return code; does nothing when it has ended."""
        if self._child is None:
            return None
        if self._child.poll() is None:
            self._child.terminate()
            if self.wait(STOP_WAIT_S) is None:
                self.kill()
        self._close_stdin()
        return self._child.returncode

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        if self._child is not None and self._child.poll() is None:
            self._child.kill()
            self._child.wait(STOP_WAIT_S)
        self._close_stdin()

    def _close_stdin(self) -> None:
        if self._child is not None and self._child.stdin is not None:
            self._child.stdin.close()


def descendants(pid: int) -> list[int]:
    """The pids of all living descendants of a process; zombies are not counted."""
    children: dict[int, list[int]] = {}
    for child, parent in _parents().items():
        children.setdefault(parent, []).append(child)
    found: list[int] = []
    todo = [pid]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def alive(pids: Sequence[int]) -> list[int]:
    """Those of the processes that still run; zombies are not counted."""
    running = _parents()
    return [pid for pid in pids if pid in running]


def cpu_s(pid: int) -> float:
    """User and system CPU time of a living process in seconds, all threads, to the nanosecond."""
    return time.clock_gettime((~pid << 3) | 2)  # CPUCLOCK_SCHED of that process, see clock_getcpuclockid(3)


def rss_bytes(pid: int) -> int:
    """Resident memory of a process, in bytes."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(encoding="ascii"))
    return int(found.group(1)) * 1024 if found else 0


def _parents() -> dict[int, int]:
    """pid → parent's pid, of all processes that are no zombies."""
    if not Path("/proc/self/stat").exists():
        listed = subprocess.run(["ps", "-axo", "pid=,ppid=,stat="], capture_output=True, text=True, check=True).stdout
        rows = [line.split() for line in listed.splitlines()]
        return {int(pid): int(parent) for pid, parent, state in rows if not state.startswith("Z")}
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                state, parent = (entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[:2]
                if state != "Z":
                    parents[int(entry.name)] = int(parent)
    return parents
