"""One Socket.IO connection on python-socketio, with its events in order and its end told exactly once.

The library starts a thread for each packet, so that neighbouring events may overtake each other, and tells of a lost
connection only in some of the cases. Here everything is handled in the reading thread, and every end ends in
:attr:`Wire.on_end`.
"""

from __future__ import annotations

import ipaddress
import logging
import queue
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import engineio
import requests
import socketio

from app.client.errors import UNREACHABLE, ClientError
from app.protocol import NAMESPACE

_FLUSH_TIMEOUT_S = 1.0

_log = logging.getLogger(f"{__name__}.library")
_log.addHandler(logging.NullHandler())  # the library would print to stderr what `last_error` says


class _Outgoing(queue.Queue[Any]):
    """The library ends its writing thread by a None, but overlooks one that follows a packet: so there are two."""

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        super().put(item, block, timeout)
        if item is None:
            super().put(item, block, timeout)


class _Engine(engineio.Client):  # type: ignore[misc]  # python-engineio has no types
    def create_queue(self, *_: Any, **__: Any) -> _Outgoing:
        return _Outgoing()

    def _trigger_event(self, event: str, *args: Any, **kwargs: Any) -> Any:
        return super()._trigger_event(event, *args, **{**kwargs, "run_async": False})

    def disconnect(self, abort: bool = False, reason: str | None = None) -> None:
        """The library's abort empties the queue before the writing thread has seen that it shall end."""
        if abort:  # the server has said that it closes: let the reading thread find it closed
            if self.ws is not None:
                self.ws.abort()
        else:
            super().disconnect(reason=reason)


class Wire(socketio.Client):  # type: ignore[misc]  # python-socketio has no types
    """A connection that is opened once and ended once. For the next attempt there is a new one.

    :param on_event: called in the reading thread with name, payload and the packet's size in characters.
    :param on_end: called once an opened connection is gone, in any thread.
    :param timeout_s: for each step of opening.
    """

    def __init__(
        self,
        *,
        on_event: Callable[[str, dict[str, Any], int], None],
        on_end: Callable[[Wire], None],
        timeout_s: float,
        loopback: bool,
    ) -> None:
        self._session = requests.Session()
        if loopback:
            self._session.trust_env = False  # no proxy is between us and this machine
        super().__init__(
            reconnection=False,
            handle_sigint=False,
            logger=_log,
            engineio_logger=_log,
            request_timeout=timeout_s,
            http_session=self._session,
        )
        self._on_event = on_event
        self._on_end = on_end
        self._timeout_s = timeout_s
        self._size = 0
        self._refusal: Any = None
        self._reader: Any = None
        self._socket: Any = None
        self.ended = False
        self.on("*", self._event, namespace=NAMESPACE)
        self.on("connect_error", self._refused, namespace=NAMESPACE)

    def open(self, url: str, auth: Any, transport: str) -> None:
        """Connect, and wait until the server has accepted.

        :raises ClientError: refused, or not reached.
        """
        try:
            self.connect(
                url,
                auth=auth,
                transports=[transport],
                namespaces=[NAMESPACE],
                wait_timeout=self._timeout_s,
            )
        except (socketio.exceptions.ConnectionError, ValueError, OSError) as error:
            self.close()
            if isinstance(self._refusal, dict):
                refusal = self._refusal.get("data") or self._refusal
                refusal = refusal.get("error", refusal) if isinstance(refusal, dict) else refusal
                raise ClientError.from_wire(refusal, code=UNREACHABLE, message="refused") from None
            why = f": {error}" if "status code" in str(error) else ""  # all else is the library's inner life
            raise ClientError(UNREACHABLE, f"no Colloquy server answers at {url}{why}", retryable=True) from error
        self._reader = self.eio.read_loop_task
        self._socket = self.eio.ws

    def close(self) -> None:
        """End the connection: what was sent before still goes out. Joins the library's threads, so not from them."""
        reader = self._reader or self.eio.read_loop_task
        websocket = self._socket or self.eio.ws
        if self.eio.state == "connected":
            writer = self.eio.write_loop_task
            self.eio.queue.put(engineio.packet.Packet(engineio.packet.CLOSE))
            self.eio.queue.put(None)
            if writer is not None:
                writer.join(_FLUSH_TIMEOUT_S)
            if websocket is not None:
                websocket.abort()  # its close() would wait for a server that may be dead
        if reader is not None:
            reader.join()
        if websocket is not None:
            websocket.shutdown()
        self._session.close()

    @property
    def transport_name(self) -> str:
        """``websocket`` or ``polling``."""
        return str(self.eio.current_transport)

    def _engineio_client_class(self) -> type[_Engine]:
        return _Engine

    def _event(self, name: str, *payload: Any) -> None:
        if payload and isinstance(payload[0], dict):
            self._on_event(name, payload[0], self._size)

    def _refused(self, *refusal: Any) -> None:
        self._refusal = refusal[0] if refusal else "refused"

    def _handle_eio_message(self, data: Any) -> None:
        self._size = len(data)
        super()._handle_eio_message(data)

    def _handle_disconnect(self, namespace: str | None) -> None:
        self._ended()  # the library would wait for the thread that it is in

    def _handle_eio_disconnect(self, reason: str) -> None:
        super()._handle_eio_disconnect(reason)
        self._ended()

    def _ended(self) -> None:
        if not self.ended:
            self.ended = True
            self._on_end(self)


def is_loopback(url: str) -> bool:
    """Whether an address leads to this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
