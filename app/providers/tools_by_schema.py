"""Tools for models that cannot call any: the choice is a short reply bound to a JSON schema.

    request with tools ──► which tool? ──► its arguments ──► answered as a tool call
                               └─ none, or after the results ──► the reply in prose, streamed

It happens between the official client and the run's transport, in requests that every AutoGen generation makes alike.
Neither the room nor the framework sees the choices; gate, stop, failover and usage hold for them as for all else.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import httpx2

from app.providers import small_model
from app.providers import tool_words as words
from app.providers.forms import Json, OpenAiForm
from app.providers.sse import events_of_whole
from app.providers.tool_words import OfferedTool
from app.providers.transport import RequestFailed, RunTransport, text_of_whole

MAX_ROUNDS = 3
"""Rounds of calls for one question, then the model answers with what it has."""
MAX_ROUNDS_LOCAL = 1
MAX_TOOLS_LOCAL = 8
CHOICE_REPLY_TOKENS = 160
CONTEXT_TOKENS_LOCAL = 400
"""What the bundled model reads of the conversation to choose by: it reads some 150 tokens/s on one core."""
_TOOL_WISHES = ("tools", "tool_choice", "parallel_tool_calls", "functions", "function_call")


class ToolsBySchema(httpx2.AsyncBaseTransport):
    """Put above the transport of one call; passes on what does not speak of tools, and all to models that call them.

    :param agent: who asks.
    """

    def __init__(self, inner: RunTransport, agent: str) -> None:
        self._inner = inner
        self._spec = inner.spec
        self._local = inner.spec.kind == "local"
        self._agent = agent

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """A reply in prose, or one that calls a tool.

        :raises RequestFailed: as the transport does, for the choice as well.
        """
        asked = _read(await request.aread())
        if self._spec.function_calling or not words.speaks_of_tools(asked):
            return await self._inner.handle_async_request(request)
        if self._local and (failures := words.failures(asked["messages"])):
            self._inner.comes_whole()  # it would make up the figures that are not there
            return _reply(asked, {"role": "assistant", "content": "\n".join(failures)}, "stop")
        tools = words.offered(asked, MAX_ROUNDS_LOCAL if self._local else MAX_ROUNDS)
        chosen = await self._choose(request, asked, tools[:MAX_TOOLS_LOCAL] if self._local else tools)
        if chosen is None:
            return await self._inner.handle_async_request(_with_body(request, self._in_prose(asked)))
        return _reply(asked, _call_of(*chosen), "tool_calls")

    async def _choose(
        self, request: httpx2.Request, asked: Json, tools: Sequence[OfferedTool]
    ) -> tuple[OfferedTool, dict[str, Any]] | None:
        """The tool that the model wants, and with which arguments; None: it wants to answer."""
        if not tools:
            return None
        text = words.context(asked["messages"], self._agent, self._context_tokens())
        # The bundled model takes "none" whenever it may; what it must not call shows by arguments that nobody has said.
        checked = self._local and all(tool.required for tool in tools)
        others = [] if checked or words.must_call(asked) else [words.NONE]
        names = [*(tool.name for tool in tools), *others]
        name = names[0]
        if len(names) > 1:
            reply = await self._ask(request, asked, words.tool_question(tools), text, words.tool_schema(names))
            name = str(reply.get("tool"))
        tool = next((tool for tool in tools if tool.name == name), None)
        if tool is None:
            return None
        if not tool.properties:
            return tool, {}
        question, schema = words.arguments_question(tool), words.arguments_schema(tool)
        arguments = words.repaired(tool, await self._ask(request, asked, question, text, schema))
        if self._local:
            said = words.said_arguments(tool, arguments, text)
            if said is None and (named := words.naming_schema(tool, text)) is not None:
                arguments |= await self._ask(request, asked, question, text, named)
                said = words.said_arguments(tool, arguments, text)
            return None if said is None else (tool, said)
        return None if words.called_before(asked["messages"], tool.name, arguments) else (tool, arguments)

    async def _ask(
        self, request: httpx2.Request, asked: Json, question: str, text: str, schema: dict[str, Any]
    ) -> dict[str, Any]:
        """A short reply bound to a schema; an empty one where the model keeps to none.

        :raises RequestFailed: the request failed.
        """
        if not self._spec.structured_output:
            question = f"{question}\nReply with one JSON object of this schema and nothing else: {json.dumps(schema)}"
        body: dict[str, Any] = {
            "model": asked.get("model"),
            "messages": [{"role": "system", "content": question}, {"role": "user", "content": text}],
            "max_tokens": CHOICE_REPLY_TOKENS,
            "temperature": 0,
            "stream": False,
        }
        if self._spec.structured_output:
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "choice", "schema": schema, "strict": True},
            }
        if self._local:
            body |= small_model.CHOICE
        response = await self._inner.handle_async_request(_with_body(request, body))
        content = await response.aread()
        if response.status_code != 200:
            raise RequestFailed("the choice of a tool failed")
        return words.read_object(text_of_whole(_read(content)))

    def _in_prose(self, asked: Json) -> dict[str, Any]:
        """The request without tools, for an answer in words."""
        body = {key: value for key, value in asked.items() if key not in _TOOL_WISHES}
        body["messages"] = words.plain(asked["messages"], results_first=self._local)
        if not self._local:
            return body
        form = OpenAiForm(self._agent)
        if words.rounds(asked["messages"]) == 0:
            return {**body, "messages": small_model.plain_request(body["messages"], self._agent, form)}
        return {**small_model.facts_args(body), "messages": small_model.facts_request(body["messages"], form)}

    def _context_tokens(self) -> int:
        return CONTEXT_TOKENS_LOCAL if self._local else self._spec.context_tokens // 2


def _call_of(tool: OfferedTool, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The message of a model that calls functions."""
    call = {
        "id": f"call_{uuid.uuid4().hex}",
        "type": "function",
        "function": {"name": tool.name, "arguments": json.dumps(arguments, ensure_ascii=False)},
    }
    return {"role": "assistant", "content": None, "tool_calls": [call]}


def _reply(asked: Json, message: dict[str, Any], finish: str) -> httpx2.Response:
    """The completion with this message, streamed where the request wants that."""
    document = {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": asked.get("model"),
        "choices": [{"index": 0, "message": message, "finish_reason": finish, "logprobs": None}],
        "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    }
    if not asked.get("stream"):
        return httpx2.Response(200, json=document)
    return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=events_of_whole(document))


def _with_body(request: httpx2.Request, body: Mapping[str, Any]) -> httpx2.Request:
    kept = [(key, value) for key, value in request.headers.raw if key.lower() not in (b"content-length",)]
    content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    return httpx2.Request(request.method, request.url, headers=kept, content=content, extensions=request.extensions)


def _read(content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
