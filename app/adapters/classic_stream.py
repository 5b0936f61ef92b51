"""Classic AG2's input and output of one run: what its agents print, send and ask, from their thread into the room."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any

from autogen.events.agent_events import InputRequestEvent
from autogen.events.base_event import BaseEvent
from autogen.events.print_event import PrintEvent
from autogen.io import IOStream

from app.adapters.classic_names import OWN_MODEL
from app.adapters.classic_thread import Crossing
from app.providers.compat import current_caller
from app.runner.wire import Answer

Shown = dict[str, Any]
"""An AG2 event as its own WebSocket server sends it: ``{type, content}``."""


_CHOICES = ("select_speaker", "select_speaker_invalid_input")
"""Events before the question who shall speak next, and before it is asked again."""


class Unanswered(EOFError):
    """Nobody has answered in time. What ``input()`` raises at the end of its input."""


class RoomStream(IOStream):
    """Given to the agents as their default ``IOStream``, and to functions written for ``IOWebsockets``.

    :param first: the first ``input()`` gets this: the message with which the client came. What it asks is shown.
    :param show: shows an event, on the loop; the thread waits for it.
    :param piece: takes a piece of a streamed reply: agent and text. Called in the thread.
    :param ask: asks a person, on the loop: agent, prompt, and whether the answer is a secret.
    """

    def __init__(
        self,
        crossing: Crossing,
        show: Callable[[Shown], Coroutine[Any, Any, None]],
        piece: Callable[[str, str], None],
        ask: Callable[[str, str, bool], Coroutine[Any, Any, Answer]],
        first: str | None = None,
    ) -> None:
        self._crossing = crossing
        self._show = show
        self._piece = piece
        self._ask = ask
        self._first = first
        self._choices: list[str] = []

    def print(self, *objects: Any, sep: str = " ", end: str = "\n", flush: bool = False) -> None:
        """Words for whoever watches."""
        self.send(PrintEvent(*objects, sep=sep, end=end))

    def send(self, message: BaseEvent) -> None:
        """:raises CallEnded: the run was stopped."""
        self._crossing.check()
        kind: str = getattr(message, "type", "")
        if kind == "stream":
            self._stream(str(message.content.content))  # type: ignore[attr-defined]  # a wrapped event
            return
        shown = _as_json(message)
        if kind in _CHOICES:
            self._choices = [str(name) for name in shown["content"].get("agents") or ()]
        self._crossing.call(lambda: self._show(shown))

    def input(self, prompt: str = "", *, password: bool = False) -> str:
        """What a person in the room answers.

        :raises Unanswered: nobody did, in time.
        :raises CallEnded: the run was stopped.
        """
        if self._first is not None:
            first, self._first = self._first, None
            if prompt:
                self.send(InputRequestEvent(prompt=prompt, password=password))  # type: ignore[call-arg]  # it has a uuid
            return first
        agent, asked = current_caller().agent or "user", self._with_choices(prompt)
        answer = self._crossing.call(lambda: self._ask(agent, asked, password))
        if answer.resolution in ("timeout", "cancelled"):
            raise Unanswered("nobody has answered in time")
        return answer.content

    def _with_choices(self, prompt: str) -> str:
        """AG2 prints the list of speakers, and then asks for a number."""
        numbered = [f"{number}: {name}" for number, name in enumerate(self._choices, 1)]
        self._choices = []
        return "\n".join([prompt, *numbered])

    def _stream(self, text: str) -> None:
        """Only of models that the team has brought: of all others the run knows more, and sooner."""
        caller = current_caller()
        if text and caller.speaks and OWN_MODEL.get():
            self._piece(caller.agent, text)


def _as_json(message: BaseEvent) -> Shown:
    try:
        shown: Shown = message.model_dump(mode="json")
    except ValueError:  # a tool may return anything
        shown = json.loads(json.dumps(message.model_dump(), default=str))
    return shown
