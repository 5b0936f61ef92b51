"""A6: ``/api/conversations/<id>/stream`` as a WebSocket. The events of the protocol, as ``{type, data}``."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from app.auth.permissions import Action, authorise, permits
from app.errors import ColloquyError, InvalidPayload, InvalidState, UnknownCommand
from app.http.reading import wish_of
from app.http.sockets.door import NOTICES, Door
from app.protocol import commands
from app.protocol.commands import Ack, ControlAck, SendMessageAck, StartAck, UnqueueMessageAck
from app.protocol.common import sentence_of
from app.protocol.dialects import ACK, ERROR, SNAPSHOT
from app.protocol.dialects.bridge import (
    BRIDGE_COMMANDS,
    NEW,
    Authenticate,
    BridgeCommand,
    Control,
    ProvideInput,
    SendMessage,
    StartConversation,
    UnqueueMessage,
)
from app.protocol.events import Heartbeat, Resync
from app.streaming.conversation import Conversation
from app.streaming.follower import Portion
from app.streaming.session import StreamingSession

_COMMANDS = {command.name: command for command in BRIDGE_COMMANDS}


class Bridge(Door):
    """Watch and steer one conversation: that of the path, or the one that this client starts (``new``)."""

    name = "bridge"

    def open(self) -> None:
        self._wish = wish_of(self.query)
        if self.key == NEW:
            return
        conversation = self.parts.entrance.find(self.principal, Action.WATCH, self.key)
        ack, follower = conversation.follow(self._wish.position, since=self._wish.since, view=self._wish.view)
        self.conversation = conversation
        if ack.snapshot is not None and self._wish.position is not None:
            self._show(Portion(ack.epoch, 0, ack.offset, snapshot=ack.snapshot))
        elif ack.snapshot is not None:
            self.send({"type": SNAPSHOT, "data": ack.snapshot})
        self.follow(conversation, follower, self._show)

    def command(self, message: dict[str, Any]) -> None:
        command = _command_of(message)
        if isinstance(command, StartConversation):
            self._start(command)
        elif isinstance(command, Control):
            self._control(command)
        elif isinstance(command, SendMessage):
            self._send_message(command)
        elif isinstance(command, UnqueueMessage):
            conversation = self._steered()
            owns = permits(self.principal, Action.MANAGE, conversation)
            self.parts.manager.queue.take_back(conversation, command.message_id, self.principal.id, anybodys=owns)
            done = UnqueueMessageAck(conversation_id=conversation.id, message_id=command.message_id)
            self._ack(UnqueueMessage.name, done)
        elif isinstance(command, ProvideInput):
            answer = commands.ProvideInput(conversation_id=self._steered().id, **command.model_dump())
            self._ack(ProvideInput.name, self.parts.manager.provide_input(answer, self.principal.id))
        elif isinstance(command, Authenticate):
            self._ack(Authenticate.name, self.authenticate(command.token))

    def _start(self, command: StartConversation) -> None:
        manager, known = self.parts.manager, self.conversation
        authorise(self.principal, Action.START)
        if known is not None:
            authorise(self.principal, Action.STEER, known)
        session = manager.start(
            team=command.team or (known.fold.team if known is not None else "") or self.parts.teams.default,
            content=command.content,
            content_type=command.content_type,
            owner=self.principal.id,
            tenant=self.principal.tenant,
            conversation_id=known.id if known is not None else None,
            client_id=command.client_id,
        )
        started = session.conversation
        if started is known:
            at = started.log.offset
            self._ack(StartConversation.name, self._started(session, started.log.epoch, at))
        else:
            ack, follower = started.follow(view=self._wish.view)
            self._ack(StartConversation.name, self._started(session, ack.epoch, ack.offset))
            if ack.offset and ack.snapshot is not None:  # the same start was sent before
                self.send({"type": SNAPSHOT, "data": ack.snapshot})
            self.follow(started, follower, self._show)
        manager.begin(session)

    def _started(self, session: StreamingSession, epoch: str, offset: int) -> StartAck:
        return StartAck(
            conversation_id=session.conversation.id,
            epoch=epoch,
            offset=offset,
            session_id=session.id,
            status=session.reached,
        )

    def _steered(self) -> Conversation:
        """What this client may steer."""
        if self.conversation is None:
            raise InvalidState("nothing was started yet")
        authorise(self.principal, Action.STEER, self.conversation)
        return self.conversation

    def _send_message(self, command: SendMessage) -> None:
        manager = self.parts.manager
        sent = manager.send_message(
            self._steered().id, command.content, command.content_type, command.client_id, self.principal.id
        )
        self._ack(SendMessage.name, sent.ack)
        if sent.session is not None:
            manager.begin(sent.session)

    def _control(self, command: Control) -> None:
        conversation = self._steered()
        manager = self.parts.manager
        if command.action == "continue":
            session = manager.continue_stream(conversation.id, client_id=command.client_id)
            ack = SendMessageAck(conversation_id=conversation.id, session_id=session.id, status=session.reached)
            self._ack(Control.name, ack)
            manager.begin(session)
            return
        act = {"pause": manager.pause, "resume": manager.resume, "stop": manager.stop}[command.action]
        answer: ControlAck = act(conversation.id)
        self._ack(Control.name, answer)

    def _ack(self, name: str, ack: Ack) -> None:
        self.send({"type": ACK, "data": {"ok": True, "command": name, **ack.model_dump(mode="json", by_alias=True)}})

    # --- out ----------------------------------------------------------------------------------------------------------

    def pause_s(self) -> float:
        return self._wish.batch_s

    def _show(self, portion: Portion) -> None:
        if portion.snapshot is not None:
            resync = Resync(
                conversation_id=portion.snapshot["conversation_id"], reason="position_lost", snapshot=portion.snapshot
            )
            self._transient(resync.name, resync.to_wire())
        for entry in portion.entries:
            self.send({"type": entry.name, "data": entry.payload})

    def show_error(self, error: ColloquyError) -> None:
        self._transient(ERROR, error.to_payload())

    def beat(self) -> None:
        if (conversation := self.conversation) is not None:
            offset = self.read_offset()
            beat = Heartbeat(
                conversation_id=conversation.id, epoch=conversation.log.epoch, offset=offset, status=conversation.status
            )
            self._transient(beat.name, beat.to_wire())

    def notice(self, name: str, payload: dict[str, Any]) -> dict[str, Any] | None:
        return {"type": name, "data": payload} if name in NOTICES else None

    def _transient(self, name: str, payload: dict[str, Any]) -> None:
        self.send({"type": name, "data": {**payload, "timestamp": self.now()}})


def _command_of(message: dict[str, Any]) -> BridgeCommand:
    kind = _COMMANDS.get(str(message.get("type")))
    if kind is None:
        raise UnknownCommand(f"there is no command {str(message.get('type'))[:100]!r}")
    fields = message.get("data", message.get("payload"))
    if fields is None:
        fields = {name: value for name, value in message.items() if name != "type"}
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        raise InvalidPayload(sentence_of(error)) from None
