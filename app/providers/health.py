"""Whether the configured models answer, for the readiness check."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import httpx2

from app.providers import failures
from app.providers.network import Network
from app.providers.openai_clients import OPENAI_BASE_URL
from app.runner.wire import ProviderSpec


async def ask_providers(network: Network, providers: Sequence[ProviderSpec], timeout_s: float) -> dict[str, Any]:
    """Per provider ``{ok, code, latency_ms, model}``; ``code`` is an error's stable code, null where it answers."""
    answers = await asyncio.gather(*(_ask(network, spec, timeout_s) for spec in providers))
    return {spec.name: answer for spec, answer in zip(providers, answers, strict=True)}


async def _ask(network: Network, spec: ProviderSpec, timeout_s: float) -> dict[str, Any]:
    began = time.monotonic()
    code = await _failure(network, spec, timeout_s)
    latency_ms = round((time.monotonic() - began) * 1000, 1)
    return {"ok": code is None, "code": code, "latency_ms": latency_ms, "model": spec.label or spec.model}


async def _failure(network: Network, spec: ProviderSpec, timeout_s: float) -> str | None:
    base = (spec.base_url or OPENAI_BASE_URL).rstrip("/")
    headers = httpx2.Headers({"user-agent": "Colloquy"})
    if spec.kind == "azure":
        url = f"{base}/openai/models?api-version={spec.api_version}"
        headers["api-key"] = spec.api_key or ""
    else:
        url = f"{base}/models"
        if spec.api_key:
            headers["authorization"] = f"Bearer {spec.api_key}"
    try:
        status = await network.ask(httpx2.URL(url), headers, timeout_s)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        return failures.from_exception(error, spec, began=False).error_code
    if status is None:
        return "model_stalled"
    # A server without a list of models (404) is alive; a refused key is not.
    if status in (401, 403, 429) or status >= 500:
        return failures.from_status(status, b"", spec).error_code
    return None
