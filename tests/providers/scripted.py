"""A transport in the place of the network, which answers from a script, part by part as reads would bring it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import httpx2

from app.providers.calls import Call, Piece, Switch
from app.providers.gate import Gate
from app.providers.model_run import ModelRun
from app.providers.network import Network
from app.runner.wire import Limits, ProviderSpec


def sse(*deltas: dict[str, Any] | str, finish: str | None = "stop", done: bool = True) -> list[bytes]:
    """The events of a reply, one bytes object each."""
    events: list[dict[str, Any]] = [
        {"choices": [{"index": 0, "delta": {"content": d} if isinstance(d, str) else d, "finish_reason": None}]}
        for d in deltas
    ]
    if finish:
        events.append({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    lines = [b"data: " + json.dumps({**head, **event}).encode() + b"\n\n" for event in events]
    return [*lines, *([b"data: [DONE]\n\n"] if done else [])]


class Body(httpx2.AsyncByteStream):
    """Parts as reads bring them. None: nothing more comes; an exception is raised."""

    def __init__(self, parts: Sequence[bytes | Exception | None]) -> None:
        self.parts = parts
        self.taken = 0
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self.parts:
            if part is None:
                await asyncio.Event().wait()
            elif isinstance(part, Exception):
                raise part
            else:
                self.taken += 1
                yield part

    async def aclose(self) -> None:
        self.closed = True


class Script(httpx2.AsyncBaseTransport):
    """Answers request after request: a body, a status, or an exception."""

    def __init__(self, *answers: Body | int | Exception) -> None:
        self.answers = list(answers)
        self.headers = {"content-type": "text/event-stream"}
        self.requests: list[httpx2.Request] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, int):
            return httpx2.Response(answer, json={"error": {"message": "sk-secret is wrong"}})
        return httpx2.Response(200, headers=self.headers, stream=answer)


class ScriptedRun:
    """A run over a script, and a stand-in for the adapter that binds every call at its first piece."""

    def __init__(self, script: Script, names: str = "a", allowed: int = 1000) -> None:
        specs = [
            ProviderSpec(name=name, kind="openai", model="m", base_url="http://model/v1", api_key="sk-secret")
            for name in names
        ]
        self.run = ModelRun(Network(script), Gate(allowed), Limits(), specs)
        self.run.on_change = self.changed
        self.entries: list[Piece | Switch] = []

    def changed(self, call: Call) -> None:
        if call.opening is not None and not call.bound:
            call.bind()
        self.entries += call.entries
        for entry in call.entries:
            if isinstance(entry, Piece):
                self.run.gate.sent(entry.tokens, reserved=entry.reserved)
        call.entries.clear()


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until the condition holds."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  # nothing here tells of its changes
            await asyncio.sleep(0)
