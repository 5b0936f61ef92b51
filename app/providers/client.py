"""The model client that teams get: AutoGen's interface over the run's gate, its providers and their failures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Literal

from autogen_core import CancellationToken, Component, MessageHandlerContext
from autogen_core.models import ChatCompletionClient, CreateResult, LLMMessage, ModelInfo, RequestUsage
from autogen_core.tools import Tool, ToolSchema
from pydantic import BaseModel

from app.errors import BackendUnavailable, ModelError, ModelRejected, ModelUnavailable
from app.providers import openai_clients, small_model
from app.providers.calls import Call
from app.providers.condense import condense, estimate_tokens, prompt_budget
from app.providers.gate import RunAborted
from app.providers.model_run import ModelRun
from app.providers.transport import RunTransport
from app.runner.wire import ProviderSpec

RETRY_SHARE = 0.5
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
        call = self._run.open_call(_calling_agent(), streams=False)
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
        call = self._run.open_call(_calling_agent(), streams=True)
        wishes = {"tools": tools, "tool_choice": tool_choice, "json_output": json_output}
        async for item in self._reply(call, messages, {**wishes, "extra_create_args": extra_create_args},
                                      cancellation_token):  # fmt: skip
            yield item

    async def _reply(
        self, call: Call, messages: Sequence[LLMMessage], wishes: dict[str, Any], token: CancellationToken | None
    ) -> AsyncGenerator[str | CreateResult, None]:
        """Try the providers in order until one has answered."""
        run = self._run
        if token is not None:
            task = asyncio.current_task()
            if token.is_cancelled():
                raise asyncio.CancelledError
            if task is not None:
                token.add_callback(lambda: _cancel(task))
        while True:
            spec = run.spec
            try:
                async for item in self._attempt(spec, call, messages, wishes):
                    yield item
                run.failure = None
                return
            except RunAborted:
                raise asyncio.CancelledError from None
            except ModelUnavailable as error:
                self._next_provider(spec, call, error)
            except ModelError as error:
                run.failure = error
                raise

    def _next_provider(self, spec: ProviderSpec, call: Call, error: ModelUnavailable) -> None:
        """Go on with the next provider.

        :raises BackendUnavailable: there is none.
        """
        run = self._run
        if run.spec is spec:  # else a parallel call has switched already
            if run.current + 1 >= len(run.providers):
                run.failure = BackendUnavailable(error.message, code=error.error_code)
                raise run.failure from error
            run.current += 1
        call.switch(spec, run.spec, error.error_code)

    async def _attempt(
        self, spec: ProviderSpec, call: Call, messages: Sequence[LLMMessage], wishes: dict[str, Any]
    ) -> AsyncGenerator[str | CreateResult, None]:
        """One provider's reply; a bundled model that finds the prompt too long gets a shorter one, once."""
        share = 1.0
        while True:
            fitting, condensed = condense(messages, prompt_budget(spec, tools=wishes["tools"], share=share))
            call.condensed = call.condensed or condensed
            try:
                async for item in self._request(spec, call, fitting, wishes):
                    yield item
                return
            except ModelRejected as error:
                if error.error_code != "context_overflow" or spec.kind != "local" or share < 1:
                    raise
                share = RETRY_SHARE

    async def _request(
        self, spec: ProviderSpec, call: Call, messages: Sequence[LLMMessage], wishes: dict[str, Any]
    ) -> AsyncGenerator[str | CreateResult, None]:
        """One reply through AutoGen's own client.

        :raises ModelError: what the transport has found.
        """
        if spec.kind == "local":
            messages = small_model.plain_request(messages, call.agent)
            wishes = {**wishes, "extra_create_args": small_model.create_args(wishes["extra_create_args"])}
        transport = RunTransport(self._run, spec, call)
        client = openai_clients.build(spec, transport)
        try:
            if not spec.stream:
                result = await client.create(messages, **wishes)
                self._end(call, transport, result)
                yield result
                return
            async for item in client.create_stream(messages, **_streaming(wishes)):
                if isinstance(item, CreateResult):
                    self._raise_failure(transport)
                    self._end(call, transport, item)
                    yield item
                elif call.expected and call.expected[0] == item:
                    call.expected.popleft()
                    yield item
        except (RunAborted, asyncio.CancelledError, GeneratorExit):
            raise
        except Exception as error:
            self._raise_failure(transport, error)
            raise
        finally:
            if transport.exchange is not None and not transport.exchange.closed.is_set():
                transport.exchange.abort()
                await transport.exchange.closed.wait()

    def _raise_failure(self, transport: RunTransport, cause: Exception | None = None) -> None:
        exchange = transport.exchange
        if self._run.aborted:
            raise RunAborted
        if exchange is None:
            return
        if exchange.error is not None:
            raise exchange.error from cause
        if exchange.status == 200 and cause is not None:
            sentence = f"{exchange.spec.name} sent a reply that cannot be read"
            raise ModelUnavailable(sentence, code="model_broken") from cause

    def _end(self, call: Call, transport: RunTransport, result: CreateResult) -> None:
        if transport.exchange is not None:
            call.usage = transport.exchange.usage()
        call.model = transport.spec.label or transport.spec.model
        call.text = result.content if isinstance(result.content, str) else ""
        call.ended = True
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
    def capabilities(self) -> ModelInfo:
        return self.model_info

    @property
    def model_info(self) -> ModelInfo:
        """Of the provider that answers now."""
        return openai_clients.model_info(self._run.spec)

    def _to_config(self) -> ClientConfig:
        return ClientConfig()

    @classmethod
    def _from_config(cls, config: ClientConfig) -> GatedModelClient:
        raise NotImplementedError("a gated model client is made by its run")


def _cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()


def _streaming(wishes: dict[str, Any]) -> dict[str, Any]:
    return {**wishes, "extra_create_args": {"stream_options": {"include_usage": True}, **wishes["extra_create_args"]}}


def _calling_agent() -> str:
    """The name of the AutoGen agent in whose turn this is called; empty outside of one."""
    try:
        return MessageHandlerContext.agent_id().type[:-_TEAM_ID_CHARS]
    except RuntimeError:
        return ""
