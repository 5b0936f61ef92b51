"""The HTTP transport of one model call, below the openai library: gate, silence, errors, usage, joining of deltas."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

import httpx2

from app.errors import BudgetExhausted, ModelError, ModelUnavailable
from app.protocol.common import Usage
from app.providers import anthropic, failures
from app.providers.anthropic_stream import MessagesStream
from app.providers.body import MergedBody
from app.providers.calls import Call
from app.providers.exchange import CHARS_PER_PROMPT_TOKEN, Exchange
from app.providers.gate import RunAborted
from app.providers.model_run import ModelRun
from app.providers.network import ReadGuard
from app.providers.silence import watch
from app.providers.sse import Splitter, SseSplitter, events_of_whole, usage_of
from app.runner.wire import ProviderSpec

MAX_WHOLE_REPLY_BYTES = 32 * 1024 * 1024
MAX_RETRY_AFTER_S = 1.0

Result = TypeVar("Result")


class RequestFailed(httpx2.TransportError):
    """What the openai library sees of a failed or aborted request; the typed error is on the exchange."""


class RunTransport(httpx2.AsyncBaseTransport):
    """Given to the openai client of one call through ``http_client``; wraps the process-wide transport.

    ``exchange`` is the last request's record: after an exception, its ``error`` says what happened. To a provider that
    speaks another dialect the request goes translated, and its reply comes back as a chat completion.
    """

    def __init__(self, run: ModelRun, spec: ProviderSpec, call: Call) -> None:
        self._run = run
        self.spec = spec
        self._call = call
        self.exchange: Exchange | None = None
        self._earlier = Usage()

    def usage(self) -> Usage:
        """What all requests of the call have cost so far."""
        return self._earlier + self.exchange.usage() if self.exchange is not None else self._earlier

    def comes_whole(self) -> None:
        """The reply will be shown word by word: it is not streamed through here."""
        self._call.streams = False

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send the request once the gate is open; see the module for what happens to its reply.

        :raises RequestFailed: it failed or was aborted.
        :raises RunAborted: the run was stopped before it began.
        """
        body = await request.aread()
        asked = _asked(body)
        if self.spec.kind == "anthropic":
            request = anthropic.request_of(asked, self.spec)
        request.headers["accept-encoding"] = "identity"  # words that wait to be packed come late
        retried = False
        while True:
            await self._run.gate.opened()
            exchange = Exchange(self.spec, prompt_chars=_prompt_chars(asked), whole=not asked.get("stream"))
            self._earlier, self.exchange = self.usage(), exchange
            await self._begin(exchange)
            guard = ReadGuard(self._run.gate, self._run.network)
            try:
                response = await self._attempt(exchange, guard, request, asked)
            except RequestFailed:
                stale = guard.reused_connection and exchange.error and exchange.error.error_code == "model_broken"
                if retried or exchange.aborted or exchange.deltas or not stale:
                    raise
            else:
                pause_s = _retry_after_s(response)
                if retried or pause_s is None:
                    return response
                await response.aclose()
                await asyncio.sleep(pause_s)
            retried = True

    async def _begin(self, exchange: Exchange) -> None:
        """Register the request.

        :raises RequestFailed: there are no tokens left for it.
        """
        run = self._run
        if run.purse.bounded:
            try:
                await run.purse.admit(run.tokens, exchange.estimated_prompt)
            except BudgetExhausted as error:
                exchange.fail(error)
                run.end(exchange)
                raise RequestFailed("the budget is spent") from error
        run.begin(exchange)

    async def _attempt(
        self, exchange: Exchange, guard: ReadGuard, request: httpx2.Request, asked: dict[str, Any]
    ) -> httpx2.Response:
        """One request and its response head, and the whole body unless it is an event stream."""
        watcher = asyncio.create_task(watch(self._run, exchange, request))
        streaming = False
        try:
            response = await self._supervised(exchange, self._send(guard, request))
            exchange.status = response.status_code
            exchange.heard()
            if response.status_code == 200:
                self._call.begin(self.spec)
            if response.status_code == 200 and "text/event-stream" in response.headers.get("content-type", ""):
                splitter = _splitter(exchange, asked)
                body = MergedBody(self._run, self._call, exchange, guard, _stream(response), watcher, splitter)
                streaming = True
                return httpx2.Response(200, headers=_plain_headers(response), stream=body)
            content = await self._supervised(exchange, _whole(response, guard, exchange))
            if self.spec.kind == "anthropic":
                content = anthropic.translated_whole(content, self.spec.model)
            self._account(exchange, content)
            if exchange.error is not None and exchange.status == 200:
                raise RequestFailed("the reply is no completion") from exchange.error
            headers = _plain_headers(response)
            if exchange.status == 200 and not exchange.whole and (document := _completion(content)) is not None:
                self.comes_whole()  # the server cannot stream
                headers["content-type"] = "text/event-stream"
                content = events_of_whole(document)
            return httpx2.Response(response.status_code, headers=headers, content=content)
        finally:
            if not streaming:
                watcher.cancel()
                self._run.end(exchange)

    async def _send(self, guard: ReadGuard, request: httpx2.Request) -> httpx2.Response:
        with guard:
            return await self._run.network.transport.handle_async_request(request)

    async def _supervised(self, exchange: Exchange, work: Coroutine[Any, Any, Result]) -> Result:
        """Do a part of the request in a task that :meth:`Exchange.kill` and :meth:`Exchange.abort` can end."""
        task = exchange.task = asyncio.create_task(work)
        try:
            result: Result = await task
            return result
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if (current is None or not current.cancelling()) and (exchange.aborted or exchange.error):
                raise RequestFailed("the request was ended") from exchange.error
            exchange.abort()
            with suppress(asyncio.CancelledError, httpx2.HTTPError, RunAborted):
                await task
            raise
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError, ExceptionGroup) as error:
            exchange.fail(failures.from_exception(error, exchange.spec, began=exchange.status is not None))
            raise RequestFailed("the request failed") from exchange.error

    def _account(self, exchange: Exchange, content: bytes) -> None:
        if exchange.status != 200:
            exchange.fail(failures.from_status(exchange.status or 0, content, exchange.spec))
            return
        document = _completion(content)
        if document is None:
            exchange.fail(_no_completion(content, exchange.spec))
            return
        exchange.done = True
        exchange.finish_reason = _finish_of(document)
        exchange.provider_usage = usage_of(document)
        exchange.deltas = -(-len(text_of_whole(document)) // CHARS_PER_PROMPT_TOKEN)


_BODY_HEADERS = (b"content-encoding", b"content-length", b"transfer-encoding")


async def _whole(response: httpx2.Response, guard: ReadGuard, exchange: Exchange) -> bytes:
    """The decoded body, bounded.

    :raises httpx2.ReadError: it is too long, or broke off.
    """
    parts: list[bytes] = []
    size = 0
    with guard:
        try:
            async for part in response.aiter_bytes():
                exchange.heard()
                size += len(part)
                if size > MAX_WHOLE_REPLY_BYTES:
                    raise httpx2.ReadError("the reply is too long")
                parts.append(part)
        finally:
            await response.aclose()
    return b"".join(parts)


def _splitter(exchange: Exchange, asked: dict[str, Any]) -> Splitter:
    if exchange.spec.kind != "anthropic":
        return SseSplitter()
    include_usage = bool((asked.get("stream_options") or {}).get("include_usage"))
    return MessagesStream(include_usage=include_usage, told_prompt=exchange.hear_prompt)


def _stream(response: httpx2.Response) -> httpx2.AsyncByteStream:
    """The body as the model has written it."""
    assert isinstance(response.stream, httpx2.AsyncByteStream)
    return _Unpacked(response) if "content-encoding" in response.headers else response.stream


class _Unpacked(httpx2.AsyncByteStream):
    """Some proxies pack a stream though nobody has asked them to."""

    def __init__(self, response: httpx2.Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._response.aiter_bytes():
            yield part

    async def aclose(self) -> None:
        await self._response.aclose()


def _plain_headers(response: httpx2.Response) -> httpx2.Headers:
    """The headers without those of the body, which is another now."""
    return httpx2.Headers([(k, v) for k, v in response.headers.raw if k.lower() not in _BODY_HEADERS])


def _completion(content: bytes) -> dict[str, Any] | None:
    """A reply that came whole; None where it is something else."""
    try:
        document = json.loads(content)
    except ValueError:
        return None
    return document if isinstance(document, dict) and document.get("choices") else None


def _no_completion(content: bytes, spec: ProviderSpec) -> ModelError:
    """What a 200 says that is none: a proxy's error, a portal's page, an address without ``/v1``."""
    try:
        document = json.loads(content)
    except ValueError:
        document = None
    if isinstance(document, dict) and document.get("error"):
        return failures.from_stream_error(document, spec)
    return ModelUnavailable(f"{spec.name} answered with something that is no completion", code="model_broken")


def text_of_whole(document: dict[str, Any]) -> str:
    """The text of a reply that came whole; empty where it has none."""
    message = _choice_of(document).get("message")
    content = message.get("content") if isinstance(message, dict) else None
    return content if isinstance(content, str) else ""


def _finish_of(document: dict[str, Any]) -> str | None:
    reason = _choice_of(document).get("finish_reason")
    return reason if isinstance(reason, str) else None


def _choice_of(document: dict[str, Any]) -> dict[str, Any]:
    choices = document.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    return choice if isinstance(choice, dict) else {}


def _asked(body: bytes) -> dict[str, Any]:
    """The chat completion that is asked for; empty where it is none."""
    try:
        document = json.loads(body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _prompt_chars(asked: dict[str, Any]) -> int:
    """Characters of all message texts of a request."""
    return sum(len(str(message.get("content") or "")) for message in asked.get("messages") or ())


def _retry_after_s(response: httpx2.Response) -> float | None:
    """How long to wait before the one retry of a 429; None: no retry."""
    if response.status_code != 429:
        return None
    try:
        pause_s = float(response.headers.get("retry-after", ""))
    except ValueError:
        return None
    return pause_s if 0 <= pause_s <= MAX_RETRY_AFTER_S else None
