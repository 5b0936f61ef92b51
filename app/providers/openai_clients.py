"""OpenAI's official client, one per call, over a given transport."""

from __future__ import annotations

from typing import Any

import httpx2
from openai import AsyncAzureOpenAI, AsyncOpenAI

from app.providers.addresses import AZURE_API_VERSION, OPENAI_BASE_URL
from app.runner.wire import ProviderSpec

NO_KEY = "none"


def build(spec: ProviderSpec, transport: httpx2.AsyncBaseTransport) -> AsyncOpenAI:
    """The client: it knows a provider's addresses and how it wants its key."""
    if spec.kind == "azure":
        return AsyncAzureOpenAI(
            azure_endpoint=spec.base_url or "",
            azure_deployment=spec.model,
            api_version=spec.api_version or AZURE_API_VERSION,
            **shared(spec, transport),
        )
    return AsyncOpenAI(base_url=spec.base_url or OPENAI_BASE_URL, **shared(spec, transport))


def reply_limit(spec: ProviderSpec) -> str:
    """The field that limits a reply. OpenAI's newer models refuse the old one; other servers may know no other."""
    if spec.kind == "azure":
        newer = (spec.api_version or AZURE_API_VERSION) >= "2024-09"
    else:
        newer = spec.kind == "openai" and (spec.base_url or OPENAI_BASE_URL).startswith(OPENAI_BASE_URL)
    return "max_completion_tokens" if newer else "max_tokens"


def shared(spec: ProviderSpec, transport: httpx2.AsyncBaseTransport) -> dict[str, Any]:
    """What every client is given. It never retries and never asks the network for anything else."""
    return {
        "api_key": spec.api_key or NO_KEY,
        "http_client": httpx2.AsyncClient(transport=transport, trust_env=False, timeout=None),
        "timeout": None,
        "max_retries": 0,
    }
