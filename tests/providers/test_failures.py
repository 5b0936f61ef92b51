"""What providers answer when they refuse, in their own words, and what the room is told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.errors import ModelRejected, ModelUnavailable
from app.providers.failures import from_status, from_stream_error
from app.runner.wire import ProviderSpec


def spec(kind: Any = "openai", model: str = "m") -> ProviderSpec:
    return ProviderSpec(name=kind, kind=kind, model=model, api_key="sk-secret")


AZURE_FILTER = {"error": {
    "message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
    "type": None, "param": "prompt", "code": "content_filter", "status": 400,
    "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {"hate": {"filtered": True}}},
}}  # fmt: skip
GEMINI_LONG = [{"error": {"code": 400, "status": "INVALID_ARGUMENT", "message":
    "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."}}]  # fmt: skip
LLAMACPP_LONG = {"error": {"code": 400, "type": "exceed_context_size_error", "n_ctx": 4096,
    "message": "the request exceeds the available context size, try increasing it"}}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "body", "code"),
    [
        ("azure", AZURE_FILTER, "content_refused"),
        ("openai", GEMINI_LONG, "context_overflow"),
        ("openai", LLAMACPP_LONG, "context_overflow"),
        ("openai", {"error": {"message": "Unknown field: x"}}, "model_bad_request"),
        ("openai", {"detail": "no"}, "model_bad_request"),
    ],
)
def test_a_request_that_nobody_would_answer(kind: str, body: object, code: str) -> None:
    """Another provider is not asked."""
    error = from_status(400, json.dumps(body).encode(), spec(kind))
    assert isinstance(error, ModelRejected)
    assert error.error_code == code


def test_a_model_that_was_not_pulled() -> None:
    """Ollama answers so, and the sentence says what helps."""
    body = {"error": {"message": 'model "llama9" not found, try pulling it first', "type": "api_error"}}
    error = from_status(404, json.dumps(body).encode(), spec("ollama", "llama9"))
    assert isinstance(error, ModelUnavailable)
    assert error.error_code == "model_not_found"
    assert error.message == "ollama does not have the model llama9: `ollama pull llama9` fetches it"
    elsewhere = from_status(404, b"404 page not found", spec("ollama", "llama9"))
    assert elsewhere.message == "ollama does not know the model or the address (404)"


@pytest.mark.parametrize(
    ("kind", "error", "code"),
    [
        ("anthropic", {"type": "overloaded_error", "message": "Overloaded"}, "model_server_error"),
        ("anthropic", {"type": "rate_limit_error", "message": "Slow down"}, "model_rate_limited"),
        ("openai", {"code": 429, "message": "Provider returned error"}, "model_rate_limited"),  # OpenRouter
        ("openai", {"code": "server_error", "message": "Provider disconnected"}, "model_server_error"),
        ("openai", "the model has crashed", "model_server_error"),  # LM Studio
    ],
)
def test_an_error_in_mid_stream_is_the_providers_own(kind: str, error: object, code: str) -> None:
    """The next one goes on."""
    found = from_stream_error({"error": error}, spec(kind))
    assert isinstance(found, ModelUnavailable)
    assert found.error_code == code
