"""The async mode: the only file that knows eventlet, gevent and threads.

``patch`` must run before anything else imports sockets or threads for its own use; ``run.py`` does so first of all.
After it, ``threading`` primitives are cooperative in the two greenlet modes, so conditions and locks are simply those.
"""

from __future__ import annotations

import contextlib
import gc
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
from email.errors import MissingHeaderBodySeparatorDefect
from email.message import Message
from functools import partial
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

from app.streaming.metrics import percentile

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

_MAX_CONNECTIONS = 65_536
_LATENESS_INTERVAL_S = 0.01
_LATENESS_WINDOW_S = 60.0
_REQUEST_LINE_BYTES = 65_536  # as Werkzeug has it; what is too long for us, we want to refuse in our own words
_HTTP_BUFFER_BYTES = 1024  # eventlet keeps its HTTP buffers (8 and 16 kB) as long as a WebSocket lives
_SOCKET = "colloquy.socket"
_HANDLER = "colloquy.handler"  # gevent's, which must be told not to wait for another request


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


def listen(host: str, port: int) -> socket.socket:
    """A listening socket, whose connections send without Nagle's delay.

    :raises OSError: when the address cannot be had, e.g. because the port is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # Linux: accepted sockets inherit it
        listener.bind((host, port))
        listener.listen(1024)
    except OSError:
        listener.close()
        raise
    return listener


def socket_of(environ: dict[str, Any]) -> socket.socket:
    """The connection on which a request came, under :func:`serve`.

    :raises RuntimeError: under another server, which keeps it to itself.
    """
    found = environ.get(_SOCKET)
    if found is None:
        raise RuntimeError("this server does not give its connections away")
    sock: socket.socket = found
    return sock


def plain_socket(sock: socket.socket) -> socket.socket:
    """What lies below a mode's own socket: its methods never let others run. With threads, the socket itself."""
    return getattr(sock, "fd", None) or getattr(sock, "_sock", None) or sock


def end_without_response(environ: dict[str, Any]) -> list[bytes]:
    """What a WSGI application returns that has spoken on :func:`socket_of` by itself and is done with it.

    Nothing of HTTP is written after it.
    """
    if "eventlet.input" in environ:
        from eventlet import wsgi

        wsgi.WSGI_LOCAL.already_handled = True
    elif "werkzeug.socket" in environ:
        raise ConnectionError("not a response")  # Werkzeug takes this for a client that has left
    elif _HANDLER in environ:
        environ[_HANDLER].close_connection = True
    return []


def _is_ambiguous(head: Message) -> bool:
    """Whether a proxy might read another request in this head: where its body ends, or which headers it has.

    Two lengths, a length beside chunks, a coding that nobody knows (RFC 9112, 6.3), or a line that is no header, where
    Python's parser stops and loses what a proxy has added below.
    """
    lengths, codings = head.get_all("content-length", []), head.get_all("transfer-encoding", [])
    known = all(each.isascii() and each.isdecimal() for each in lengths) and all(
        each.lower() == "chunked" for each in codings
    )
    broken_off = any(isinstance(each, MissingHeaderBodySeparatorDefect) for each in head.defects)
    return not known or broken_off or len(lengths) + len(codings) > 1


class _Discreet:
    """For :class:`BaseHTTPRequestHandler`: what is no request is neither repeated nor logged. A secret may be in it."""

    def parse_request(self) -> bool:
        if not super().parse_request():  # type: ignore[misc]
            return False
        if _is_ambiguous(self.headers):  # type: ignore[attr-defined]
            self.close_connection = True
            self.send_error(400)
            return False
        return True

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        super().send_error(code)  # type: ignore[misc]  # of the handler beside this class

    def log_error(self, format: str, *args: Any) -> None:
        code = args[0] if args and isinstance(args[0], int) else "no answer"
        logger.info("a request that is none, from %s: %s", self.client_address[0], code)  # type: ignore[attr-defined]

    def log_request(self, *_: Any) -> None:
        return

    def version_string(self) -> str:
        return "Colloquy"  # which Python it is concerns nobody


def serve(mode: str, listener: socket.socket, app: Any, *, silence_s: float) -> None:
    """Serve a WSGI application on a listening socket until the process ends.

    It finds each request's connection by :func:`socket_of`, and may lift its limit of silence.

    :param silence_s: a connection that says nothing for so long, where a request or more of one is due, is closed. So
        it is with one that takes nothing of an answer.
    """
    gc.collect()
    gc.freeze()  # what exists now lives as long as the process: keep it out of every later collection
    gc.enable()
    if mode == "eventlet":
        import eventlet.wsgi

        class Protocol(_Discreet, eventlet.wsgi.HttpProtocol):  # type: ignore[misc]  # eventlet has no types
            rbufsize = wbufsize = _HTTP_BUFFER_BYTES
            minimum_chunk_size = 1  # a stream's pieces go out when they are made, and are not gathered to 4 kB

            def get_environ(self) -> dict[str, Any]:
                environ: dict[str, Any] = super().get_environ()
                if "HTTP_TRANSFER_ENCODING" in environ:  # eventlet reads chunks to their end, and does not say so
                    environ["wsgi.input_terminated"] = True
                return environ | {_SOCKET: self.connection}

            def finish(self) -> None:
                try:
                    super().finish()
                finally:
                    self.rfile.close()  # left open, with the whole connection, where the last flush has failed

        eventlet.wsgi.server(
            listener,
            app,
            log_output=False,
            max_size=_MAX_CONNECTIONS,
            debug=False,
            protocol=Protocol,
            keepalive=silence_s,
            socket_timeout=silence_s,
            url_length_limit=_REQUEST_LINE_BYTES,
        )
    elif mode == "gevent":
        from gevent import pywsgi
        from gevent.pywsgi import WSGIHandler, WSGIServer

        pywsgi.MAX_REQUEST_LINE = _REQUEST_LINE_BYTES  # it has no parameter for it

        class GeventHandler(WSGIHandler):  # type: ignore[misc]  # gevent's types are not complete
            def handle_one_request(self) -> Any:
                self.socket.settimeout(silence_s)
                return super().handle_one_request()

            def get_environ(self) -> dict[str, Any]:
                environ: dict[str, Any] = super().get_environ()
                return environ | {_SOCKET: self.socket, _HANDLER: self}

            def read_request(self, raw_requestline: str) -> Any:
                try:
                    return super().read_request(raw_requestline)
                except (IndexError, TimeoutError) as error:
                    # a version without a point, or half a head; gevent shows a stack trace of all but ValueError
                    raise ValueError(f"no HTTP request: {error}") from None

            def MessageClass(self, *args: Any) -> Any:  # noqa: N802  # the name is gevent's
                head = super().MessageClass(*args)
                if _is_ambiguous(head):
                    raise ValueError("an ambiguous head")
                return head

            def log_error(self, msg: str, *args: Any) -> None:
                """A client's mistake, which is no error of ours. What it said is kept to itself; see _Discreet."""
                logger.info("a request that is none, from %s", self.client_address)

        WSGIServer(listener, app, handler_class=GeventHandler, log=None, error_log=logger).serve_forever()
    else:
        from werkzeug.serving import WSGIRequestHandler, make_server

        class Handler(_Discreet, WSGIRequestHandler):
            timeout = silence_s

            def make_environ(self) -> Any:
                return super().make_environ() | {_SOCKET: self.connection}

            def run_wsgi(self) -> None:
                try:
                    urlsplit(self.path)
                except ValueError:  # Werkzeug would print a stack trace, and answer nothing
                    self.close_connection = True
                    self.send_error(400)
                    return
                super().run_wsgi()
                if "Upgrade" in self.headers:  # else Werkzeug waits for HTTP where a WebSocket has ended
                    self.close_connection = True

        host, port = listener.getsockname()[:2]
        server = make_server(host, port, app, threaded=True, request_handler=Handler, fd=listener.detach())
        with contextlib.closing(server.socket):
            server.serve_forever()
