"""One conversation as a stream: what it holds now, its events, and the commands that steer it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from concurrent.futures import Future
from datetime import datetime
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from app.client.core import Answer, Core
from app.client.errors import NOT_CONNECTED, NOT_JOINED, TIMEOUT, ClientError
from app.client.feed import Feed, Phase
from app.client.handlers import EventName, Handler, Handlers
from app.client.happenings import ClientEvent, Happening, Reason, Replaced
from app.client.link import Connection
from app.client.mailbox import Events, Item, Mailbox
from app.client.meter import Metrics
from app.client.outbox import Outbox, Queued
from app.protocol.commands import (
    Ack,
    ContinueStream,
    ControlAck,
    FeedbackAck,
    GiveFeedback,
    JoinAck,
    Leave,
    PauseStream,
    ProvideInput,
    ProvideInputAck,
    ResumeStream,
    RunOptions,
    SendMessageAck,
    StartAck,
    StopAck,
    StopStream,
    UnqueueMessage,
    UnqueueMessageAck,
)
from app.protocol.common import ContentType, Filter, Position, Status
from app.protocol.snapshot import Snapshot

AckType = TypeVar("AckType", bound=Ack)


class ConversationStream:
    """Follows one conversation and keeps following it, whatever becomes of the connection. Made by the client.

    Safe to use from several threads. A context manager; leaving it leaves the conversation, which goes on.
    """

    def __init__(self, core: Core, request: Callable[..., Answer]) -> None:
        self._core = core
        self._request = request
        self._feed = Feed(core, self)
        self._outbox = Outbox(core, self._feed)
        self._mailboxes: list[Mailbox] = []  # replaced, never changed: an iterator may be forgotten at any time
        self._handlers = Handlers("colloquy-stream-handlers", core.changed, self._handlers_mailbox)
        self._reading: Mailbox | None = None
        self._reconnects_before = core.link.reconnects
        self._closed = False
        core.streams.append(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    # --- what it holds ------------------------------------------------------------------------------------------------

    @property
    def conversation_id(self) -> str | None:
        """The conversation; None before a start was answered."""
        return self._feed.conversation_id

    @property
    def state(self) -> Snapshot:
        """The conversation as it stands: the server's snapshot and every event since. Made anew at each call."""
        with self._core.lock:
            return self._feed.fold.snapshot()

    @property
    def status(self) -> Status:
        """What the conversation is doing."""
        return self._feed.fold.status

    @property
    def position(self) -> Position | None:
        """Where this reader stands: hand it to :meth:`join` later, in another process if need be."""
        with self._core.lock:
            return self._feed.position

    @property
    def following(self) -> bool:
        """Whether every new event reaches this stream, right now."""
        return self._feed.phase is Phase.FOLLOWING

    @property
    def failure(self) -> ClientError | None:
        """Why following was given up, for example ``conversation_unknown``. What had arrived is still there."""
        return self._feed.failure

    @property
    def watchers(self) -> int | None:
        """Connections that watch, as last announced."""
        return self._feed.watchers

    @property
    def queued(self) -> tuple[Queued, ...]:
        """Messages that wait to be sent, oldest first."""
        with self._core.lock:
            return self._outbox.waiting

    @property
    def metrics(self) -> Metrics:
        """How this stream is doing."""
        with self._core.lock:
            feed, meter = self._feed, self._feed.meter
            return Metrics(
                tokens=meter.tokens,
                tokens_per_s=meter.per_second(time.monotonic()),
                latency_ms=self._core.latency_ms,
                delivery_ms=meter.delivery_ms,
                offset=feed.fold.offset,
                head=max(feed.head, feed.fold.offset),
                epoch=feed.fold.epoch,
                reconnects=self._core.link.reconnects - self._reconnects_before,
                gaps=meter.gaps,
                duplicates=meter.duplicates,
                errors=meter.errors,
                acks=meter.acks,
                batches=meter.batches,
            )

    def text(self, message_id: str) -> str | None:
        """The text of a message so far; None where there is none of that id."""
        with self._core.lock:
            return self._feed.fold.text(message_id)

    # --- events -------------------------------------------------------------------------------------------------------

    def events(self, timeout_s: float | None = None, *, until_end: bool = True) -> Events:
        """Everything that happens, in order: first the conversation as it stands (:class:`Replaced`), then every event.

        It hears from this call on: call it before :meth:`join` to hear what a position brings, event by event. A reader
        that lets 10,000 events wait gets the conversation as it stands in their place.

        :param timeout_s: how long nothing may come; None: for ever.
        :param until_end: stop when the conversation's run has ended, and no message waits to be sent or said; else go
            on with the next run, until the stream is closed.
        :raises ClientError: ``timeout``; or why the conversation cannot be followed any more.
        """
        return Events(self._subscribe(), self._unsubscribe, timeout_s, until_end=until_end)

    def on(self, event: EventName, handler: Handler) -> Callable[[], None]:
        """Call ``handler(happening)`` for each event of a class or a name; ``"*"`` hears everything.

        Handlers are called in order, in a thread of this stream, and may give commands. ``client:failure`` tells that
        the conversation cannot be followed any more.

        :returns: what stops it.
        """
        return self._handlers.on(event, handler)

    def off(self, event: EventName, handler: Handler) -> None:
        """Stop calling a handler."""
        self._handlers.off(event, handler)

    def _subscribe(self) -> Mailbox:
        with self._core.lock:
            mailbox = Mailbox(self._core.changed, lambda: self._replacement("behind"))
            if self._feed.fold.epoch:
                mailbox.put(*self._replacement("joined")[:1], ends=self._ends())
            if self._closed or self._feed.failure is not None:
                mailbox.close(self._feed.failure)
            self._mailboxes = [*self._mailboxes, mailbox]
            return mailbox

    def _unsubscribe(self, mailbox: Mailbox) -> None:
        with self._core.lock:
            self._mailboxes = [each for each in self._mailboxes if each is not mailbox]

    def _handlers_mailbox(self) -> Mailbox:
        self._reading = Mailbox(self._core.changed, lambda: self._replacement("behind"))
        self._mailboxes = [*self._mailboxes, self._reading]
        return self._reading

    def _replacement(self, reason: Reason) -> Item:
        body = Replaced(self._feed.fold.snapshot(), reason)
        return Happening(ClientEvent.REPLACED, body, {}), self._ends()

    def _ends(self) -> bool:
        return self._feed.ended and not self._outbox.waiting

    # --- commands -----------------------------------------------------------------------------------------------------

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
    ) -> JoinAck:
        """Follow a conversation: as it stands now, on from a position, or from a time on.

        A connection that is lost meanwhile is waited for.

        :param filter: only these events; status, errors and the end always come.
        :param batch_ms: 0: live; else the events of so many ms come together, at most 10,000.
        :param changes_only: a whole message comes as ``message_updated``, with only what its deltas did not say.
        :raises ClientError: ``conversation_unknown``, ``not_permitted``, …; ``timeout`` after ``timeout_s``.
        """
        view: dict[str, Any] = {}
        if filter is not None:
            view["filter"] = filter.model_dump(mode="json")
        if batch_ms:
            view["batch_ms"] = batch_ms
        if changes_only:
            view["changes_only"] = True
        with self._core.changed:
            self._check_usable()
            self._feed.join(conversation_id, position=position, since=since, view=view)
            return _parsed(JoinAck, self._followed(timeout_s))

    def start(
        self,
        content: str,
        *,
        team: str = "debate",
        content_type: ContentType = ContentType.TEXT,
        conversation_id: str | None = None,
        options: RunOptions | None = None,
        timeout_s: float | None = None,
    ) -> StartAck:
        """Start a conversation, or a new run of one that has ended, and follow it.

        A connection that is lost meanwhile is waited for; the run is started once all the same.

        :raises ClientError: the server's refusal; ``timeout`` after ``timeout_s``.
        """
        payload: dict[str, Any] = {
            "content": content,
            "team": team,
            "content_type": content_type.value,
            "client_id": secrets.token_urlsafe(12),
        }
        if conversation_id is not None:
            payload["conversation_id"] = conversation_id
        if options is not None:
            payload["options"] = options.model_dump(exclude_none=True)
        with self._core.changed:
            self._check_usable()
            self._feed.start(payload)
            try:
                return _parsed(StartAck, self._followed(timeout_s))
            except ClientError:
                if self._feed.go_back():
                    self._core.changed.wait_for(
                        lambda: self.following or self._feed.failure, self._core.wishes.timeout_s
                    )
                raise

    def pause(self, *, timeout_s: float | None = None) -> ControlAck:
        """Stop reading from the model. Answered when nothing more is taken from it."""
        return _parsed(ControlAck, self._control(PauseStream.name, timeout_s))

    def resume(self, *, timeout_s: float | None = None) -> ControlAck:
        """Go on where the pause began."""
        return _parsed(ControlAck, self._control(ResumeStream.name, timeout_s))

    def stop(self, *, timeout_s: float | None = None) -> StopAck:
        """End the run. Answered when the model's request is closed, with the tokens spent."""
        return _parsed(StopAck, self._control(StopStream.name, timeout_s))

    def continue_(self, *, timeout_s: float | None = None) -> SendMessageAck:
        """Go on with a run that was stopped or broke off: from its team's last finished turn, with nothing new said.

        :raises ClientError: ``invalid_state`` while it runs, or when it has come to its end by itself.
        """
        return _parsed(
            SendMessageAck, self._control(ContinueStream.name, timeout_s, client_id=secrets.token_urlsafe(12))
        )

    def rate(
        self, message_id: str, value: Literal["up", "down"] | None, *, timeout_s: float | None = None
    ) -> FeedbackAck:
        """Say what you think of a message; None takes it back. All who watch get ``message_updated``."""
        return _parsed(FeedbackAck, self._control(GiveFeedback.name, timeout_s, message_id=message_id, value=value))

    def provide_input(
        self,
        request_id: str,
        content: str | None = None,
        *,
        granted: bool | None = None,
        client_id: str | None = None,
        timeout_s: float | None = None,
    ) -> ProvideInputAck:
        """Answer an agent that waits: one of ``state.pending_inputs``. The first answer wins.

        :param content: the answer to a text, which may be empty.
        :param granted: the answer to a permission.
        :param client_id: that of an answer which is given again, because its ack was lost; default: a random one.
        :raises ClientError: ``input_resolved`` when somebody else was quicker or it is too late; ``input_unknown``.
        """
        given = {"content": content, "granted": granted, "client_id": client_id or secrets.token_urlsafe(12)}
        return _parsed(ProvideInputAck, self._control(ProvideInput.name, timeout_s, request_id=request_id, **given))

    def unqueue(self, message_id: str, *, timeout_s: float | None = None) -> UnqueueMessageAck:
        """Take back a message that the server keeps until the agents have finished: one of ``state.queued``.

        :raises ClientError: ``message_unknown`` when it was said already; ``not_permitted`` when it is somebody else's.
        """
        return _parsed(UnqueueMessageAck, self._control(UnqueueMessage.name, timeout_s, message_id=message_id))

    def send(self, content: str, *, content_type: ContentType = ContentType.TEXT) -> Future[SendMessageAck]:
        """The next user turn. Returns at once: without a connection it waits here, and is sent once; while agents talk
        the server keeps it until they have finished (``queued`` in its answer, and ``state.queued``).

        Several are sent in their order. The future has the server's answer, or the :class:`ClientError` with which it
        was refused; ``cancel()`` takes back a message that was not sent yet, :meth:`unqueue` one that the server keeps.

        :raises ClientError: ``queue_full``; ``not_joined``; why the conversation cannot be followed any more.
        """
        with self._core.lock:
            return self._outbox.put(content, content_type)

    def leave(self) -> None:
        """Stop following. The conversation goes on; what was queued and not sent is refused."""
        with self._core.lock:
            conversation_id = self.conversation_id
            followed = self._feed.close()
            self._outbox.refuse(ClientError(NOT_JOINED, "the conversation was left before this could be sent"))
            asked = None
            if followed and self._core.open and conversation_id is not None:
                asked = self._core.ask(Leave.name, {"conversation_id": conversation_id})
        if asked is not None:
            asked.exception(self._core.wishes.timeout_s + 1)  # gone is gone

    def close(self) -> None:
        """Leave, and end the iterators and handlers. More than once is no error."""
        if self._closed:
            return
        self.leave()
        with self._core.lock:
            self._closed = True
            if self in self._core.streams:
                self._core.streams.remove(self)
            for mailbox in self._mailboxes:
                mailbox.close()
        self._handlers.join()

    def _control(self, name: str, timeout_s: float | None, **more: Any) -> Answer:
        conversation_id = self.conversation_id
        if conversation_id is None:
            raise ClientError(NOT_JOINED, "join or start a conversation first")
        return self._request(name, {"conversation_id": conversation_id, **more}, timeout_s=timeout_s)

    def _check_usable(self) -> None:
        if self._closed:
            raise ClientError(NOT_JOINED, "this stream was closed")
        if not self._core.link.wanted:
            raise self._core.link.last_error or ClientError(NOT_CONNECTED, "not connected", retryable=True)

    def _followed(self, timeout_s: float | None) -> Answer:
        """Wait, with the lock held, until the join or start that was just begun is answered; the answer."""
        core, feed = self._core, self._feed
        timeout_s = core.wishes.timeout_s if timeout_s is None else timeout_s

        def settled() -> bool:
            return feed.answer is not None or bool(feed.failure or feed.refusal) or not core.link.wanted

        if not core.changed.wait_for(settled, timeout_s):
            feed.close()
            if core.open:
                raise ClientError(TIMEOUT, f"no answer within {timeout_s} s", retryable=True)
            raise core.link.last_error or ClientError(NOT_CONNECTED, "no connection to the server", retryable=True)
        if feed.answer is not None:
            return feed.answer
        if error := feed.failure or feed.refusal or core.link.last_error:
            raise error
        raise ClientError(NOT_CONNECTED, "the connection was closed", retryable=True)

    # --- what the core and the feed tell, with the lock held ----------------------------------------------------------

    def hear(self, name: str, payload: dict[str, Any], size: int) -> None:
        """An event of this conversation has come."""
        self._feed.hear(name, payload, size)

    def connection_changed(self, connection: Connection) -> None:
        """The connection has changed its state."""
        self._feed.connection_changed(connection)
        if connection is Connection.CLOSED:
            error = self._core.link.last_error or ClientError(
                NOT_CONNECTED, "the connection was closed", retryable=True
            )
            self._outbox.refuse(error)
            for mailbox in self._mailboxes:
                if mailbox is not self._reading:
                    mailbox.close(error)

    def applied(self, happening: Happening) -> None:
        """The state has changed by one event."""
        self._outbox.deliver()
        ends = happening.offset is not None and self._ends()
        for mailbox in self._mailboxes:
            mailbox.put(happening, ends=ends)

    def replaced(self, reason: Reason) -> None:
        """The state was replaced."""
        happening, ends = self._replacement(reason)
        for mailbox in self._mailboxes:
            mailbox.put(happening, ends=ends)
        self._outbox.deliver()

    def failed(self, error: ClientError) -> None:
        """The conversation cannot be followed any more."""
        self._outbox.refuse(error)
        payload = {"code": error.code, "message": error.message, "retryable": error.retryable}
        for mailbox in self._mailboxes:
            mailbox.put(Happening(ClientEvent.FAILURE, None, payload))
            if mailbox is not self._reading:
                mailbox.close(error)


def _parsed(kind: type[AckType], ack: Answer) -> AckType:
    return kind.model_validate(ack, extra="ignore")
