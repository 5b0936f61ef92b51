"""What happens in ag2's conversations, and the run's model calls, told to the room one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from typing import Any

from ag2 import Context
from ag2.context import Stream
from ag2.events import (
    BaseEvent,
    HumanInputRequest,
    ModelMessageChunk,
    ModelResponse,
    ToolApprovalRequest,
    ToolCallEvent,
    ToolErrorEvent,
    ToolResultEvent,
)
from ag2.exceptions import HumanInputNotProvidedError
from ag2.utils import AGENT_CONTEXT_DEPENDENCY_KEY

from app.adapters.answers import words_of
from app.adapters.base import RunPort
from app.adapters.stage import Stage
from app.adapters.tool_log import ToolLog
from app.providers.calls import Call

CANCEL_TIMEOUT_S = 0.5
_TOLD = (ModelMessageChunk, ModelResponse, ToolCallEvent, ToolResultEvent)

ROOM: ContextVar[Room | None] = ContextVar("ROOM", default=None)
"""The room of the run to which a task belongs."""


class Room:
    """ag2 waits until what it tells was told on: so events keep their order, and a pause holds it.

    The mailbox holds at most one entry per call, and one per task of ag2 that waits.
    """

    def __init__(self, port: RunPort, stage: Stage) -> None:
        self._port = port
        self._stage = stage
        self._mailbox: asyncio.Queue[Call | Callable[[], Awaitable[None]] | None] = asyncio.Queue()
        self._noted: set[Call] = set()
        self._heard: dict[int, Stream] = {}
        self._tools = ToolLog(port)

    @property
    def caller(self) -> str | None:
        """The agent whose tool is at work; None: nobody's, or those of several."""
        return self._tools.caller

    async def serve(self, work: Coroutine[Any, Any, None]) -> None:
        """Do the work, in which this is the room, and tell what happens meanwhile.

        :raises Exception: whatever the work raises.
        """
        token = ROOM.set(self)
        self._port.model.on_change = self._note
        task = asyncio.create_task(work)
        task.add_done_callback(lambda _: self._mailbox.put_nowait(None))
        try:
            while (item := await self._mailbox.get()) is not None:
                if isinstance(item, Call):
                    self._noted.discard(item)
                    await self._call_changed(item)
                else:
                    await item()
            await task
            await self._stage.end_pass()
        finally:
            ROOM.reset(token)
            self._port.model.on_change = lambda call: None
            task.cancel()
            await asyncio.wait([task], timeout=CANCEL_TIMEOUT_S)

    def listen(self, stream: Stream, *, ours: bool) -> None:
        """Tell what happens in a conversation; nothing is told twice.

        :param ours: the run's models answer in it, and their words come by another way.
        """
        if id(stream) in self._heard:  # streams of one id, and so of one history, may be several objects
            return
        self._heard[id(stream)] = stream

        async def heard(event: BaseEvent, context: Context) -> BaseEvent:
            agent = context.dependencies.get(AGENT_CONTEXT_DEPENDENCY_KEY)
            known = ours and isinstance(event, ModelMessageChunk)
            if agent is not None and ROOM.get() is self and isinstance(event, _TOLD) and not known:
                await self.tell(lambda: self._event(event, agent.name, str(stream.id)))
            return event

        stream.subscribe(heard, interrupt=True)  # before all others: a tool's subscriber is the tool itself

    async def tell(self, what: Callable[[], Awaitable[None]]) -> None:
        """Wait until this was told, behind all that was said before it."""
        told: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def tell() -> None:
            await what()
            if not told.done():
                told.set_result(None)

        self._mailbox.put_nowait(tell)
        await told

    async def ask(self, event: HumanInputRequest, agent: str) -> str:
        """A person's answer. Where nobody gives one, a permission is refused, and the agent is told so."""
        await self.tell(_nothing)
        name = self._stage.name(agent)
        if isinstance(event, ToolApprovalRequest):
            answer = await self._port.ask(name, event.content, kind="permission")
            return "yes" if answer.resolution == "granted" else "no"
        return words_of(await self._port.ask(name, event.content))

    def _note(self, call: Call) -> None:
        if call not in self._noted:
            self._noted.add(call)
            self._mailbox.put_nowait(call)

    async def _call_changed(self, call: Call) -> None:
        """An agent's turn begins with its call; the first one when the model accepts it."""
        if call.began or self._stage.is_active:
            if call.streams and call.agent and not call.ended:
                await self._stage.step(call.agent, model=call.model)
            else:
                await self._stage.activate(call.model)
        if call.began and call.streams and call.agent and not (call.bound or call.ended):
            await self._stage.bind(call, call.agent)
        await self._stage.advance(call)

    async def _event(self, event: BaseEvent, agent: str, key: str) -> None:
        if isinstance(event, ModelMessageChunk):
            await self._stage.chunk(agent, key, event.content)
        elif isinstance(event, ModelResponse):
            await self._answered(event, agent, key)
        elif isinstance(event, ToolCallEvent):
            await self._tools.called(self._stage.name(agent), event.id, event.name, event.arguments)
        elif isinstance(event, ToolResultEvent):
            answer, success = _result_of(event)
            await self._tools.answered(
                self._stage.name(agent), event.parent_id, event.name or "", answer, success=success
            )

    async def _answered(self, response: ModelResponse, agent: str, key: str) -> None:
        """The model's whole reply: words beside tool calls end no turn."""
        text = response.content or ""
        if response.tool_calls and not response.response_force:
            await self._stage.beside(agent, key, text)
        elif text:
            await self._stage.finish(agent, key, text)
        else:
            await self._stage.silent(agent, key)


def _result_of(event: ToolResultEvent) -> tuple[str, bool]:
    """(answer, success)."""
    if isinstance(event, ToolErrorEvent):  # its result is a whole traceback
        return f"{type(event.error).__name__}: {event.error}", False
    return "\n".join(str(getattr(part, "content", part)) for part in event.result.parts), True


async def ask_person(event: HumanInputRequest, context: Context) -> str:
    """The ``hitl_hook`` of agents that have none of their own: the question goes to the room of the run.

    :raises HumanInputNotProvidedError: there is no room.
    """
    room = ROOM.get()
    if room is None:
        raise HumanInputNotProvidedError
    agent = context.dependencies.get(AGENT_CONTEXT_DEPENDENCY_KEY)
    return await room.ask(event, agent.name if agent is not None else "")


async def _nothing() -> None:
    return
