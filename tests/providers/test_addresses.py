"""Where Ollama is, as its own setting says it; and what people copy from their providers' pages."""

from __future__ import annotations

import pytest

from app.providers.addresses import ollama_url, without_call
from app.settings import Settings


@pytest.mark.parametrize(
    ("host", "url"),
    [
        (None, "http://127.0.0.1:11434/v1"),
        ("box", "http://box:11434/v1"),
        ("box:8080", "http://box:8080/v1"),
        (":8080", "http://127.0.0.1:8080/v1"),
        ("0.0.0.0", "http://127.0.0.1:11434/v1"),
        ("[::]:9", "http://[::1]:9/v1"),
        ("http://box:11434/", "http://box:11434/v1"),
        ("http://box:11434/v1/", "http://box:11434/v1"),
        ("https://ollama.example/api", "https://ollama.example/api/v1"),
    ],
)
def test_every_way_to_write_it(host: str | None, url: str) -> None:
    """A server that listens everywhere is asked on this machine."""
    assert ollama_url(host) == url


AZURE = "https://name.openai.azure.com"


@pytest.mark.parametrize(
    ("copied", "address"),
    [
        (f"{AZURE}/openai/deployments/gpt/chat/completions?api-version=2024-10-21", AZURE),
        ("http://127.0.0.1:8000/v1/chat/completions", "http://127.0.0.1:8000/v1"),
        ("https://openai/v1", "https://openai/v1"),
        (f"{AZURE}/openai/v1", f"{AZURE}/openai/v1"),
    ],
)
def test_the_address_of_a_call_is_that_of_its_server(copied: str, address: str) -> None:
    """In the environment as on the settings page."""
    assert without_call(copied) == address
    assert Settings(_env_file=None, openai_base_url=copied).openai_base_url == address  # type: ignore[call-arg]
