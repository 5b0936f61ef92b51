"""Where Ollama is, as its own setting says it."""

from __future__ import annotations

import pytest

from app.providers.addresses import ollama_url


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
