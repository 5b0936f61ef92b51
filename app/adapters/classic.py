"""Classic AG2 (``autogen``): agents, group chats and functions written for ``IOWebsockets``, as protocol events."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from autogen.io import IOStream

from app.adapters.base import RunPort
from app.adapters.classic_chat import Chat, Message
from app.adapters.classic_failures import failure_of
from app.adapters.classic_models import OwnModels
from app.adapters.classic_names import ADOPT, SELECTORS, name_speakers
from app.adapters.classic_plan import ClassicPlan, plan_of
from app.adapters.classic_scene import MESSAGES, Scene, framework_event
from app.adapters.classic_stream import RoomStream, Shown, Unanswered
from app.adapters.classic_thread import Crossing
from app.adapters.classic_tools import CrossingRun
from app.adapters.staged import StagedAdapter
from app.adapters.task import task_text
from app.errors import ColloquyError
from app.protocol.events import ConversationComplete
from app.providers.calls import Call
from app.providers.compat_threads import CallEnded
from app.providers.gate import RunAborted
from app.runner.wire import BEGINS_AGAIN, Answer
from app.tools.context import RUN

KIND = "classic"
MAX_PIECES = 64
"""Pieces of a team's own model that may wait to be shown; then its thread waits."""

Function = Callable[..., object]


class _Over:
    """The thread has ended."""

    def __init__(self, result: object, error: BaseException | None) -> None:
        self.result = result
        self.error = error


class ClassicAdapter(StagedAdapter):
    """Runs one team for one session, in a thread of its own; what is shown is shown on the loop, in its order.

    Checkpoints follow each message of the outer chat; nested ones begin again. A function written for ``IOWebsockets``
    has none: it begins again from its start.
    """

    def __init__(self, port: RunPort, made: object | None, function: Function | None = None) -> None:
        """:param made: what the team's factory has returned; or ``function``: called with the ``iostream``."""
        super().__init__(port)
        self._made = made
        self._function = function
        self._scene = Scene(port, self._stage)
        self._crossing = Crossing()
        self._own = OwnModels(port)
        self._own_told = False
        self._chat: Chat | None = None
        self._task = ""
        self._mailbox: asyncio.Queue[Call | Callable[[], Coroutine[Any, Any, None]] | _Over] = asyncio.Queue()
        self._noted: set[Call] = set()
        self._bound: set[Call] = set()
        self._pieces: deque[tuple[str, str]] = deque()  # of the team's own models
        self._flushing = False
        self._loop = asyncio.get_running_loop()

    @property
    def caller(self) -> str | None:
        return self._scene.caller

    async def run(self) -> None:
        """See :class:`app.adapters.base.Adapter`."""
        name_speakers()
        start = self._port.start
        self._task = await task_text(start.content, start.content_type)
        if self._function is not None:
            self._port.checkpoint(BEGINS_AGAIN)
        work = self._play_function if self._function is not None else self._work_of(plan_of(self._made))
        self._port.model.on_change = self._note
        run = RUN.get()
        context = contextvars.copy_context()
        if run is not None:
            context.run(RUN.set, CrossingRun(run, self._crossing, self._in_order))
        threading.Thread(
            target=context.run, args=(self._in_thread, work), name=f"classic {start.session}", daemon=True
        ).start()
        try:
            over = await self._until_over()
        finally:
            self._port.model.on_change = lambda call: None
            self._crossing.end()
        reason = self._scene.ending or "this team draws no conclusion"
        if over.error is not None:
            reason = self._unanswered(over.error)
        await self._stage.activate(None)  # nothing may have been said at all
        await self._end_messages()
        summary = getattr(over.result, "summary", None) if self._summarizes else None
        await self._port.emit(
            ConversationComplete(summary=summary or None, reason=reason, usage=self._port.model.usage())
        )

    def flush(self) -> None:
        super().flush()
        while self._pieces:
            self._stage.chunk_now(*self._pieces.popleft())

    # --- what the thread does

    def _in_thread(self, work: Callable[[], object]) -> None:
        result: object = None
        error: BaseException | None = None
        ADOPT.set(self._own.adopt)
        first = self._task if self._function is not None else None
        self._io = RoomStream(self._crossing, self._shown, self._piece, self._ask, first)
        try:
            with IOStream.set_default(self._io):
                result = work()
        except BaseException as raised:  # noqa: BLE001  # handed to the run, which raises it
            error = raised
        over = _Over(result, error)
        self._crossing.post(lambda: self._mailbox.put_nowait(over))

    def _play_function(self) -> object:
        assert self._function is not None
        result = self._function(self._io)
        return asyncio.run(result) if inspect.iscoroutine(result) else result

    def _work_of(self, plan: ClassicPlan) -> Callable[[], object]:
        """What is to be done with the plan: begin, go on where it broke off, or say the next user message."""
        start = self._port.start
        chat = self._chat = Chat(plan, start.options.max_turns)
        self._stage.max_turns = chat.max_turns
        state = start.checkpoint if start.checkpoint and start.checkpoint.get("kind") == KIND else None
        if state is None:
            said = [(message.agent, message.content) for message in start.transcript]
            history: list[Message] = chat.retold(said)
            before = len(history)
        else:
            history, before = state["chat"]["messages"], int(state["chat"]["before"])
            self._port.model.prefer(state.get("provider"))
        if not start.resumed:
            return lambda: chat.begin(self._task, history)
        if state is not None:
            self._stage.turns = int(state["turns"])
            self._stage.spoken = [(agent, text) for agent, text in state["spoken"]]
        if not history:
            return lambda: chat.begin(self._task)
        own = [number for number, message in enumerate(history) if message.get("name") == plan.initiator.name]
        if state is None:  # only what was read is known: this session's messages follow the last one of a person
            before = own[-1] if own else 0
        return lambda: chat.go_on(history, before)

    @property
    def _summarizes(self) -> bool:
        return self._chat is not None and self._chat.plan.summary_method is not None

    def _piece(self, agent: str, text: str) -> None:
        """In the thread: a token of the team's own model. All that wait are shown together."""
        self._pieces.append((agent, text))
        if len(self._pieces) >= MAX_PIECES:
            self._crossing.call(lambda: self._in_order(self._show_pieces))
        elif not self._flushing:
            self._flushing = True
            self._crossing.post(lambda: self._mailbox.put_nowait(self._show_pieces))

    # --- what the loop does

    async def _until_over(self) -> _Over:
        while True:
            item = await self._mailbox.get()
            if isinstance(item, _Over):
                if isinstance(item.error, CallEnded):
                    raise RunAborted
                return item
            if isinstance(item, Call):
                self._noted.discard(item)
                await self._call_changed(item)
            else:
                await item()

    def _note(self, call: Call) -> None:
        """A call begins or has something new. What nobody will say is told as progress."""
        if call.streams and not call.bound:
            call.bind()
        if call not in self._noted:
            self._noted.add(call)
            self._mailbox.put_nowait(call)

    async def _call_changed(self, call: Call) -> None:
        if call.agent in SELECTORS and not call.began:
            await self._stage.progress("Choosing who speaks next")
        if call.streams and call not in self._bound and (call.began or call.entries):
            self._bound.add(call)
            await self._stage.bind(call, call.agent)
        elif call.began:
            await self._stage.activate(call.model)
        await self._stage.advance(call)

    async def _shown(self, event: Shown) -> None:
        """An event that the thread waits for."""
        await self._in_order(lambda: self._show(event))

    async def _ask(self, agent: str, prompt: str, secret: bool) -> Answer:
        await self._in_order(lambda: self._stage.activate(None))
        answer = await self._port.ask(self._stage.name(agent), prompt, secret=secret)
        if answer.resolution == "answered" and not secret:
            self._scene.answers.add((agent, answer.content))
        return answer

    async def _in_order(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do something behind all that waits in the mailbox."""
        done: asyncio.Future[None] = self._loop.create_future()

        async def carry_out() -> None:
            try:
                await work()
            except BaseException as error:
                if not done.done():
                    done.set_exception(RunAborted() if isinstance(error, asyncio.CancelledError) else error)
                raise
            if not done.done():
                done.set_result(None)

        self._mailbox.put_nowait(carry_out)
        await done

    async def _show(self, event: Shown) -> None:
        await self._show_pieces()
        kind, content = event["type"], event["content"]
        outer = kind in MESSAGES and self._is_outer(content)
        said = await self._scene.show(event, known=outer and self._is_known(content))
        await self._port.emit(framework_event(event, said=said))
        if outer and self._chat is not None:
            self._save(content["sender"])
            await self._forget_calls()

    async def _forget_calls(self) -> None:
        """Between two messages nothing need be known of the calls that made them: a chat may be long."""
        if all(call.ended and not call.entries for call in self._bound):
            await self._end_messages()

    async def _end_messages(self) -> None:
        """A whole reply is a message, also where AG2 tells nobody of it, or tells it to another stream."""
        for call in self._bound:
            if call.ended and call.text:
                await self._stage.present(call)
        self._bound.clear()
        await self._stage.end_pass()

    async def _show_pieces(self) -> None:
        self._flushing = False
        while self._pieces:
            agent, text = self._pieces.popleft()
            tokens = 1
            while self._pieces and self._pieces[0][0] == agent:
                text += self._pieces.popleft()[1]
                tokens += 1
            await self._tell_of_own_model()
            await self._stage.step(agent, model=f"{self._own.name} (brought by the team)")
            await self._stage.chunk(agent, agent, text, tokens=tokens)

    def _is_outer(self, content: dict[str, Any]) -> bool:
        if self._chat is None:
            return True
        return self._chat.is_outer(content["sender"], content["recipient"])

    def _is_known(self, content: dict[str, Any]) -> bool:
        """Whether this is the message that began the chat: the room has it from who wrote it."""
        if self._chat is not None:
            known, self._chat.opening_known = self._chat.opening_known, False
            return known
        known, self._first_seen = not self._first_seen, True
        return known and content.get("content") == self._task

    _first_seen = False

    def _save(self, sender: str) -> None:
        """The thread waits while it is read what its agents have said."""
        assert self._chat is not None
        self._port.checkpoint(
            {
                "kind": KIND,
                "turns": self._stage.turns,
                "spoken": self._stage.spoken,
                "provider": self._port.model.provider,
                "chat": self._chat.capture(sender),
            }
        )

    async def _tell_of_own_model(self) -> None:
        if not self._own_told:
            self._own_told = True
            await self._stage.progress("This team brings its own model: no other one stands in for it if it fails.")

    def _unanswered(self, error: BaseException) -> str:
        """Why the chat is over, where that is no failure.

        :raises RunAborted: the run was stopped. :raises ColloquyError: it failed.
        """
        model = self._port.model
        if model.aborted:
            raise RunAborted from error
        if isinstance(error, ColloquyError):
            raise error
        if model.failure is not None:
            raise model.failure from error
        if isinstance(error, Unanswered):
            return "nobody has answered in time"
        raise failure_of(error) from error
