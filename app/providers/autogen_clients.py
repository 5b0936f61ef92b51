"""AutoGen's own OpenAI clients, one per call: they cost 60 µs when the transport is given, and keep calls apart."""

from __future__ import annotations

import httpx2
from autogen_core.models import ChatCompletionClient, ModelInfo
from autogen_ext.models.openai import AzureOpenAIChatCompletionClient, OpenAIChatCompletionClient

from app.providers.addresses import AZURE_API_VERSION, OPENAI_BASE_URL
from app.providers.openai_clients import reply_limit, shared
from app.runner.wire import ProviderSpec


def model_info(spec: ProviderSpec) -> ModelInfo:
    """What AutoGen wants to know of a model, from the provider's declaration, never from a table of names."""
    return ModelInfo(
        vision=False,
        function_calling=True,  # by JSON schema where the model cannot: see tools_by_schema
        json_output=spec.structured_output,
        structured_output=spec.structured_output,
        family="unknown",
        multiple_system_messages=False,
    )


def build(spec: ProviderSpec, transport: httpx2.AsyncBaseTransport) -> ChatCompletionClient:
    """The client of one call, over ``transport``. It never retries and never asks the network for anything else."""
    arguments = {**shared(spec, transport), "model": spec.model, "model_info": model_info(spec)}
    if spec.max_reply_tokens is not None:
        arguments[reply_limit(spec)] = spec.max_reply_tokens
    if spec.kind == "azure":
        return AzureOpenAIChatCompletionClient(
            azure_endpoint=spec.base_url or "",
            azure_deployment=spec.model,
            api_version=spec.api_version or AZURE_API_VERSION,
            **arguments,
        )
    return OpenAIChatCompletionClient(base_url=spec.base_url or OPENAI_BASE_URL, **arguments)
