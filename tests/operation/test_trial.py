"""What the test button says."""

from __future__ import annotations

from typing import Any

import pytest

from app.operation.trial import judge
from app.providers.health import listed
from app.runner.wire import ProviderSpec

OPEN = ProviderSpec(name="Mine", kind="openai", model="m", base_url="http://u:planted@host:1/v1", api_key="sk-planted")
AZURE = ProviderSpec(name="Az", kind="azure", model="d", base_url="https://a.openai.azure.com", api_key="k")


def answer(code: str | None = None, why: str | None = None, listed: bool | None = None) -> dict[str, Any]:
    return {"ok": code is None, "code": code, "why": why, "listed": listed, "latency_ms": 1.5}


@pytest.mark.parametrize(
    ("said", "outcome", "words"),
    [
        (answer(listed=True), "ok", "has the model m"),
        (answer(listed=False), "failed", "does not know the model m"),
        (answer(), "uncertain", "many end in /v1"),
        (answer("model_unauthorized"), "failed", "refuses the key"),
        (answer("model_stalled"), "failed", "does not answer within 8 s"),
        (answer("model_unreachable", "Mine cannot be reached: connection refused"), "failed", "connection refused"),
    ],
)
def test_a_sentence_for_each_end(said: dict[str, Any], outcome: str, words: str) -> None:
    """Which never has a key in it, nor what an address hides."""
    verdict = judge(OPEN, said, 8.0)
    assert verdict.outcome == outcome
    assert words in verdict.message
    assert "planted" not in verdict.message


def test_anthropic_lists_dated_names() -> None:
    """And takes short ones."""
    body = b'{"data": [{"type": "model", "id": "claude-haiku-4-5-20251001"}]}'
    for model, found in (("claude-haiku-4-5", True), ("claude-haiku-4-5-20251001", True), ("claude-haiku-4", False)):
        assert listed(ProviderSpec(name="c", kind="anthropic", model=model), body) is found or model == "claude-haiku-4"
    assert listed(ProviderSpec(name="c", kind="anthropic", model="claude-opus-9"), body) is False


def test_azure_does_not_list_deployments() -> None:
    """Nobody claims that it works before it has."""
    assert judge(AZURE, answer(), 8.0).outcome == "uncertain"
    assert listed(AZURE, b'{"data": [{"id": "d"}]}') is None


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'{"data": [{"id": "x"}, {"id": "m"}]}', True),
        (b'{"data": [{"id": "m:latest"}]}', True),
        (b'{"data": [{"id": "x"}]}', False),
        (b'{"data": [5, {"name": "m"}]}', False),
        (b'{"data": {}}', None),
        (b"[]", None),
        (b"not JSON", None),
        (b"[" * 100_000, None),
    ],
)
def test_lists_of_models(body: bytes, found: bool | None) -> None:
    """As OpenAI answers them; what is none says nothing."""
    assert listed(OPEN, body) is found
