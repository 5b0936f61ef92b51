"""The run's models for frameworks that bring an OpenAI client of their own: a transport beneath that client.

What the framework sends to :data:`BASE_URL` is answered by the run's providers, through the run's gate, with all that
holds for them: pause, stop, failover, usage. The adapter gets the text as it comes, from the :class:`Call`; the
framework gets a reply when it is complete. So a provider that dies in mid-sentence is invisible to the framework.

    http_client = httpx2.AsyncClient(transport=CompatTransport(run))
    client = AsyncOpenAI(base_url=BASE_URL, api_key="none", http_client=http_client)
    with calling(Caller("analyst")):
        …
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import httpx2

from app.errors import BackendUnavailable, BudgetExhausted, ModelError
from app.providers import attempts, openai_clients, small_model
from app.providers.calls import Call
from app.providers.condense import condense, prompt_budget
from app.providers.forms import OpenAiForm
from app.providers.model_run import ModelRun
from app.providers.sse import Kind, SseEvent, SseSplitter, events_of_whole, join_events, whole_of_events
from app.providers.tools_by_schema import ToolsBySchema
from app.providers.transport import RunTransport
from app.runner.wire import ProviderSpec

BASE_URL = "http://models.invalid/v1"
"""Where the frameworks' clients send their requests: an address that no network has."""
MODEL = "colloquy"
"""The name under which frameworks know the run's models."""
_EVENT_STREAM = "text/event-stream"
_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks the model. ``speaks``: the reply's text is words of this agent for the room, and is streamed to it."""

    agent: str = ""
    speaks: bool = True


_NOBODY = Caller(speaks=False)
_CALLER: ContextVar[Caller] = ContextVar("_CALLER", default=_NOBODY)


@contextmanager
def calling(caller: Caller) -> Iterator[None]:
    """What is asked within, in this task, in those that it starts or in this thread, is asked by this caller."""
    token = _CALLER.set(caller)
    try:
        yield
    finally:
        _CALLER.reset(token)


def current_caller() -> Caller:
    """Who asks here; nobody in particular, without words for the room, outside of :func:`calling`."""
    return _CALLER.get()


@dataclass(frozen=True, slots=True)
class CompatReply:
    """What the framework's client is answered."""

    status: int
    content_type: str
    content: bytes

    @property
    def headers(self) -> dict[str, str]:
        """``x-should-retry``: what failed was tried with every provider."""
        retry = {} if self.status == 200 else {"x-should-retry": "false"}
        return {"content-type": self.content_type, **retry}


class CompatTransport(httpx2.AsyncBaseTransport):
    """For asynchronous clients on httpx2 (``openai`` from 3.0 on). Belongs to the run's event loop."""

    def __init__(self, run: ModelRun) -> None:
        self._run = run

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer a request.

        :raises asyncio.CancelledError: the run was stopped.
        """
        reply = await answer(self._run, request.url.path, await request.aread(), current_caller())
        return httpx2.Response(reply.status, headers=reply.headers, content=reply.content, request=request)


async def answer(run: ModelRun, path: str, body: bytes, caller: Caller) -> CompatReply:
    """The run's models answer a ``POST …/chat/completions``. An error becomes a reply; ``run.failure`` has it typed.

    :raises asyncio.CancelledError: the run was stopped, and this request is closed.
    """
    wishes = _completion_request(path, body)
    if wishes is None:
        return _refusal(404, "not_found", "only chat completions are served here")
    call = run.open_call(caller.agent, streams=caller.speaks)
    events: list[SseEvent] = []
    try:
        async for reply in attempts.answered(run, call, lambda spec, share: _request(run, spec, share, call, wishes)):
            events = reply
    except (ModelError, BackendUnavailable, BudgetExhausted) as error:
        return _refusal(503 if isinstance(error, BackendUnavailable) else 400, error.error_code, error.message)
    if wishes.get("stream"):
        return CompatReply(200, _EVENT_STREAM, _joined(events))
    return CompatReply(200, _JSON, json.dumps(whole_of_events(events)).encode())


async def _request(
    run: ModelRun, spec: ProviderSpec, share: float, call: Call, wishes: Mapping[str, Any]
) -> AsyncIterator[list[SseEvent]]:
    """One provider's reply, complete.

    :raises ModelError: what the transport has found.
    """
    transport = RunTransport(run, spec, call)
    body = _rewritten(spec, share, call, wishes)
    async with attempts.closed_after(run, transport):
        response = await openai_clients.build(spec, ToolsBySchema(transport, call.agent)).post(
            "/chat/completions", cast_to=httpx2.Response, body=body
        )
        attempts.raise_failure(run, transport)
        events = _events(response)
        attempts.end(call, transport, whole_of_events(events)["choices"][0]["message"]["content"] or "")
        yield events


def _rewritten(spec: ProviderSpec, share: float, call: Call, wishes: Mapping[str, Any]) -> dict[str, Any]:
    """The framework's request as this provider is to be asked."""
    form = OpenAiForm(call.agent)
    body = {key: value for key, value in wishes.items() if key not in ("stream", "stream_options", "model")}
    if not spec.structured_output:
        body.pop("response_format", None)
    body["messages"], condensed = condense(
        body["messages"], prompt_budget(spec, tools=body.get("tools") or (), share=share), form
    )
    call.condensed = call.condensed or condensed
    if spec.kind == "local":
        body["messages"] = small_model.plain_request(body["messages"], call.agent, form)
        body = small_model.create_args(body)
        body |= body.pop("extra_body")
    if spec.max_reply_tokens is not None:
        wished = [body.pop(key) for key in ("max_tokens", "max_completion_tokens") if body.get(key) is not None]
        body[openai_clients.reply_limit(spec)] = min([spec.max_reply_tokens, *wished])
    body["model"] = spec.model
    body["stream"] = spec.stream
    if spec.stream:
        body["stream_options"] = {"include_usage": True}
    return body


def _events(response: httpx2.Response) -> list[SseEvent]:
    """A reply as events, whichever way it came."""
    streamed = _EVENT_STREAM in response.headers.get("content-type", "")
    splitter = SseSplitter()
    return [*splitter.feed(response.content if streamed else events_of_whole(response.json())), *splitter.finish()]


def _joined(events: list[SseEvent]) -> bytes:
    """The events with their texts in as few as there can be: each costs the framework time."""
    parts: list[bytes] = []
    same: list[SseEvent] = []
    for event in events:
        if same and (event.kind is not Kind.CONTENT or event.shape != same[0].shape):
            parts.append(join_events(same))
            same = []
        if event.kind is Kind.CONTENT:
            same.append(event)
        else:
            parts.append(event.raw)
    return b"".join([*parts, *([join_events(same)] if same else [])])


def _completion_request(path: str, body: bytes) -> dict[str, Any] | None:
    """The request, where it is one for a chat completion."""
    try:
        wishes = json.loads(body) if path.endswith("/chat/completions") else None
    except ValueError:
        return None
    return wishes if isinstance(wishes, dict) and isinstance(wishes.get("messages"), list) else None


def _refusal(status: int, code: str, message: str) -> CompatReply:
    document = {"error": {"message": message, "type": "colloquy", "code": code}}
    return CompatReply(status, _JSON, json.dumps(document).encode())
