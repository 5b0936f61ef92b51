"""What an adapter gets to run one conversation with: the port between a framework and the runner's link."""

from __future__ import annotations

from typing import Any, Literal, Protocol

from app.protocol.common import ToolFailure
from app.protocol.events import Event
from app.providers.gate import Gate
from app.providers.model_run import ModelRun
from app.runner.wire import Answer, StartRun

InputKind = Literal["text", "permission"]


class RunPort(Protocol):
    """One run's way out. Events leave in the order in which they are given."""

    @property
    def start(self) -> StartRun:
        """The order that this run carries out."""

    @property
    def gate(self) -> Gate:
        """The run's flow control."""

    @property
    def model(self) -> ModelRun:
        """The run's models."""

    async def emit(self, event: Event) -> None:
        """Send an event; waits while the gate is closed.

        :raises RunAborted: the run was stopped.
        """

    def delta(self, message_id: str, agent: str, text: str, tokens: int, *, reserved: bool) -> None:
        """Send a piece of an open message at once; ``reserved``: the gate has admitted its tokens."""

    async def ask(self, agent: str, prompt: str, *, kind: InputKind = "text", secret: bool = False) -> Answer:
        """Wait for a person: ``input_request`` now, the answer when somebody gave one or the time is over.

        A stop ends the wait.

        :param agent: who asks.
        :param secret: what is typed is not to be shown.
        :raises RunAborted: the run was stopped.
        """

    def artifact(self, media_type: str, data: bytes) -> str | None:
        """Hand over something too large for an event, before the event that names it.

        :returns: its id; None where it is too large (MAX_ARTIFACT_BYTES), or the run has had its share of them.
        """

    def tool_failure(self, answer: str) -> ToolFailure:
        """Of what kind a tool's failure was, by its answer: what the tool itself has said, else ``failed``."""

    def checkpoint(self, state: dict[str, Any]) -> None:
        """Send the state from which another process can go on. Only after all events that led to it."""


class Adapter(Protocol):
    """Runs a team from its start, or from its checkpoint, to its end."""

    @property
    def turns(self) -> int:
        """Turns finished so far, those before the checkpoint included."""

    @property
    def active(self) -> bool:
        """Whether the conversation has become active."""

    @property
    def caller(self) -> str | None:
        """The agent whose tool is at work, by its display name; None: nobody's, or those of several."""

    async def run(self) -> None:
        """Run to the end, ``conversation_complete`` included.

        :raises ColloquyError: the run failed; nothing terminal has been sent.
        :raises RunAborted: the run was stopped.
        """

    def flush(self) -> None:
        """Send the text that was taken from the model and not yet sent. Never waits: the run is being stopped."""

    async def withdraw(self, reason: str) -> None:
        """Take back the messages that broke off."""
