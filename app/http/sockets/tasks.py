"""D: ``/ws/stream``. A task in a chat message; its steps, progress and result out."""

from __future__ import annotations

import secrets
from typing import Any, TypeVar

from pydantic import ValidationError

from app.auth.permissions import Action, authorise, permits
from app.errors import ColloquyError, ConversationUnknown, InvalidPayload, InvalidState, UnknownCommand
from app.http.reading import offset_in
from app.http.sockets.door import NOTICES, Door, Show
from app.http.sockets.task_events import TaskEvents, last_reply_of
from app.protocol import commands
from app.protocol.common import Position, Status, sentence_of
from app.protocol.dialects.tasks import (
    TASK_COMMANDS,
    Authenticate,
    Authenticated,
    Cancel,
    Chat,
    IdlePing,
    Pong,
    ProvideInput,
    Resume,
    TaskCommand,
    TaskError,
    TaskEvent,
    TaskPing,
    TaskProgress,
    TaskStatusEvent,
    UnqueueMessage,
)
from app.protocol.events import AccessEnded, ConversationDeleted, SignedOut, StillWorking
from app.streaming.conversation import Conversation
from app.streaming.follower import Portion
from app.streaming.states import RUNNING

_COMMANDS = {command.name: command for command in TASK_COMMANDS}
_PLACE = ("conversation_id", "epoch", "offset")
_MAX_CLIENT_ID = 64
_Kind = TypeVar("_Kind", bound=TaskCommand)


class TaskDoor(Door):
    """One client and its task. The task is known by the client's id, too: it outlives the connection."""

    name = "tasks"
    speaks_rarely = True

    def open(self) -> None:
        self._client = self.query.get("client_id") or secrets.token_urlsafe(12)
        if len(self._client) > _MAX_CLIENT_ID:
            raise InvalidPayload(f"client_id: at most {_MAX_CLIENT_ID} characters")
        if "conversation_id" in self.query:
            given: dict[str, Any] = {name: self.query[name] for name in _PLACE if name in self.query}
            if "offset" in given:
                given["offset"] = offset_in(given["offset"])
            self._resume(_parsed(Resume, given))
            return
        known = self._own_task()
        if known is not None and known.status in RUNNING:  # the client is back: it sees the rest of its task
            self._resume(Resume(conversation_id=known.id))

    def command(self, message: dict[str, Any]) -> None:
        kind = _COMMANDS.get(str(message.get("type")))
        if kind is None:
            raise UnknownCommand(f"there is no command {str(message.get('type'))[:100]!r}")
        command = _parsed(kind, message.get("payload") or {})
        match command:
            case Chat():
                self._chat(command)
            case UnqueueMessage():
                self._unqueue(command)
            case Cancel():
                self._cancel()
            case ProvideInput():
                self._provide_input(command)
            case Resume():
                self._resume(command)
            case TaskPing():
                self._say(Pong())
            case Authenticate():
                self._say(Authenticated(**self.authenticate(command.token).model_dump()))

    # --- in -----------------------------------------------------------------------------------------------------------

    def _chat(self, command: Chat) -> None:
        manager, known = self.parts.manager, self.conversation or self._own_task()
        authorise(self.principal, Action.START)
        if known is not None:
            authorise(self.principal, Action.STEER, known)
        same = known.fold.team if known is not None else ""
        team = command.team or same or self.query.get("team") or self.parts.teams.default
        if known is not None and team == same:
            session = manager.send_message(
                known.id, command.message, command.content_type, by=self.principal.id
            ).session
        else:
            session = manager.start(
                team=team,
                content=command.message,
                content_type=command.content_type,
                owner=self.principal.id,
                tenant=self.principal.tenant,
                conversation_id=known.id if known is not None else None,
            )
        conversation = session.conversation if session is not None else known
        assert conversation is not None
        if conversation is not self.conversation:
            _, follower = conversation.follow()
            self.follow(conversation, follower, self._shower(conversation))
        self.parts.clients.remember(self.principal.person, self._client, conversation.id)
        if session is not None:
            manager.begin(session)

    def _unqueue(self, command: UnqueueMessage) -> None:
        known = self._steered("there is no task, and so none that waits")
        owns = permits(self.principal, Action.MANAGE, known)
        self.parts.manager.queue.take_back(known, command.message_id, self.principal.id, anybodys=owns)

    def _cancel(self) -> None:
        self.parts.manager.stop(self._steered("there is no task to cancel").id)

    def _provide_input(self, command: ProvideInput) -> None:
        known = self._steered("there is no task whose agents could ask")
        answer = commands.ProvideInput(conversation_id=known.id, **command.model_dump())
        self.parts.manager.provide_input(answer, self.principal.id)

    def _steered(self, otherwise: str) -> Conversation:
        known = self.conversation or self._own_task()
        if known is None:
            raise InvalidState(otherwise)
        authorise(self.principal, Action.STEER, known)
        return known

    def _resume(self, command: Resume) -> None:
        if (command.epoch is None) != (command.offset is None):
            raise InvalidPayload("epoch and offset belong together")
        conversation = self.parts.entrance.find(self.principal, Action.WATCH, command.conversation_id)
        position = None
        if command.epoch is not None and command.offset is not None:
            position = Position(epoch=command.epoch, offset=command.offset)
        ack, follower = conversation.follow(position)
        show = self._shower(conversation)
        if ack.snapshot is not None:
            show(Portion(ack.epoch, 0, ack.offset, snapshot=ack.snapshot))
        self.follow(conversation, follower, show)
        self.parts.clients.remember(self.principal.person, self._client, conversation.id)

    def _own_task(self) -> Conversation | None:
        """What this client worked on when it was here before."""
        conversation_id = self.parts.clients.conversation_of(self.principal.person, self._client)
        if conversation_id is None:
            return None
        try:
            return self.parts.entrance.find(self.principal, Action.WATCH, conversation_id)
        except ConversationUnknown:
            return None

    # --- out ----------------------------------------------------------------------------------------------------------

    def _shower(self, conversation: Conversation) -> Show:
        events = TaskEvents(lambda: last_reply_of(conversation.snapshot()))

        def show(portion: Portion) -> None:
            if portion.snapshot is not None:
                for event in events.of_snapshot(portion.snapshot):
                    self._tell(event, conversation.id, portion.epoch, portion.offset, self.now())
            for entry in portion.entries:
                for event in events.of(entry.name, entry.payload):
                    self._tell(event, conversation.id, portion.epoch, entry.offset, entry.payload["timestamp"])

        return show

    def _tell(self, event: TaskEvent, conversation_id: str, epoch: str, offset: int, timestamp: str) -> None:
        self.send({**event.to_wire(), "timestamp": timestamp, **self._place(conversation_id, epoch, offset)})

    def _place(self, conversation_id: str, epoch: str, offset: int) -> dict[str, Any]:
        return {"conversation_id": conversation_id, "epoch": epoch, "offset": offset, "client_id": self._client}

    def _say(self, event: TaskEvent) -> None:
        self.send({**event.to_wire(), "timestamp": self.now()})

    def show_error(self, error: ColloquyError) -> None:
        self._refuse(error, recoverable=True)

    def show_refusal(self, error: ColloquyError) -> None:
        self._refuse(error, recoverable=error.retryable)

    def _refuse(self, error: ColloquyError, *, recoverable: bool) -> None:
        retry_after_s = error.to_payload().get("retry_after_s")
        self._say(
            TaskError(
                message=error.message, details=error.error_code, recoverable=recoverable, retry_after_s=retry_after_s
            )
        )

    def idle_ping(self) -> None:
        self._say(IdlePing())

    def notice(self, name: str, payload: dict[str, Any]) -> dict[str, Any] | None:
        if name in (SignedOut.name, AccessEnded.name):
            last = TaskError(
                message=payload["message"],
                details=payload.get("code", name),
                recoverable=payload.get("action") == "refresh",
            )
            return {**last.to_wire(), "timestamp": payload["timestamp"]}
        if name == ConversationDeleted.name:
            gone = TaskError(message="The conversation was deleted.", details=ConversationUnknown.code)
            return {**gone.to_wire(), "timestamp": payload["timestamp"]}
        if name == StillWorking.name and self.conversation is not None:
            working: TaskEvent = TaskProgress(**{each: payload[each] for each in TaskProgress.model_fields})
            if self.conversation.status is Status.INITIALIZING:  # progress comes after `processing`
                working = TaskStatusEvent(status="initializing", message="The agents are still being prepared.")
            place = self._place(self.conversation.id, self.conversation.log.epoch, self.read_offset())
            return {**working.to_wire(), "timestamp": payload["timestamp"], **place}
        return {"type": name, **payload} if name in NOTICES else None


def _parsed(kind: type[_Kind], fields: Any) -> _Kind:
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        raise InvalidPayload(sentence_of(error)) from None
