"""One client of the Socket.IO namespace: who it is, and what it follows."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Protocol

from app.auth.identity import Principal
from app.auth.live import Watched
from app.auth.seats import Seat
from app.protocol.close_codes import CloseCode
from app.streaming.conversation import Conversation


class Way(Protocol):
    """The way to a client: what it takes of :class:`app.namespaces.transport.SocketTransport`."""

    def emit_to_client(self, sid: str, *events: tuple[str, dict[str, Any]]) -> None: ...

    def disconnect(self, sid: str) -> Callable[[], None]: ...


class SocketClient:
    """Made for each connection of the namespace. Implements :class:`app.auth.live.LiveConnection`.

    :param address: where it comes from.
    :param find: a conversation of this process by its id, without waiting; None if there is none.
    :ivar ended: it takes no commands any more.
    """

    def __init__(
        self,
        sid: str,
        principal: Principal,
        address: str,
        *,
        way: Way,
        find: Callable[[str], Conversation | None],
        ticket: int,
    ) -> None:
        self.sid = sid
        self.principal = principal
        self.address = address
        self.ticket = ticket
        self.followed: set[str] = set()
        self.seat: Seat | None = None
        self.ended = False
        self._way = way
        self._find = find
        self._cut: Callable[[], None] | None = None

    def tell(self, name: str, payload: dict[str, Any]) -> object:
        self._way.emit_to_client(self.sid, (name, payload))
        return True

    def dismiss(self, name: str, payload: dict[str, Any], code: CloseCode) -> None:
        """Say it, disconnect it from the namespace, and close its transport. Its commands that wait are dropped."""
        self.ended = True
        self.tell(name, payload)
        self._cut = self._way.disconnect(self.sid)

    def abort(self) -> None:
        if self._cut is not None:
            self._cut()

    def watched(self) -> Collection[Watched]:
        return [found for key in tuple(self.followed) if (found := self._find(key)) is not None]

    def end_access(self, conversation_id: str, name: str, payload: dict[str, Any]) -> None:
        self.followed.discard(conversation_id)
        conversation = self._find(conversation_id)
        if conversation is not None:
            conversation.leave(self.sid)
        self.tell(name, payload)
