"""The model client that teams get: AutoGen's interface over the run's gate, its providers and their failures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Literal

from autogen_core import CancellationToken, Component, MessageHandlerContext
from autogen_core.models import (
    ChatCompletionClient,
    CreateResult,
    LLMMessage,
    ModelInfo,
    RequestUsage,
    SystemMessage,
)
from autogen_core.tools import Tool, ToolSchema
from openai.lib._pydantic import to_strict_json_schema
from pydantic import BaseModel

from app.providers import attempts, autogen_clients, small_model
from app.providers.autogen_form import AUTOGEN
from app.providers.calls import Call
from app.providers.condense import condense, estimate_tokens, prompt_budget
from app.providers.model_run import ModelRun
from app.providers.tools_by_schema import ToolsBySchema
from app.providers.transport import RunTransport
from app.runner.wire import ProviderSpec

_TEAM_ID_CHARS = 37


class ClientConfig(BaseModel):
    """Nothing: the client is made by its run and cannot be loaded from a file."""


class GatedModelClient(ChatCompletionClient, Component[ClientConfig]):
    """A team's model. Whatever the team calls, it passes the run's gate, and may be paused, stopped and failed over.

    After a failure the typed error is ``run.failure``: teams wrap exceptions into ``RuntimeError(str)``.

    :raises ModelRejected: from ``create`` and ``create_stream``; the request itself is at fault.
    :raises BackendUnavailable: no provider is left.
    """

    component_type = "model"
    component_config_schema = ClientConfig
    component_provider_override = "app.providers.client.GatedModelClient"

    def __init__(self, run: ModelRun) -> None:
        self._run = run
        self._usage = RequestUsage(prompt_tokens=0, completion_tokens=0)

    async def create(
        self,
        messages: Sequence[LLMMessage],
        *,
        tools: Sequence[Tool | ToolSchema] = [],
        tool_choice: Tool | Literal["auto", "required", "none"] = "auto",
        json_output: bool | type[BaseModel] | None = None,
        extra_create_args: Mapping[str, Any] = {},
        cancellation_token: CancellationToken | None = None,
    ) -> CreateResult:
        """A whole reply. It is streamed underneath, where the provider can, so that a pause holds it in mid-reply."""
        call = self._run.open_call(_calling_agent(), streams=False, asked=_last_words(messages))
        wishes = {"tools": tools, "tool_choice": tool_choice, "json_output": json_output}
        result: CreateResult | None = None
        async for item in self._reply(call, messages, {**wishes, "extra_create_args": extra_create_args},
                                      cancellation_token):  # fmt: skip
            if isinstance(item, CreateResult):
                result = item
        assert result is not None
        return result

    async def create_stream(
        self,
        messages: Sequence[LLMMessage],
        *,
        tools: Sequence[Tool | ToolSchema] = [],
        tool_choice: Tool | Literal["auto", "required", "none"] = "auto",
        json_output: bool | type[BaseModel] | None = None,
        extra_create_args: Mapping[str, Any] = {},
        cancellation_token: CancellationToken | None = None,
    ) -> AsyncGenerator[str | CreateResult, None]:
        """The reply in pieces, then the result. Few and large pieces: the adapter gets the small ones directly."""
        call = self._run.open_call(_calling_agent(), streams=True, asked=_last_words(messages))
        wishes = {"tools": tools, "tool_choice": tool_choice, "json_output": json_output}
        async for item in self._reply(call, messages, {**wishes, "extra_create_args": extra_create_args},
                                      cancellation_token):  # fmt: skip
            yield item

    async def _reply(
        self, call: Call, messages: Sequence[LLMMessage], wishes: dict[str, Any], token: CancellationToken | None
    ) -> AsyncGenerator[str | CreateResult, None]:
        """The reply of the first provider that answers."""
        if token is not None:
            task = asyncio.current_task()
            if token.is_cancelled():
                raise asyncio.CancelledError
            if task is not None:
                token.add_callback(lambda: _cancel(task))
        messages = _instructions_first(messages)
        async for item in attempts.answered(
            self._run, call, lambda spec, share: self._request(spec, share, call, messages, wishes)
        ):
            yield item

    async def _request(
        self, spec: ProviderSpec, share: float, call: Call, messages: Sequence[LLMMessage], wishes: dict[str, Any]
    ) -> AsyncGenerator[str | CreateResult, None]:
        """One reply through AutoGen's own client.

        :raises ModelError: what the transport has found.
        """
        fitting, condensed = condense(messages, prompt_budget(spec, tools=wishes["tools"], share=share), AUTOGEN)
        call.condensed = call.condensed or condensed
        wishes = with_schema(wishes) if spec.structured_output else wishes
        if spec.kind == "local":
            fitting = small_model.plain_request(fitting, call.agent, AUTOGEN)
            wishes = {**wishes, "extra_create_args": small_model.create_args(wishes["extra_create_args"])}
        transport = RunTransport(self._run, spec, call)
        client = autogen_clients.build(spec, ToolsBySchema(transport, call.agent))
        async with attempts.closed_after(self._run, transport):
            if not spec.stream:
                result = await client.create(fitting, **wishes)
                self._end(call, transport, result)
                yield result
                return
            async for item in client.create_stream(fitting, **_streaming(wishes)):
                if isinstance(item, CreateResult):
                    attempts.raise_failure(self._run, transport)
                    self._end(call, transport, item)
                    yield item
                elif call.expected and call.expected[0] == item:
                    call.expected.popleft()
                    yield item

    def _end(self, call: Call, transport: RunTransport, result: CreateResult) -> None:
        attempts.end(call, transport, result.content if isinstance(result.content, str) else "")
        self._usage = RequestUsage(
            prompt_tokens=self._usage.prompt_tokens + call.usage.prompt_tokens,
            completion_tokens=self._usage.completion_tokens + call.usage.completion_tokens,
        )

    async def close(self) -> None:
        """Close the run's open requests."""
        await self._run.close_open()

    def actual_usage(self) -> RequestUsage:
        return self._usage

    def total_usage(self) -> RequestUsage:
        return self._usage

    def count_tokens(self, messages: Sequence[LLMMessage], *, tools: Sequence[Tool | ToolSchema] = []) -> int:
        """An estimate, rather too high; asks no network."""
        return sum(estimate_tokens(str(message.content)) for message in messages)

    def remaining_tokens(self, messages: Sequence[LLMMessage], *, tools: Sequence[Tool | ToolSchema] = []) -> int:
        return prompt_budget(self._run.spec, tools=tools) - self.count_tokens(messages, tools=tools)

    @property
    def calls_functions(self) -> bool:
        """Whether the model itself can; where it cannot, it gets tools by JSON schema, and is slower by that."""
        return self._run.spec.function_calling

    @property
    def capabilities(self) -> ModelInfo:
        return self.model_info

    @property
    def model_info(self) -> ModelInfo:
        """Of the provider that answers now."""
        return autogen_clients.model_info(self._run.spec)

    def _to_config(self) -> ClientConfig:
        return ClientConfig()

    @classmethod
    def _from_config(cls, config: ClientConfig) -> GatedModelClient:
        raise NotImplementedError("a gated model client is made by its run")


def with_schema(wishes: dict[str, Any]) -> dict[str, Any]:
    """A call's wishes with the class that its reply is to be of as a JSON schema.

    AutoGen would take openai's parsing client for a class: its import alone stalls a runner for a second, and a reply
    that was cut off at its limit would be an error instead of a text.
    """
    given = dict(wishes["extra_create_args"])
    for shape in (wishes["json_output"], given.get("response_format")):
        if isinstance(shape, type) and issubclass(shape, BaseModel):
            schema = {"name": shape.__name__, "schema": to_strict_json_schema(shape), "strict": True}
            given["response_format"] = {"type": "json_schema", "json_schema": schema}
            return {**wishes, "json_output": None, "extra_create_args": given}
    return wishes


def calls_functions(model_client: ChatCompletionClient) -> bool:
    """Whether a team's model calls functions by itself, so that tools cost it little."""
    return bool(getattr(model_client, "calls_functions", model_client.model_info["function_calling"]))


def _cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()


def _streaming(wishes: dict[str, Any]) -> dict[str, Any]:
    return {**wishes, "extra_create_args": {"stream_options": {"include_usage": True}, **wishes["extra_create_args"]}}


def _instructions_first(messages: Sequence[LLMMessage]) -> list[LLMMessage]:
    """Not every model takes instructions in the middle of a conversation, where memories are put."""
    return sorted(messages, key=lambda message: not isinstance(message, SystemMessage))


def _last_words(messages: Sequence[LLMMessage]) -> str:
    content = messages[-1].content if messages else ""
    return content if isinstance(content, str) else ""


def _calling_agent() -> str:
    """The name of the AutoGen agent in whose turn this is called; empty outside of one."""
    try:
        return MessageHandlerContext.agent_id().type[:-_TEAM_ID_CHARS]
    except RuntimeError:
        return ""
