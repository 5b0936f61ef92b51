"""What an AG-UI request asks for: a new conversation, the next turn of one, or to come back to one that runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ag_ui.core import ResumeEntry, RunAgentInput
from pydantic import BaseModel, ConfigDict

from app.auth.entrance import Entrance
from app.auth.identity import Principal
from app.auth.permissions import Action, authorise
from app.errors import ConversationUnknown, InvalidPayload, InvalidState
from app.http.agui.pictures import text_of
from app.http.agui.threads import Thread, Threads
from app.http.agui.translator import Request
from app.http.body import parse
from app.protocol.commands import ProvideInput, RunOptions
from app.protocol.common import ContentType, Position
from app.streaming.conversation import Conversation
from app.streaming.manager import StreamingManager
from app.streaming.session_events import user_message

_MAX_MESSAGE_ID = 200


class ForwardedProps(BaseModel):
    """What Colloquy reads of ``forwardedProps``; what else is there is for others."""

    model_config = ConfigDict(extra="ignore")

    position: Position | None = None
    content_type: ContentType = ContentType.TEXT
    options: RunOptions = RunOptions()


@dataclass(frozen=True, slots=True)
class Run:
    """What a request led to: the conversation, from where the client wants to read it, and what is known of it.

    :param position: None: the client holds nothing that can be continued, and is given a snapshot.
    """

    conversation: Conversation
    position: Position | None
    request: Request


@dataclass(frozen=True, slots=True)
class _Asked:
    """The parts of a request that matter."""

    body: RunAgentInput
    wishes: ForwardedProps
    position: Position | None
    texts: Mapping[str, str]

    @property
    def last(self) -> Any:
        """The last message, if it is a user's."""
        last = self.body.messages[-1] if self.body.messages else None
        return last if last is not None and last.role == "user" else None


def enter(
    manager: StreamingManager,
    entrance: Entrance[Conversation],
    threads: Threads,
    principal: Principal,
    team: str,
    body: RunAgentInput,
    last_event_id: Position | None,
) -> Run:
    """Start, continue or find what the request asks for. A run that was begun goes on, whatever becomes of the request.

    :raises ConversationUnknown: the client wants to go on with what is no longer here.
    :raises InvalidState: a new message for a conversation that is running. It was not taken.
    :raises ColloquyError: as :meth:`StreamingManager.start` does; nothing has changed.
    """
    props = body.forwarded_props if isinstance(body.forwarded_props, dict) else {}
    wishes = parse(ForwardedProps, props)
    asked = _Asked(
        body,
        wishes,
        wishes.position or last_event_id,
        {message.id: text_of(message) or "" for message in body.messages},
    )
    thread = threads.of(principal.person, body.thread_id)
    with thread.lock:
        conversation = _find(entrance, principal, thread, body.thread_id)
        if conversation is None and body.resume:
            raise ConversationUnknown("there is no such conversation")
        if conversation is None:
            return _start(manager, principal, thread, team, asked)
        held = _held(conversation, thread)
        last = asked.last
        if body.resume:
            if last is not None and last.id not in thread.sent and last.id not in held:
                raise InvalidState("an agent waits for an answer; send a new message when its run has ended")
            _answer(manager, principal, conversation, body.resume, body.run_id)
            return _run(manager, thread, conversation, asked, asked.position)
        if last is None or last.id in thread.sent or last.id in held:
            return _run(manager, thread, conversation, asked, asked.position)
        return _continue(manager, principal, thread, team, conversation, held, asked)


def _answer(
    manager: StreamingManager,
    principal: Principal,
    conversation: Conversation,
    entries: Sequence[ResumeEntry],
    run_id: str,
) -> None:
    """Answer what the agents wait for. Who cancels denies a permission, and ends the question for a text."""
    authorise(principal, Action.STEER, conversation)
    for entry in entries:
        if entry.status == "cancelled":
            manager.decline_input(conversation.id, entry.interrupt_id, principal.id)
            continue
        wanted = {
            "conversation_id": conversation.id,
            "request_id": entry.interrupt_id,
            "client_id": run_id[:64] or None,
        }
        manager.provide_input(parse(ProvideInput, wanted | _given(entry.payload)), principal.id)


def _given(payload: Any) -> dict[str, Any]:
    """A text, a yes or no, or an object that has one or both as ``content`` and ``granted``."""
    if isinstance(payload, bool):
        return {"granted": payload}
    if isinstance(payload, str):
        return {"content": payload}
    if not isinstance(payload, dict):
        raise InvalidPayload("resume: a text, true or false, or an object with content or granted is needed")
    return {name: payload[name] for name in ("content", "granted") if name in payload}


def _find(
    entrance: Entrance[Conversation], principal: Principal, thread: Thread, thread_id: str
) -> Conversation | None:
    """None: there is none, or it is somebody else's. Either way the thread is a new one."""
    try:
        return entrance.find(principal, Action.WATCH, thread.conversation_id or thread_id)
    except ConversationUnknown:
        return None


def _held(conversation: Conversation, thread: Thread) -> set[str]:
    """The ids of the conversation's messages, as the client knows them."""
    names = thread.names()
    snapshot: dict[str, Any] = conversation.snapshot()
    return {names.get(view["message_id"], view["message_id"]) for view in snapshot["messages"]}


def _start(manager: StreamingManager, principal: Principal, thread: Thread, team: str, asked: _Asked) -> Run:
    last = asked.last
    if last is None or last.id in thread.sent or asked.position is not None:
        raise ConversationUnknown("there is no such conversation")
    authorise(principal, Action.START)
    session = manager.start(
        team=team,
        content=_content(last),
        content_type=asked.wishes.content_type,
        owner=principal.id,
        tenant=principal.tenant,
        options=asked.wishes.options,
    )
    conversation = session.conversation
    thread.conversation_id = conversation.id
    thread.took(last.id, user_message(session.run_request).message_id)
    manager.begin(session)
    return _run(manager, thread, conversation, asked, Position(epoch=conversation.log.epoch, offset=0))


def _continue(
    manager: StreamingManager,
    principal: Principal,
    thread: Thread,
    team: str,
    conversation: Conversation,
    held: set[str],
    asked: _Asked,
) -> Run:
    authorise(principal, Action.STEER, conversation)
    head = Position(epoch=conversation.log.epoch, offset=conversation.log.offset)
    session = manager.start(
        team=team,
        content=_content(asked.last),
        content_type=asked.wishes.content_type,
        owner=conversation.owner,
        tenant=conversation.access.tenant,
        conversation_id=conversation.id,
        options=asked.wishes.options,
    )
    thread.conversation_id = conversation.id
    thread.took(asked.last.id, user_message(session.run_request).message_id)
    manager.begin(session)
    in_step = held <= asked.texts.keys()
    return _run(manager, thread, conversation, asked, asked.position or (head if in_step else None))


def _run(
    manager: StreamingManager, thread: Thread, conversation: Conversation, asked: _Asked, position: Position | None
) -> Run:
    session = manager.library.session_of(conversation.id)
    request = Request(
        thread_id=asked.body.thread_id,
        run_id=asked.body.run_id,
        conversation_id=conversation.id,
        session_id=session.id if session is not None else conversation.fold.session_id or "",
        messages=asked.texts,
        names=thread.names(),
        state=asked.body.state,
    )
    return Run(conversation, position, request)


def _content(message: Any) -> str:
    if len(message.id) > _MAX_MESSAGE_ID:
        raise InvalidPayload(f"messages: an id of at most {_MAX_MESSAGE_ID} characters is needed")
    text = text_of(message)
    if text is None:
        raise InvalidPayload("messages: only text is understood")
    return text
