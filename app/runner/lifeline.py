"""No runner outlives its web process, even with its event loop blocked by a user's code."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

GRACE_S = 1.0
_PR_SET_PDEATHSIG = 1
_POLL_MS = 1000


def watch_parent(fd: int, on_orphaned: Callable[[], None]) -> None:
    """End this process and its process group at the latest ``GRACE_S`` after the other end of ``fd`` is closed.

    A thread waits for that end to hang up, and looks once a second whether the parent still is the parent. On Linux the
    kernel also sends SIGHUP when the parent dies; but it does so too when only the *thread* that started us ends, so
    the handler makes sure (and calls ``on_orphaned`` in the main thread).

    :param fd: a socket whose other end the parent holds; not read from.
    """
    parent = os.getppid()

    def hang_up(*_: object) -> None:
        if os.getppid() != parent:
            on_orphaned()

    signal.signal(signal.SIGHUP, hang_up)
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGHUP, 0, 0, 0)
    threading.Thread(target=_wait, args=(os.dup(fd), parent), name="lifeline", daemon=True).start()


def _wait(fd: int, parent: int) -> None:
    poll = select.poll()
    poll.register(fd, getattr(select, "POLLRDHUP", 0))
    while not poll.poll(_POLL_MS) and os.getppid() == parent:
        pass
    time.sleep(GRACE_S)
    end_group(signal.SIGKILL)


def end_group(number: signal.Signals) -> None:
    """Signal our process group, if it is ours alone (we lead a session), then end ourselves."""
    if os.getpid() == os.getpgrp():
        if number is not signal.SIGKILL:
            signal.signal(number, signal.SIG_IGN)
        with suppress(OSError):
            os.killpg(0, number)
    os._exit(0)
