"""``POST /api/agui/<team>``: one AG-UI run per request, over the log of its thread's conversation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ag_ui.core import BaseEvent, CustomEvent, RunAgentInput
from ag_ui.encoder import EventEncoder
from flask import Blueprint, Response, current_app, request
from flask.blueprints import BlueprintSetupState

from app.auth.identity import Principal
from app.auth.permissions import Action, permits
from app.connections import Outlet
from app.errors import (
    ColloquyError,
    ContentEmpty,
    ContentTooLarge,
    ConversationUnknown,
    Interrupted,
    InvalidPayload,
    InvalidState,
    LimitExceeded,
    NotPermitted,
    TeamUnknown,
    TokenExpired,
    Unauthenticated,
)
from app.http.agui.pieces import place_of
from app.http.agui.runs import Run, enter
from app.http.agui.threads import Threads
from app.http.agui.translator import RunTranslator
from app.http.answers import ComesBack
from app.http.body import parse_body
from app.http.caller import permit, ticket
from app.http.contract import EVENT_STREAM, contract
from app.http.reading import Wish, wish_of
from app.http.sse import EventStream, answer, outlet
from app.protocol.events import AccessEnded
from app.services import Services, services
from app.streaming.states import TERMINAL

agui = Blueprint("agui", __name__)

_THREADS = "colloquy.agui"
_encoder = EventEncoder()


@agui.record_once
def _remember_threads(state: BlueprintSetupState) -> None:
    parts: Services = state.app.extensions["colloquy"]
    threads = state.app.extensions[_THREADS] = Threads(parts.settings.max_conversations)
    parts.manager.editing.when_deleted(threads.forget)


@agui.post("/api/agui/<team>")
@contract(
    media=EVENT_STREAM,
    body=RunAgentInput,
    headers=ComesBack,
    errors=(
        InvalidPayload,
        ContentEmpty,
        ContentTooLarge,
        TeamUnknown,
        ConversationUnknown,
        InvalidState,
        LimitExceeded,
    ),
)
def run_agent(team: str) -> Response:
    """AG-UI 1.0: start a thread, continue it, or come back to its run; answers the run's events as SSE."""
    parts = services()
    principal = permit(Action.CONNECT)
    request.max_content_length = parts.settings.max_history_bytes
    body = parse_body(RunAgentInput)
    parts.connections.check_room()  # before anything is started
    came_from = wish_of({}, request.headers.get("Last-Event-ID")).position
    with outlet(parts, principal) as way:
        run = enter(parts.manager, parts.entrance, current_app.extensions[_THREADS], principal, team, body, came_from)
        return answer(RunStream(parts, way, principal, ticket(), run))


class RunStream(EventStream):
    """The run's events, as they come, until its session has ended. Closing it ends nothing but the reading."""

    def __init__(self, parts: Services, outlet: Outlet, principal: Principal, ticket: int, run: Run) -> None:
        self._translator = RunTranslator(run.request)
        self._may_answer = permits(principal, Action.STEER, run.conversation)
        super().__init__(parts, outlet, principal, ticket, run.conversation, Wish(run.position), door="agui")

    def _events(self) -> Iterator[str]:
        conversation, translator = self._conversation, self._translator
        beat_s, max_bytes = self._parts.settings.heartbeat_s, self._parts.settings.catch_up_batch_bytes
        yield _encoded(translator.begin(self._ack))
        while not translator.finished:
            if (last := self._last_word) is not None:
                yield _encoded([CustomEvent(name=last[0], value=last[1])])
                yield _encoded(translator.fail(_failure(*last)))
                return
            while self._notices:
                name, payload = self._notices.popleft()
                yield _encoded([CustomEvent(name=name, value=payload)])
            over = conversation.status in TERMINAL  # asked before reading: what has ended it is in the log by then
            portion = self._follower.read(max_bytes)
            if portion is not None and portion.snapshot is not None:
                yield _encoded(translator.resync(portion.snapshot))
            elif portion is not None:
                yield "".join(_encoded(translator.take(entry)) for entry in portion.entries)
                if translator.stale:
                    yield self._resync()
            elif self._follower.parting is not None:
                yield _encoded(translator.fail(ConversationUnknown("the conversation was deleted")))
            elif over:
                yield _encoded(translator.finish(conversation.snapshot()))
            elif self._may_answer and (pending := conversation.fold.pending_inputs()):  # all until now is told
                yield _encoded(translator.interrupt(pending))
            elif self._follower.closed:
                yield _encoded(translator.fail(Interrupted("this stream has ended; come back")))
            elif (aside := self._follower.aside()) is not None:
                yield _encoded([CustomEvent(name=aside[0], value=aside[1])])
            elif not self._follower.wait(beat_s):
                yield ": alive\n\n"

    def _resync(self) -> str:
        """Follow anew, from a snapshot on."""
        self._follower.close()
        ack, self._follower = self._conversation.follow()
        return _encoded(self._translator.resync(ack.snapshot or {}))


def _failure(name: str, payload: dict[str, Any]) -> ColloquyError:
    """A last word as an error, whose code says what to do: refresh the token, sign in, or stay away."""
    if name == AccessEnded.name:
        return NotPermitted(payload["message"])
    expired = payload["action"] == "refresh"
    return (TokenExpired if expired else Unauthenticated)(payload["message"])


def _encoded(events: Iterable[BaseEvent]) -> str:
    return "".join(map(_frame, events))


def _frame(event: BaseEvent) -> str:
    place = place_of(event)
    return _encoder.encode(event) if place is None else f"id: {place}\n{_encoder.encode(event)}"
