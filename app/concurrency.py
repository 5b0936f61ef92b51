"""The async mode: with the servers of :mod:`app.wsgi`, all that knows eventlet, gevent and threads.

``patch`` must run before anything else imports sockets or threads for its own use; ``run.py`` does so first of all.
After it, ``threading`` primitives are cooperative in the two greenlet modes, so conditions and locks are simply those.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import socket
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar, cast

from app.streaming.metrics import percentile

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

_LATENESS_INTERVAL_S = 0.01
_LATENESS_WINDOW_S = 60.0


def patch(mode: str) -> None:
    """Make the standard library cooperative.

    :param mode: ``eventlet``, ``gevent`` or ``threading`` (nothing to do).
    :raises ImportError: when the mode's library is missing or broken.
    """
    if mode == "eventlet":
        os.environ["EVENTLET_NO_GREENDNS"] = "yes"
        with warnings.catch_warnings(record=True):  # eventlet advises against itself; this project's owner knows
            import eventlet
            from eventlet.green import socket as green

        green.getaddrinfo = _look_up_elsewhere(green.getaddrinfo)
        eventlet.monkey_patch(psycopg=False)  # the database's driver blocks native threads, not the hub
    elif mode == "gevent":
        from gevent import monkey

        monkey.patch_all()


def _look_up_elsewhere(look_up: Callable[..., Any]) -> Callable[..., Any]:
    """The system's own ``getaddrinfo``, in a native thread: eventlet's in Python passes over nsswitch and mDNS.

    Without that one, a server starts 0.15 s sooner.
    """
    mode = AsyncMode("eventlet")
    return lambda *args, **options: mode.native(partial(look_up, *args, **options))


class SystemClock:
    """Real time. Implements :class:`app.streaming.ports.Clock`."""

    def __init__(self) -> None:
        self._written = (-1, "")  # the last second that was asked for, and how it is written: each word has its time

    def monotonic(self) -> float:
        return time.monotonic()

    def now_iso(self) -> str:
        now_ms = time.time_ns() // 1_000_000
        second, ms = divmod(now_ms, 1000)
        known, text = self._written
        if known != second:
            text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S.")
            self._written = second, text
        return f"{text}{ms:03d}Z"


class _Joinable:
    """A background greenlet of eventlet, whose word for join is wait."""

    def __init__(self, greenlet: Any) -> None:
        self._greenlet = greenlet

    def join(self) -> None:
        self._greenlet.wait()


class _NoLock:
    """What a greenlet need not take: nobody else runs until it waits."""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        return True

    def release(self) -> None:
        return

    def _is_owned(self) -> bool:
        return True

    __enter__ = acquire

    def __exit__(self, *_: object) -> None:
        return


class _Condition(threading.Condition):
    """For greenlets of one thread, none of which waits for anything else while it holds it.

    A session's delta passes a dozen of them, and eventlet's locks are written in Python.
    """

    def __init__(self) -> None:
        super().__init__(_NoLock())  # type: ignore[arg-type]  # it wants a lock's methods, and calls no others

    def __enter__(self) -> bool:
        return True

    def __exit__(self, *_: object) -> None:
        return


class AsyncMode:
    """Spawns and sleeps in one async mode. Implements :class:`app.streaming.ports.Concurrency`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.cooperative = name != "threading"  # nobody else runs until one waits

    def spawn(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run in the background; an exception is logged, never lost."""

        def guarded() -> None:
            try:
                function(*args)
            except Exception:
                logger.exception("%s failed", getattr(function, "__qualname__", function))

        if self.name == "eventlet":
            import eventlet

            return _Joinable(eventlet.spawn(guarded))
        if self.name == "gevent":
            import gevent

            return gevent.spawn(guarded)
        thread = threading.Thread(target=guarded, daemon=True, name=getattr(function, "__qualname__", "background"))
        thread.start()
        return thread

    def sleep(self, seconds: float) -> None:
        """Let others run for so long; 0 lets them run once."""
        if self.name == "eventlet":
            import eventlet

            eventlet.sleep(seconds)
        elif self.name == "gevent":
            import gevent

            gevent.sleep(seconds)
        else:
            time.sleep(seconds)

    def native(self, function: Callable[..., Result], *args: Any) -> Result:
        """Call a function that blocks in C (a database, a password hash) in a thread of the operating system.

        The caller waits for the result, or the exception; in the greenlet modes everybody else goes on. There, no
        patched lock may ever be waited for inside: a lock that two native threads contend for hangs both. So the
        function takes no lock that others use, and does not log.
        """
        if not self.cooperative:
            return function(*args)

        def carried() -> tuple[Result | None, BaseException | None]:
            try:
                return function(*args), None
            except BaseException as error:  # noqa: BLE001  # it is raised in the caller; both libraries would print it
                return None, error

        result, error = self._in_thread(carried)
        if error is not None:
            raise error
        return cast(Result, result)

    def _in_thread(self, function: Callable[[], Result]) -> Result:
        if self.name == "eventlet":
            from eventlet import tpool

            return tpool.execute(function)  # type: ignore[no-any-return]
        import gevent

        return gevent.get_hub().threadpool.apply(function)  # type: ignore[no-any-return]

    def condition(self) -> threading.Condition:
        return _Condition() if self.cooperative else threading.Condition()

    def lock(self) -> contextlib.AbstractContextManager[Any]:
        """A lock for what never lets others run while it holds it: greenlets need none for that."""
        return contextlib.nullcontext() if self.cooperative else threading.Lock()

    def wait_writable(self, sock: socket.socket, timeout_s: float) -> None:
        """Wait until a socket takes something again, or has ended.

        :raises TimeoutError: when the time is up.
        """
        if self.name == "eventlet":
            from eventlet.hubs import trampoline

            trampoline(sock.fileno(), write=True, timeout=timeout_s, timeout_exc=TimeoutError)
        elif self.name == "gevent":
            from gevent.socket import wait_write

            wait_write(sock.fileno(), timeout=timeout_s)
        else:
            poll = select.poll()
            poll.register(sock.fileno(), select.POLLOUT)
            if not poll.poll(timeout_s * 1000):
                raise TimeoutError


class LatenessMonitor:
    """How late the event loop runs what is due: a greenlet that sleeps 10 ms and looks how long it took."""

    def __init__(self, mode: AsyncMode) -> None:
        self._mode = mode
        samples = int(_LATENESS_WINDOW_S / _LATENESS_INTERVAL_S)
        self._samples: deque[tuple[float, float]] = deque(maxlen=samples)  # when, how late; in seconds

    def run(self) -> None:
        """Measure for ever; for a background greenlet."""
        while True:
            due = time.monotonic() + _LATENESS_INTERVAL_S
            self._mode.sleep(_LATENESS_INTERVAL_S)
            now = time.monotonic()
            self._samples.append((now, max(0.0, now - due)))

    def figures(self, window_s: float = _LATENESS_WINDOW_S) -> dict[str, float | None]:
        """Percentiles of the samples of the last ``window_s`` seconds (at most 60), in milliseconds."""
        since = time.monotonic() - window_s
        ordered = sorted(late for when, late in list(self._samples) if when >= since)
        figures = {"p50": 0.5, "p99": 0.99, "p999": 0.999, "max": 1.0}
        values = {name: percentile(ordered, part) for name, part in figures.items()}
        return {name: None if value is None else round(value * 1000, 3) for name, value in values.items()}
