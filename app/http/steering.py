"""Steering a conversation: pause, resume, stop, continue, answer its agents."""

from __future__ import annotations

from typing import Any

from flask import Blueprint

from app.auth.permissions import Action
from app.errors import (
    AnsweredAlready,
    ContentTooLarge,
    ConversationUnknown,
    InputUnknown,
    InvalidPayload,
    InvalidState,
    LimitExceeded,
    StoreUnavailable,
    TeamUnknown,
)
from app.http.body import parse_body, parse_optional_body
from app.http.caller import permitted
from app.http.contract import contract
from app.http.conversation_shapes import GivenInput, Started, Wish
from app.http.conversations import started
from app.protocol.commands import ControlAck, ProvideInput, ProvideInputAck, StopAck
from app.services import services

steering = Blueprint("steering", __name__)

_REFUSALS = (ConversationUnknown, InvalidState, StoreUnavailable)


@steering.post("/api/conversations/<conversation_id>/pause")
@contract(ControlAck, errors=_REFUSALS)
def pause(conversation_id: str) -> dict[str, Any]:
    """Stop reading from the model; answered when nothing more is taken from it."""
    permitted(Action.STEER, conversation_id)
    return services().manager.pause(conversation_id).model_dump(mode="json")


@steering.post("/api/conversations/<conversation_id>/resume")
@contract(ControlAck, errors=_REFUSALS)
def resume(conversation_id: str) -> dict[str, Any]:
    """Go on where the pause began."""
    permitted(Action.STEER, conversation_id)
    return services().manager.resume(conversation_id).model_dump(mode="json")


@steering.post("/api/conversations/<conversation_id>/stop")
@contract(StopAck, errors=_REFUSALS)
def stop(conversation_id: str) -> dict[str, Any]:
    """End the run; answered when the model's HTTP request is closed, with the tokens spent."""
    permitted(Action.STEER, conversation_id)
    return services().manager.stop(conversation_id).model_dump(mode="json")


@steering.post("/api/conversations/<conversation_id>/continue")
@contract(
    Started,
    status=202,
    body=Wish,
    body_required=False,
    errors=(InvalidPayload, TeamUnknown, LimitExceeded, *_REFUSALS),
)
def go_on(conversation_id: str) -> tuple[dict[str, Any], int]:
    """Go on with a conversation that was stopped or broke off: from its last finished turn, with nothing new said."""
    permitted(Action.STEER, conversation_id)
    wish = parse_optional_body(Wish)
    manager = services().manager
    session = manager.continue_stream(conversation_id, client_id=wish.client_id)
    manager.begin(session)
    answer = started(session)
    services().archive.keep(conversation_id)
    return answer, 202


@steering.post("/api/conversations/<conversation_id>/inputs/<request_id>")
@contract(
    ProvideInputAck,
    body=GivenInput,
    errors=(InvalidPayload, ContentTooLarge, ConversationUnknown, InputUnknown, AnsweredAlready, StoreUnavailable),
)
def provide_input(conversation_id: str, request_id: str) -> dict[str, Any]:
    """Answer an agent that waits (`input_request`). The first answer wins; later ones are refused."""
    principal, conversation = permitted(Action.STEER, conversation_id)
    given = parse_body(GivenInput)
    if not 1 <= len(request_id) <= 64:
        raise InputUnknown("no agent waits for this answer")
    command = ProvideInput(conversation_id=conversation.id, request_id=request_id, **given.model_dump())
    return services().manager.provide_input(command, principal.id).model_dump(mode="json")
