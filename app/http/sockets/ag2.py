"""C2: ``/ag2/<team>``. For clients that were written for classic AG2's ``IOWebsockets``."""

from __future__ import annotations

import threading
import uuid
from collections import deque
from typing import Any

from app.auth.permissions import Action, authorise
from app.errors import AnsweredAlready, ColloquyError, InputUnknown, InvalidPayload, LimitExceeded
from app.http.reading import switched_on
from app.http.sockets.ag2_events import Ag2Events
from app.http.sockets.door import Door
from app.http.sockets.websocket import Closed
from app.protocol import events
from app.protocol.close_codes import CloseCode
from app.protocol.commands import ProvideInput
from app.protocol.common import Status
from app.protocol.dialects import ag2
from app.streaming.follower import Portion
from app.streaming.states import TERMINAL

MAX_WAITING_ANSWERS = 16
_ENDS = frozenset(status.value for status in TERMINAL)


class Ag2Door(Door):
    """One client and the run that its first message begins. The connection ends with the run, not the run with it.

    What is sent before a question comes waits for the next one, as it does in AG2's own socket.
    """

    name = "ag2"

    def open(self) -> None:
        authorise(self.principal, Action.START)
        self.speaks_rarely = switched_on(self.query, events.StillWorking.name)
        self._translated = Ag2Events(self.key, _new_uuid)
        self._session_id = ""
        self._lock = threading.Lock()  # guards the two below
        self._answers: deque[str] = deque()
        self._questions: deque[str] = deque()

    def command(self, message: dict[str, Any]) -> None:
        """Not used: a message is what it says."""

    def take(self, text: str) -> None:
        if self.conversation is None:
            try:
                self._start(text)
            except ColloquyError as error:
                self.show_error(error)
                self.websocket.close(CloseCode.NORMAL, error.error_code)
                raise Closed from None
            return
        with self._lock:
            if len(self._answers) >= MAX_WAITING_ANSWERS:
                raise LimitExceeded(f"{MAX_WAITING_ANSWERS} answers wait for questions already")
            self._answers.append(text)
        self._answer()

    def _start(self, content: str) -> None:
        manager = self.parts.manager
        authorise(self.principal, Action.START)
        session = manager.start(team=self.key, content=content, owner=self.principal.id, tenant=self.principal.tenant)
        self._session_id = session.id
        _, follower = session.conversation.follow()
        self.follow(session.conversation, follower, self._show)
        manager.begin(session)

    def _answer(self) -> None:
        """Bring together what was asked and what was said."""
        conversation = self.conversation
        assert conversation is not None
        while True:
            with self._lock:
                if not (self._answers and self._questions):
                    return
                question, answer = self._questions.popleft(), self._answers.popleft()
            command = ProvideInput(conversation_id=conversation.id, request_id=question, content=answer)
            try:
                authorise(self.principal, Action.STEER, conversation)
                self.parts.manager.provide_input(command, self.principal.id)
            except (InputUnknown, AnsweredAlready):  # somebody else was first: it waits for the next question
                with self._lock:
                    self._answers.appendleft(answer)
            except InvalidPayload as error:  # a permission wants a yes or a no
                with self._lock:
                    self._questions.appendleft(question)
                self.show_error(error)

    # --- out ----------------------------------------------------------------------------------------------------------

    def _show(self, portion: Portion) -> None:
        for entry in portion.entries:
            for sent in self._translated.of(entry.name, entry.payload):
                if isinstance(sent, str):
                    self.websocket.send_text(sent)
                else:
                    self.send(sent)
            self._note(entry.name, entry.payload)
        if portion.snapshot is not None:  # too slow: what was missed is no longer kept
            self._note(events.ConversationStatus.name, portion.snapshot)

    def _note(self, name: str, payload: dict[str, Any]) -> None:
        if name == events.InputRequest.name:
            with self._lock:
                self._questions.append(payload["request_id"])
            self._answer()
        elif name == events.InputResolved.name:
            with self._lock:
                if payload["request_id"] in self._questions:
                    self._questions.remove(payload["request_id"])
        elif name == events.ConversationStatus.name and payload["status"] in _ENDS:
            self.websocket.close(CloseCode.NORMAL, Status(payload["status"]).value)
            raise Closed

    def show_error(self, error: ColloquyError) -> None:
        retry_after_s = error.to_payload().get("retry_after_s")
        shown = ag2.Error(error=error.message, code=error.error_code, retry_after_s=retry_after_s)
        self.send(shown.to_wire(_new_uuid()))

    def notice(self, name: str, payload: dict[str, Any]) -> dict[str, Any] | None:
        if name in (events.SignedOut.name, events.AccessEnded.name):
            return ag2.Error(error=payload["message"], code=payload.get("code", name)).to_wire(_new_uuid())
        if name == events.ConversationDeleted.name:
            return ag2.Error(error="The conversation was deleted.", code=name).to_wire(_new_uuid())
        if name == events.Broadcast.name or (name == events.StillWorking.name and self.speaks_rarely):
            return ag2.Print(objects=(payload["message"],)).to_wire(_new_uuid())
        return None


def _new_uuid() -> str:
    return str(uuid.uuid4())
