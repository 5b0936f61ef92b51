"""The body of a streamed reply: read as the gate allows, given to the adapter at once and to openai in few pieces."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from itertools import takewhile

import httpx2

from app.errors import ModelUnavailable
from app.providers import failures
from app.providers.calls import Call
from app.providers.exchange import Exchange
from app.providers.gate import RunAborted
from app.providers.model_run import ModelRun
from app.providers.network import ReadGuard
from app.providers.sse import Kind, Splitter, SseEvent, join_events

MAX_CARRIED_DELTAS = 1024
TRAILER_TIMEOUT_S = 0.1


class MergedBody(httpx2.AsyncByteStream):
    """Reads ``inner`` in a task of its own, so that a read is ended only by :meth:`Exchange.kill` or ``abort``.

    Content deltas that wait are joined, as many as the gate admits, and go to the call as one piece. Once the call is
    bound to a message the openai library has no hurry: it gets its content in one event just before the next event of
    another kind. Everything that is not plain content passes unchanged, in its place.
    """

    def __init__(
        self,
        run: ModelRun,
        call: Call,
        exchange: Exchange,
        guard: ReadGuard,
        inner: httpx2.AsyncByteStream,
        watcher: asyncio.Task[None],
        splitter: Splitter,
    ) -> None:
        """:param splitter: understands what ``inner`` brings; what it makes of it is a chat completion's stream."""
        self._run = run
        self._call = call
        self._exchange = exchange
        self._guard = guard
        self._inner = inner
        self._watcher = watcher
        self._splitter = splitter
        self._events: deque[SseEvent] = deque()
        self._pending = 0
        self._ended = False
        self._wake = asyncio.Event()
        self._taken = asyncio.Event()
        run.network.active_streams += 1
        self._reader = exchange.task = asyncio.create_task(self._read())

    async def __aiter__(self) -> AsyncIterator[bytes]:
        carried: list[SseEvent] = []
        while True:
            if not self._events:
                if self._ended:
                    break
                self._wake.clear()
                await self._wake.wait()
                continue
            if self._events[0].kind is Kind.CONTENT:
                carried += await self._take_content()
                if self._call.bound and len(carried) < MAX_CARRIED_DELTAS:
                    continue
            for part in self._joined(carried):
                yield part
            carried = []
            if self._events and self._events[0].kind is Kind.THOUGHT:
                for event in await self._take_thoughts():
                    yield event.raw
            elif self._events and self._events[0].kind is not Kind.CONTENT:
                yield self._events.popleft().raw
        for part in self._joined(carried):
            yield part
        if self._exchange.error is not None or self._exchange.aborted:
            raise httpx2.ReadError("the model's stream ended")

    async def aclose(self) -> None:
        """Close the connection, or give it back to the pool where the reply has ended. Waits for either."""
        if not self._reader.done():
            if self._exchange.done:
                await asyncio.wait([self._reader], timeout=TRAILER_TIMEOUT_S)
            if not self._reader.done():
                self._exchange.abort()
                await asyncio.wait([self._reader])
        self._events.clear()

    async def _take_content(self) -> list[SseEvent]:
        """The next joined piece, as large as the gate admits. It goes to the call here and now."""
        shape, available = self._events[0].shape, 0
        for event in self._events:
            if event.kind is not Kind.CONTENT or event.shape != shape:
                break
            available += 1
        return await self._take(available, thought=False)

    async def _take_thoughts(self) -> list[SseEvent]:
        """The next thoughts, as many as the gate admits. They go to the call as one piece, to openai one by one."""
        available = sum(1 for _ in takewhile(lambda event: event.kind is Kind.THOUGHT, self._events))
        return await self._take(available, thought=True)

    async def _take(self, available: int, *, thought: bool) -> list[SseEvent]:
        taken, reserved = await self._call.admit(available)
        piece = [self._events.popleft() for _ in range(taken)]
        self._pending -= taken
        self._taken.set()
        self._call.add("".join(event.text for event in piece), taken, reserved=reserved, thought=thought)
        return piece

    def _joined(self, carried: list[SseEvent]) -> list[bytes]:
        """Carried events as one event for each run of one shape; the client is told which texts to expect."""
        parts: list[bytes] = []
        while carried:
            end = next((i for i, event in enumerate(carried) if event.shape != carried[0].shape), len(carried))
            run, carried = carried[:end], carried[end:]
            self._call.expected.append("".join(event.text for event in run))
            parts.append(join_events(run))
        return parts

    async def _read(self) -> None:
        exchange = self._exchange
        splitter = self._splitter
        try:
            with self._guard:
                async for part in self._inner:
                    exchange.heard()
                    self._accept(splitter.feed(part))
                    while self._pending and (not self._run.gate.is_open or self._pending >= self._run.gate.credit):
                        self._taken.clear()
                        await self._taken.wait()
                    await self._run.gate.opened()
            self._accept(splitter.finish())
        except (httpx2.HTTPError, OSError, ValueError) as error:
            if not exchange.complete:
                exchange.fail(failures.from_exception(error, exchange.spec, began=True))
        except RunAborted:
            exchange.aborted = True
        except asyncio.CancelledError:
            if not (exchange.aborted or exchange.error):
                raise
        finally:
            exchange.closing = True
            try:
                with suppress(httpx2.HTTPError, OSError):
                    await self._inner.aclose()
            finally:
                self._finish()

    def _accept(self, events: list[SseEvent]) -> None:
        exchange = self._exchange
        for event in events:
            if exchange.done or exchange.error:
                break
            if event.kind in (Kind.CONTENT, Kind.THOUGHT):
                self._pending += 1
                exchange.progressed(1, len(event.text))
            elif event.kind is Kind.DONE:
                exchange.done = True
            elif event.kind is Kind.ERROR:
                exchange.fail(failures.from_stream_error(event.document, exchange.spec))
                break
            else:
                self._understand(event)
            self._events.append(event)
        if events:
            self._wake.set()
            self._run.count()

    def _understand(self, event: SseEvent) -> None:
        exchange = self._exchange
        exchange.provider_usage = event.usage or exchange.provider_usage
        if event.is_delta:
            exchange.progressed(1)
        if event.finish_reason is not None:
            exchange.finish_reason = event.finish_reason
            if event.finish_reason == "content_filter":
                exchange.fail(failures.refused(exchange.spec))

    def _finish(self) -> None:
        exchange = self._exchange
        if not (exchange.complete or exchange.error or exchange.aborted):
            exchange.fail(
                ModelUnavailable(f"{exchange.spec.name} broke off in the middle of its reply", code="model_broken")
            )
        self._ended = True
        self._watcher.cancel()
        self._run.network.active_streams -= 1
        self._run.end(exchange)
        self._wake.set()
