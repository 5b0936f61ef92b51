"""From what went wrong on the wire to the typed errors of ``app.errors``. Pure; no key, no content in messages."""

from __future__ import annotations

import json
import ssl
from typing import Any

import httpx2

from app.errors import ModelError, ModelRejected, ModelUnavailable
from app.runner.wire import ProviderSpec

_CONTEXT = (
    "context_length",
    "context length",
    "context size",
    "context window",
    "context_size",
    "maximum context",
    "too many tokens",
    "prompt is too long",
    "reduce the length",
    "exceed context limit",
    "exceeds the maximum number of tokens",
)
_POLICY = (
    "content_filter",
    "content_policy",
    "content policy",
    "content management policy",
    "responsibleai",
    "safety system",
)
_UNPAID = ("credit balance is too low", "insufficient_quota", "billing_error")
_ANTHROPIC_STATUS = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""The status that an error within Anthropic's stream would have had before it."""


def from_exception(error: Exception, spec: ProviderSpec, *, began: bool) -> ModelUnavailable:
    """A transport failure; ``began`` says whether the reply had begun."""
    if began:
        return ModelUnavailable(f"{spec.name} broke off in the middle of its reply", code="model_broken")
    if isinstance(error, httpx2.ConnectTimeout | httpx2.PoolTimeout):
        return ModelUnavailable(f"{spec.name} cannot be reached: no connection in time", code="model_unreachable")
    if isinstance(error, httpx2.ConnectError | httpx2.ProxyError):
        return ModelUnavailable(f"{spec.name} cannot be reached: {_why(error)}", code="model_unreachable")
    if isinstance(error, httpx2.UnsupportedProtocol | httpx2.InvalidURL):
        return ModelUnavailable(f"{spec.name} has no valid address", code="model_unreachable")
    if isinstance(error, httpx2.TimeoutException):
        return ModelUnavailable(f"{spec.name} does not answer", code="model_stalled")
    return ModelUnavailable(f"{spec.name} closed the connection without an answer", code="model_broken")


def from_status(status: int, body: bytes, spec: ProviderSpec) -> ModelError:
    """An HTTP status other than success."""
    detail = _detail(body)
    text = json.dumps(detail).lower() if detail else body[:4000].decode("utf-8", "replace").lower()
    name = spec.name
    if status == 402 or any(word in text for word in _UNPAID):
        return ModelUnavailable(f"{name} wants to be paid: its credit is used up ({status})", code="model_rate_limited")
    if status in (401, 403):
        return ModelUnavailable(f"{name} does not accept the key ({status})", code="model_unauthorized")
    if status == 404 and spec.kind == "ollama" and spec.model.lower() in text:
        sentence = f"{name} does not have the model {spec.model}: `ollama pull {spec.model}` fetches it"
        return ModelUnavailable(sentence, code="model_not_found")
    if status == 404:
        return ModelUnavailable(f"{name} does not know the model or the address (404)", code="model_not_found")
    if status == 429:
        return ModelUnavailable(f"{name} is rate-limited or out of quota (429)", code="model_rate_limited")
    if status >= 500:
        return ModelUnavailable(f"{name} failed ({status})", code="model_server_error")
    if status == 408:
        return ModelUnavailable(f"{name} timed out (408)", code="model_stalled")
    if status < 400:
        return ModelUnavailable(f"{name} answers with a redirection ({status})", code="model_unreachable")
    if status == 413 or any(word in text for word in _CONTEXT):
        return ModelRejected(f"the conversation is too long for {spec.label or spec.model}", code="context_overflow")
    if any(word in text for word in _POLICY):
        return ModelRejected(f"{name} refused the content by its policy", code="content_refused")
    reason = _sentence(detail, spec)
    return ModelRejected(f"{name} rejected the request ({status}){reason}", code="model_bad_request")


def from_stream_error(document: dict[str, Any], spec: ProviderSpec) -> ModelError:
    """An error object within a stream whose status was 200."""
    error = document.get("error")
    status = error.get("code") if isinstance(error, dict) else None
    if spec.kind == "anthropic" and isinstance(error, dict):
        status = _ANTHROPIC_STATUS.get(str(error.get("type")))
    text = json.dumps(document)
    if isinstance(status, int) and 400 <= status < 600:
        return from_status(status, text.encode(), spec)
    lowered = text.lower()
    if any(word in lowered for word in _CONTEXT) or any(word in lowered for word in _POLICY):
        return from_status(400, text.encode(), spec)
    return ModelUnavailable(f"{spec.name} failed in the middle of its reply", code="model_server_error")


def refused(spec: ProviderSpec) -> ModelRejected:
    """The reply was cut off by the provider's content filter."""
    return ModelRejected(f"{spec.name} withheld the reply by its content policy", code="content_refused")


def stalled(spec: ProviderSpec, why: str) -> ModelUnavailable:
    return ModelUnavailable(f"{spec.name} is silent: {why}", code="model_stalled")


def _why(error: BaseException) -> str:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLError):
            return "TLS failed"
        if isinstance(seen, ConnectionRefusedError):
            return "connection refused"
        if isinstance(seen, OSError) and seen.errno is not None and seen.errno < 0:
            return "its name is unknown (DNS)"
        seen = seen.__cause__ or seen.__context__
    return "connection failed"


def _detail(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except ValueError:
        return {}
    error = document.get("error") if isinstance(document, dict) else None
    return error if isinstance(error, dict) else document if isinstance(document, dict) else {}


def _sentence(detail: dict[str, Any], spec: ProviderSpec) -> str:
    message = detail.get("message")
    if not isinstance(message, str) or not message:
        return ""
    if spec.api_key:
        message = message.replace(spec.api_key, "…")
    return f": {message[:200]}"
