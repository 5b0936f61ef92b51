"""One call of a model by an agent, as the adapter sees it: its pieces of text and its changes of provider, in order.

The adapter takes text from here rather than from AutoGen's event stream: AutoGen's runtime costs some 300 µs per chunk.
AutoGen only tells, by its first chunk event, which message a call belongs to (the call is then *bound*).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from app.protocol.common import Usage
from app.providers.gate import Gate
from app.runner.wire import ProviderSpec

UNBOUND_STEP_TOKENS = 64
BINDING_TIMEOUT_S = 0.25


@dataclass(frozen=True, slots=True)
class Piece:
    """Text as it will be sent: ``tokens`` model deltas; ``reserved`` says whether the gate has counted them already.

    ``thought``: what the model thinks before it answers, where it tells the two apart.
    """

    text: str
    tokens: int
    reserved: bool
    thought: bool = False


@dataclass(frozen=True, slots=True)
class Switch:
    """Another provider begins the reply again; what this call said before is withdrawn."""

    source: str
    target: str
    reason: str


@dataclass(slots=True, eq=False)
class Call:
    """One call. ``agent`` is empty where the caller is unknown (no AutoGen agent runs it).

    :param asked: the last message of the request.
    """

    gate: Gate
    changed: Callable[[Call], None]
    agent: str = ""
    asked: str = ""
    streams: bool = True
    bound: bool = False
    given_up: bool = False
    binding: asyncio.Event = field(default_factory=asyncio.Event)
    began: bool = False
    ended: bool = False
    condensed: bool = False
    cut_off: bool = False
    text: str = ""
    model: str = ""
    usage: Usage = field(default_factory=Usage)
    entries: deque[Piece | Switch] = field(default_factory=deque)
    opening: str | None = None
    expected: deque[str] = field(default_factory=deque)

    async def admit(self, available: int) -> tuple[int, bool]:
        """How many of ``available`` deltas may be taken now, and whether the gate has counted them.

        Waits while the gate is closed.

        Only a bound call reserves tokens: what never becomes a message of its own must not use up the run's credit.
        So a stream gives its first delta away, then waits a moment to be bound.

        :raises RunAborted: the run was stopped.
        """
        if self.streams and not self.bound:
            if self.opening is None:
                await self.gate.opened()
                return 1, False
            if not self.given_up:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.binding.wait(), BINDING_TIMEOUT_S)
                self.given_up = not self.bound
        if self.bound:
            return await self.gate.reserve(available), True
        await self.gate.opened()
        return min(available, UNBOUND_STEP_TOKENS), False

    def bind(self) -> None:
        """Its text is a message's text."""
        self.bound = True
        self.binding.set()

    def watch(self) -> None:
        """Its text is looked at while it comes, though its caller waits for the whole and no message is made of it."""
        self.streams = self.given_up = True

    def begin(self, spec: ProviderSpec) -> None:
        """The model has accepted the request."""
        self.model = spec.label or spec.model
        self.began = True
        self.changed(self)

    def add(self, text: str, tokens: int, *, reserved: bool, thought: bool = False) -> None:
        """The model's next piece of text."""
        if not self.streams:
            if reserved:
                self.gate.refund(tokens)
            return
        if self.opening is None and not thought:
            self.opening = text
        self.entries.append(Piece(text, tokens, reserved, thought))
        self.changed(self)

    def switch(self, source: ProviderSpec, target: ProviderSpec, reason: str) -> None:
        """The reply begins again with another provider."""
        self.expected.clear()
        self.entries.append(Switch(source.name, target.name, reason))
        self.changed(self)

    def end(self, text: str, model: str, usage: Usage, *, cut_off: bool = False) -> None:
        """The reply is whole.

        :param text: empty where the model called tools instead.
        :param cut_off: it has reached the length that it may have, and ends where that was.
        """
        self.text, self.model, self.usage, self.cut_off = text, model, usage, cut_off
        self.ended = True
        self.changed(self)

    def discard(self) -> None:
        """Forget the pieces not yet sent, and give their tokens back."""
        for entry in self.entries:
            if isinstance(entry, Piece) and entry.reserved:
                self.gate.refund(entry.tokens)
        self.entries.clear()
