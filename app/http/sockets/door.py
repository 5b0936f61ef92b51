"""A door: one WebSocket dialect. A task that reads commands, and one that writes what the log has."""

from __future__ import annotations

import json
import logging
import math
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from app.auth.identity import Principal
from app.auth.live import Watched, iso_of
from app.connections import Connection
from app.errors import (
    ColloquyError,
    ConversationUnknown,
    InvalidPayload,
    LimitExceeded,
    NotPermitted,
    TokenExpired,
    Unauthenticated,
)
from app.http.sockets.idle import Idle, IdleWatch
from app.http.sockets.websocket import GOODBYE_S, Closed, WebSocket
from app.namespaces.budget import CommandBudget
from app.protocol.close_codes import CloseCode
from app.protocol.commands import AuthenticateAck
from app.protocol.common import Status
from app.protocol.events import (
    AccessEnded,
    AuthExpiring,
    Broadcast,
    ConversationDeleted,
    SignedOut,
    StillWorking,
    Storage,
)
from app.services import Services
from app.streaming.conversation import Conversation
from app.streaming.follower import Follower, Portion
from app.streaming.session_events import still_working

logger = logging.getLogger(__name__)

NOTICES = frozenset(
    event.name
    for event in (Broadcast, Storage, AuthExpiring, SignedOut, AccessEnded, ConversationDeleted, StillWorking)
)
"""Transient events that have a word at these doors."""

_MAX_NOTICES = 16
_SILENCE_S = 1.7
_WORKING = (Status.INITIALIZING, Status.ACTIVE)
Show = Callable[[Portion], None]
"""Sends what the log has, in a dialect; deltas are merged already. It may raise ColloquyError: the client is told."""

_FAILED = ColloquyError("that failed; the server's log says why")
_CLOSES: dict[type[ColloquyError], CloseCode] = {
    Unauthenticated: CloseCode.UNAUTHENTICATED,
    TokenExpired: CloseCode.TOKEN_EXPIRED,
    NotPermitted: CloseCode.NOT_PERMITTED,
    LimitExceeded: CloseCode.TRY_LATER,
    ConversationUnknown: CloseCode.CONVERSATION_UNKNOWN,
}


@dataclass(frozen=True, slots=True)
class _LastWord:
    """Why a connection ends, in its dialect, and the close code."""

    message: dict[str, Any] | None
    code: CloseCode
    reason: str


class Door(Connection, ABC):
    """One connection of one dialect. Subclasses translate; they hold no state of the conversation beyond that.

    The log is the queue: the writer reads the next portion when the last one has been taken, so nothing grows with a
    client that is slow, and what it missed comes merged. Commands are carried out in their order by the reader; while
    one is, the next waits in the kernel.

    Implements :class:`app.auth.live.LiveConnection`, too.

    :param query: the request's parameters; ``key`` is the path's.
    :ivar address: where the client is.
    """

    name: ClassVar[str]
    speaks_rarely = False
    """It has no word for much of what happens: what a run is doing is told by its own clock, at least every 2 s."""

    def __init__(
        self, parts: Services, websocket: WebSocket, principal: Principal, query: Mapping[str, str], key: str
    ) -> None:
        super().__init__(self.name, websocket.outlet)
        self.parts = parts
        self.websocket = websocket
        self.principal = principal
        self.query = query
        self.key = key
        self.address = ""
        self.conversation: Conversation | None = None
        self._reading: tuple[Follower, Show] | None = None  # replaced as a whole, by whoever; read by the writer
        self._notices: deque[dict[str, Any]] = deque(maxlen=_MAX_NOTICES)
        self._stirred = threading.Event()  # wakes a writer that follows nothing
        self._ended = threading.Event()  # the reader has ended
        self._hurry = threading.Event()  # the reader has ended, or a last word is to be said: no more pauses
        self._last_word: _LastWord | None = None
        now, settings = parts.clock.monotonic(), parts.settings
        self._idle = IdleWatch(now, idle_ping_s=settings.idle_ping_s, ping_timeout_s=settings.ping_timeout_s)
        self._beat_at = now + settings.heartbeat_s
        self._sent = 0
        self._told_at = self._news_at = now  # of what happens in the conversation; the same, but for that it goes on
        self._commands_per_s = settings.max_commands_per_s
        self._budget = CommandBudget(self._commands_per_s, now)

    # --- what a dialect is --------------------------------------------------------------------------------------------

    @abstractmethod
    def open(self) -> None:
        """Greet, and begin to follow where the address names a conversation.

        :raises ColloquyError: the client is told, and the connection ends.
        """

    @abstractmethod
    def command(self, message: dict[str, Any]) -> None:
        """Carry out what a client has sent. :raises ColloquyError: the client is told."""

    def take(self, text: str) -> None:
        """A message has come: JSON, in all dialects but one. :raises ColloquyError: the client is told."""
        self.command(_parse(text))

    @abstractmethod
    def show_error(self, error: ColloquyError) -> None:
        """Tell of an error. The connection goes on."""

    def show_refusal(self, error: ColloquyError) -> None:
        """Tell of the error that ends this connection before it began."""
        self.show_error(error)

    def beat(self) -> None:
        """HEARTBEAT_S have passed."""

    def idle_ping(self) -> None:
        """The client is about to be pinged."""

    def notice(self, name: str, payload: dict[str, Any]) -> dict[str, Any] | None:
        """A transient event in this dialect; None: it has no word for it."""
        return None

    def pause_s(self) -> float:
        """For how long to let the log grow after each portion, in seconds."""
        return 0.0

    def authenticate(self, token: str) -> AuthenticateAck:
        """The client brings a fresh token of the same person.

        :raises Unauthenticated: it is no good. :raises NotPermitted: it is somebody else's. Nothing has changed.
        """
        live = self.parts.live
        ticket = live.ticket()
        fresh = self.parts.gate.verify(token, self.address)
        live.renew(self, fresh, ticket)
        return AuthenticateAck(user=fresh.id, expires_at=iso_of(fresh.expires_at))

    # --- for dialects -------------------------------------------------------------------------------------------------

    def send(self, message: dict[str, Any]) -> None:
        """:raises Closed:"""
        self.websocket.send_text(json.dumps(message, separators=(",", ":")))
        self._sent += 1

    def now(self) -> str:
        return self.parts.clock.now_iso()

    def follow(self, conversation: Conversation, follower: Follower, show: Show) -> None:
        """Let the writer read from here on, in the place of what it read until now."""
        before, self._reading, self.conversation = self._reading, (follower, show), conversation
        if before is not None:
            before[0].close()
        self._stirred.set()

    def limit_commands(self, per_s: float) -> None:
        """Allow fewer commands than the setting, never more; 0: as many as the setting."""
        if per_s > 0 and (not self._commands_per_s or per_s < self._commands_per_s):
            self._commands_per_s = per_s
            self._budget = CommandBudget(per_s, self.parts.clock.monotonic())

    def read_offset(self) -> int:
        """Everything up to here has been read, and sent."""
        return self._reading[0].offset if self._reading is not None else 0

    # --- the connection -----------------------------------------------------------------------------------------------

    def run(self, refusal: ColloquyError | None = None) -> None:
        """Serve this connection to its end; in the request's task.

        :param refusal: why this client may not come in, if so.
        """
        writer = None
        try:
            try:
                if refusal is not None:
                    raise refusal
                self.open()
            except ColloquyError as error:
                self._turn_away(error)
                return
            except Closed:
                raise
            except Exception:
                logger.exception("a connection at %s failed", self.name)
                self._turn_away(_FAILED)
                return
            writer = self.parts.mode.spawn(self._write)
            while True:
                self._read_one()
        except Closed:
            pass
        finally:
            self._ended.set()
            self._hurry.set()
            self.websocket.finish()
            self._stirred.set()
            if self._reading is not None:
                self._reading[0].close()
            if writer is not None:
                writer.join()

    def _turn_away(self, error: ColloquyError) -> None:
        self.show_refusal(error)
        other = CloseCode.GOING_AWAY if error.retryable else CloseCode.NORMAL
        self.websocket.close(_CLOSES.get(type(error), other), error.error_code)

    def tell(self, name: str, payload: dict[str, Any]) -> bool:
        message = self.notice(name, payload)
        if message is None:
            return False
        self._notices.append(message)
        self._stir()
        return True

    def _stir(self) -> None:
        self._stirred.set()
        if self._reading is not None:
            self._reading[0].wake()

    # --- who is at the other end --------------------------------------------------------------------------------------

    def dismiss(self, name: str, payload: dict[str, Any], code: CloseCode) -> None:
        """The writer says it, behind what it is writing; the reader takes no further command."""
        self._last_word = _LastWord(self.notice(name, payload), code, name)
        self._hurry.set()
        self._stir()

    def watched(self) -> Collection[Watched]:
        return () if self.conversation is None or self._last_word is not None else (self.conversation,)

    def end_access(self, conversation_id: str, name: str, payload: dict[str, Any]) -> None:
        """Nothing more of it is read; who has come to watch it has nothing more to do here."""
        self.dismiss(name, payload, CloseCode.NOT_PERMITTED)

    def close(self) -> None:
        self.websocket.close_now(CloseCode.GOING_AWAY, "the server ends")

    # --- the reader ---------------------------------------------------------------------------------------------------

    def _read_one(self) -> None:
        text = self.websocket.receive()
        self._idle.said(self.parts.clock.monotonic())
        if self._last_word is not None:  # it came before it was read
            return
        try:
            self._check_limit()
            self.take(text)
        except ColloquyError as error:
            self.show_error(error)
        except Closed:
            raise
        except Exception:
            logger.exception("a command at %s failed", self.name)
            self.show_error(_FAILED)

    def _check_limit(self) -> None:
        if self._budget.take(self.parts.clock.monotonic()):
            return
        why = f"more than {self._commands_per_s:g} commands in a second"
        if self._budget.is_flooded:
            self.websocket.close(CloseCode.FLOODING, why)
            raise Closed
        raise LimitExceeded(why, retry_after_s=self._budget.wait_s())

    # --- the writer ---------------------------------------------------------------------------------------------------

    def _write(self) -> None:
        try:
            while self.websocket.is_open:
                self._write_some()
        except Closed:
            pass
        except Exception:
            logger.exception("a connection at %s failed", self.name)
            self.websocket.close(CloseCode.GOING_AWAY, "internal")
        if not self._ended.wait(GOODBYE_S):  # a client that does not say goodbye would keep the reader for ever
            self.outlet.abort()

    def _write_some(self) -> None:
        if (last := self._last_word) is not None:
            if last.message is not None:
                self.send(last.message)
            self.websocket.close(last.code, last.reason)
            raise Closed
        while self._notices:
            self.send(self._notices.popleft())
        wait_s, reading = self._look_after(), self._reading
        if reading is None:
            self._stirred.wait(wait_s)
            self._stirred.clear()
            return
        follower, show = reading
        portion = follower.read(self.parts.settings.catch_up_batch_bytes)
        if portion is not None:
            sent = self._sent
            try:
                show(portion)
            except ColloquyError as error:
                self.show_error(error)
            if self._sent != sent:
                self._told_at = self._news_at = self.parts.clock.monotonic()
            else:
                self._mind_silence()
            if pause_s := self.pause_s():
                self._hurry.wait(pause_s)
        elif (aside := follower.aside()) is not None:
            if not self.speaks_rarely and (message := self.notice(*aside)) is not None:
                self.send(message)
        elif not follower.closed:
            silent = self.conversation is not None and follower.offset == self.conversation.log.offset
            follower.wait(min(wait_s, self._mind_silence()) if silent else wait_s)
        elif reading is self._reading:
            self._let_go(follower)

    def _let_go(self, follower: Follower) -> None:
        """The conversation is no more, or the server ends."""
        parting = follower.parting
        if parting is not None:
            payload = {**parting.to_wire(), "timestamp": self.now()}
            self.dismiss(parting.name, payload, CloseCode.CONVERSATION_UNKNOWN)
            return
        if not self._ended.is_set():
            self.websocket.close(CloseCode.GOING_AWAY, "the conversation is no longer kept")
        raise Closed

    def _mind_silence(self) -> float:
        """Say of a run that it goes on, where nothing was said for a while; seconds until this is to be asked again."""
        conversation, now = self.conversation, self.parts.clock.monotonic()
        if not self.speaks_rarely or conversation is None or conversation.status not in _WORKING:
            return math.inf
        if now < self._told_at + _SILENCE_S:
            return self._told_at + _SILENCE_S - now
        fold, silent_s = conversation.fold, now - self._news_at
        working = conversation.read(
            lambda: still_working(conversation.id, fold, silent_s, [each.agent for each in fold.pending_inputs()])
        )
        message = self.notice(working.name, {**working.to_wire(), "timestamp": self.now()})
        if message is not None:
            self.send(message)
        self._told_at = now
        return _SILENCE_S

    def _look_after(self) -> float:
        """Beat and ping when it is time; seconds until the next time."""
        now, settings = self.parts.clock.monotonic(), self.parts.settings
        if now >= self._beat_at:
            self._beat_at = now + settings.heartbeat_s
            self.beat()
        unsent_bytes = self.outlet.stream.unsent_bytes()
        todo, wait_s = self._idle.look(now, heard_at=self.websocket.heard_at, unsent_bytes=unsent_bytes)
        if todo is Idle.PING:
            self.idle_ping()
            self.websocket.ping()
        elif todo is Idle.GONE:
            self.websocket.close(CloseCode.SILENT, "no answer to a ping")
            raise Closed
        return max(0.0, min(self._beat_at - now, wait_s))


def _parse(text: str) -> dict[str, Any]:
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidPayload("that is not JSON") from None
    if not isinstance(message, dict):
        raise InvalidPayload("an object is needed")
    return message
