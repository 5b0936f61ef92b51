"""The client: one connection, and any number of conversations on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from app.client.core import Answer, Core, Wishes
from app.client.errors import NOT_CONNECTED, ClientError
from app.client.handlers import EventName, Handler, Handlers
from app.client.link import Auth, Connection, LinkSettings
from app.client.mailbox import Mailbox
from app.client.outbox import Queued
from app.client.stream import ConversationStream
from app.errors import TokenExpired, Unauthenticated
from app.protocol.commands import RunOptions
from app.protocol.common import ContentType, Filter, Position

DEFAULT_URL = "http://127.0.0.1:5000"


class Client:
    """A connection to a Colloquy server that is kept open. Safe to use from several threads. A context manager.

    ::

        with Client() as client, client.start("Are bank shares cheap?") as stream:
            for happening in stream.events():
                print(happening.name)

    :param url: the server's address.
    :param auth: credentials, or a function that is called for them before each attempt to connect, in the client's own
        thread; ``{"token": …}``. Before the sign-in expires, fresh ones are handed over.
    :param transports: tried in this order: ``websocket``, ``polling``.
    :param timeout_s: how long a command may take, when it is not told otherwise.
    :param connect_timeout_s: for each step of an attempt to connect.
    :param ping_interval_s: how often the latency is measured; 0: never.
    :param reconnection_delay_s: wait before the first attempt to come back; it doubles, with a random part …
    :param reconnection_delay_max_s: … up to this.
    :param max_queued: messages of one conversation that may wait to be sent; a further one is refused (``queue_full``).
    :param max_messages: messages of one conversation that its state keeps; older ones are counted as omitted.
    :param acks: acknowledge what arrives, so that the server paces a connection that lags.
    :param batch: take what was missed in batches.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        auth: Auth = None,
        transports: Sequence[str] = ("websocket", "polling"),
        timeout_s: float = 15.0,
        connect_timeout_s: float = 5.0,
        ping_interval_s: float = 10.0,
        reconnection_delay_s: float = 0.5,
        reconnection_delay_max_s: float = 10.0,
        max_queued: int = 100,
        max_messages: int = 500,
        acks: bool = True,
        batch: bool = True,
    ) -> None:
        self.url = url.rstrip("/")
        self._core = Core(
            LinkSettings(
                self.url, auth, tuple(transports), connect_timeout_s, reconnection_delay_s, reconnection_delay_max_s
            ),
            Wishes(timeout_s, ping_interval_s, max_queued, max_messages, acks, batch),
        )
        self._mailbox: Mailbox | None = None
        self._handlers = Handlers("colloquy-client-handlers", self._core.changed, self._make_mailbox)

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    # --- the connection -----------------------------------------------------------------------------------------------

    @property
    def connection(self) -> Connection:
        """The state of the connection: closed, opening, open or reopening."""
        return self._core.link.state

    @property
    def transport(self) -> str | None:
        """``websocket`` or ``polling``; None without a connection."""
        with self._core.lock:
            return self._core.link.transport

    @property
    def reconnects(self) -> int:
        """How often the connection came back."""
        return self._core.link.reconnects

    @property
    def last_error(self) -> ClientError | None:
        """What went wrong last with the connection; None while all is well."""
        return self._core.link.last_error

    @property
    def uptime_s(self) -> float | None:
        """How long the present connection has stood; None without one."""
        with self._core.lock:
            return self._core.link.uptime_s

    @property
    def latency_ms(self) -> float | None:
        """Round trip of the last ping; None before the first, and without a connection."""
        return self._core.latency_ms

    @property
    def clock_skew_ms(self) -> float:
        """The server's clock minus ours, as the last ping estimated it."""
        return self._core.clock_skew_s * 1000

    @property
    def queued(self) -> tuple[Queued, ...]:
        """Messages of all conversations that wait to be sent."""
        with self._core.lock:
            streams = [each for each in self._core.streams if isinstance(each, ConversationStream)]
            return tuple(message for stream in streams for message in stream.queued)

    def connect(self, timeout_s: float | None = None) -> None:
        """Open the connection and keep it open. Returns when it stands for the first time.

        :param timeout_s: give up after so long; None: after the client's ``timeout_s``.
        :raises ClientError: refused for good, or not reached in time: the connection is closed then.
        """
        core = self._core
        core.worker.start()
        self._handlers.start()
        with core.changed:
            core.link.open()
            wait_s = core.wishes.timeout_s if timeout_s is None else timeout_s
            core.changed.wait_for(lambda: core.open or not core.link.wanted, wait_s)
            if core.open:
                return
            error = core.link.last_error or ClientError(NOT_CONNECTED, "no connection to the server", retryable=True)
        self.close()
        raise error

    def close(self) -> None:
        """Leave all conversations, which go on, and close the connection for good. Ends all threads.

        More than once is no error. What waits to be sent is refused. `connect` opens the connection again.
        """
        core = self._core
        for stream in list(core.streams):
            if isinstance(stream, ConversationStream):
                stream.close()
        with core.lock:
            if core.link.wanted:
                core.link.close()
            if self._mailbox is not None:
                core.mailboxes.remove(self._mailbox)
                self._mailbox.close()
                self._mailbox = None
        core.worker.stop()
        self._handlers.join()

    # --- conversations ------------------------------------------------------------------------------------------------

    def join(
        self,
        conversation_id: str,
        *,
        position: Position | None = None,
        since: datetime | None = None,
        filter: Filter | None = None,
        batch_ms: int = 0,
        changes_only: bool = False,
        timeout_s: float | None = None,
    ) -> ConversationStream:
        """Follow a conversation; see :meth:`ConversationStream.join`.

        A conversation is followed by one stream of a client; a second call for the same one replaces the first's view.
        """
        stream = self.stream(conversation_id)
        with _closing_if_failed(stream):
            stream.join(
                conversation_id,
                position=position,
                since=since,
                filter=filter,
                batch_ms=batch_ms,
                changes_only=changes_only,
                timeout_s=timeout_s,
            )
        return stream

    def start(
        self,
        content: str,
        *,
        team: str = "debate",
        content_type: ContentType = ContentType.TEXT,
        conversation_id: str | None = None,
        options: RunOptions | None = None,
        timeout_s: float | None = None,
    ) -> ConversationStream:
        """Start a conversation and follow it; see :meth:`ConversationStream.start`."""
        stream = self.stream(conversation_id)
        with _closing_if_failed(stream):
            stream.start(
                content,
                team=team,
                content_type=content_type,
                conversation_id=conversation_id,
                options=options,
                timeout_s=timeout_s,
            )
        return stream

    def stream(self, conversation_id: str | None = None) -> ConversationStream:
        """The stream of a conversation, if there is one; else a new one, so that handlers hear all from the start."""
        with self._core.lock:
            for stream in self._core.streams:
                if (
                    conversation_id is not None
                    and stream.conversation_id == conversation_id
                    and isinstance(stream, ConversationStream)
                ):
                    return stream
            return ConversationStream(self._core, self.request)

    # --- commands and events ------------------------------------------------------------------------------------------

    def request(self, name: str, payload: dict[str, Any] | None = None, *, timeout_s: float | None = None) -> Answer:
        """Send a command and wait for its ack. Refused as ``unauthenticated``, it is sent again with fresh credentials.

        A command that has to wait for the connection longer than its time is never sent.

        :raises ClientError: the server's; or ``timeout``, ``disconnected``, ``not_connected``.
        """
        try:
            return self._ask(name, payload or {}, timeout_s)
        except ClientError as error:
            if error.code not in (Unauthenticated.code, TokenExpired.code) or not self._core.link.can_renew:
                raise
        with self._core.lock:
            self._core.link.renew()
        return self._ask(name, payload or {}, timeout_s)

    def ping(self, *, timeout_s: float | None = None) -> float:
        """Measure the way to the server and back, in ms."""
        core = self._core
        with core.changed:
            self._wait_until_open(timeout_s)
            answer = core.ping()
        answer.result()
        return core.latency_ms or 0.0

    def on(self, event: EventName, handler: Handler) -> Callable[[], None]:
        """Hear what concerns the client as a whole: ``client:connection``, ``client:latency``, ``client:queue``,
        ``connected``, ``broadcast``; ``"*"`` hears everything. See :meth:`ConversationStream.on`.
        """
        return self._handlers.on(event, handler)

    def off(self, event: EventName, handler: Handler) -> None:
        """Stop calling a handler."""
        self._handlers.off(event, handler)

    def _ask(self, name: str, payload: dict[str, Any], timeout_s: float | None) -> Answer:
        core = self._core
        with core.changed:
            self._wait_until_open(timeout_s)
            answer = core.ask(name, payload, timeout_s=timeout_s)
        return answer.result()

    def _wait_until_open(self, timeout_s: float | None) -> None:
        core = self._core
        wait_s = core.wishes.timeout_s if timeout_s is None else timeout_s
        core.changed.wait_for(lambda: core.open or not core.link.wanted, wait_s)
        if not core.open:
            raise core.link.last_error or ClientError(NOT_CONNECTED, "no connection to the server", retryable=True)

    def _make_mailbox(self) -> Mailbox:
        self._mailbox = self._core.mailbox()
        return self._mailbox


class _closing_if_failed:  # noqa: N801  # reads as a statement
    def __init__(self, stream: ConversationStream) -> None:
        self._stream = stream

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is not None and not self._stream.following:
            self._stream.close()
