"""One pass of a team: AutoGen's event stream and the run's model calls, handled one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from autogen_agentchat.base import TaskResult
from autogen_agentchat.messages import (
    BaseAgentEvent,
    BaseChatMessage,
    ModelClientStreamingChunkEvent,
    ThoughtEvent,
)
from autogen_core import CancellationToken

from app.adapters.base import RunPort
from app.adapters.plan import LoadedTeam
from app.adapters.stage import Stage
from app.providers.calls import Call

CANCEL_TIMEOUT_S = 0.5


class _Over:
    """The team's stream has ended, perhaps with an error."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


Item = BaseAgentEvent | BaseChatMessage | TaskResult | Call | _Over


class TeamPass:
    """Runs a team once, from a task (or from where it stands) to its stop.

    The mailbox holds at most one entry per call; AutoGen's messages in it are bounded by the gate, for no agent gets
    text past it.
    """

    def __init__(self, port: RunPort, stage: Stage, loaded: LoadedTeam) -> None:
        self._port = port
        self._stage = stage
        self._loaded = loaded
        self._mailbox: asyncio.Queue[Item] = asyncio.Queue()
        self._noted: set[Call] = set()
        self._known: set[str] = set()

    async def run(self, task: Sequence[BaseChatMessage] | None) -> None:
        """Run to the end.

        :raises Exception: whatever the team raises.
        """
        token = CancellationToken()
        self._port.model.on_change = self._note
        pump = asyncio.create_task(self._pump(task, token))
        try:
            while True:
                item = await self._mailbox.get()
                if isinstance(item, _Over):
                    if item.error is not None:
                        raise item.error
                    break
                await self._handle(item)
            await self._stage.end_pass()
        finally:
            self._port.model.on_change = lambda call: None
            if not pump.done():
                token.cancel()
                pump.cancel()
                await asyncio.wait([pump], timeout=CANCEL_TIMEOUT_S)

    async def _pump(self, task: Sequence[BaseChatMessage] | None, token: CancellationToken) -> None:
        error: BaseException | None = None
        try:
            stream = self._loaded.team.run_stream(
                task=list(task) if task else None, cancellation_token=token, output_task_messages=False
            )
            async for item in stream:
                self._mailbox.put_nowait(item)
        except asyncio.CancelledError:
            error = RuntimeError("the team was cancelled")
            raise
        except Exception as raised:  # noqa: BLE001  # handed to the pass, which raises it
            error = raised
        finally:
            self._mailbox.put_nowait(_Over(error))

    def _note(self, call: Call) -> None:
        if call not in self._noted:
            self._noted.add(call)
            self._mailbox.put_nowait(call)

    async def _handle(self, item: BaseAgentEvent | BaseChatMessage | TaskResult | Call) -> None:
        stage = self._stage
        if isinstance(item, Call):
            self._noted.discard(item)
            await self._call_changed(item)
        elif isinstance(item, ModelClientStreamingChunkEvent):
            await self._chunk(item)
        elif isinstance(item, ThoughtEvent):
            await stage.thought(item.source, item.content)
        elif isinstance(item, BaseChatMessage):
            await stage.finish(item.source, item.to_text())

    async def _call_changed(self, call: Call) -> None:
        """A participant's turn begins with its call; the first one when its model accepts it."""
        if call.began or self._stage.is_active:
            if call.streams and call.agent in self._loaded.participants and not call.ended:
                await self._stage.step(call.agent, model=call.model)
            else:
                await self._stage.activate(call.model)
        await self._stage.advance(call)

    async def _chunk(self, event: ModelClientStreamingChunkEvent) -> None:
        """Bind the call that this chunk opens to its message; later chunks only repeat what the call has said."""
        message_id = event.full_message_id or event.source
        call = self._port.model.unbound_call(event.source, event.content)
        if call is not None:
            self._known.add(message_id)
            await self._stage.bind(call, event.source)
        elif message_id not in self._known:
            await self._stage.chunk(event.source, event.content)
