"""Whether the configured models answer, for the readiness check and for who has just configured one."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Any

import httpx2

from app.errors import ModelError
from app.providers import anthropic, failures
from app.providers.addresses import OPENAI_BASE_URL
from app.providers.network import Network
from app.runner.wire import ProviderSpec

_MAX_LIST_BYTES = 8_000_000  # the longest lists of models known have half a megabyte


async def ask_providers(
    network: Network, providers: Sequence[ProviderSpec], timeout_s: float, *, look: bool = False
) -> dict[str, Any]:
    """Per provider ``{ok, code, latency_ms, model}``; ``code`` is an error's stable code, null where it answers.

    :param look: also ``why``, a sentence of ours, and ``listed``: whether the model stands in the provider's list; null
        where there is none, or where it says nothing about deployments (Azure). Nothing of a body is ever passed on.
    """
    answers = await asyncio.gather(*(_ask(network, spec, timeout_s, look) for spec in providers))
    return {spec.name: answer for spec, answer in zip(providers, answers, strict=True)}


async def _ask(network: Network, spec: ProviderSpec, timeout_s: float, look: bool) -> dict[str, Any]:
    began = time.monotonic()
    failure, body = await _failure(network, spec, timeout_s, _MAX_LIST_BYTES if look else 0)
    latency_ms = round((time.monotonic() - began) * 1000, 1)
    answer: dict[str, Any] = {
        "ok": failure is None,
        "code": failure.error_code if failure else None,
        "latency_ms": latency_ms,
        "model": spec.label or spec.model,
        "circuit": network.circuits.of(spec).state,
    }
    if look:
        answer |= {"why": failure.message if failure else None, "listed": listed(spec, body)}
    return answer


async def _failure(
    network: Network, spec: ProviderSpec, timeout_s: float, max_bytes: int
) -> tuple[ModelError | None, bytes]:
    url, headers = _list_of_models(spec)
    try:
        answer = await network.fetch(httpx2.URL(url), headers, timeout_s, max_bytes=max_bytes)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        return failures.from_exception(error, spec, began=False), b""
    if answer is None:
        return failures.stalled(spec, "no answer in time"), b""
    status, body = answer
    # A server without a list of models (404) is alive; a refused key is not.
    if status in (401, 403, 429) or status >= 500:
        return failures.from_status(status, b"", spec), b""
    return None, body if status == 200 else b""


def _list_of_models(spec: ProviderSpec) -> tuple[str, httpx2.Headers]:
    """Where the provider's list of models is, and what it wants to be told."""
    base = (spec.base_url or OPENAI_BASE_URL).rstrip("/")
    headers = httpx2.Headers({"user-agent": "Colloquy"})
    if spec.kind == "anthropic":
        headers.update(anthropic.headers(spec))
        return f"{str(anthropic.messages_url(spec)).removesuffix('/messages')}/models?limit=1000", headers
    if spec.kind == "azure":
        headers["api-key"] = spec.api_key or ""
        return f"{base}/openai/models?api-version={spec.api_version}", headers
    if spec.api_key:
        headers["authorization"] = f"Bearer {spec.api_key}"
    return f"{base}/models", headers


def listed(spec: ProviderSpec, body: bytes) -> bool | None:
    """Whether a list of models, as OpenAI's API answers it, has this one; None where it cannot say."""
    if spec.kind == "azure":
        return None  # it lists models, where we name a deployment
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    entries = document.get("data") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        return None
    names = {str(each["id"]) for each in entries if isinstance(each, dict) and "id" in each}
    if spec.kind == "anthropic":  # it lists dated names, and takes short ones, too
        short = spec.model.removesuffix("-latest")
        return any(name == short or name.startswith(f"{short}-") for name in names)
    return not names.isdisjoint((spec.model, f"{spec.model}:latest", f"models/{spec.model}"))  # Ollama, Gemini
