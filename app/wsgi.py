"""The WSGI server of each async mode, and the connections that requests come on."""

from __future__ import annotations

import contextlib
import gc
import io
import logging
import socket
import time
from email.errors import MissingHeaderBodySeparatorDefect
from email.message import Message
from typing import Any
from urllib.parse import urlsplit

logger = logging.getLogger(__name__)

_MAX_CONNECTIONS = 65_536
_REQUEST_LINE_BYTES = 65_536  # as Werkzeug has it; what is too long for us, we want to refuse in our own words
_HTTP_BUFFER_BYTES = 1024  # eventlet keeps its HTTP buffers (8 and 16 kB) as long as a WebSocket lives
_SOCKET = "colloquy.socket"
_HANDLER = "colloquy.handler"  # gevent's, which must be told not to wait for another request


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


class _Incoming(io.RawIOBase):
    """What comes on a connection: each request has to be whole ``silence_s`` after its beginning, or is broken off.

    The servers' own limit begins anew with each byte: who sends one now and then would stay for ever.
    """

    def __init__(self, sock: Any, silence_s: float) -> None:
        self._sock = sock
        self._silence_s = silence_s
        self._ends_s: float | None = None

    @classmethod
    def of(cls, sock: Any, silence_s: float, buffer_bytes: int = io.DEFAULT_BUFFER_SIZE) -> io.BufferedReader:
        """For a handler's ``rfile``. Closing it leaves the socket open."""
        return io.BufferedReader(cls(sock, silence_s), buffer_bytes)

    def await_request(self) -> None:
        """The next byte begins another request."""
        self._ends_s = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """What is there already, and the end, can always be read: servers look for it after an answer, too.

        :raises TimeoutError: nothing comes, or the request takes too long.
        """
        left_s = self._silence_s if self._ends_s is None else max(0.0, self._ends_s - time.monotonic())
        self._sock.settimeout(left_s)
        try:
            count: int = self._sock.recv_into(buffer)
        except BlockingIOError:
            raise TimeoutError("the request has taken too long") from None
        finally:
            self._sock.settimeout(self._silence_s)
        if self._ends_s is None:
            self._ends_s = time.monotonic() + self._silence_s
        return count


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
            rfile: Any
            rbufsize = wbufsize = _HTTP_BUFFER_BYTES
            minimum_chunk_size = 1  # a stream's pieces go out when they are made, and are not gathered to 4 kB

            def setup(self) -> None:
                super().setup()
                self.rfile.close()
                self.rfile = _Incoming.of(self.connection, silence_s, _HTTP_BUFFER_BYTES)

            def handle_one_request(self) -> None:
                self.rfile.raw.await_request()
                super().handle_one_request()

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
            rfile: Any

            def __init__(self, sock: Any, address: Any, server: Any) -> None:
                super().__init__(sock, address, server)
                self.rfile.close()
                self.rfile = _Incoming.of(sock, silence_s)

            def handle_one_request(self) -> Any:
                self.rfile.raw.await_request()
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
            rfile: Any
            timeout = silence_s

            def setup(self) -> None:
                super().setup()
                self.rfile.close()
                self.rfile = _Incoming.of(self.connection, silence_s)

            def handle_one_request(self) -> None:
                self.rfile.raw.await_request()
                super().handle_one_request()

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
