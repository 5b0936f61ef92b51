"""The ``model_config`` that factories for ag2 1.x get: the run's models behind ag2's own OpenAI client."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import httpx2
from ag2.config import OpenAIConfig
from ag2.context import ConversationContext
from ag2.utils import AGENT_CONTEXT_DEPENDENCY_KEY

from app.adapters.ag2_room import ROOM
from app.providers.compat import BASE_URL, MODEL, Caller, CompatTransport, calling
from app.providers.model_run import ModelRun


class RunModelConfig(OpenAIConfig):
    """May be copied with other wishes (``model_config.copy(temperature=0.1)``), and given to any number of agents."""

    def create(self) -> Any:
        return NamedClient(super().create())


class Watched:
    """A model that a team has brought along: its words are heard as they come, and a pause holds them."""

    def __init__(self, config: Any) -> None:
        self._config = config

    def create(self) -> NamedClient:
        return NamedClient(self._config.create(), ours=False)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._config, name)


class NamedClient:
    """ag2's client, which says of each call whose it is, and has the room listen to the conversation it belongs to.

    :param ours: the run's models answer.
    """

    def __init__(self, client: Any, *, ours: bool = True) -> None:
        self._client = client
        self._ours = ours

    async def __call__(
        self,
        messages: Sequence[Any],
        context: ConversationContext,
        *,
        tools: Iterable[Any],
        response_schema: Any,
        serializer: Any,
    ) -> Any:
        """One call. Without an agent (a history is being summarised) its words are not for the room."""
        agent = context.dependencies.get(AGENT_CONTEXT_DEPENDENCY_KEY)
        room = ROOM.get()
        if agent is not None and room is not None:
            room.listen(context.stream, ours=self._ours)
        caller = Caller(agent.name) if agent is not None else Caller(speaks=False)
        with calling(caller):
            return await self._client(
                messages, context, tools=tools, response_schema=response_schema, serializer=serializer
            )


def model_config(run: ModelRun) -> RunModelConfig:
    """The run's models, for ag2."""
    http_client = httpx2.AsyncClient(transport=CompatTransport(run), trust_env=False, timeout=None)
    return RunModelConfig(
        model=MODEL, api_key="none", base_url=BASE_URL, streaming=True, max_retries=0, http_client=http_client
    )


def watch(agent: Any) -> None:
    """Have an agent's own model watched, where it has one."""
    if agent.config is not None and not isinstance(agent.config, RunModelConfig | Watched):
        agent.config = Watched(agent.config)
