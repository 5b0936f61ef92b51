"""What all tests share: free ports, the browser, one timeout scale, and checks that nothing is left behind.

- A thread that a test has started and not ended fails that test.
- A process that the run has started and not ended fails the run.
- In CI (``CI=true``) a skipped test is a failed one: a missing part must be noticed.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.postgres import PostgresMissing, PostgresServer

TIMEOUT_SCALE = float(os.environ.get("TEST_TIMEOUT_SCALE", "1"))
"""Every timeout in a test is multiplied by this: ``TEST_TIMEOUT_SCALE=5 make test`` on a slow or busy machine.

Import it: ``from tests.conftest import TIMEOUT_SCALE``.
"""

IN_CI = os.environ.get("CI", "").lower() in {"1", "true"}

CHROMIUM_ARGS = (
    "--no-sandbox",  # CI is root, and Chromium refuses its sandbox to root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    # no look-ups of Google's hosts at start
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

_MARK_NAME = "PYTEST_RUN_MARK"
_MARK = uuid.uuid4().hex
os.environ[_MARK_NAME] = _MARK  # inherited by whatever the tests start, also by what leaves our process group


# --- skipped is failed, in CI -----------------------------------------------------------------------------------------


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        _fail(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    report = yield
    if IN_CI and report.skipped:
        _fail(report)
    return report


def _fail(report: Any) -> None:
    why = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    report.outcome = "failed"
    report.longrepr = f"skipped, which is a failure in CI: {why}"


# --- ports and browser ------------------------------------------------------------------------------------------------

_given_ports = {5000}  # 5000 is the default of a server that a developer may be running


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """A function that returns a free TCP port of 127.0.0.1, another one at each call, never 5000."""

    def allocate() -> int:
        while True:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port: int = probe.getsockname()[1]
            if port not in _given_ports:
                _given_ports.add(port)
                return port

    return allocate


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """The browser's program: ``CHROMIUM``, or the first of the usual names on the machine."""
    for name in (os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome"):
        found = shutil.which(name) if name else None
        if found:
            return found
    pytest.skip("no Chromium on this machine: apt-get install chromium, or set CHROMIUM")


@pytest.fixture(scope="module")
def browser(chromium_path: str) -> Iterator[Any]:
    """A headless Chromium, as Playwright's ``Browser``.

    For one module and no longer: Playwright's synchronous API keeps an event loop running in this thread, and while it
    does, no asyncio test can run.
    """
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium_path, args=list(CHROMIUM_ARGS))
        yield started
        started.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A real PostgreSQL; ask it for a :meth:`~PostgresServer.new_database`."""
    try:
        server = PostgresServer()
    except PostgresMissing as missing:
        pytest.skip(str(missing))
    with server:
        yield server


# --- nothing left behind ----------------------------------------------------------------------------------------------

# Threads of libraries that live as long as the process.
_LASTING_THREADS = (
    "asyncio_",  # the default executor of a loop that pytest-asyncio keeps for a module or the session
    "pytest_timeout",
)


@pytest.fixture(autouse=True)
def no_leaked_threads() -> Iterator[None]:
    """Fail a test that leaves threads behind. Threads of wider fixtures are older than the test and do not count."""
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + 2 * TIMEOUT_SCALE
    while left := [thread for thread in threading.enumerate() if thread not in before and _counts(thread)]:
        if time.monotonic() > deadline:
            pytest.fail(f"threads left behind: {', '.join(sorted(thread.name for thread in left))}", pytrace=False)
        time.sleep(0.01)


def _counts(thread: threading.Thread) -> bool:
    return thread.is_alive() and not thread.name.startswith(_LASTING_THREADS)


def _processes_left() -> dict[int, str]:
    """Living processes that this run has started: pid → command line. Needs Linux's /proc; elsewhere, none."""
    left: dict[int, str] = {}
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        pid = int(folder.name)
        try:
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            marked = f"{_MARK_NAME}={_MARK}".encode() in (folder / "environ").read_bytes().split(b"\0")
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue  # it ended meanwhile, or is another user's
        parents[pid] = int(parent)
        if state != "Z" and pid != os.getpid() and (marked or int(parent) == os.getpid()):
            left[pid] = command
    # pytest itself may run under a marked pytest: only what is not above us counts
    above = os.getpid()
    while above := parents.get(above, 0):
        left.pop(above, None)
    return left


_left_behind: dict[int, str] = {}


def pytest_sessionfinish(session: pytest.Session) -> None:
    """All fixtures are torn down by now: whatever still runs was forgotten."""
    deadline = time.monotonic() + 5 * TIMEOUT_SCALE
    while (left := _processes_left()) and time.monotonic() < deadline:
        time.sleep(0.05)
    for pid in left:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    _left_behind.update(left)
    output = getattr(session.config, "workeroutput", None)
    if output is not None:  # one of several test processes: the first one counts it as failed
        output["left_behind"] = {str(pid): command for pid, command in left.items()}
    if _left_behind and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """One of several test processes (pytest-xdist) has ended; called before :func:`pytest_sessionfinish` here."""
    left = getattr(node, "workeroutput", {}).get("left_behind", {})
    _left_behind.update({int(pid): command for pid, command in left.items()})


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Name what :func:`pytest_sessionfinish` found."""
    if _left_behind:
        terminalreporter.section("processes left behind (killed; the run has failed)", red=True, bold=True)
        for pid, command in sorted(_left_behind.items()):
            terminalreporter.line(f"{pid}  {command}")
