"""Live authentication: what was allowed when a connection was opened ends while it is open."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

from app.auth.identity import Principal
from app.auth.permissions import Action, Guarded, authorise
from app.errors import NotPermitted, RequestError
from app.protocol.close_codes import CloseCode
from app.protocol.events import AccessEnded, AuthExpiring, Event, SignedOut
from app.streaming.conversation import iso
from app.streaming.ports import Clock

logger = logging.getLogger(__name__)

TICK_S = 0.5
_GRACE_S = 3.0  # from the word that it ends to the end of the TCP connection
_REMEMBERED = 1000  # endings: longer than anybody needs to be recognised
_LATEST = 253_402_300_799  # the end of the year 9999: what a calendar can say


class Watched(Guarded, Protocol):
    """A conversation that somebody watches."""

    @property
    def id(self) -> str: ...


class LiveConnection(Protocol):
    """A connection, as this module sees it. Nothing here may block; after :meth:`dismiss` it takes no commands."""

    principal: Principal

    def tell(self, name: str, payload: dict[str, Any]) -> object:
        """Pass a transient event on."""

    def dismiss(self, name: str, payload: dict[str, Any], code: CloseCode) -> None:
        """Say this last word, and close."""

    def abort(self) -> None:
        """It had its time: end the TCP connection. More than once, or too late, is no error."""

    def watched(self) -> Collection[Watched]:
        """The conversations that flow to it."""

    def end_access(self, conversation_id: str, name: str, payload: dict[str, Any]) -> None:
        """Say this word, and send nothing more of a conversation."""


Ticket = int
"""What had ended before somebody was recognised: taken before, handed in after."""


@dataclass(frozen=True, slots=True)
class _Due:
    connection: LiveConnection
    principal: Principal
    what: Literal["warn", "end"]


class Live:
    """The open connections of all doors, with who is at their other end. Safe to use from several threads.

    :param unix_time: seconds of the Unix epoch: tokens end by the calendar.
    :param warn_s: `auth_expiring` is said so long before the end, or at once where less is left.
    """

    def __init__(self, clock: Clock, unix_time: Callable[[], float], *, warn_s: float) -> None:
        self._clock = clock
        self._unix_time = unix_time
        self._warn_s = warn_s
        self._lock = threading.Lock()  # guards all below; nothing foreign is called while it is held
        self._connections: dict[LiveConnection, Principal] = {}
        self._by_credential: dict[str, set[LiveConnection]] = {}
        self._due: list[tuple[float, int, _Due]] = []
        self._numbers = itertools.count()
        self._dismissed: dict[LiveConnection, float] = {}
        self._endings: Ticket = 0
        self._ended: OrderedDict[str, Ticket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._connections)

    # --- coming and going ---------------------------------------------------------------------------------------------

    def ticket(self) -> Ticket:
        """Take one before somebody is recognised: what ends meanwhile is not overlooked then."""
        return self._endings

    def enter(self, connection: LiveConnection, ticket: Ticket) -> None:
        """Take a connection in, with its present principal. It may be dismissed at once."""
        with self._lock:
            ended = self._put(connection, connection.principal, ticket)
        if ended is not None:
            self._dismiss(connection, _word_for(ended))

    def renew(self, connection: LiveConnection, fresh: Principal, ticket: Ticket) -> None:
        """The same person goes on with another credential. What they hold beside it they keep.

        :raises NotPermitted: it is somebody else's, or not live any more; nothing has changed.
        """
        old = connection.principal
        if not fresh.id or (fresh.id, fresh.tenant) != (old.id, old.tenant):
            raise NotPermitted("that token is somebody else's; open another connection with it")
        renewed = replace(fresh, links=fresh.links | old.links)
        with self._lock:
            if connection not in self._connections or connection in self._dismissed:
                raise NotPermitted("this connection has ended")
            self._drop(connection)
            connection.principal = renewed
            ended = self._put(connection, renewed, ticket)
        if ended is not None:
            self._dismiss(connection, _word_for(ended))
            return
        self.check(connection)

    def check(self, connection: LiveConnection) -> None:
        """Look whether a connection may still watch what it watches."""
        for conversation in tuple(connection.watched()):
            self._check(connection, conversation)

    def leave(self, connection: LiveConnection) -> None:
        """Let a connection go; more than once is no error."""
        with self._lock:
            self._drop(connection)
            self._dismissed.pop(connection, None)

    def _put(self, connection: LiveConnection, principal: Principal, ticket: Ticket) -> str | None:
        """The lock is held. What ended since the ticket was taken, if it concerns this principal."""
        self._connections[connection] = principal
        names = _names_of(principal)
        for name in names:
            self._by_credential.setdefault(name, set()).add(connection)
        if principal.expires_at is not None:
            self._schedule(principal.expires_at - self._warn_s, _Due(connection, principal, "warn"))
            self._schedule(principal.expires_at, _Due(connection, principal, "end"))
        return next((name for name in names if self._ended.get(name, -1) > ticket), None)

    def _drop(self, connection: LiveConnection) -> None:
        """The lock is held."""
        principal = self._connections.pop(connection, None)
        for name in _names_of(principal) if principal is not None else ():
            of_it = self._by_credential.get(name)
            if of_it is not None:
                of_it.discard(connection)
                if not of_it:
                    del self._by_credential[name]

    def _schedule(self, at: float, due: _Due) -> None:
        heapq.heappush(self._due, (at, next(self._numbers), due))

    # --- what ends ----------------------------------------------------------------------------------------------------

    def ended(self, name: str) -> None:
        """A credential has ended: `sign_in:<id>`, `token:<id>`, or all of a person's: `user:<id>`. Does not block."""
        with self._lock:
            self._endings += 1
            self._ended.pop(name, None)
            self._ended[name] = self._endings
            if len(self._ended) > _REMEMBERED:
                self._ended.popitem(last=False)
            concerned = list(self._by_credential.get(name, ()))
        for connection in concerned:
            self._dismiss(connection, _word_for(name))

    def access_changed(self, conversation: Watched) -> None:
        """Who may watch a conversation was changed: those who no longer may get nothing more of it."""
        for connection in self._list():
            if conversation in connection.watched():
                self._check(connection, conversation)

    def tick(self) -> None:
        """Do what is due. Call it every TICK_S."""
        now = self._unix_time()
        due: list[_Due] = []
        with self._lock:
            while self._due and self._due[0][0] <= now:
                each = heapq.heappop(self._due)[2]
                if self._connections.get(each.connection) is each.principal:
                    due.append(each)
            overdue = [each for each, at in self._dismissed.items() if self._clock.monotonic() >= at]
            for connection in overdue:
                del self._dismissed[connection]
                self._drop(connection)
        ending = {each.connection for each in due if each.what == "end"}
        for each in due:
            if each.what == "end":
                self._dismiss(each.connection, _expired(each.principal))
            elif each.connection not in ending:  # one that has ended by now is not told that it will
                self._tell(each)
        for connection in overdue:
            connection.abort()
        for connection in self._list():
            if connection.principal.links:  # links run out without anybody changing anything
                self.check(connection)

    def run(self, sleep: Callable[[float], None]) -> None:
        """Do what is due, for ever; for a background task."""
        while True:
            sleep(TICK_S)
            try:
                self.tick()
            except Exception:
                logger.exception("looking after who is signed in failed")

    def _tell(self, due: _Due) -> None:
        event = AuthExpiring(expires_at=iso_of(due.principal.expires_at) or "")
        due.connection.tell(event.name, self._stamped(event))

    def _dismiss(self, connection: LiveConnection, word: SignedOut) -> None:
        with self._lock:
            if connection not in self._connections or connection in self._dismissed:
                return
            self._dismissed[connection] = self._clock.monotonic() + _GRACE_S
        code = CloseCode.TOKEN_EXPIRED if word.action == "refresh" else CloseCode.SIGNED_OUT
        try:
            connection.dismiss(word.name, self._stamped(word), code)
        except Exception:
            logger.exception("a connection could not be told that it ends")
            connection.abort()

    def _check(self, connection: LiveConnection, conversation: Watched) -> None:
        try:
            authorise(connection.principal, Action.WATCH, conversation)
        except RequestError:
            word = AccessEnded(conversation_id=conversation.id, message="you may no longer watch this conversation")
            connection.end_access(conversation.id, word.name, self._stamped(word))

    def _stamped(self, event: Event) -> dict[str, Any]:
        return {**event.to_wire(), "timestamp": self._clock.now_iso()}

    def _list(self) -> list[LiveConnection]:
        with self._lock:
            return list(self._connections)


def iso_of(unix_s: float | None) -> str | None:
    """A moment of the Unix epoch as it stands on the wire; None for none."""
    return iso(datetime.fromtimestamp(min(unix_s, _LATEST), UTC)) if unix_s is not None else None


def _names_of(principal: Principal) -> tuple[str, ...]:
    """Under which names the end of a principal's credential may be told."""
    own = (principal.credential,) if principal.credential else ()
    return (*own, f"user:{principal.id}") if principal.id else own


def _word_for(name: str) -> SignedOut:
    if name.startswith("sign_in:"):
        return SignedOut(code="signed_out", message="you have been signed out", action="sign_in")
    if name.startswith("token:"):
        return SignedOut(code="revoked", message="this token was revoked", action="sign_in")
    return SignedOut(code="revoked", message="this account was ended", action="sign_in")


def _expired(principal: Principal) -> SignedOut:
    if principal.kind == "user":
        return SignedOut(code="token_expired", message="your sign-in has run out", action="sign_in")
    return SignedOut(
        code="token_expired", message="the token has run out: come back with a fresh one", action="refresh"
    )
