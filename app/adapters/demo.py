"""Demo mode: the team's agents speak prepared scripts, in their order, at a model's pace. No model is asked."""

from __future__ import annotations

from app.adapters.base import RunPort
from app.adapters.cast import DEFAULT_EMOJI
from app.adapters.demo_scripts import cast_of, script
from app.adapters.messages import MessageWriter, OpenMessage
from app.protocol.common import Status
from app.protocol.events import AgentStep, ConversationComplete, ConversationStatus, Progress
from app.runner.wire import StartRun

KIND = "demo"
LABEL = "Demo (prepared script)"


def demo_turns(start: StartRun) -> int:
    """How many turns a demo has: one per agent, unless the caller wished otherwise."""
    return start.options.max_turns or len(cast_of(start.team.name, start.team.agents))


class DemoAdapter:
    """Plays a demo from where the conversation stands.

    :param turns: turns that were finished before.
    :param activate: whether the conversation has still to become active.
    """

    def __init__(self, port: RunPort, turns: int = 0, *, activate: bool = True) -> None:
        self._port = port
        self._activate = activate
        self.active = False
        self.caller: str | None = None
        self._writer = MessageWriter(port, 1000 / port.start.limits.demo_tokens_per_s)
        self._open: OpenMessage | None = None
        self.turns = turns

    async def run(self) -> None:
        """See :class:`app.adapters.base.Adapter`."""
        start = self._port.start
        total = demo_turns(start)
        if self._activate:
            await self._port.emit(
                ConversationStatus(
                    status=Status.ACTIVE,
                    session_id=start.session,
                    team=start.team.name,
                    agents=start.team.agents,
                    model=LABEL,
                )
            )
        self.active = True
        while self.turns < total:
            await self._turn(total)
            self._port.checkpoint({"kind": KIND, "turns": self.turns})
        await self._port.emit(ConversationComplete(reason="demo: no model spoke", usage=self._port.model.usage()))

    def flush(self) -> None:
        """Nothing is held back: words leave one by one."""

    async def withdraw(self, reason: str) -> None:
        """Take back the message that broke off."""
        if self._open is not None:
            await self._writer.reset(self._open, reason)

    async def _turn(self, total: int) -> None:
        start = self._port.start
        cast = cast_of(start.team.name, start.team.agents)
        turn = self.turns + 1
        agent = cast[self.turns % len(cast)]
        step = AgentStep(agent=agent.name, emoji=agent.emoji or DEFAULT_EMOJI, turn=turn, max_turns=total)
        await self._port.emit(step)
        self._open = OpenMessage(agent.name)
        text = script(start.team.name, agent, turn, start.content, start.content_type)
        await self._writer.end(self._open, text, model=LABEL, scripted=True)
        self._open = None
        self.turns = turn
        percentage = round(100 * turn / total, 2)
        await self._port.emit(Progress(current_turn=turn, max_turns=total, percentage=percentage))
