"""The models of classic AG2's teams: the run's own as an ``LLMConfig``, and those that a team brings itself."""

from __future__ import annotations

import asyncio
from typing import Any

from autogen import LLMConfig, OpenAIWrapper

from app.adapters.base import RunPort
from app.adapters.classic_http import CrossingTransport, ThreadClient
from app.providers.compat import BASE_URL, MODEL
from app.providers.compat_threads import ThreadCompatTransport

MODEL_TIMEOUT_S = 600
"""AG2's patience with a model; the run's own limits (FIRST_TOKEN_TIMEOUT_S, STALL_TIMEOUT_S) are shorter."""


def llm_config(port: RunPort) -> LLMConfig:
    """The run's models, streaming. Call it on the runner's loop."""
    transport = ThreadCompatTransport(port.model, asyncio.get_running_loop())
    return LLMConfig(
        {
            "api_type": "openai",
            "model": MODEL,
            "base_url": BASE_URL,
            "api_key": "none",
            "http_client": ThreadClient(transport, MODEL_TIMEOUT_S),
            "max_retries": 0,
            "price": [0, 0],
            "stream": True,
        },
        timeout=MODEL_TIMEOUT_S,
        cache_seed=None,
    )


class OwnModels:
    """The models that the team of one run brings, with its own keys. They become gated and stoppable when first asked.

    :ivar name: of the model that was asked last; empty: the team brings none.
    """

    def __init__(self, port: RunPort) -> None:
        self.name = ""
        self._client = ThreadClient(CrossingTransport(port.model), MODEL_TIMEOUT_S)

    def adopt(self, wrapper: OpenAIWrapper) -> bool:
        """Let a wrapper's requests cross over. Returns whether its models are the team's own.

        Clients that are no OpenAI client, or that bring an HTTP client of their own, stay as they are: a stop reaches
        them with their next token.
        """
        own = False
        for client in wrapper._clients:
            openai_client: Any = getattr(client, "_oai_client", None)
            http_client = getattr(openai_client, "_client", None)
            if isinstance(http_client, ThreadClient) and http_client is not self._client:
                continue
            own = True
            if openai_client is not None and type(http_client).__module__.startswith("openai."):
                replaced = openai_client.with_options(http_client=self._client, max_retries=0)
                setattr(client, "_oai_client", replaced)  # noqa: B010  # AG2's type does not tell of it
        if own:
            self.name = str(wrapper._config_list[0].get("model") or "a model")
        return own
