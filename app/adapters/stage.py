"""Who speaks: turns, steps, open messages and progress of one run, and the model calls that belong to them.

Several messages may be open at once: agents of a graph overlap. A message belongs to the call that brings its text, or
to the framework's own message id where the team has brought a model client of its own.
"""

from __future__ import annotations

from app.adapters.base import RunPort
from app.adapters.cast import Cast
from app.adapters.ledger import read_ledger
from app.adapters.messages import MessageWriter, OpenMessage
from app.protocol.common import MessageKind, Status, whole_characters
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
        self._stepping: dict[str, bool] = {}  # whether it counts as a turn
        self._doing: str | None = None
        self._messages: dict[Call | str, OpenMessage] = {}
        self._thoughts: dict[Call, OpenMessage] = {}
        self._told: list[tuple[str, str]] = []
        self.turns = 0
        self.max_turns: int | None = None
        self.spoken: list[tuple[str, str]] = []

    @property
    def is_active(self) -> bool:
        """Whether the model has begun."""
        return self._active

    def name(self, agent: str) -> str:
        """The agent's display name."""
        return self._cast.name(agent)

    # --- steps

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

    async def step(self, agent: str, *, model: str | None = None, turn: bool = True) -> None:
        """The agent's turn begins, unless it has begun.

        :param turn: it counts as one of the team's; an orchestrator's does not.
        """
        await self.activate(model)
        if agent not in self._stepping:
            number = self.turns + sum(self._stepping.values()) + 1
            self._stepping[agent] = turn
            await self._port.emit(
                AgentStep(
                    agent=self._cast.name(agent),
                    emoji=self._cast.emoji(agent),
                    turn=number if self.max_turns is None else min(number, self.max_turns),
                    max_turns=self.max_turns,
                )
            )
            if turn and self._doing is not None:  # what was going on before is over
                await self.progress(f"{self._cast.name(agent)} is at work")
                self._doing = None

    async def progress(self, message: str | None = None) -> None:
        """How far the run has come.

        :param message: what goes on, where nobody speaks.
        """
        self._doing = message
        turn = self.turns if self.max_turns is None else min(self.turns, self.max_turns)
        await self._port.emit(
            Progress(current_turn=turn, max_turns=self.max_turns, percentage=self.percentage(), message=message)
        )

    def percentage(self) -> float | None:
        """Turns done of all turns, where that is known."""
        return round(min(100.0, 100 * self.turns / self.max_turns), 2) if self.max_turns else None

    # --- text while it comes

    async def bind(self, call: Call, agent: str, key: str | None = None, kind: MessageKind = "message") -> None:
        """The call's text is a message of this agent.

        :param key: the framework's id of the message; one of that id that is still open broke off.
        """
        call.bind()
        await self.step(agent, model=call.model)
        broken = self._messages.pop(key, None) if key is not None else None
        if broken is not None:
            self._forget(broken)
            await self._writer.reset(broken, "the agent begins again")
        message = OpenMessage(self._cast.name(agent), kind)
        self._messages[call] = message
        if key is not None:
            self._messages[key] = message
        await self.advance(call)

    async def advance(self, call: Call, thinker: str | None = None) -> None:
        """Send what the call has brought.

        :param thinker: whose thoughts it brings, while it belongs to no message.
        """
        while call.entries:
            entry = call.entries[0]
            message = self._messages.get(call)
            if isinstance(entry, Switch):
                call.entries.popleft()
                await self._switched(call, entry)
            elif entry.thought and (message is not None or thinker is not None):
                thought = self._thoughts.get(call)
                if thought is None:
                    agent = message.agent if message is not None else self._cast.name(thinker or "")
                    thought = self._thoughts[call] = OpenMessage(agent, "thought")
                await self._piece(call, thought, entry)
            elif message is None:
                break
            else:
                await self.thought_over(call)
                await self._piece(call, message, entry)

    async def _switched(self, call: Call, entry: Switch) -> None:
        for message in (self._messages.get(call), self._thoughts.pop(call, None)):
            if message is not None:
                await self._writer.reset(message, entry.reason)
        await self._port.emit(FallbackMode(mode="provider", reason=entry.reason, from_=entry.source, to=entry.target))

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

    async def chunk(self, agent: str, key: str, text: str, *, tokens: int = 1) -> None:
        """A piece that did not come through our model client: the team brought its own."""
        await self.step(agent)
        message = self._messages.setdefault(key, OpenMessage(self._cast.name(agent)))
        await self._writer.piece(message, whole_characters(text), tokens, reserved=False)

    def chunk_now(self, key: str, text: str) -> None:
        """The same without waiting, where the message has begun: the run is being stopped."""
        message = self._messages.get(key)
        if message is not None and message.started:
            self._writer.piece_now(message, whole_characters(text), 1, reserved=False)

    # --- what is whole

    async def present(self, call: Call) -> None:
        """A bound call of which no agent makes a message has ended: its text is the message."""
        await self.advance(call)
        message = self._messages.pop(call, None)
        if message is not None:
            await self._writer.end(message, call.text, call=call, at_once=True)

    async def ledger(self, call: Call, agent: str) -> None:
        """A watched call brings a ledger: what can be read of it so far, and the whole when it has ended."""
        while any(isinstance(entry, Switch) for entry in call.entries):
            entry = call.entries.popleft()
            if isinstance(entry, Switch):
                await self._switched(call, entry)
        message = self._messages.get(call)
        text = "".join(entry.text for entry in call.entries if isinstance(entry, Piece) and not entry.thought)
        readable = whole_characters(read_ledger(call.text if call.ended else text))
        if message is None:
            if not readable and not call.ended:
                return
            await self.step(agent, model=call.model)
            message = self._messages[call] = OpenMessage(self._cast.name(agent), "ledger")
        if call.ended:
            del self._messages[call]
            call.discard()
            whole = readable or whole_characters(call.text)
            await self._writer.end(message, whole, call=call, at_once=True)
        elif readable.startswith(message.text) and len(readable) > len(message.text):
            await self._writer.start(message)
            await self._port.gate.admit(1)
            self._writer.piece_now(message, readable[len(message.text) :], 1, reserved=True)

    async def thought_over(self, call: Call) -> None:
        """What the model thought in this call is at its end, if it thought at all."""
        thought = self._thoughts.pop(call, None)
        if thought is not None:
            self._told.append((thought.agent, thought.text))
            await self._writer.end(thought, thought.text, model=call.model)

    async def thought(self, agent: str, key: str, text: str) -> None:
        """What the framework calls a thought: words beside a tool call, or reasoning. What was streamed is known."""
        text = whole_characters(text)
        name = self._cast.name(agent)
        known = next((each for each in self._told if each[0] == name and text.strip() in each[1]), None)
        if known is not None:
            self._told.remove(known)
            return
        message = self._messages.get(key)
        if message is not None and message.text.strip() == text.strip():
            self._forget(message)
            await self._writer.end(message, message.text)
            return
        await self.step(agent)
        await self._writer.end(OpenMessage(name, "thought"), text, at_once=True)

    async def beside(self, agent: str, key: str, text: str) -> None:
        """A model's whole reply that ends no turn, for it calls tools: its words, if any, are a message."""
        text = whole_characters(text)
        call, message = self._said(agent, key, text)
        if call is not None:
            await self.advance(call)
            await self.thought_over(call)
        if message is not None:
            self._forget(message)
        if text.strip():
            await self.step(agent, model=call.model if call else None)
            await self._writer.end(message or OpenMessage(self._cast.name(agent)), text, call=call)
        elif message is not None:
            await self._writer.reset(message, "the agent has said nothing")

    async def silent(self, agent: str, key: str) -> None:
        """The agent's turn ends without a message."""
        await self.beside(agent, key, "")
        self._stepping.pop(agent, None)
        self.turns += 1
        await self.progress()

    async def finish(
        self,
        agent: str,
        key: str,
        text: str,
        *,
        kind: MessageKind = "message",
        turn: bool = True,
        scripted: bool = False,
    ) -> None:
        """The agent's whole message.

        :param key: the framework's id of the message.
        :param turn: it ends a turn of the team.
        :param scripted: no model has made it.
        """
        text = whole_characters(text)
        call, message = self._said(agent, key, text)
        await self.step(agent, model=call.model if call else None, turn=turn)
        if call is not None:
            await self.advance(call)
            await self.thought_over(call)
        message = message or OpenMessage(self._cast.name(agent), kind)
        await self._writer.end(message, text, call=call, scripted=scripted, at_once=scripted)
        self._forget(message)
        self._stepping.pop(agent, None)
        self._told = [each for each in self._told if each[0] != message.agent]
        self.spoken.append((self._cast.name(agent), text))
        if turn:
            self.turns += 1
            await self.progress()

    def _said(self, agent: str, key: str, text: str) -> tuple[Call | None, OpenMessage | None]:
        """The call that has brought this message, and what of it was streamed."""
        name = self._cast.name(agent)
        for call, message in self._messages.items():
            if isinstance(call, Call) and call.ended and call.text == text and message.agent == name:
                return call, message
        streamed = self._messages.get(key)
        if streamed is None:  # an agent that made its message anew
            streamed = next((each for each in self._messages.values() if each.agent == name and each.started), None)
        call_of = (call for call, each in self._messages.items() if isinstance(call, Call) and each is streamed)
        found = next(call_of, None) if streamed is not None else None
        if streamed is None:
            found = self._port.model.call_that_said(agent, text)
        return found, streamed

    def _forget(self, message: OpenMessage) -> None:
        for key in [key for key, each in self._messages.items() if each is message]:
            del self._messages[key]

    # --- endings

    async def end_pass(self) -> None:
        """The team has ended: what is still open broke off."""
        for message in self._open():
            if message.started:
                await self._writer.end(message, message.text, partial_reason="the agent said nothing more")
        self._clear()

    def flush(self) -> None:
        """Send at once what bound calls still hold."""
        for call, message in self._messages.items():
            while isinstance(call, Call) and call.bound and call.entries:
                entry = call.entries.popleft()
                target = self._thoughts.get(call) if isinstance(entry, Piece) and entry.thought else message
                if isinstance(entry, Piece) and target is not None and target.started:
                    self._writer.piece_now(target, entry.text, entry.tokens, reserved=entry.reserved)

    async def withdraw(self, reason: str) -> None:
        """Take back all open messages."""
        for message in self._open():
            await self._writer.reset(message, reason)
        self._clear()

    def _open(self) -> list[OpenMessage]:
        return list(dict.fromkeys([*self._thoughts.values(), *self._messages.values()]))

    def _clear(self) -> None:
        self._messages.clear()
        self._thoughts.clear()
        self._told.clear()
        self._stepping.clear()
        self._port.model.forget_calls()

    def _label(self) -> str | None:
        spec = self._port.model.spec
        return spec.label or spec.model or None
