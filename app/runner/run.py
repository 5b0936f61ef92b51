"""One run: a session's team, its gate and its models, from the order to start it to its end."""

from __future__ import annotations

import asyncio
import base64
import gc
import logging
import secrets
import traceback
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from app.adapters.base import Adapter, InputKind
from app.adapters.build import build_adapter
from app.adapters.demo import KIND as DEMO_KIND
from app.adapters.demo import DemoAdapter
from app.errors import BackendUnavailable, BudgetExhausted, ColloquyError, TeamFailed
from app.protocol.common import ToolFailure, Usage
from app.protocol.events import ConversationError, Event, FallbackMode, InputRequest
from app.providers.gate import Gate, RunAborted
from app.providers.model_run import ModelRun
from app.providers.network import Network
from app.providers.purse import Purse
from app.runner.link import Link
from app.runner.wire import Answer, Artifact, Checkpoint, Ended, Limits, RunEvent, Spent, StartRun
from app.tools.context import RUN

log = logging.getLogger(__name__)
STOP_TIMEOUT_S = 0.5
SETTLED_S = 3.0
"""After the first run of a generation has begun: what its framework imports is there by then."""
_known: set[type[Adapter]] = set()
MAX_TOOL_FAILURES = 64
"""Of those that frameworks have not given back yet; more tools than that seldom fail at once."""


class Run:
    """Carries out one :class:`StartRun`. It is the adapters' port (:class:`app.adapters.base.RunPort`)."""

    def __init__(self, start: StartRun, link: Link, network: Network) -> None:
        self._start = start
        self._link = link
        self._gate = Gate(start.allowed)
        purse = Purse(start.max_tokens, self._report_spending if start.metered else None)
        self._model = ModelRun(network, self._gate, start.limits, start.providers, purse)
        self._demo = False
        self.stopping = False
        self._silenced = False
        self._adapter: Adapter | None = None
        self._awaited: dict[str, asyncio.Future[Answer]] = {}
        self._artifacts = 0
        self._tool_failures: deque[tuple[str, ToolFailure]] = deque(maxlen=MAX_TOOL_FAILURES)
        self._endings: list[Callable[[], Awaitable[None]]] = []
        self._task: asyncio.Task[Ended | None] | None = None

    @property
    def start(self) -> StartRun:
        return self._start

    @property
    def conversation(self) -> str:
        return self._start.conversation

    @property
    def limits(self) -> Limits:
        return self._start.limits

    @property
    def gate(self) -> Gate:
        return self._gate

    @property
    def model(self) -> ModelRun:
        return self._model

    # --- the port

    async def emit(self, event: Event) -> None:
        await self._gate.admit_event()
        self._send(event)

    def delta(self, message_id: str, agent: str, text: str, tokens: int, *, reserved: bool) -> None:
        if self._silenced:
            return
        self._gate.sent(tokens, reserved=reserved)
        self._link.send_delta(self._start.session, message_id, agent, text, tokens, demo=self._demo)

    async def ask(self, agent: str, prompt: str, *, kind: InputKind = "text", secret: bool = False) -> Answer:
        request_id = secrets.token_hex(8)
        awaited: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._awaited[request_id] = awaited
        try:
            await self.emit(InputRequest(request_id=request_id, agent=agent, prompt=prompt, kind=kind, secret=secret))
            return await awaited
        finally:
            del self._awaited[request_id]

    def answer(self, answer: Answer) -> None:
        """A person has answered, or the time is over; an answer that nobody waits for is no error."""
        awaited = self._awaited.get(answer.request_id)
        if awaited is not None and not awaited.done():
            awaited.set_result(answer)

    def artifact(self, media_type: str, data: bytes) -> str | None:
        session, limits = self._start.session, self._start.limits
        if self._silenced or len(data) > limits.max_artifact_bytes or self._artifacts >= limits.max_artifacts:
            return None
        self._artifacts += 1
        artifact_id = secrets.token_hex(16)
        encoded = base64.b64encode(data).decode()
        self._link.send(
            Artifact(session=session, artifact_id=artifact_id, media_type=media_type, data=encoded), session
        )
        return artifact_id

    def caller(self) -> str | None:
        return self._adapter.caller if self._adapter is not None else None

    def tool_failed(self, sentence: str, code: ToolFailure) -> None:
        self._tool_failures.append((sentence, code))

    def tool_failure(self, answer: str) -> ToolFailure:
        """By the sentence: frameworks put words around it, and give nothing else of an exception."""
        told = reversed(tuple(self._tool_failures))
        return next((code for sentence, code in told if sentence in answer), "failed")

    def at_end(self, ending: Callable[[], Awaitable[None]]) -> None:
        self._endings.append(ending)

    def checkpoint(self, state: dict[str, Any]) -> None:
        if self._silenced:
            return
        session = self._start.session
        kept = Checkpoint(session=session, state=state)
        size_bytes = len(kept.model_dump_json())
        if size_bytes > self._start.limits.max_checkpoint_bytes:
            log.warning("the state of session %s has %d bytes, more than MAX_CHECKPOINT_BYTES", session, size_bytes)
            kept = Checkpoint(session=session, state={})
        self._link.send(kept, session)

    def _report_spending(self, tokens: int, wanted: int) -> None:
        self._link.send(Spent(session=self._start.session, tokens=tokens, wanted=wanted))

    def _send(self, event: Event) -> None:
        session = self._start.session
        message = RunEvent(session=session, name=event.name, payload=event.to_wire(), demo=self._demo)
        self._link.send(message, session)

    # --- its life

    async def live(self) -> None:
        """Run to the end and say so; a stop says so itself."""
        self._task = asyncio.create_task(self._play())
        try:
            ended = await asyncio.shield(self._task)
            if ended is not None and not self.stopping:
                self._link.send(ended)
        except asyncio.CancelledError:
            pass
        finally:
            await self._end_tools()

    async def stop(self) -> Usage:
        """Close the model's requests and send what was held back. Returns the tokens spent; then :meth:`put_down`."""
        self.stopping = True
        await self._model.abort_all()
        for awaited in self._awaited.values():
            if not awaited.done():
                awaited.set_exception(RunAborted())
        if self._adapter is not None:
            self._adapter.flush()
        return self._model.usage()

    async def put_down(self) -> None:
        """After a stop: give the team a moment to end; a stubborn one is left behind, cut off from models and link."""
        self._silenced = True
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task], timeout=STOP_TIMEOUT_S)
        await self._end_tools()

    async def _end_tools(self) -> None:
        """Whatever its tools have left open is closed. Once."""
        endings, self._endings = self._endings, []
        for failed in await asyncio.gather(*(ending() for ending in endings), return_exceptions=True):
            if failed is not None:
                log.warning("a tool of session %s was not closed: %s", self._start.session, type(failed).__name__)

    async def _play(self) -> Ended | None:
        start = self._start
        RUN.set(self)
        try:
            await self._perform()
            outcome = Ended(session=start.session, outcome="completed", usage=self._model.usage())
        except (RunAborted, asyncio.CancelledError):
            return None
        except ColloquyError as error:
            if isinstance(error, BudgetExhausted) and self._adapter is not None:
                self._adapter.flush()  # it was paid for
            outcome = await self._failed(error)
        except BaseException as error:  # noqa: BLE001  # the run must end in a typed event, whatever has happened
            where = "".join(traceback.format_tb(error.__traceback__))  # not its message: it may quote contents
            log.warning("run %s failed: %s\n%s", start.session, type(error).__name__, where)
            outcome = await self._failed(TeamFailed(f"the run failed: {type(error).__name__}"))
        with suppress(RunAborted):
            await self._model.close_open()
        return outcome.model_copy(update={"usage": self._model.usage()})

    async def _perform(self) -> None:
        start = self._start
        demo_before = (start.checkpoint or {}).get("kind") == DEMO_KIND
        unheard = not start.resumed or start.continued  # nobody in the room knows that this is a demo
        if unheard and start.demo:
            await self._announce_demo(BackendUnavailable("no model answers"), source=None)
        if start.resumed and demo_before and (start.demo or not unheard):
            self._demo = True
            await self._play_demo(int((start.checkpoint or {}).get("turns", 0)), activate=unheard)
        elif start.demo:
            self._demo = True
            await self._play_demo(0, activate=True)
        else:
            await self._play_team()

    async def _play_team(self) -> None:
        adapter = self._adapter = await build_adapter(self)
        _set_imports_aside(type(adapter))
        try:
            await adapter.run()
        except BackendUnavailable as error:
            await adapter.withdraw(error.error_code)
            await self._announce_demo(error, source=self._model.provider)
            await self._play_demo(adapter.turns, activate=not adapter.active)

    async def _announce_demo(self, error: BackendUnavailable, source: str | None) -> None:
        sentence = f"{error.message}. The conversation goes on as a demo: a prepared script, no model speaks."
        await self.emit(
            ConversationError(error=sentence, code=error.error_code, retryable=error.retryable, fallback_mode=True)
        )
        self._demo = True
        await self.emit(FallbackMode(mode="demo", reason=BackendUnavailable.code, from_=source, to="demo"))

    async def _play_demo(self, turns: int, *, activate: bool) -> None:
        self._adapter = DemoAdapter(self, turns, activate=activate)
        await self._adapter.run()

    async def _failed(self, error: ColloquyError) -> Ended:
        session = self._start.session
        with suppress(RunAborted):
            await self.emit(ConversationError(error=error.message, code=error.error_code, retryable=error.retryable))
        return Ended(
            session=session,
            outcome="error",
            code=error.error_code,
            message=error.message,
            retryable=error.retryable,
            usage=self._model.usage(),
        )


def _set_imports_aside(kind: type[Adapter]) -> None:
    """What a framework's import has made lives as long as the process: garbage collections would look through it again
    and again, 40 to 150 ms each, in which no run goes on.
    """
    if kind not in _known:
        _known.add(kind)
        asyncio.get_running_loop().call_later(SETTLED_S, gc.freeze)
