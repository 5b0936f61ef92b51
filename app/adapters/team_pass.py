"""One pass of a team: AutoGen's event stream and the run's model calls, handled one after the other."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence

from autogen_agentchat.base import TaskResult
from autogen_agentchat.messages import (
    BaseAgentEvent,
    BaseChatMessage,
    CodeExecutionEvent,
    CodeGenerationEvent,
    MemoryQueryEvent,
    ModelClientStreamingChunkEvent,
    MultiModalMessage,
    SelectSpeakerEvent,
    ThoughtEvent,
    ToolCallExecutionEvent,
    ToolCallRequestEvent,
    UserInputRequestedEvent,
)
from autogen_core import CancellationToken, Image

from app.adapters import orchestrator
from app.adapters.answers import words_of
from app.adapters.base import RunPort
from app.adapters.inputs import Inputs, Question
from app.adapters.plan import LoadedTeam
from app.adapters.stage import Stage
from app.adapters.tool_log import ToolLog
from app.providers.calls import Call
from app.providers.gate import RunAborted
from app.tools.context import ChartNotKept, show_chart

CANCEL_TIMEOUT_S = 0.5
ANNOUNCEMENT_TIMEOUT_S = 1.0
DETOUR_S = 0.05
CODE_TOOL = "code_executor"


class _Over:
    """The team's stream has ended, perhaps with an error."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class _Unannounced:
    """A question of which AutoGen's stream has said nothing: an agent around its asker has kept the event."""

    def __init__(self, question: Question) -> None:
        self.question = question


Item = BaseAgentEvent | BaseChatMessage | TaskResult | Call | Question | _Unannounced | _Over


class TeamPass:
    """Runs a team once, from a task (or from where it stands) to its stop.

    The mailbox holds at most one entry per call; AutoGen's messages in it are bounded by the gate, for no agent gets
    text past it.
    """

    def __init__(self, port: RunPort, stage: Stage, loaded: LoadedTeam, inputs: Inputs, tools: ToolLog) -> None:
        self._port = port
        self._stage = stage
        self._loaded = loaded
        self._tree = loaded.tree
        self._inputs = inputs
        self._tools = tools
        self._mailbox: asyncio.Queue[Item] = asyncio.Queue()
        self._noted: set[Call] = set()
        self._phases: dict[Call, orchestrator.Phase] = {}
        self._shown: set[Call] = set()
        self._planned = False
        self._given: set[str] = set()
        self._known: set[str] = set()
        self._announced: set[str] = set()
        self._questions: dict[str, Question] = {}
        self._asking: set[asyncio.Task[None]] = set()
        self._result: TaskResult | None = None

    async def run(self, task: Sequence[BaseChatMessage] | None) -> TaskResult:
        """Run to the end. Returns what AutoGen says of it.

        :raises Exception: whatever the team raises.
        """
        token = CancellationToken()
        self._given = {message.id for message in task or ()}
        self._port.model.on_change = self._note
        self._inputs.on_question = self._mailbox.put_nowait
        pump = asyncio.create_task(self._pump(task, token))
        try:
            while True:
                item = await self._mailbox.get()
                if isinstance(item, _Over):
                    if item.error is not None:
                        raise item.error
                    break
                await self._take(item)
            await self._stage.end_pass()
            return self._result or TaskResult(messages=[])
        finally:
            self._port.model.on_change = lambda call: None
            for asking in self._asking:
                asking.cancel()
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

    async def _take(self, item: Item) -> None:
        if isinstance(item, Call):
            self._noted.discard(item)
            await self._call_changed(item)
        elif isinstance(item, TaskResult):
            self._result = item
        elif isinstance(item, BaseChatMessage):
            await self._message(item)
        elif isinstance(item, Question):
            await self._question(item)
        elif isinstance(item, _Unannounced):
            await self._ask(self._questions.pop(item.question.request_id, None))
        elif isinstance(item, BaseAgentEvent):
            await self._event(item)

    # --- the model's calls

    def _note(self, call: Call) -> None:
        """Something has changed. What becomes of a call is settled before it brings its first word."""
        if call.agent in self._tree.orchestrators and not call.streams and call not in self._phases and not call.ended:
            phase = self._phases[call] = orchestrator.phase_of(call.asked)
            call.watch()
            if phase is not orchestrator.LEDGER:
                call.bind()
        if not (call.began or call.ended):
            # What was said before may still be on its way through AutoGen's queues; a call takes no such detour.
            asyncio.get_running_loop().call_later(DETOUR_S, self._post, call)
        else:
            self._post(call)

    def _post(self, call: Call) -> None:
        if call not in self._noted:
            self._noted.add(call)
            self._mailbox.put_nowait(call)

    async def _call_changed(self, call: Call) -> None:
        """A participant's turn begins with its call; the first one when its model accepts it."""
        stage, agent = self._stage, call.agent
        phase = self._phases.get(call)
        if phase is not None:
            await self._orchestrate(call, phase)
        elif agent in self._tree.selectors:
            await self._select(call)
        else:
            if call.began or (stage.is_active and call.streams):
                if agent in self._tree.speakers and not call.ended:
                    await stage.step(agent, model=call.model)
                else:
                    await stage.activate(call.model)
            await stage.advance(call, thinker=agent if agent in self._tree.agents and call.streams else None)
            if call.ended and not call.bound:
                await stage.thought_over(call)

    async def _orchestrate(self, call: Call, phase: orchestrator.Phase) -> None:
        """The orchestrator plans, takes stock or answers: its text is shown while it comes."""
        stage = self._stage
        if not (call.began or stage.is_active):
            return
        if call not in self._shown:
            self._shown.add(call)
            await stage.step(call.agent, model=call.model, turn=False)
            await stage.progress(phase.doing)
            if phase is not orchestrator.LEDGER:
                await stage.bind(call, call.agent, kind=phase.kind)
        if phase is orchestrator.LEDGER:
            await stage.ledger(call, call.agent)
        elif call.ended and phase is not orchestrator.ANSWER:
            self._planned = True
            await stage.present(call)
        else:
            await stage.advance(call)
        if call.ended:
            self._phases.pop(call, None)

    async def _select(self, call: Call) -> None:
        """A manager asks who speaks next: nobody's words, but not silence either."""
        if call.began:
            await self._stage.activate(call.model)
        if self._stage.is_active and call not in self._shown:
            self._shown.add(call)
            await self._stage.progress("Choosing who speaks next")
        await self._stage.advance(call)

    # --- AutoGen's messages and events

    async def _message(self, message: BaseChatMessage) -> None:
        """Somebody has spoken. The task was said before, and what a tool's own team is asked is nobody's word here."""
        agent, tree, text = message.source, self._tree, message.to_text()
        if message.id in self._given or (agent == "user" and agent not in tree.agents):
            return
        if agent in tree.orchestrators and orchestrator.is_task_ledger(text):
            if not self._planned:  # its model is not ours: nothing of it was shown
                await self._stage.finish(agent, message.id, text, kind="plan", turn=False)
            return
        if isinstance(message, MultiModalMessage):
            await self._pictures(message)
        await self._stage.finish(agent, message.id, text, turn=agent in tree.speakers, scripted=agent in tree.stand_ins)

    async def _pictures(self, message: MultiModalMessage) -> None:
        """Show the pictures of a message before its words, which have a mark in the place of each."""
        agent = self._stage.name(message.source)
        await self._stage.step(message.source, turn=message.source in self._tree.speakers)
        for picture in (part for part in message.content if isinstance(part, Image)):
            png = base64.b64decode(await asyncio.to_thread(picture.to_base64))
            try:
                await show_chart(png, media_type="image/png", title="Picture", agent=agent)
            except ChartNotKept:
                await self._stage.progress(
                    f"A picture of {agent} cannot be shown: it is too large, or there were too many"
                )

    async def _event(self, event: BaseAgentEvent) -> None:
        stage, agent = self._stage, event.source
        match event:
            case ModelClientStreamingChunkEvent():
                await self._chunk(event)
            case ThoughtEvent():
                await stage.thought(agent, event.id, event.content)
            case ToolCallRequestEvent():
                await stage.step(agent)
                for call in event.content:
                    await self._tools.called(stage.name(agent), call.id, call.name, call.arguments)
            case ToolCallExecutionEvent():
                for result in event.content:
                    name, success = stage.name(agent), not result.is_error
                    await self._tools.answered(name, result.call_id, result.name, result.content, success=success)
            case CodeGenerationEvent():
                await stage.finish(agent, event.id, event.to_text(), turn=False)
            case CodeExecutionEvent():
                await self._code(event)
            case UserInputRequestedEvent():
                await self._announcement(event.request_id)
            case SelectSpeakerEvent():
                await stage.progress(f"Next: {', '.join(stage.name(each) for each in event.content)}")
            case MemoryQueryEvent():
                await stage.progress(f"{stage.name(agent)} remembers: {len(event.content)}")

    async def _chunk(self, event: ModelClientStreamingChunkEvent) -> None:
        """Bind the call that this chunk opens to its message; later chunks only repeat what the call has said."""
        if event.source in self._tree.selectors:
            return
        message_id = event.full_message_id or event.source
        lent = event.source not in self._tree.agents
        call = self._port.model.unbound_call(event.source, event.content, lent=lent)
        if call is not None:
            self._known.add(message_id)
            await self._stage.bind(call, event.source, message_id)
        elif message_id not in self._known:
            await self._stage.chunk(event.source, message_id, event.content)

    async def _code(self, event: CodeExecutionEvent) -> None:
        """Code that an agent has run, as a tool that it has called."""
        agent = self._stage.name(event.source)
        given, result = event.id, event.result
        await self._stage.step(event.source)
        await self._tools.called(agent, given, CODE_TOOL, "")
        await self._tools.answered(agent, given, CODE_TOOL, result.output, success=result.exit_code == 0)

    # --- people

    async def _announcement(self, request_id: str) -> None:
        self._announced.add(request_id)
        await self._ask(self._questions.pop(request_id, None))

    async def _question(self, question: Question) -> None:
        """Ask it in its place: after the event that announces it, and so after all that was said before."""
        self._questions[question.request_id] = question
        if question.request_id in self._announced:
            await self._ask(self._questions.pop(question.request_id))
        else:
            loop = asyncio.get_running_loop()
            loop.call_later(ANNOUNCEMENT_TIMEOUT_S, self._mailbox.put_nowait, _Unannounced(question))

    async def _ask(self, question: Question | None) -> None:
        if question is not None:
            await self._stage.step(question.agent)
            asking = asyncio.create_task(self._answer(question))
            self._asking.add(asking)
            asking.add_done_callback(self._asking.discard)

    async def _answer(self, question: Question) -> None:
        """Other agents may go on meanwhile."""
        try:
            answer = await self._port.ask(self._stage.name(question.agent), question.prompt)
        except (RunAborted, asyncio.CancelledError):
            question.reply.cancel()
        else:
            if not question.reply.done():
                question.reply.set_result(words_of(answer))
