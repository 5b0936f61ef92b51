"""Official OpenAI clients over the run's models: what they see, and what the room sees meanwhile."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import httpx2
import openai
import pytest
from autogen_core.models import UserMessage

from app.errors import BackendUnavailable, ModelRejected
from app.providers.calls import Piece, Switch
from app.providers.client import GatedModelClient
from app.providers.compat import BASE_URL, MODEL, Caller, CompatTransport, calling
from app.providers.compat_threads import CallEnded, ThreadCompatTransport
from tests.providers.scripted import Body, Script, ScriptedRun, sse, until

ASK: list[Any] = [{"role": "user", "content": "A question of mine."}]
TOOL: Any = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}


class Framework(ScriptedRun):
    """A run, and a framework's client that knows nothing of it."""

    def __init__(self, *answers: Body | int | Exception, names: str = "a", **fields: Any) -> None:
        self.script = Script(*answers)
        super().__init__(self.script, names)
        self.run.providers = tuple(spec.model_copy(update=fields) for spec in self.run.providers)
        transport = httpx2.AsyncClient(transport=CompatTransport(self.run))
        self.client = openai.AsyncOpenAI(base_url=BASE_URL, api_key="none", http_client=transport)

    async def whole(self, **wishes: Any) -> Any:
        """What it gets for a request without a stream."""
        with calling(Caller("analyst")):
            values = {"model": MODEL, "messages": ASK, **wishes}
            return (await self.client.chat.completions.create(**values)).choices[0].message

    async def streamed(self) -> list[str]:
        """What it gets for a request with one, in its pieces."""
        return [chunk.choices[0].delta.content or "" for chunk in await self.chunks()]

    async def chunks(self) -> list[Any]:
        """The same as they come, but for those without a choice."""
        with calling(Caller("analyst")):
            stream = await self.client.chat.completions.create(model=MODEL, messages=ASK, stream=True)
            return [chunk async for chunk in stream if chunk.choices]

    def asked(self, number: int = -1) -> dict[str, Any]:
        """A request as the provider got it."""
        body: dict[str, Any] = json.loads(self.script.requests[number].content)
        return body

    @property
    def shown(self) -> str:
        return "".join(entry.text for entry in self.entries if isinstance(entry, Piece))


async def test_the_request_is_the_providers() -> None:
    """Address, key and model are the provider's, streamed underneath, with usage; wishes of the framework stay."""
    framework = Framework(Body(sse("a", "b")), max_reply_tokens=50)
    assert (await framework.whole(temperature=0.1, max_tokens=80, tools=[TOOL])).content == "ab"
    request = framework.script.requests[0]
    assert str(request.url) == "http://model/v1/chat/completions"
    assert request.headers["authorization"] == "Bearer sk-secret"
    expected = {"model": "m", "stream": True, "stream_options": {"include_usage": True}, "max_tokens": 50}
    assert framework.asked() == {"messages": ASK, "temperature": 0.1, "tools": [TOOL], **expected}


async def test_the_room_has_the_pieces_and_the_framework_the_whole() -> None:
    """The same text; the framework in one piece."""
    words = [f"w{number} " for number in range(20)]
    framework = Framework(Body(sse({"role": "assistant", "content": ""}, *words)))
    pieces = await framework.streamed()
    assert "".join(pieces) == framework.shown == "".join(words)
    assert len([piece for piece in pieces if piece]) == 1
    assert len(framework.entries) > 1


async def test_who_does_not_speak_is_not_shown() -> None:
    """A call outside of `calling`, a speaker's selection for one, has no words for the room."""
    framework = Framework(Body(sse("a", "b")))
    completion = await framework.client.chat.completions.create(model=MODEL, messages=ASK)
    assert completion.choices[0].message.content == "ab"
    assert framework.entries == []


async def test_tool_calls_and_reasoning_are_put_together() -> None:
    """For a framework that asks without a stream."""
    first = {"index": 0, "id": "t", "type": "function", "function": {"name": "f", "arguments": '{"a"'}}
    more = {"index": 0, "function": {"arguments": ":1}"}}
    second = {"index": 1, "id": "u", "type": "function", "function": {"name": "g", "arguments": "{}"}}
    deltas: list[dict[str, Any]] = [{"tool_calls": [first]}, {"tool_calls": [more]}, {"tool_calls": [second]}]
    body = Body(sse({"role": "assistant", "reasoning_content": "hm"}, {"reasoning_content": "!"}, "ok", *deltas))
    message = await Framework(body).whole(tools=[TOOL])
    assert (message.role, message.content, message.reasoning_content) == ("assistant", "ok", "hm!")
    calls = [(call.id, call.function.name, call.function.arguments) for call in message.tool_calls]
    assert calls == [("t", "f", '{"a":1}'), ("u", "g", "{}")]


async def test_a_death_in_mid_sentence_is_invisible_to_the_framework() -> None:
    """The room hears of the change between the texts; the framework has the second provider's reply alone."""
    framework = Framework(Body(sse("half", finish=None, done=False)), Body(sse("b", "c")), names="xy")
    assert "".join(await framework.streamed()) == "bc"
    switch = framework.entries.index(Switch("x", "y", "model_broken"))
    assert [entry.text for entry in framework.entries[:switch] if isinstance(entry, Piece)] == ["half"]
    assert framework.run.failure is None


async def test_none_is_left() -> None:
    """The framework gets an error that it does not repeat; the run has the typed one."""
    framework = Framework(401, 500, names="xy")
    with pytest.raises(openai.APIStatusError) as caught:
        await framework.whole()
    assert caught.value.status_code == 503
    assert "sk-secret" not in str(caught.value)
    assert isinstance(framework.run.failure, BackendUnavailable)
    assert framework.run.failure.error_code == "model_server_error"
    assert len(framework.script.requests) == 2


async def test_a_rejected_request() -> None:
    """No other provider is asked."""
    framework = Framework(Body(sse("a", finish="content_filter")), names="xy")
    with pytest.raises(openai.BadRequestError) as caught:
        await framework.whole()
    assert caught.value.code == "content_refused"
    assert isinstance(framework.run.failure, ModelRejected)


async def test_a_provider_that_answers_whole() -> None:
    """It is asked without a stream; what it says reaches a framework that wants one."""

    class Whole(Script):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            self.requests.append(request)
            message = {"role": "assistant", "content": "all at once"}
            return httpx2.Response(200, json={"id": "c", "choices": [{"index": 0, "message": message}]})

    framework = Framework(stream=False)
    framework.run.network.transport = framework.script = Whole()
    assert "".join(await framework.streamed()) == "all at once"
    assert framework.asked()["stream"] is False
    called = framework.run.call_that_said("analyst", "all at once")
    assert called is not None
    assert called.ended


async def test_a_long_history_is_condensed() -> None:
    """The instructions stay, and so do tool results with their calls."""
    framework = Framework(Body(sse("a")), context_tokens=1024)
    system = {"role": "system", "content": "Be brief."}
    called = {"id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    history = [system, *ASK]
    for _ in range(20):
        history += [{"role": "assistant", "content": None, "tool_calls": [called]}]
        history += [{"role": "tool", "tool_call_id": "t", "content": "x " * 300}]
    await framework.whole(messages=history)
    sent = framework.asked()["messages"]
    assert sent[0] == system
    assert len(sent) < len(history)
    roles = [message["role"] for message in sent[2:]]
    assert roles == ["assistant", "tool"] * (len(roles) // 2) != []


async def test_the_bundled_model_is_asked_plainly() -> None:
    """One request that says whose reply is wanted, without tools that it may not call."""
    framework = Framework(Body(sse("a")), kind="local", function_calling=False)
    history = [*ASK, {"role": "assistant", "content": "So."}, {"role": "user", "name": "critic", "content": "No."}]
    await framework.whole(messages=history, tools=[TOOL], tool_choice="none")
    [message] = framework.asked()["messages"]
    assert message["content"] == "A question of mine.\n\nanalyst: So.\n\ncritic: No.\n\nNow write the reply of analyst."
    assert framework.asked()["repeat_penalty"] > 1
    assert "tools" not in framework.asked()


@pytest.mark.parametrize(
    ("fields", "limit"),
    [
        ({"base_url": None}, "max_completion_tokens"),
        ({"base_url": "http://vllm:8000/v1"}, "max_tokens"),
        ({"kind": "ollama", "base_url": "http://ollama/v1"}, "max_tokens"),
        ({"kind": "azure"}, "max_completion_tokens"),
        ({"kind": "azure", "api_version": "2024-02-01"}, "max_tokens"),
    ],
)
async def test_a_reply_is_limited_by_the_field_that_the_server_knows(fields: dict[str, Any], limit: str) -> None:
    """OpenAI's newer models refuse ``max_tokens``, older servers the other one; AutoGen's client sends the same."""
    framework = Framework(Body(sse("a")), Body(sse("b")), max_reply_tokens=50, **fields)
    await framework.whole()
    [item async for item in GatedModelClient(framework.run).create_stream([UserMessage(content="?", source="user")])]
    for number in range(2):
        asked = framework.asked(number)
        assert {name: asked[name] for name in ("max_tokens", "max_completion_tokens") if name in asked} == {limit: 50}


async def test_an_azure_deployment() -> None:
    """Its own address and header."""
    framework = Framework(Body(sse("a")), kind="azure", base_url="http://azure")
    await framework.whole()
    request = framework.script.requests[0]
    assert request.url.path == "/openai/deployments/m/chat/completions"
    assert request.headers["api-key"] == "sk-secret"


@pytest.mark.parametrize("parts", [[], sse("a", finish=None, done=False)])
async def test_abort_closes_what_is_open(parts: list[bytes]) -> None:
    """The framework's task is cancelled: it neither repeats nor takes it for an error."""
    body = Body([*parts, None])
    framework = Framework(body, Body(sse("b")))
    task = asyncio.create_task(framework.whole())
    await until(lambda: body.taken >= len(parts) and framework.run.network.active_streams > 0)
    await framework.run.abort_all()
    assert body.closed
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(framework.script.requests) == 1


async def test_other_requests_are_refused() -> None:
    """Embeddings, say."""
    framework = Framework()
    with pytest.raises(openai.NotFoundError):
        await framework.client.embeddings.create(model=MODEL, input="x")


def in_thread(framework: Framework) -> Any:
    """A framework's call from a thread, over httpx."""
    loop = asyncio.get_running_loop()
    transport = httpx.Client(transport=ThreadCompatTransport(framework.run, loop))

    def ask() -> Any:
        client = openai.OpenAI(base_url=BASE_URL, api_key="none", http_client=transport)
        with calling(Caller("analyst")):
            return client.chat.completions.create(model=MODEL, messages=ASK).choices[0].message.content

    return asyncio.to_thread(ask)


async def test_a_call_from_a_thread() -> None:
    """It waits there while the loop goes on, and its words are shown as they come."""
    framework = Framework(Body(sse("a", "b")))
    assert await in_thread(framework) == framework.shown == "ab"


async def test_a_thread_is_released_by_a_stop() -> None:
    """By an exception that no framework takes for an error of the model's."""
    framework = Framework(Body([None]))
    task = asyncio.ensure_future(in_thread(framework))
    await until(lambda: framework.run.network.active_streams > 0)
    await framework.run.abort_all()
    with pytest.raises(CallEnded):
        await task


async def test_providers_differ_in_what_they_can() -> None:
    """A schema goes only to those that obey one."""
    framework = Framework(Body(sse("a")), structured_output=False)
    schema = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}}
    await framework.whole(response_format=schema)
    assert "response_format" not in framework.asked()
