"""E: ``/v1/conversation/<id>/stream``. A conversation's messages, as ``{type, data}``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from app.auth.permissions import Action, authorise
from app.errors import ColloquyError, ConversationUnknown, InvalidPayload, StoreUnavailable, UnknownCommand
from app.http.message_view import shape, stored
from app.http.reading import Wish, find_conversation, milliseconds, switched_on, wish_of
from app.http.sockets.door import NOTICES, Door
from app.http.sockets.message_text import Change, Texts, begins, changed_in
from app.protocol.commands import Authenticate, ProvideInput
from app.protocol.common import Filter, Payload, Position, sentence_of
from app.protocol.dialects import messages as dialect
from app.protocol.dialects.messages import Message
from app.protocol.events import (
    AccessEnded,
    ConversationDeleted,
    Heartbeat,
    InputRequest,
    InputResolved,
    MessageStart,
    SignedOut,
    StillWorking,
)
from app.streaming.conversation import Conversation
from app.streaming.follower import Portion
from app.streaming.log import LogEntry

_Kind = TypeVar("_Kind", bound=Payload)
_UPDATE_EVERY_MS = 200
_PORTION_BYTES = 1_048_576


class MessageDoor(Door):
    """The stored messages first, then each one that is added, grows, is completed or gets feedback."""

    name = "messages"

    def open(self) -> None:
        query = dict(self.query)
        self._types = frozenset(_words(query.pop("types", "")))
        if strange := self._types - set(dialect.FILTERABLE):
            raise InvalidPayload(f"types: {', '.join(sorted(strange))[:100]} is not one of {dialect.FILTERABLE}")
        wish = wish_of(query)
        self._wanted = wish.view.filter or Filter()
        self._delta = switched_on(query, "delta")
        self.speaks_rarely = switched_on(query, StillWorking.name)
        self._questions = switched_on(query, "inputs")
        self._update_s = milliseconds(query, "batch_ms", default=_UPDATE_EVERY_MS) / 1000
        self.limit_commands(_number(query, "max_commands_per_s"))
        conversation = find_conversation(self.parts, self.principal, self.key, Action.WATCH)
        ack, follower = conversation.follow()
        try:
            snapshot: Mapping[str, Any] = ack.snapshot or conversation.snapshot()
            missed = _missed(conversation, wish, ack.offset)
            came_back = missed is not None and wish.position is not None
            begin = wish.position.offset if wish.position is not None and came_back else 0
            self._told = Position(epoch=ack.epoch, offset=begin)
            self._connected(conversation, recovered=came_back)
            self._texts = Texts(snapshot)
            if missed is None:
                told = [(dialect.INITIAL_MESSAGE, view) for view in stored(snapshot, wish.since)]
            else:
                told = list(_retell(snapshot, *missed, came_back=came_back))
            self._send_stored(told, ack.offset)
            self._ask(snapshot)
        except BaseException:
            follower.close()
            raise
        self.follow(conversation, follower, self._show)

    def _connected(self, conversation: Conversation, *, recovered: bool) -> None:
        self._say(
            dialect.CONNECTED,
            {
                "conversation_id": conversation.id,
                "name": conversation.fold.title,
                "status": conversation.status,
                "user": self.principal.id,
                "recovered": recovered,
                "heartbeat_s": self.parts.settings.heartbeat_s,
                **self._told.model_dump(),
                "timestamp": self.now(),
            },
        )

    def _send_stored(self, told: Iterable[tuple[str, Mapping[str, Any]]], head: int) -> None:
        """All but the last carry the position from before them: who is interrupted in their midst gets them again."""
        shown = [(kind, view) for kind, view in told if self._passes(view)]
        for number, (kind, view) in enumerate(shown, 1):
            self._message(kind, shape(view).model_dump(), head if number == len(shown) else self._told.offset)
        self._told = Position(epoch=self._told.epoch, offset=head)

    # --- the tail -----------------------------------------------------------------------------------------------------

    def pause_s(self) -> float:
        return self._update_s

    def _show(self, portion: Portion) -> None:
        if portion.snapshot is not None:
            self._told = Position(epoch=portion.epoch, offset=0)
            again = [(dialect.INITIAL_MESSAGE, view) for view in stored(portion.snapshot)]
            self._send_stored(again, portion.offset)
            self._texts = Texts(portion.snapshot)
            self._ask(portion.snapshot)
            return
        for change in self._texts.changes(portion.entries, self._stored_message):
            if self._passes(change.about):
                kind = dialect.MESSAGE_ADDED if change.added else dialect.MESSAGE_UPDATED
                self._message(kind, self._body(change), change.offset)
        for entry in portion.entries:
            if self._questions and entry.name in (InputRequest.name, InputResolved.name):
                self._say(entry.name, entry.payload)
        self._told = Position(epoch=portion.epoch, offset=portion.offset)

    def _ask(self, snapshot: Mapping[str, Any]) -> None:
        """The questions that wait, to a client that begins here and wants to be asked."""
        for request in snapshot["pending_inputs"] if self._questions else ():
            self._say(InputRequest.name, {**request, **self._told.model_dump()})

    def _body(self, change: Change) -> dict[str, Any]:
        message = change.message
        if not self._delta or change.added:
            return message.model_dump()
        body: dict[str, Any] = {"id": message.id, "updated_at": message.updated_at}
        if change.appended is None:
            body["message"] = message.message
        elif change.appended:
            body["append"] = change.appended
        if change.edited:
            body |= {"updated_by": message.updated_by, "feedback_received": message.feedback_received}
        return body

    def _stored_message(self, message_id: str) -> Message | None:
        if self.conversation is None:
            return None
        conversation = self.conversation
        view = conversation.read(lambda: conversation.fold.message(message_id))
        if view is None:  # memory no longer keeps it
            try:
                view = self.parts.archive.message(conversation.id, message_id)
            except StoreUnavailable:
                return None
        return shape(view.model_dump(mode="json")) if view is not None else None

    def _passes(self, about: Mapping[str, Any]) -> bool:
        wanted = self._wanted
        if wanted.agents and about["agent"] not in wanted.agents:
            return False
        return not wanted.roles or about.get("role", "agent") in wanted.roles

    # --- words --------------------------------------------------------------------------------------------------------

    def command(self, message: dict[str, Any]) -> None:
        match message.get("type"):
            case dialect.PING:
                self._say(dialect.PONG, {"timestamp": self.now()})
            case dialect.AUTHENTICATE:
                taken = self.authenticate(_fields(Authenticate, message).token)
                self._say(dialect.AUTHENTICATED, {**taken.model_dump(), "timestamp": self.now()})
            case dialect.PROVIDE_INPUT:
                self._provide_input(message)
            case other:
                raise UnknownCommand(f"there is no command {str(other)[:100]!r}")

    def _provide_input(self, message: Mapping[str, Any]) -> None:
        if self.conversation is None:
            return
        authorise(self.principal, Action.STEER, self.conversation)
        given = _fields(dialect.ProvideInput, message)
        answer = ProvideInput(conversation_id=self.conversation.id, **given.model_dump())
        taken = self.parts.manager.provide_input(answer, self.principal.id)
        told = {"request_id": taken.request_id, "resolution": taken.resolution, "timestamp": self.now()}
        self._say(dialect.INPUT_PROVIDED, told)

    def show_error(self, error: ColloquyError) -> None:
        self._say(dialect.ERROR, {**error.to_payload(), "timestamp": self.now()})

    def beat(self) -> None:
        if self.conversation is not None:
            beat = Heartbeat(
                conversation_id=self.conversation.id, status=self.conversation.status, **self._told.model_dump()
            )
            self._say(dialect.HEARTBEAT, {**beat.to_wire(), "timestamp": self.now()})

    def notice(self, name: str, payload: dict[str, Any]) -> dict[str, Any] | None:
        if name in (SignedOut.name, AccessEnded.name):
            retryable = payload.get("action") == "refresh"
            told = {"code": payload.get("code", name), "message": payload["message"], "retryable": retryable}
            return {"type": dialect.ERROR, "data": {**told, "timestamp": payload["timestamp"]}}
        if name == ConversationDeleted.name:
            gone = ConversationUnknown("the conversation was deleted")
            return {"type": dialect.ERROR, "data": {**gone.to_payload(), "timestamp": payload["timestamp"]}}
        if name == StillWorking.name and not self.speaks_rarely:
            return None
        return {"type": name, "data": payload} if name in NOTICES else None

    def _message(self, kind: str, body: dict[str, Any], offset: int) -> None:
        if not self._types or kind in self._types:
            self._say(kind, {**body, "epoch": self._told.epoch, "offset": offset})

    def _say(self, kind: str, body: dict[str, Any]) -> None:
        self.send({"type": kind, "data": body})


def _fields(kind: type[_Kind], message: Mapping[str, Any]) -> _Kind:
    """From ``{"type", …}`` or ``{"type", "data": {…}}``."""
    fields = message.get("data") or {name: value for name, value in message.items() if name != "type"}
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        raise InvalidPayload(sentence_of(error)) from None


def _words(value: str) -> Iterable[str]:
    return (part.strip() for part in value.split(",") if part.strip())


def _number(query: Mapping[str, str], name: str) -> float:
    try:
        value = float(query.get(name) or 0)
    except ValueError:
        value = -1
    if not 0 <= value <= 1e6:
        raise InvalidPayload(f"{name}: a number is needed")
    return value


_Missed = tuple[dict[str, LogEntry], dict[str, dict[str, Any]]]


def _missed(conversation: Conversation, wish: Wish, head: int) -> _Missed | None:
    """Which messages have changed between where a reader begins and the head; None: everything, or not known."""
    if wish.position is None and wish.since is None:
        return None
    ack, reader = conversation.follow(wish.position, since=None if wish.position else wish.since)
    seen: dict[str, LogEntry] = {}
    withdrawn: dict[str, dict[str, Any]] = {}
    try:
        if not ack.recovered:
            return None
        while reader.offset < head and (portion := reader.read(_PORTION_BYTES)) is not None:
            if portion.snapshot is not None:
                return None
            changed_in((entry for entry in portion.entries if entry.prev_offset < head), seen, withdrawn)
        return seen, withdrawn
    finally:
        reader.close()


def _retell(
    snapshot: Mapping[str, Any],
    seen: dict[str, LogEntry],
    withdrawn: dict[str, dict[str, Any]],
    *,
    came_back: bool,
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """What has changed, as it stands now. To a reader that comes back, also which messages are no more."""
    for view in stored(snapshot):
        first = seen.get(view["message_id"])
        if first is not None and came_back:
            yield (dialect.MESSAGE_ADDED if begins(first, view) else dialect.MESSAGE_UPDATED), view
        elif first is not None:
            yield dialect.INITIAL_MESSAGE, view
    for message_id, view in withdrawn.items():
        if came_back and seen[message_id].name != MessageStart.name:
            yield dialect.MESSAGE_UPDATED, view
