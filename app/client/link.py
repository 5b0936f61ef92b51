"""The connection that is kept open: it asks for credentials before each attempt, and comes back after a wait that
doubles from attempt to attempt, with a random part, so that the clients of a server that restarts do not all come at
once.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from app.client.errors import AUTH_FAILED, DISCONNECTED, NOT_CONNECTED, UNREACHABLE, ClientError
from app.client.wire import Wire, is_loopback
from app.client.worker import Later, Worker
from app.errors import TokenExpired, Unauthenticated
from app.protocol import NAMESPACE

_STABLE_S = 5.0
"""A connection that stood for so long was a good one: after it, the waits begin anew."""
_LONGEST_WAIT_S = 3600.0
_MAX_REFUSED_TOKENS = 3
"""Refusals of fresh credentials in a row, after which no more are asked for."""

Auth = dict[str, Any] | Callable[[], dict[str, Any] | None] | None


class Connection(StrEnum):
    """States of the connection, with the names that a WebSocket has, and one for a connection that comes back."""

    CLOSED = "closed"
    OPENING = "opening"
    OPEN = "open"
    REOPENING = "reopening"


class LinkHooks(Protocol):
    """Whom a link tells. All are called with the lock held."""

    def moved(self, connection: Connection) -> None: ...
    def lost(self, error: ClientError) -> None: ...
    def heard(self, name: str, payload: dict[str, Any], size: int) -> None: ...


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """See :class:`app.client.Client`."""

    url: str
    auth: Auth
    transports: Sequence[str]
    connect_timeout_s: float
    reconnection_delay_s: float
    reconnection_delay_max_s: float


class Link:
    """Guarded by the client's lock, which is never held while an attempt is under way.

    :param lock: guards everything here, and in the client.
    """

    def __init__(self, settings: LinkSettings, worker: Worker, lock: threading.RLock, hooks: LinkHooks) -> None:
        self._settings = settings
        self._worker = worker
        self._lock = lock
        self._hooks = hooks
        self._wire: Wire | None = None
        self._turn = 0  # grows with each attempt, so that what belongs to an earlier one is ignored
        self._attempts = 0
        self._refused_tokens = 0
        self._opened_at = 0.0
        self._retry: Later | None = None
        self.state = Connection.CLOSED
        self.wanted = False
        self.reconnects = 0
        self.last_error: ClientError | None = None

    @property
    def ready(self) -> bool:
        """Whether :meth:`emit` may be called."""
        return self._wire is not None

    @property
    def transport(self) -> str | None:
        """``websocket`` or ``polling``; None without a connection."""
        return self._wire.transport_name if self._wire is not None else None

    @property
    def uptime_s(self) -> float | None:
        """How long the present connection has stood; None without one."""
        return time.monotonic() - self._opened_at if self.state is Connection.OPEN else None

    @property
    def can_renew(self) -> bool:
        """Whether fresh credentials can be had."""
        return callable(self._settings.auth)

    def open(self) -> None:
        """Open the connection, and keep it open. Returns at once."""
        if not self.wanted:
            self.wanted = True
            self._attempts = self._refused_tokens = 0
            self._move(Connection.OPENING)
            self._dial_in(0.0)

    def close(self, error: ClientError | None = None) -> None:
        """Close the connection for good; the worker ends it."""
        self.wanted = False
        self._turn += 1
        if error is not None:
            self.last_error = error
        if self._retry is not None:
            self._retry.cancel()
        self._drop()
        self._hooks.lost(error or ClientError(NOT_CONNECTED, "the connection was closed", retryable=True))
        self._move(Connection.CLOSED)

    def renew(self) -> None:
        """Come back with fresh credentials. Positions make this invisible to whoever follows a conversation."""
        if self.state is Connection.OPEN:
            self._drop()
            self._lost("the connection is opened again with fresh credentials", delay_s=0.0)

    def emit(self, name: str, payload: dict[str, Any], on_ack: Callable[..., None] | None = None) -> None:
        """Hand a command to the connection, which must be open. Does not block."""
        assert self._wire is not None, "emit needs an open connection"
        try:
            self._wire.emit(name, payload, namespace=NAMESPACE, callback=on_ack)
        except Exception as error:  # noqa: BLE001  # the library's, for a connection that has just ended
            self.last_error = ClientError(DISCONNECTED, str(error), retryable=True)

    # --- attempts, in the worker's thread -----------------------------------------------------------------------------

    def _dial(self) -> None:
        with self._lock:
            self._turn += 1
            turn = self._turn
            wanted = self.wanted
        if not wanted:
            return
        try:
            wire = self._connect(self.credentials(), turn)
        except ClientError as error:
            with self._lock:
                if turn == self._turn:
                    self._refused(error)
            return
        with self._lock:
            taken = turn == self._turn and not wire.ended
            if taken:
                self._opened(wire)
            elif turn == self._turn:
                self._refused(ClientError(DISCONNECTED, "the connection ended at once", retryable=True))
        if not taken:
            wire.close()

    def credentials(self) -> Any:
        """What is sent along; calls the user's function, so the lock must not be held.

        :raises ClientError: none can be had.
        """
        auth = self._settings.auth
        try:
            return auth() if callable(auth) else auth
        except Exception as error:
            raise ClientError(AUTH_FAILED, f"no credentials could be had: {error}", retryable=True) from error

    def _connect(self, credentials: Any, turn: int) -> Wire:
        settings = self._settings

        def heard(name: str, payload: dict[str, Any], size: int) -> None:
            with self._lock:
                if turn == self._turn:
                    self._hooks.heard(name, payload, size)

        for transport in settings.transports:
            wire = Wire(
                on_event=heard,
                on_end=self._ended,
                timeout_s=settings.connect_timeout_s,
                loopback=is_loopback(settings.url),
            )
            try:
                wire.open(settings.url, credentials, transport)
            except ClientError as error:
                if transport == settings.transports[-1] or error.code != UNREACHABLE:
                    raise
            else:
                return wire
        raise ClientError(UNREACHABLE, "no transport is allowed")

    def _opened(self, wire: Wire) -> None:
        self._wire = wire
        self._opened_at = time.monotonic()
        self._refused_tokens = 0
        self.last_error = None
        if self.state is Connection.REOPENING:
            self.reconnects += 1
        self._move(Connection.OPEN)

    def _refused(self, error: ClientError) -> None:
        self.last_error = error
        if error.code in (Unauthenticated.code, TokenExpired.code) and self.can_renew:
            self._refused_tokens += 1
            again = self._refused_tokens < _MAX_REFUSED_TOKENS
        else:
            again = error.retryable
        if again:
            self._hooks.moved(self.state)  # the same state, for another reason
            least_s = min(error.retry_after_s or 0.0, _LONGEST_WAIT_S)  # so long the server wants us to stay away
            self._dial_in(max(least_s, self._backoff_s()))
        else:
            self.close(error)

    # --- the end of a connection --------------------------------------------------------------------------------------

    def _ended(self, wire: Wire) -> None:
        with self._lock:
            if wire is self._wire:
                self._drop()
                if time.monotonic() - self._opened_at >= _STABLE_S:
                    self._attempts = 0
                self._lost("the connection was lost", delay_s=self._backoff_s())

    def _lost(self, sentence: str, *, delay_s: float) -> None:
        self._hooks.lost(ClientError(DISCONNECTED, sentence, retryable=True))
        self._move(Connection.REOPENING)
        self._dial_in(delay_s)

    def _drop(self) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            self._turn += 1
            self._worker.call(wire.close)  # joins the reading thread, in which we may be

    def _dial_in(self, delay_s: float) -> None:
        if self._retry is not None:
            self._retry.cancel()
        self._retry = self._worker.call(self._dial, after_s=delay_s)

    def _backoff_s(self) -> float:
        settings = self._settings
        longest_s: float = min(settings.reconnection_delay_s * 2**self._attempts, settings.reconnection_delay_max_s)
        self._attempts = min(self._attempts + 1, 30)
        return longest_s * random.uniform(0.5, 1.0)

    def _move(self, connection: Connection) -> None:
        if connection is not self.state:
            self.state = connection
            self._hooks.moved(connection)
