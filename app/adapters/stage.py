"""Who speaks: turns, steps, open messages and progress of one run, and the model calls that belong to them."""

from __future__ import annotations

from app.adapters.base import RunPort
from app.adapters.messages import MessageWriter, OpenMessage
from app.adapters.plan import Cast
from app.protocol.common import Status, whole_characters
from app.protocol.events import AgentStep, ConversationStatus, FallbackMode, Progress
from app.providers.calls import Call, Piece, Switch


class Stage:
    """Keeps the order that every run shows: status ``active``, agent_step, message_start, deltas, message, progress."""

    def __init__(self, port: RunPort) -> None:
        start = port.start
        delay_ms = start.options.word_delay_ms
        self._port = port
        self._writer = MessageWriter(port, start.limits.word_delay_ms if delay_ms is None else delay_ms)
        self._cast = Cast(start.team.agents)
        self._active = False
        self._stepping: dict[str, int] = {}
        self._open: dict[str, OpenMessage] = {}
        self._bound: dict[Call, OpenMessage] = {}
        self.turns = 0
        self.max_turns: int | None = None
        self.spoken: list[tuple[str, str]] = []

    @property
    def is_active(self) -> bool:
        """Whether the model has begun."""
        return self._active

    async def activate(self, model: str | None) -> None:
        """The model begins: the conversation is active. Only the first time."""
        if not self._active:
            self._active = True
            start = self._port.start
            await self._port.emit(
                ConversationStatus(
                    status=Status.ACTIVE,
                    session_id=start.session,
                    team=start.team.name,
                    agents=start.team.agents,
                    model=model or self._label(),
                )
            )

    async def step(self, agent: str, *, model: str | None = None) -> None:
        """The agent's turn begins, unless it has begun."""
        await self.activate(model)
        if agent not in self._stepping:
            turn = self._stepping[agent] = self.turns + len(self._stepping) + 1
            await self._port.emit(
                AgentStep(
                    agent=self._cast.name(agent),
                    emoji=self._cast.emoji(agent),
                    turn=turn,
                    max_turns=self.max_turns,
                )
            )

    async def bind(self, call: Call, agent: str) -> None:
        """The call's text is a message of this agent."""
        call.bind()
        await self.step(agent, model=call.model)
        message = self._open.get(agent)
        if message is None:
            message = self._open[agent] = OpenMessage(self._cast.name(agent))
        self._bound[call] = message
        await self.advance(call)

    async def advance(self, call: Call) -> None:
        """Send what the call has brought."""
        message = self._bound.get(call)
        while call.entries:
            entry = call.entries[0]
            if isinstance(entry, Switch):
                call.entries.popleft()
                if message is not None:
                    await self._writer.reset(message, entry.reason)
                await self._port.emit(
                    FallbackMode(mode="provider", reason=entry.reason, from_=entry.source, to=entry.target)
                )
            elif message is None:
                break
            else:
                await self._piece(call, message, entry)

    async def _piece(self, call: Call, message: OpenMessage, entry: Piece) -> None:
        """One piece leaves the call only when it is sent: a stop in between flushes it."""
        if not message.started:
            await self._writer.start(message)
        reserved = entry.reserved
        if not reserved:
            taken = await self._port.gate.admit(entry.tokens)
            reserved = taken == entry.tokens
            if not reserved:
                self._port.gate.refund(taken)
        if call.entries and call.entries[0] is entry:
            call.entries.popleft()
            self._writer.piece_now(message, entry.text, entry.tokens, reserved=reserved)

    async def chunk(self, agent: str, text: str) -> None:
        """A piece that did not come through our model client: the team brought its own."""
        text = whole_characters(text)
        await self.step(agent)
        message = self._open.setdefault(agent, OpenMessage(self._cast.name(agent)))
        await self._writer.piece(message, text, 1, reserved=False)

    async def thought(self, agent: str, text: str) -> None:
        """Words beside a tool call: where they were streamed, they are a message of their own."""
        message = self._open.get(agent)
        if message is not None and message.text.strip() == text.strip():
            del self._open[agent]
            await self._writer.end(message, message.text)

    async def finish(self, agent: str, text: str) -> None:
        """The agent's whole message; it ends its turn."""
        text = whole_characters(text)
        message = self._open.get(agent)
        call = next((call for call, bound in self._bound.items() if bound is message), None) if message else None
        if call is None:
            call = self._port.model.call_that_said(agent, text)
        await self.step(agent, model=call.model if call else None)
        if call is not None:
            await self.advance(call)
        await self._writer.end(
            self._open.setdefault(agent, OpenMessage(self._cast.name(agent))),
            text,
            usage=call.usage if call else None,
            model=call.model if call else None,
            truncated=call.condensed if call else False,
        )
        del self._open[agent]
        if call is not None:
            self._bound.pop(call, None)
        self._stepping.pop(agent, None)
        self.turns += 1
        self.spoken.append((self._cast.name(agent), text))
        await self._port.emit(Progress(current_turn=self.turns, max_turns=self.max_turns, percentage=self.percentage()))

    def percentage(self) -> float | None:
        """Turns done of all turns, where that is known."""
        return round(min(100.0, 100 * self.turns / self.max_turns), 2) if self.max_turns else None

    async def end_pass(self) -> None:
        """The team has ended: what is still open broke off."""
        for message in tuple(self._open.values()):
            if message.started:
                await self._writer.end(message, message.text, partial_reason="the agent said nothing more")
        self._clear()

    def flush(self) -> None:
        """Send at once what bound calls still hold."""
        for call, message in self._bound.items():
            while call.entries:
                entry = call.entries.popleft()
                if isinstance(entry, Piece) and message.started:
                    self._writer.piece_now(message, entry.text, entry.tokens, reserved=entry.reserved)

    async def withdraw(self, reason: str) -> None:
        """Take back all open messages."""
        for message in tuple(self._open.values()):
            await self._writer.reset(message, reason)
        self._clear()

    def _clear(self) -> None:
        self._open.clear()
        self._bound.clear()
        self._stepping.clear()
        self._port.model.forget_calls()

    def _label(self) -> str | None:
        spec = self._port.model.spec if self._port.model.providers else None
        return (spec.label or spec.model) if spec else None
