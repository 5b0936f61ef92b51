"""HTTP of a team that brings its own models: requests cross from the framework's thread to the runner's event loop.

There they pass the run's gate, can be ended at any moment, and share the runner's connections.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import Any

import httpx
import httpx2

from app.adapters.classic_thread import Crossing
from app.providers.compat_threads import CallEnded
from app.providers.exchange import Exchange
from app.providers.gate import RunAborted
from app.providers.model_run import ModelRun
from app.providers.network import ReadGuard
from app.providers.sse import usage_of
from app.runner.wire import ProviderSpec

_MAX_WAITING_BYTES = 64 * 1024  # of a reply, for the thread; behind them the network waits
_TAIL_BYTES = 8192


class _Reply:
    """One request, carried out by a task of the loop: its head, then its body as it comes."""

    def __init__(self, transport: httpx2.AsyncBaseTransport, request: httpx2.Request) -> None:
        self._transport = transport
        self._head: asyncio.Future[httpx2.Response] = asyncio.get_running_loop().create_future()
        self._waiting = bytearray()
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._ended = False
        self._error: Exception | None = None
        self._task = asyncio.create_task(self._carry_out(request))

    async def _carry_out(self, request: httpx2.Request) -> None:
        try:
            response = await self._transport.handle_async_request(request)
        except Exception as error:  # noqa: BLE001  # raised where the reply is awaited
            self._head.set_exception(error)
            return
        except BaseException:
            self._head.cancel()
            raise
        self._head.set_result(response)
        try:
            assert isinstance(response.stream, httpx2.AsyncByteStream)
            async for piece in response.stream:
                await self._take(piece)
        except Exception as error:  # noqa: BLE001  # as above
            self._error = error
        except BaseException:
            self._error = RunAborted()
            raise
        finally:
            self._ended = True
            self._news.set()
            await response.aclose()

    async def _take(self, piece: bytes) -> None:
        self._waiting += piece
        self._news.set()
        if len(self._waiting) > _MAX_WAITING_BYTES:
            self._room.clear()
            await self._room.wait()

    async def head(self) -> httpx2.Response:
        return await self._head

    async def piece(self) -> bytes | None:
        """All that waits; None: that was the last."""
        await self._news.wait()
        if self._waiting:
            taken = bytes(self._waiting)
            self._waiting.clear()
            self._room.set()
            if not self._ended:
                self._news.clear()
            return taken
        if self._error is not None:
            raise self._error
        return None

    def cancel(self) -> None:
        """Ends the request, unless it is over."""
        self._task.cancel()

    async def close(self) -> None:
        """The same; returns when its connection is closed."""
        self.cancel()
        await asyncio.wait([self._task])


class _Body(httpx.SyncByteStream):
    def __init__(self, crossing: Crossing, reply: _Reply, raised: Callable[[Exception], BaseException]) -> None:
        self._crossing = crossing
        self._reply = reply
        self._raised = raised

    def __iter__(self) -> Iterator[bytes]:
        while True:
            try:
                piece = self._crossing.call(self._reply.piece)
            except Exception as error:
                raise self._raised(error) from error
            if piece is None:
                return
            yield piece

    def close(self) -> None:
        """Waits for nothing: whoever collects garbage may call it, on the loop, too."""
        self._crossing.post(self._reply.cancel)


class CrossingTransport(httpx.BaseTransport):
    """A synchronous transport over the run's way to models that are not its own. Made on the runner's loop."""

    def __init__(self, run: ModelRun) -> None:
        self._run = run
        self._crossing = Crossing()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """:raises CallEnded: the run was stopped. :raises httpx.TransportError: the request failed."""
        content = request.read()

        async def begin() -> tuple[_Reply, httpx2.Response]:
            asked = httpx2.Request(
                request.method,
                str(request.url),
                headers=list(request.headers.raw),
                content=content,
                extensions=dict(request.extensions),
            )
            reply = _Reply(OwnModelTransport(self._run), asked)
            try:
                return reply, await reply.head()
            except BaseException:
                await reply.close()
                raise

        try:
            reply, response = self._crossing.call(begin)
        except Exception as error:
            raise self._raised(error) from error
        body = _Body(self._crossing, reply, self._raised)
        return httpx.Response(response.status_code, headers=response.headers.raw, stream=body)

    def _raised(self, error: Exception) -> BaseException:
        """What the thread gets: the end of a stopped run, else what AG2's client library knows."""
        if self._run.aborted:
            return CallEnded()
        if isinstance(error, httpx2.TimeoutException):
            return httpx.ReadTimeout(str(error))
        if isinstance(error, httpx2.ConnectError | httpx2.ProxyError):
            return httpx.ConnectError(str(error))
        return httpx.ReadError(str(error) or type(error).__name__)


class ThreadClient(httpx.Client):
    """The ``http_client`` of a team's models. AG2 copies configurations deeply; this stays one."""

    def __init__(self, transport: httpx.BaseTransport, timeout_s: float) -> None:
        super().__init__(transport=transport, timeout=timeout_s, trust_env=False)

    def __deepcopy__(self, memo: dict[int, Any]) -> ThreadClient:
        return self


class OwnModelTransport(httpx2.AsyncBaseTransport):
    """Requests of a team that brings its own key and address: gated and stoppable, but never failed over."""

    def __init__(self, run: ModelRun) -> None:
        self._run = run

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """:raises RunAborted: the run was stopped before it began."""
        run = self._run
        await run.gate.opened()
        content = await request.aread()
        request.headers["accept-encoding"] = "identity"  # what it cost stands at the end of the reply
        spec = ProviderSpec(name="the team's own model", kind="openai", model="")
        exchange = Exchange(spec, prompt_chars=len(content))
        run.begin(exchange)
        exchange.task = asyncio.current_task()
        guard = ReadGuard(run.gate, run.network)
        try:
            with guard:
                response = await run.network.transport.handle_async_request(request)
        except BaseException:
            run.end(exchange)
            raise
        exchange.status = response.status_code
        body = _OwnBody(run, exchange, guard, response)
        return httpx2.Response(response.status_code, headers=response.headers.raw, stream=body)


class _OwnBody(httpx2.AsyncByteStream):
    """Read and closed by one task, that of its :class:`_Reply`."""

    def __init__(self, run: ModelRun, exchange: Exchange, guard: ReadGuard, response: httpx2.Response) -> None:
        self._run = run
        self._exchange = exchange
        self._guard = guard
        self._response = response
        self._tail = b""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        assert isinstance(self._response.stream, httpx2.AsyncByteStream)
        with self._guard:
            async for piece in self._response.stream:
                self._exchange.progressed(piece.count(b"data: {"))
                self._tail = (self._tail + piece)[-_TAIL_BYTES:]
                yield piece

    async def aclose(self) -> None:
        self._exchange.provider_usage = _usage_in(self._tail)
        try:
            with suppress(httpx2.HTTPError):
                await self._response.aclose()
        finally:
            self._run.end(self._exchange)


def _usage_in(tail: bytes) -> tuple[int, int] | None:
    """What the end of a reply says of its cost: the last chunk of a stream, or a whole reply that is not long."""
    for line in reversed(tail.splitlines()):
        with suppress(ValueError):
            document = json.loads(line.removeprefix(b"data: "))
            if isinstance(document, dict) and (usage := usage_of(document)) is not None:
                return usage
    return None
