"""Tools for models that cannot call any: both AutoGen's client and the official one get tool calls."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import openai
import pytest
from autogen_core.models import CreateResult, UserMessage
from autogen_core.tools import FunctionTool

from app.errors import ModelRejected
from app.protocol.common import Usage
from app.providers.client import GatedModelClient, calls_functions
from app.providers.compat import BASE_URL, MODEL, Caller, CompatTransport, calling
from tests.providers.scripted import Body, Script, ScriptedRun, sse


class Whole(httpx2.AsyncByteStream):
    """A completion that comes whole."""

    def __init__(self, content: str) -> None:
        message = {"role": "assistant", "content": content}
        self.document = {
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 2},
        }


class Choices(Script):
    """Answers with texts that come whole where no stream is wanted."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if isinstance(self.answers[0], Whole):
            self.requests.append(request)
            return httpx2.Response(200, json=self.answers.pop(0).document)  # type: ignore[union-attr]
        return await super().handle_async_request(request)

    def asked(self) -> list[dict[str, Any]]:
        return [json.loads(request.content) for request in self.requests]


class Small(ScriptedRun):
    """A run over a model that calls no functions."""

    def __init__(self, *answers: Any, **fields: Any) -> None:
        self.script = Choices(*answers)
        super().__init__(self.script)
        changes = {"function_calling": False, **fields}
        self.run.providers = tuple(spec.model_copy(update=changes) for spec in self.run.providers)

    async def reply(self, messages: list[Any] | None = None) -> CreateResult:
        """What AutoGen gets for a streamed request with two tools."""
        said = messages or [UserMessage(content="How did Apple do in 2008?", source="user")]
        stream = GatedModelClient(self.run).create_stream(said, tools=TOOLS)
        [result] = [item async for item in stream if isinstance(item, CreateResult)]
        return result


def prices(symbol: str, since: str = "") -> str:
    return ""


def news() -> str:
    return ""


TOOLS = [FunctionTool(prices, description="Prices of a share."), FunctionTool(news, description="The news.")]
CHOICE, ARGUMENTS = Whole('{"tool": "prices"}'), Whole('{"symbol": "Apple", "since": "2008"}')


async def test_a_choice_becomes_a_tool_call() -> None:
    """Two short requests bound to schemas; nothing of them is shown, and both are paid for."""
    small = Small(CHOICE, ARGUMENTS)
    result = await small.reply()
    assert result.finish_reason == "function_calls"
    [call] = result.content
    assert (call.name, json.loads(call.arguments)) == ("prices", {"symbol": "Apple", "since": "2008"})  # type: ignore[union-attr]
    first, second = small.script.asked()
    assert first["response_format"]["json_schema"]["schema"]["properties"]["tool"]["enum"] == ["prices", "news", "none"]
    assert second["response_format"]["json_schema"]["schema"]["required"] == ["symbol"]
    assert all(not body["stream"] and "tools" not in body for body in (first, second))
    assert small.entries == []
    assert small.run.usage() == Usage(prompt_tokens=20, completion_tokens=4)


async def test_no_choice_is_an_answer_in_prose() -> None:
    """Streamed as ever, without tools."""
    small = Small(Whole('{"tool": "none"}'), Body(sse("Well", ".")))
    assert (await small.reply()).content == "Well."
    assert "tools" not in small.script.asked()[1]
    assert "".join(entry.text for entry in small.entries) == "Well."  # type: ignore[union-attr]


@pytest.mark.parametrize("rounds", [1, 3])
async def test_results_are_text_and_rounds_are_bounded(rounds: int) -> None:
    """After the last one it answers; the same call again is an answer, too."""
    small = Small(*([CHOICE, ARGUMENTS] if rounds < 3 else []), Body(sse("It fell.")))
    first = await Small(CHOICE, ARGUMENTS).reply()
    from autogen_core.models import AssistantMessage, FunctionExecutionResult, FunctionExecutionResultMessage

    history: list[Any] = [UserMessage(content="How did Apple do in 2008?", source="user")]
    for _ in range(rounds):
        call = first.content[0]
        done = FunctionExecutionResult(content="AAPL fell.", name="prices", call_id=call.id, is_error=False)  # type: ignore[union-attr]
        history += [AssistantMessage(content=first.content, source="a"), FunctionExecutionResultMessage(content=[done])]
    assert (await small.reply(history)).content == "It fell."
    sent = small.script.asked()[-1]["messages"]
    assert sent[-1]["content"] == "prices(symbol=Apple, since=2008) answered:\nAAPL fell."
    assert not any("tool_calls" in message for message in sent)


async def test_the_bundled_model_keeps_to_what_was_said() -> None:
    """It has no "none" to take; what it invents is no call, and a tool's failure is told in the tool's words."""
    tools = [openai_tool("prices", ["symbol"]), openai_tool("shares", ["symbol"])]
    small = Small(CHOICE, Whole('{"symbol": "AAPL"}'), Body(sse("Hello.")), kind="local")
    assert (await official(small, [{"role": "user", "content": "Who are you?"}], tools)).content == "Hello."
    assert small.script.asked()[0]["response_format"]["json_schema"]["schema"]["properties"]["tool"]["enum"] == [
        "prices",
        "shares",
    ]
    function = {"name": "prices", "arguments": '{"symbol": "TSLA"}'}
    history = [
        {"role": "user", "content": "TSLA?"},
        {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": function}]},
        {"role": "tool", "tool_call_id": "c", "content": "Error: there are no prices of TSLA"},
    ]
    assert (await official(Small(kind="local"), history, tools)).content == "there are no prices of TSLA"


async def test_the_official_client_gets_tool_calls() -> None:
    """So do classic AG2 and ag2 1.x, which bring it. A model without schemas is told the schema in words."""
    small = Small(CHOICE, Whole('Here: {"symbol": "IBM"}'), structured_output=False)
    message = await official(small, [{"role": "user", "content": "IBM?"}], [openai_tool("prices", ["symbol"])])
    [call] = message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == ("prices", {"symbol": "IBM"})
    assert all("response_format" not in body for body in small.script.asked())
    assert '"enum": ["prices", "none"]' in small.script.asked()[0]["messages"][0]["content"]


async def test_what_fails_in_a_choice_is_typed() -> None:
    """A refusal is the conversation's own error; another failure asks the next provider."""
    with pytest.raises(ModelRejected):
        await Small(400).reply()
    small = Small(503, Body(sse("Well.")))
    small.run.providers = (*small.run.providers, small.run.spec.model_copy(update={"function_calling": True}))
    assert (await small.reply()).content == "Well."
    assert len(small.script.asked()[1]["tools"]) == 2


def test_frameworks_may_always_give_tools() -> None:
    """Factories can ask whether that is cheap."""
    client = GatedModelClient(Small().run)
    assert client.model_info["function_calling"]
    assert not calls_functions(client)


def openai_tool(name: str, properties: list[str], required: list[str] | None = None) -> dict[str, Any]:
    """:param required: of its properties; None: all."""
    parameters = {
        "type": "object",
        "properties": {each: {"type": "string"} for each in properties},
        "required": properties if required is None else required,
    }
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


async def official(small: Small, messages: list[Any], tools: list[Any]) -> Any:
    """What the official client gets for a request without a stream."""
    transport = httpx2.AsyncClient(transport=CompatTransport(small.run))
    client = openai.AsyncOpenAI(base_url=BASE_URL, api_key="none", http_client=transport)
    with calling(Caller("analyst")):
        reply = await client.chat.completions.create(model=MODEL, messages=messages, tools=tools)
    return reply.choices[0].message


async def test_the_bundled_model_is_asked_which_of_the_names_it_means() -> None:
    """Where it has invented one and the question names some; what it has read beside that stays."""
    answers = Whole('{"symbol": "JB Inc.", "since": "2005"}'), Whole('{"symbol": "Apple"}')
    small = Small(*answers, kind="local")
    asked = [{"role": "user", "content": "How did IBM and Apple do since 2005?"}]
    message = await official(small, asked, [openai_tool("prices", ["symbol", "since"], required=["symbol"])])
    assert json.loads(message.tool_calls[0].function.arguments) == {"symbol": "Apple", "since": "2005"}
    schema = small.script.asked()[1]["response_format"]["json_schema"]["schema"]
    assert schema["properties"] == {"symbol": {"type": "string", "enum": ["IBM", "Apple"]}}
