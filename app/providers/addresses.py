"""Where the providers' servers are, when nobody has said so; and how such addresses are written."""

from __future__ import annotations

from urllib.parse import urlsplit

OPENAI_BASE_URL = "https://api.openai.com/v1"
ANTHROPIC_BASE_URL = "https://api.anthropic.com"
OLLAMA_HOST = "http://127.0.0.1:11434"
OLLAMA_PORT = 11434
AZURE_API_VERSION = "2024-10-21"


def ollama_url(host: str | None) -> str:
    """The OpenAI-compatible address of an Ollama server.

    :param host: as Ollama's own ``OLLAMA_HOST`` takes it: ``http://box:11434``, ``box``, ``:8080``; None: this machine.
    """
    given = (host or OLLAMA_HOST).strip().rstrip("/")
    parts = urlsplit(given if "://" in given else f"http://{given}")
    name = parts.hostname or "127.0.0.1"
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(name, name)  # where it listens is not where it is
    port = parts.port or (None if parts.scheme == "https" else OLLAMA_PORT)
    shown = f"[{name}]" if ":" in name else name
    path = parts.path.removesuffix("/v1").rstrip("/")
    return f"{parts.scheme}://{shown}{f':{port}' if port else ''}{path}/v1"


def without_call(address: str) -> str:
    """The address that requests begin with, out of one that a provider's page shows for a single kind of call."""
    for call in ("/openai/deployments/", "/chat/completions"):
        address = address.partition(call)[0]
    return address


def base_url_of(kind: str, base_url: str | None) -> str | None:
    """The address that requests to a provider of this kind begin with, where it is known."""
    if kind == "ollama":
        return ollama_url(base_url)
    return base_url or {"openai": OPENAI_BASE_URL, "anthropic": ANTHROPIC_BASE_URL}.get(kind)
