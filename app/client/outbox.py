"""What a person has written and the server has not taken yet: sent once, in order, when its turn has come."""

from __future__ import annotations

import secrets
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field

from app.client.core import Answer, Core
from app.client.errors import NOT_JOINED, QUEUE_FULL, ClientError
from app.client.feed import TERMINAL, Feed, Phase
from app.client.happenings import ClientEvent, Happening
from app.client.worker import Later
from app.errors import InvalidState
from app.protocol.commands import SendMessage, SendMessageAck
from app.protocol.common import ContentType, Status

_RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class Queued:
    """A message that waits.

    :param client_id: the client's own id of it, by which the server knows it when it is sent again.
    :param taken: the server's answer, once it is there. ``taken.cancel()`` takes back what was not sent yet.
    """

    content: str
    content_type: ContentType
    client_id: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    taken: Future[SendMessageAck] = field(default_factory=Future)


class Outbox:
    """The messages of one conversation. Guarded by the client's lock.

    The next one is sent when the connection stands and the conversation is followed; while agents talk the server keeps
    it, for all to see. One whose answer was lost is sent again under its own id, and the server takes it once.
    """

    def __init__(self, core: Core, feed: Feed) -> None:
        self._core = core
        self._feed = feed
        self._waiting: deque[Queued] = deque()
        self._sending = False
        self._retry: Later | None = None

    @property
    def waiting(self) -> tuple[Queued, ...]:
        """What was not taken yet, oldest first."""
        return tuple(each for each in self._waiting if not each.taken.cancelled())

    def put(self, content: str, content_type: ContentType) -> Future[SendMessageAck]:
        """Add a message.

        :raises ClientError: ``not_joined``, ``queue_full``, or why the conversation cannot be followed any more.
        """
        if self._feed.failure is not None:
            raise self._feed.failure
        if self._feed.conversation_id is None:
            raise ClientError(NOT_JOINED, "join or start a conversation first")
        if len(self.waiting) >= self._core.wishes.max_queued:
            raise ClientError(QUEUE_FULL, f"{len(self._waiting)} messages wait to be sent", retryable=True)
        message = Queued(content, content_type)
        self._waiting.append(message)
        self._tell()
        self.deliver()
        return message.taken

    def deliver(self) -> None:
        """Send the next one, if its turn has come."""
        while self._waiting and self._waiting[0].taken.cancelled():
            self._waiting.popleft()
        feed = self._feed
        if self._sending or not self._waiting or feed.phase is not Phase.FOLLOWING or not self._core.open:
            return
        message = self._waiting[0]
        if not message.taken.running() and not message.taken.set_running_or_notify_cancel():
            return
        self._sending = True
        payload = {
            "conversation_id": feed.conversation_id,
            "content": message.content,
            "content_type": message.content_type.value,
            "client_id": message.client_id,
        }
        answer = self._core.ask(SendMessage.name, payload, on_ack=self._taken)
        answer.add_done_callback(lambda future: self._answered(message, future))

    def _taken(self, ack: Answer) -> None:
        feed = self._feed
        if not ack.get("queued"):
            feed.await_session(str(ack["session_id"]))
        elif feed.fold.status in TERMINAL and feed.fold.status is not Status.COMPLETED:
            feed.await_next()  # what waited before it is set going by it

    def refuse(self, error: ClientError) -> None:
        """Nothing that waits can be sent any more."""
        waiting, self._waiting = self._waiting, deque()
        for message in waiting:
            if not message.taken.cancelled():
                message.taken.set_exception(error)
        if waiting:
            self._tell()

    def _answered(self, message: Queued, future: Future[Answer]) -> None:
        self._sending = False
        if message.taken.done():  # refused meanwhile
            return
        error = future.exception()
        if isinstance(error, ClientError) and (error.unanswered or error.retryable or error.code == InvalidState.code):
            self._try_again()  # with invalid_state, somebody else was quicker: after that run
            return
        self._waiting.remove(message)
        if error is None:
            message.taken.set_result(SendMessageAck.model_validate(future.result(), extra="ignore"))
        else:
            message.taken.set_exception(error)
        self._tell()
        self.deliver()

    def _try_again(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
        self._retry = self._core.call_later(_RETRY_S, self.deliver)

    def _tell(self) -> None:
        payload = {"conversation_id": self._feed.conversation_id, "waiting": len(self.waiting)}
        self._core.publish(Happening(ClientEvent.QUEUE, None, payload))
