"""ag2 1.x: a single agent, or several in a discussion of its network, as protocol events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from ag2 import MemoryStream, TextInput
from ag2.events import BaseEvent, ModelMessage, ModelRequest, ModelResponse, UnknownEvent
from ag2.knowledge import EventLogWriter, MemoryKnowledgeStore

from app.adapters.ag2_discussion import USER, Discussion
from app.adapters.ag2_model import watch
from app.adapters.ag2_plan import plan_of
from app.adapters.ag2_room import ROOM, Room, ask_person
from app.adapters.base import RunPort
from app.adapters.failure import reason_of
from app.adapters.staged import StagedAdapter
from app.adapters.task import task_text
from app.errors import ColloquyError
from app.protocol.events import ConversationComplete
from app.providers.gate import RunAborted

KIND = "ag2"
_LOG = UUID(int=0)

Said = list[tuple[str, str]]


class Ag2Adapter(StagedAdapter):
    """Runs ag2's agents for one session, with a checkpoint after each turn.

    A checkpoint holds ag2's own history where one agent runs, tool calls included; of a discussion it holds what was
    said. Without one they start from the transcript.
    """

    def __init__(self, port: RunPort, made: Any) -> None:
        """:param made: what the team's factory has returned."""
        super().__init__(port)
        self._plan = plan_of(made)
        self._room = Room(port, self._stage)
        self._said: Said = []

    @property
    def caller(self) -> str | None:
        return self._room.caller

    async def run(self) -> None:
        """See :class:`app.adapters.base.Adapter`."""
        try:
            for agent in self._plan.agents:
                watch(agent)
                if not agent.has_hitl_hook:
                    agent.hitl_hook(ask_person)
            state, content = await self._restore()
            work = self._discuss(state, content) if len(self._plan.agents) > 1 else self._solo(state, content)
            await self._room.serve(work)
        except (RunAborted, ColloquyError):
            raise
        except Exception as error:  # a user's agents may raise anything, and ag2 wraps our errors
            raise reason_of(error, self._port.model) from error
        await self._port.emit(
            ConversationComplete(reason="this team draws no conclusion", usage=self._port.model.usage())
        )

    async def _restore(self) -> tuple[dict[str, Any] | None, str | None]:
        """What the agents know, and what the user says now; None where that was said before.

        A checkpoint is sent of before the first turn: what is said in it and not kept is said again, not twice.
        """
        start = self._port.start
        state = start.checkpoint if start.checkpoint and start.checkpoint.get("kind") == KIND else None
        if state is not None and "before" in state:
            state = state["before"] if start.resumed else None
        elif state is not None and start.resumed:
            self._port.model.prefer(state.get("provider"))
            self._stage.turns = int(state["turns"])
            self._stage.spoken = [(agent, text) for agent, text in state["spoken"]]
            return state, None
        self._port.checkpoint({"kind": KIND, "turns": 0, "before": state})
        if state is not None:
            self._port.model.prefer(state.get("provider"))
        elif start.resumed and any(said.role == "user" and said.content == start.content for said in start.transcript):
            return None, None
        return state, await self._task()

    async def _task(self) -> str:
        return await task_text(self._port.start.content, self._port.start.content_type)

    async def _solo(self, state: dict[str, Any] | None, content: str | None) -> None:
        """One agent answers, once."""
        [agent] = self._plan.agents
        self._stage.max_turns = 1
        stream: Any = MemoryStream()
        if state is not None:
            if content is None:
                return
            await stream.history.replace(await _events_of(state["events"]))
        else:
            before = self._transcript()
            if content is None:  # the turn broke off, and begins again
                before = before[: _last_question(before)]
                content = await self._task()
            await stream.history.replace([_event_of(name, text) for name, text in before])
        room = ROOM.get()
        assert room is not None
        await agent.ask(content, stream=stream)
        events = await _text_of(await stream.history.get_events())
        await room.tell(lambda: self._save(events=events))

    async def _discuss(self, state: dict[str, Any] | None, content: str | None) -> None:
        """Several agents speak in turns, until it is the user's turn again."""
        agents = self._plan.agents
        self._stage.max_turns = turns = self._port.start.options.max_turns or self._plan.rounds * len(agents)
        self._said = [(name, text) for name, text in state["said"]] if state is not None else self._transcript()
        discussion = Discussion(agents, turns, self._turn_over)
        try:
            await discussion.open(self._said)
            if content is not None:
                self._said.append((USER, content))
            await discussion.run(content)
        finally:
            await discussion.close()

    async def _turn_over(self, agent: str, text: str) -> None:
        """Somebody has spoken in the discussion."""
        room = ROOM.get()
        assert room is not None
        self._said.append((agent, text))
        await room.tell(lambda: self._save(said=list(self._said)))

    async def _save(self, **state: Any) -> None:
        kept = {"turns": self._stage.turns, "spoken": self._stage.spoken, "provider": self._port.model.provider}
        self._port.checkpoint({"kind": KIND, **kept, **state})

    def _transcript(self) -> Said:
        """What was said so far, by the agents' own names."""
        names = {self._stage.name(agent.name): agent.name for agent in self._plan.agents}
        return [
            (names.get(said.agent, USER) if said.role == "agent" else USER, said.content)
            for said in self._port.start.transcript
        ]


def _last_question(said: Sequence[tuple[str, str]]) -> int:
    return max(place for place, (name, _) in enumerate(said) if name == USER)


def _event_of(name: str, text: str) -> BaseEvent:
    return ModelRequest([TextInput(text)]) if name == USER else ModelResponse(ModelMessage(text))


async def _text_of(events: Sequence[BaseEvent]) -> str:
    """A history as ag2 writes it: a JSON object per line."""
    store = MemoryKnowledgeStore()
    await EventLogWriter(store).persist(_LOG, events)
    return await store.read(f"/log/{_LOG}.jsonl") or ""


async def _events_of(text: str) -> list[BaseEvent]:
    """The history again, without what this version of ag2 does not know."""
    store = MemoryKnowledgeStore()
    await store.write(f"/log/{_LOG}.jsonl", text)
    return [event for event in await EventLogWriter(store).load(_LOG) if not isinstance(event, UnknownEvent)]
