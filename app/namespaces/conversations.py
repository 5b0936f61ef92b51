"""The Socket.IO namespace ``/conversations``: one handler of a few lines per command."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import socketio
from flask_socketio import Namespace
from pydantic import ValidationError

from app.auth.entrance import Entrance
from app.auth.gatekeeper import Gatekeeper
from app.auth.identity import Principal
from app.auth.live import Live, iso_of
from app.auth.permissions import Action, authorise, permits
from app.auth.seats import Seats
from app.errors import (
    ColloquyError,
    InvalidPayload,
    InvalidState,
    LimitExceeded,
    Unauthenticated,
    UnknownCommand,
)
from app.namespaces.client import SocketClient
from app.namespaces.server import Answer, refuse
from app.namespaces.transport import SocketTransport
from app.protocol import NAMESPACE, PROTOCOL_VERSION
from app.protocol.commands import (
    COMMANDS_BY_NAME,
    Ack,
    AckAck,
    Acknowledge,
    Authenticate,
    AuthenticateAck,
    Command,
    ContinueStream,
    FeedbackAck,
    GiveFeedback,
    Join,
    Leave,
    LeaveAck,
    PauseStream,
    Ping,
    PingAck,
    ProvideInput,
    ResumeStream,
    SendMessage,
    SendMessageAck,
    StartAck,
    StartStream,
    StopStream,
    UnqueueMessage,
    UnqueueMessageAck,
)
from app.protocol.common import sentence_of
from app.protocol.events import Connected, Event
from app.streaming.conversation import Conversation
from app.streaming.manager import StreamingManager
from app.streaming.ports import Clock
from app.streaming.readers import ReaderOptions
from app.streaming.session import StreamingSession
from app.streaming.view import View

logger = logging.getLogger(__name__)

_MAX_ECHO = 200


class ConversationsNamespace(Namespace):  # type: ignore[misc]  # Flask-SocketIO has no types
    """Parses, authorises, hands on to the manager, and answers. Holds nothing but who is connected and follows what."""

    def __init__(
        self,
        manager: StreamingManager,
        gate: Gatekeeper,
        live: Live,
        entrance: Entrance[Conversation],
        seats: Seats,
        clock: Clock,
        version: str,
        *,
        max_followed: int,
    ) -> None:
        super().__init__(NAMESPACE)
        self._max_followed = max_followed
        self._manager = manager
        self._gate = gate
        self._live = live
        self._entrance = entrance
        self._seats = seats
        self._clock = clock
        self._version = version
        self._clients: dict[str, SocketClient] = {}
        self._handlers: dict[str, Callable[[str, Principal, Any], Answer]] = {
            Join.name: self._join,
            Leave.name: self._leave,
            Acknowledge.name: self._acknowledge,
            StartStream.name: self._start,
            PauseStream.name: self._pause,
            ResumeStream.name: self._resume,
            StopStream.name: self._stop,
            SendMessage.name: self._send_message,
            UnqueueMessage.name: self._unqueue,
            ContinueStream.name: self._continue,
            ProvideInput.name: self._provide_input,
            GiveFeedback.name: self._rate,
            Authenticate.name: self._authenticate,
            Ping.name: self._ping,
        }

    def use(
        self,
        transport: SocketTransport,
        max_connections: int,
        elsewhere: Callable[[], int] = lambda: 0,
        news: Callable[[], Event | None] = lambda: None,
    ) -> None:
        """Send through this transport; call it once, before the first connection.

        :param max_connections: connections at most, those that there are ``elsewhere`` included.
        :param news: what somebody who comes is told after `connected`, if there is something.
        """
        self._news = news
        self._transport = transport
        self._max_connections = max_connections
        self._elsewhere = elsewhere

    def trigger_event(self, event: str, *args: Any) -> Any:
        """Called by the library for each event of the namespace."""
        sid = args[0]
        if event == "connect":
            return self._connect(sid, args[1], args[2] if len(args) > 2 else None)
        if event == "disconnect":
            return self._disconnect(sid)
        try:
            handler = self._handlers.get(event)
            if handler is None:
                raise UnknownCommand(f"there is no command {event[:100]!r}")
            command = _parse(COMMANDS_BY_NAME[event], args[1:])
            client = self._clients.get(sid)
            if client is None or client.ended:  # it came before the end, and is carried out no more
                raise Unauthenticated("this connection has ended")
            return handler(sid, client.principal, command)
        except ColloquyError as error:
            return refuse(error)
        except Exception:
            logger.exception("command %s failed", event)
            return refuse(ColloquyError("the command failed; the server's log says why"))

    # --- the connection -----------------------------------------------------------------------------------------------

    def _connect(self, sid: str, environ: dict[str, Any], brought: Any) -> bool:
        ticket = self._live.ticket()
        try:
            principal = self._gate.identify(environ, _word(brought, "token"), _word(brought, "link"))
            authorise(principal, Action.CONNECT)
            if len(self._clients) + self._elsewhere() >= self._max_connections:
                self._transport.count_refusal()
                raise LimitExceeded(f"there are {self._max_connections} connections; try again later")
            seat = self._seats.take(environ, principal, lambda: self._transport.is_there(sid))
        except ColloquyError as error:
            raise socketio.exceptions.ConnectionRefusedError(error.message, error.to_payload()) from None
        client = self._clients[sid] = SocketClient(
            sid,
            principal,
            str(environ.get("REMOTE_ADDR", "")),
            way=self._transport,
            find=self._manager.in_memory,
            ticket=ticket,
        )
        client.seat = seat
        return True

    def greet(self, sid: str) -> None:
        """Say `connected`, once the connection is; from then on it ends with its sign-in."""
        client = self._clients.get(sid)
        if client is None:
            return
        principal = client.principal
        greeting = Connected(
            sid=sid,
            protocol=PROTOCOL_VERSION,
            server=f"colloquy/{self._version}",
            user=principal.id,
            user_name=principal.name,
            kind=principal.kind,
            expires_at=iso_of(principal.expires_at),
            heartbeat_s=self._manager.config.heartbeat_s,
        )
        stamped = {**greeting.to_wire(), "timestamp": self._clock.now_iso()}
        self._transport.emit_to_client(sid, (greeting.name, stamped))
        if (news := self._news()) is not None:
            self._transport.emit_to_client(sid, (news.name, {**news.to_wire(), "timestamp": self._clock.now_iso()}))
        self._live.enter(client, client.ticket)
        if sid not in self._clients:  # it has left meanwhile
            self._live.leave(client)

    def _disconnect(self, sid: str) -> None:
        """Leave everything. The conversations go on: disconnect, stop and pause are three different things."""
        client = self._clients.pop(sid, None)
        if client is not None:
            if client.seat is not None:
                client.seat.release()
            if not client.ended:  # else it is watched until its time is up
                self._live.leave(client)
            self._manager.gone(sid, tuple(client.followed))

    # --- commands -----------------------------------------------------------------------------------------------------

    def _join(self, sid: str, principal: Principal, command: Join) -> Answer:
        self._entrance.find(principal, Action.WATCH, command.conversation_id)
        self._check_followed(sid, command.conversation_id)
        ack = self._manager.join(
            sid, command.conversation_id, command.position, since=command.since, options=_options(command)
        )
        self._follow(sid, command.conversation_id)
        return Answer(_ok(ack), lambda: self._manager.attach(sid, command.conversation_id))

    def _leave(self, sid: str, principal: Principal, command: Leave) -> Answer:
        self._entrance.find(principal, Action.WATCH, command.conversation_id)
        self._manager.leave(sid, command.conversation_id)
        self._following(sid).discard(command.conversation_id)
        return Answer(_ok(LeaveAck(conversation_id=command.conversation_id)))

    def _acknowledge(self, sid: str, principal: Principal, command: Acknowledge) -> Answer:
        if command.conversation_id not in self._following(sid):
            raise InvalidState("this connection does not follow that conversation")
        self._manager.acknowledge(sid, command.conversation_id, command.offset)
        return Answer(_ok(AckAck(conversation_id=command.conversation_id)))

    def drained(self, sid: str) -> None:
        """A connection takes more again. Does not block."""
        self._manager.drained(sid, tuple(self._following(sid)))

    def _start(self, sid: str, principal: Principal, command: StartStream) -> Answer:
        authorise(principal, Action.START)
        if command.conversation_id is not None:
            self._entrance.find(principal, Action.STEER, command.conversation_id)
        self._check_followed(sid, command.conversation_id)
        session = self._manager.start(
            team=command.team,
            content=command.content,
            content_type=command.content_type,
            owner=principal.id,
            tenant=principal.tenant,
            conversation_id=command.conversation_id,
            options=command.options,
            client_id=command.client_id,
        )
        options = ReaderOptions(acks=command.acks, batch=command.batch)
        joined = self._manager.join(sid, session.conversation.id, options=options)
        self._follow(sid, session.conversation.id)
        ack = StartAck(**joined.model_dump(), session_id=session.id, status=session.reached)
        return Answer(_ok(ack), lambda: self._begin(sid, session))

    def _begin(self, sid: str, session: StreamingSession) -> None:
        self._manager.attach(sid, session.conversation.id)
        self._manager.begin(session)

    def _pause(self, sid: str, principal: Principal, command: PauseStream) -> Answer:
        self._entrance.find(principal, Action.STEER, command.conversation_id)
        return Answer(_ok(self._manager.pause(command.conversation_id)))

    def _resume(self, sid: str, principal: Principal, command: ResumeStream) -> Answer:
        self._entrance.find(principal, Action.STEER, command.conversation_id)
        return Answer(_ok(self._manager.resume(command.conversation_id)))

    def _stop(self, sid: str, principal: Principal, command: StopStream) -> Answer:
        self._entrance.find(principal, Action.STEER, command.conversation_id)
        return Answer(_ok(self._manager.stop(command.conversation_id)))

    def _send_message(self, sid: str, principal: Principal, command: SendMessage) -> Answer:
        conversation = self._entrance.find(principal, Action.STEER, command.conversation_id)
        sent = self._manager.send_message(
            conversation.id, command.content, command.content_type, command.client_id, principal.id
        )
        return Answer(_ok(sent.ack), partial(self._manager.begin, sent.session) if sent.session else None)

    def _unqueue(self, sid: str, principal: Principal, command: UnqueueMessage) -> Answer:
        conversation = self._entrance.find(principal, Action.STEER, command.conversation_id)
        owns = permits(principal, Action.MANAGE, conversation)
        self._manager.queue.take_back(conversation, command.message_id, principal.id, anybodys=owns)
        return Answer(_ok(UnqueueMessageAck(conversation_id=conversation.id, message_id=command.message_id)))

    def _provide_input(self, sid: str, principal: Principal, command: ProvideInput) -> Answer:
        self._entrance.find(principal, Action.STEER, command.conversation_id)
        return Answer(_ok(self._manager.provide_input(command, principal.id)))

    def _authenticate(self, sid: str, principal: Principal, command: Authenticate) -> Answer:
        client, ticket = self._clients[sid], self._live.ticket()
        fresh = self._gate.verify(command.token, client.address)
        self._live.renew(client, fresh, ticket)
        return Answer(_ok(AuthenticateAck(user=fresh.id, expires_at=iso_of(fresh.expires_at))))

    def _continue(self, sid: str, principal: Principal, command: ContinueStream) -> Answer:
        conversation = self._entrance.find(principal, Action.STEER, command.conversation_id)
        session = self._manager.continue_stream(command.conversation_id, client_id=command.client_id)
        ack = SendMessageAck(conversation_id=conversation.id, session_id=session.id, status=session.reached)
        return Answer(_ok(ack), lambda: self._manager.begin(session))

    def _rate(self, sid: str, principal: Principal, command: GiveFeedback) -> Answer:
        conversation = self._entrance.find(principal, Action.RATE, command.conversation_id)
        self._manager.editing.rate(conversation, command.message_id, command.value, principal.id)
        ack = FeedbackAck(conversation_id=conversation.id, message_id=command.message_id, value=command.value)
        return Answer(_ok(ack))

    def _ping(self, sid: str, principal: Principal, command: Ping) -> Answer:
        if isinstance(command.echo, str) and len(command.echo) > _MAX_ECHO:
            raise InvalidPayload(f"echo: at most {_MAX_ECHO} characters")
        return Answer(_ok(PingAck(timestamp=self._clock.now_iso(), echo=command.echo)))

    def _check_followed(self, sid: str, conversation_id: str | None) -> None:
        followed = self._following(sid)
        if len(followed) >= self._max_followed and conversation_id not in followed:
            for each in [each for each in followed if not self._manager.follows(sid, each)]:
                followed.discard(each)  # it was deleted
        if len(followed) >= self._max_followed and conversation_id not in followed:
            raise LimitExceeded(f"this connection follows {self._max_followed} conversations; leave one of them first")

    def _following(self, sid: str) -> set[str]:
        client = self._clients.get(sid)
        return client.followed if client is not None else set()

    def _follow(self, sid: str, conversation_id: str) -> None:
        client = self._clients.get(sid)
        if client is None or client.ended:  # it ended while its command was carried out
            self._manager.leave(sid, conversation_id)
            return
        client.followed.add(conversation_id)
        self._live.check(client)  # the share may have been withdrawn in between


def _parse(kind: type[Command], args: tuple[Any, ...]) -> Command:
    if len(args) > 1 or (args and not isinstance(args[0], dict)):
        raise InvalidPayload(f"{kind.name} takes one object")
    try:
        return kind.model_validate(args[0] if args else {})
    except ValidationError as error:
        raise InvalidPayload(sentence_of(error)) from None


def _word(brought: Any, name: str) -> str | None:
    """A word of what a client's connection brought along; None without one.

    :raises Unauthenticated: for what can be none: who brings something is not taken for who brings nothing.
    """
    word = brought.get(name) if isinstance(brought, dict) else None
    if word is not None and not isinstance(word, str):
        raise Unauthenticated(f"the {name} is no text")
    return word or None


def _options(command: Join) -> ReaderOptions:
    return ReaderOptions(
        view=View(command.filter, command.changes_only),
        acks=command.acks,
        batch=command.batch or command.batch_ms > 0,
        batch_s=command.batch_ms / 1000,
    )


def _ok(ack: Ack) -> dict[str, Any]:
    return {"ok": True, **ack.model_dump(mode="json", by_alias=True)}
