"""A conversation as Server-Sent Events: each log entry is one event, whose id is its position."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Self

from flask import Blueprint, Response, request

from app.auth.identity import Principal
from app.auth.live import Watched
from app.auth.permissions import Action
from app.connections import Connection, Outlet
from app.errors import ConversationUnknown, InvalidPayload, LimitExceeded
from app.http.answers import ComesBack, StreamQuery
from app.http.caller import permitted, ticket
from app.http.contract import EVENT_STREAM, contract
from app.http.reading import Wish, wish_of
from app.namespaces.stream import Stream
from app.protocol.close_codes import CloseCode
from app.protocol.common import Position
from app.protocol.dialects import SNAPSHOT
from app.protocol.events import ConversationStatus, Heartbeat, Resync
from app.services import Services, services
from app.streaming.conversation import Conversation
from app.streaming.follower import Portion
from app.streaming.states import TERMINAL

sse = Blueprint("sse", __name__)

_RETRY_MS = 2000
_PIECE_BYTES = 16_384  # what is written at once: a client that takes even this much is not stalled
_MAX_NOTICES = 16


@sse.get("/api/conversations/<conversation_id>/stream")
@contract(
    media=EVENT_STREAM,
    query=StreamQuery,
    headers=ComesBack,
    errors=(InvalidPayload, ConversationUnknown, LimitExceeded),
)
def stream(conversation_id: str) -> Response:
    """A conversation as Server-Sent Events; resumes after ``Last-Event-ID``; ``?until=end`` ends with the run."""
    parts = services()
    principal, conversation = permitted(Action.WATCH, conversation_id)
    wish = wish_of(request.args, request.headers.get("Last-Event-ID"))
    if request.method == "HEAD":
        return answer(())
    until_end = request.args.get("until") == "end"
    with outlet(parts, principal) as way:
        return answer(EventStream(parts, way, principal, ticket(), conversation, wish, until_end=until_end))


@contextmanager
def outlet(parts: Services, principal: Principal) -> Iterator[Outlet]:
    """The present request's connection, on which its response will be streamed; a block that fails gives it back.

    :raises LimitExceeded: when this person, or this address, has enough of them.
    """
    size_bytes = parts.settings.socket_send_buffer_bytes
    made = Outlet(Stream(parts.mode, request.environ, size_bytes), parts.clock)
    made.seat = parts.seats.take(request.environ, principal)
    try:
        yield made
    except BaseException:
        made.give_back()
        raise


def answer(body: Iterable[bytes]) -> Response:
    """A response of Server-Sent Events that nobody between us and the client may hold back."""
    headers = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}
    return Response(body, mimetype="text/event-stream", headers=headers, direct_passthrough=True)


class EventStream(Connection):
    """The body of one response. Belongs to its request's task; the others only note something and wake it.

    Implements :class:`app.auth.live.LiveConnection`, too.

    :param ticket: of before the principal was recognised.
    :param door: its name in figures and logs. Another door's stream says by :meth:`_events` what it sends.
    """

    def __init__(
        self,
        parts: Services,
        outlet: Outlet,
        principal: Principal,
        ticket: int,
        conversation: Conversation,
        wish: Wish,
        *,
        until_end: bool = False,
        door: str = "sse",
    ) -> None:
        super().__init__(door, outlet)
        self.principal = principal
        self._parts = parts
        self._last_word: tuple[str, dict[str, Any]] | None = None
        self._hurry = threading.Event()  # there is a last word to say: no more pauses
        self._conversation = conversation
        self._came_back = wish.position is not None
        self._batch_s = wish.batch_s
        self._until_end = until_end
        self._notices: deque[tuple[str, dict[str, Any]]] = deque(maxlen=_MAX_NOTICES)
        self._pieces = self._generate()
        self._ack, self._follower = conversation.follow(wish.position, since=wish.since, view=wish.view)
        try:
            parts.connections.enter(self)
        except BaseException:
            self._follower.close()
            raise
        parts.live.enter(self, ticket)

    def tell(self, name: str, payload: dict[str, Any]) -> bool:
        self._notices.append((name, payload))
        self._follower.wake()
        return True

    def gone(self) -> None:
        self._follower.close()

    def dismiss(self, name: str, payload: dict[str, Any], code: CloseCode) -> None:
        self._last_word = name, payload
        self._hurry.set()
        self._follower.wake()

    def watched(self) -> Collection[Watched]:
        return () if self._last_word is not None else (self._conversation,)

    def end_access(self, conversation_id: str, name: str, payload: dict[str, Any]) -> None:
        self.dismiss(name, payload, CloseCode.NOT_PERMITTED)

    # --- WSGI's side --------------------------------------------------------------------------------------------------

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        if self.outlet.writing:  # the server asks for the next piece when the kernel has taken the last one
            self.outlet.wrote()
        piece = next(self._pieces)
        self.outlet.writing = True
        return piece

    def close(self) -> None:
        """Called by the WSGI server when the response has ended, however; or by the registry, when we end."""
        self._parts.connections.leave(self)
        self._parts.live.leave(self)
        self._follower.close()

    # --- what is sent -------------------------------------------------------------------------------------------------

    def _generate(self) -> Iterator[bytes]:
        yield b":\n\n"  # the headers go out with the first piece: the client shall know that it is connected
        lead = f"retry: {_RETRY_MS}\n"  # with the first event: some clients take it for one of its own
        for text in self._events():
            body, lead = (lead + text).encode("utf-8", "replace"), ""
            for begin in range(0, len(body), _PIECE_BYTES):
                yield body[begin : begin + _PIECE_BYTES]

    def _events(self) -> Iterator[str]:
        ack = self._ack
        if ack.snapshot is not None and self._came_back:
            yield self._show(Portion(ack.epoch, 0, ack.offset, snapshot=ack.snapshot))
        elif ack.snapshot is not None:
            yield _event(SNAPSHOT, ack.snapshot, Position(epoch=ack.epoch, offset=ack.offset))
        if self._until_end and self._conversation.status in TERMINAL and ack.offset == self._conversation.log.offset:
            return
        clock, beat_s = self._parts.clock, self._parts.settings.heartbeat_s
        beat_at = clock.monotonic() + beat_s
        while not self._follower.closed:
            if self._last_word is not None:
                yield _event(*self._last_word)
                return
            while self._notices:
                yield _event(*self._notices.popleft())
            portion = self._follower.read(self._parts.settings.catch_up_batch_bytes)
            if portion is not None:
                yield self._show(portion)
                if self._until_end and _ends(portion):
                    return
                if self._batch_s:
                    self._hurry.wait(self._batch_s)
            elif (aside := self._follower.aside()) is not None:
                yield _event(*aside)
            else:
                self._follower.wait(max(0.0, beat_at - clock.monotonic()))
            if clock.monotonic() >= beat_at:
                beat_at = clock.monotonic() + beat_s
                yield self._heartbeat()
        if (parting := self._follower.parting) is not None:
            yield _event(parting.name, {**parting.to_wire(), "timestamp": self._parts.clock.now_iso()})

    def _show(self, portion: Portion) -> str:
        if portion.snapshot is not None:
            resync = Resync(conversation_id=self._conversation.id, reason="position_lost", snapshot=portion.snapshot)
            payload = {**resync.to_wire(), "timestamp": self._parts.clock.now_iso()}
            return _event(resync.name, payload, Position(epoch=portion.epoch, offset=portion.offset))
        return "".join(
            _event(entry.name, entry.payload, Position(epoch=portion.epoch, offset=entry.offset))
            for entry in portion.entries
        )

    def _heartbeat(self) -> str:
        beat = Heartbeat(
            conversation_id=self._conversation.id,
            epoch=self._ack.epoch,
            offset=self._follower.offset,
            status=self._conversation.status,
        )
        return _event(beat.name, {**beat.to_wire(), "timestamp": self._parts.clock.now_iso()})


def _event(name: str, payload: dict[str, Any], position: Position | None = None) -> str:
    """One event; without a position it leaves the client's last one as it is."""
    place = f"id: {position.epoch}:{position.offset}\n" if position is not None else ""
    return f"{place}event: {name}\ndata: {json.dumps(payload, separators=(',', ':'))}\n\n"


def _ends(portion: Portion) -> bool:
    if portion.snapshot is not None:
        return portion.snapshot["status"] in TERMINAL
    return any(
        entry.name == ConversationStatus.name and entry.payload["status"] in TERMINAL for entry in portion.entries
    )
