"""What tokens cost."""

from __future__ import annotations

from typing import Any

import pytest

from app.providers.prices import cost_usd
from app.runner.wire import ProviderSpec


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"kind": "openai", "model": "gpt-4o-mini"}, 0.15 + 0.06),
        ({"kind": "openai", "model": "gpt-4o-mini-2024-07-18"}, 0.15 + 0.06),
        ({"kind": "azure", "model": "gpt-4o-mini", "base_url": "https://x.openai.azure.com"}, 0.15 + 0.06),
        ({"kind": "anthropic", "model": "claude-haiku-4-5"}, 1.0 + 0.5),
        ({"kind": "openai", "model": "gpt-4o-mini", "base_url": "http://127.0.0.1:8000/v1"}, None),
        ({"kind": "openai", "model": "nobody-knows"}, None),
        ({"kind": "azure", "model": "my-deployment", "base_url": "https://x.openai.azure.com"}, None),
        ({"kind": "ollama", "model": "llama3.2"}, 0.0),
        ({"kind": "local", "model": "small"}, 0.0),
        ({"kind": "azure", "model": "mine", "prompt_price_usd": 2.0, "reply_price_usd": 10.0}, 2.0 + 1.0),
        ({"kind": "openai", "model": "gpt-4o-mini", "prompt_price_usd": 0.0}, 0.0),
        ({"kind": "ollama", "model": "llama3.2", "reply_price_usd": 1.0}, 0.1),
    ],
)
def test_a_million_read_and_a_tenth_of_it_written(fields: dict[str, Any], expected: float | None) -> None:
    """By the list, by the operator's word, or nobody knows: a server of one's own may call its model as it likes."""
    found = cost_usd(ProviderSpec(name="x", **fields), 1_000_000, 100_000)
    assert found == (None if expected is None else pytest.approx(expected))
