"""What the parts of one client share: its lock, its thread, its connection, and commands with their answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from app.client.errors import BAD_ACK, PROTOCOL_UNSUPPORTED, TIMEOUT, ClientError
from app.client.happenings import ClientEvent, Happening, happening_of
from app.client.link import Connection, Link, LinkSettings
from app.client.mailbox import Item, Mailbox
from app.client.worker import Later, Worker
from app.errors import LimitExceeded
from app.protocol import PROTOCOL_VERSION
from app.protocol.commands import Authenticate, Join, Ping
from app.protocol.events import AuthExpiring, Connected, SignedOut

Answer = dict[str, Any]

_MAX_UNANSWERED = 32
"""Commands without an answer yet; the server takes no more from one connection."""
_QUIET_S = 2.0
"""How long a connection whose sign-in expires waits for commands that are under way."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """See :class:`app.client.Client`."""

    timeout_s: float
    ping_interval_s: float
    max_queued: int
    max_messages: int
    acks: bool
    batch: bool


class Stream(Protocol):
    """What the core tells each stream, with the lock held."""

    @property
    def conversation_id(self) -> str | None: ...
    def hear(self, name: str, payload: dict[str, Any], size: int) -> None: ...
    def connection_changed(self, connection: Connection) -> None: ...


class Core:
    """Guarded by :attr:`lock`. What is called with the lock held never blocks, and calls no stranger's function."""

    def __init__(self, settings: LinkSettings, wishes: Wishes) -> None:
        self.wishes = wishes
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.worker = Worker("colloquy-client")
        self.link = Link(settings, self.worker, self.lock, self)
        self.streams: list[Stream] = []
        self.mailboxes: list[Mailbox] = []
        self.latency_ms: float | None = None
        self.clock_skew_s = 0.0
        self._unanswered: set[Future[Answer]] = set()
        self._ping: Later | None = None

    @property
    def open(self) -> bool:
        """Whether commands can be sent."""
        return self.link.ready

    @property
    def delivery(self) -> dict[str, Any]:
        """How this client wants to be served: part of each `join` and `start_stream`."""
        wanted = Join(conversation_id="any", acks=self.wishes.acks, batch=self.wishes.batch)
        return wanted.model_dump(exclude_unset=True, exclude={"conversation_id"})

    def call_later(self, after_s: float, task: Callable[[], None]) -> Later:
        """Do something later, with the lock held."""

        def locked() -> None:
            with self.lock:
                if not later.cancelled:
                    task()

        later = self.worker.call(locked, after_s=after_s)
        return later

    # --- commands -----------------------------------------------------------------------------------------------------

    def ask(
        self,
        name: str,
        payload: dict[str, Any],
        *,
        timeout_s: float | None = None,
        on_ack: Callable[[Answer], None] | None = None,
    ) -> Future[Answer]:
        """Send a command over the open connection; the lock is held.

        :param on_ack: called with the answer, where it is a good one, before any event that follows it.
        :returns: the ack, or a :class:`ClientError`: the server's, ``timeout`` or ``disconnected``.
        """
        answer: Future[Answer] = Future()
        if len(self._unanswered) >= _MAX_UNANSWERED:
            answer.set_exception(
                ClientError(LimitExceeded.code, f"{_MAX_UNANSWERED} commands wait for their answers", retryable=True)
            )
            return answer
        self._unanswered.add(answer)

        def fail(error: ClientError) -> None:
            if answer in self._unanswered:
                self._unanswered.discard(answer)
                answer.set_exception(error)

        def take(ack: Any = None) -> None:
            with self.lock:
                late.cancel()
                if answer not in self._unanswered:
                    return
                if not isinstance(ack, dict) or ack.get("ok") is not True:
                    refusal = ack.get("error") if isinstance(ack, dict) else None
                    fail(ClientError.from_wire(refusal, code=BAD_ACK, message=f"{name} was answered without a result"))
                    return
                self._unanswered.discard(answer)
                if on_ack is not None:
                    on_ack(ack)
                answer.set_result(ack)

        late = self.call_later(
            timeout_s or self.wishes.timeout_s,
            lambda: fail(ClientError(TIMEOUT, f"no answer to {name}", retryable=True)),
        )
        self.link.emit(name, payload, take)
        return answer

    def tell(self, name: str, payload: dict[str, Any]) -> None:
        """Send a command that needs no answer; without a connection it is dropped. The lock is held."""
        if self.open:
            self.link.emit(name, payload)

    def ping(self) -> Future[Answer]:
        """Measure the way to the server and back; the lock is held."""
        sent_at, wall_at = time.monotonic(), time.time()

        def take(ack: Answer) -> None:
            took_s = time.monotonic() - sent_at
            self.latency_ms = took_s * 1000
            try:
                server_s = datetime.fromisoformat(str(ack.get("timestamp"))).timestamp()
            except ValueError:
                pass
            else:
                self.clock_skew_s = server_s - (wall_at + took_s / 2)
            self.publish(Happening(ClientEvent.LATENCY, None, {"latency_ms": self.latency_ms}))

        return self.ask(Ping.name, {"echo": sent_at}, on_ack=take)

    # --- what the client's handlers hear ------------------------------------------------------------------------------

    def publish(self, happening: Happening) -> None:
        """Tell the client's own handlers; the lock is held."""
        for mailbox in self.mailboxes:
            mailbox.put(happening)

    def mailbox(self) -> Mailbox:
        """A mailbox for what concerns the client as a whole."""

        def connection() -> Item:
            return self._connection_event(), False

        mailbox = Mailbox(self.changed, connection)
        self.mailboxes.append(mailbox)
        return mailbox

    def _connection_event(self) -> Happening:
        return Happening(ClientEvent.CONNECTION, None, {"connection": self.link.state.value})

    # --- what the link tells, with the lock held ----------------------------------------------------------------------

    def moved(self, connection: Connection) -> None:
        """The connection has changed its state, or failed to."""
        if connection is Connection.OPEN:
            self._keep_pinging()
        self.publish(self._connection_event())
        for stream in list(self.streams):
            stream.connection_changed(connection)
        self.changed.notify_all()

    def lost(self, error: ClientError) -> None:
        """The connection is gone, and with it the answers to all commands that have none yet."""
        self.latency_ms = None
        if self._ping is not None:
            self._ping.cancel()
        unanswered, self._unanswered = self._unanswered, set()
        for answer in unanswered:
            answer.set_exception(error)

    def heard(self, name: str, payload: dict[str, Any], size: int) -> None:
        """An event has come."""
        conversation_id = payload.get("conversation_id")
        if conversation_id is not None:
            for stream in list(self.streams):
                if stream.conversation_id == conversation_id:
                    stream.hear(name, payload, size)
            return
        if name == Connected.name and payload.get("protocol", 0) > PROTOCOL_VERSION:
            sentence = (
                f"the server speaks version {payload['protocol']} of the protocol, this client {PROTOCOL_VERSION}"
            )
            self.link.close(ClientError(PROTOCOL_UNSUPPORTED, sentence))
        elif name == AuthExpiring.name and self.link.can_renew:
            self.worker.call(self._authenticate)
        self.publish(happening_of(name, payload))
        if name == SignedOut.name and (payload.get("action") == "sign_in" or not self.link.can_renew):
            self.link.close(ClientError(str(payload.get("code")), str(payload.get("message"))))

    def _authenticate(self) -> None:
        """Hand over fresh credentials, in the worker's thread; where they are not taken, come back with others."""
        try:
            credentials = self.link.credentials()
        except ClientError as error:  # the connection stays as long as the server lets it
            with self.lock:
                self.link.last_error = error
            return
        token = credentials.get("token") if isinstance(credentials, dict) else None
        with self.lock:
            if not self.open:
                return  # whoever comes back asks for credentials anyway
            if isinstance(token, str):
                self.ask(Authenticate.name, {"token": token}).add_done_callback(self._authenticated)
            else:
                self._renew_when_quiet(time.monotonic() + _QUIET_S)

    def _authenticated(self, answer: Future[Answer]) -> None:
        error = answer.exception()
        if isinstance(error, ClientError) and not error.unanswered:
            with self.lock:
                self._renew_when_quiet(time.monotonic() + _QUIET_S)

    def _renew_when_quiet(self, deadline: float) -> None:
        if self._unanswered and time.monotonic() < deadline:
            self.call_later(0.02, lambda: self._renew_when_quiet(deadline))
        else:
            self.link.renew()

    def _keep_pinging(self) -> None:
        if self.open and self.wishes.ping_interval_s > 0:
            self.ping()
            self._ping = self.call_later(self.wishes.ping_interval_s, self._keep_pinging)


def utc(moment: datetime) -> str:
    """ISO 8601 in UTC; a time without a zone is this machine's."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")
