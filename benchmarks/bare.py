"""``python -m benchmarks.bare GENERATION URL RUNS WARM_UP MODEL``: the frameworks as their documents show them.

Each run is one agent that answers once, streamed. After one run with WARM_UP as its model, RUNS of them at once;
prints ``{"cpu_s", "tokens"}`` as JSON.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import threading
import warnings
from collections.abc import Awaitable, Callable
from typing import Any

QUESTION = "A question."


async def agentchat(url: str, model: str) -> int:
    """autogen-agentchat: an AssistantAgent, its stream read to the end."""
    from autogen_agentchat.agents import AssistantAgent
    from autogen_agentchat.messages import ModelClientStreamingChunkEvent
    from autogen_agentchat.teams import RoundRobinGroupChat
    from autogen_ext.models.openai import OpenAIChatCompletionClient

    info: Any = {
        "vision": False,
        "function_calling": True,
        "json_output": True,
        "structured_output": True,
        "family": "unknown",
    }
    client = OpenAIChatCompletionClient(model=model, base_url=url, api_key="sk-test", model_info=info)
    team = RoundRobinGroupChat([AssistantAgent("solo", client, model_client_stream=True)], max_turns=1)
    tokens = 0
    async for event in team.run_stream(task=QUESTION):
        tokens += isinstance(event, ModelClientStreamingChunkEvent)
    await client.close()
    return tokens


def classic(url: str, model: str, http_client: Any) -> int:
    """Classic AG2: two agents, of which one answers once, on an IOStream that counts."""
    from autogen import ConversableAgent
    from autogen.io import IOStream

    class Counting:
        tokens = 0

        def print(self, *_: Any, **__: Any) -> None:
            pass

        def input(self, *_: Any, **__: Any) -> str:
            return ""

        def send(self, message: Any) -> None:
            self.tokens += type(message).__name__ == "StreamEvent" and bool(message.content.content)

    entry = {"model": model, "base_url": url, "api_key": "sk-test", "stream": True, "price": [0, 0]}
    config: Any = {"config_list": [{**entry, "http_client": http_client}], "cache_seed": None}
    counting = Counting()
    answering = ConversableAgent("solo", llm_config=config, human_input_mode="NEVER")
    asking = ConversableAgent("user", llm_config=False, human_input_mode="NEVER")
    with IOStream.set_default(counting):  # type: ignore[arg-type]
        asking.initiate_chat(answering, message=QUESTION, max_turns=1)
    return counting.tokens


async def ag2(url: str, model: str) -> int:
    """ag2 1.x: an Agent, its stream subscribed to."""
    from ag2 import Agent
    from ag2.config import OpenAIConfig
    from ag2.events import ModelMessageChunk

    tokens = 0

    async def count(event: Any) -> None:
        nonlocal tokens
        tokens += isinstance(event, ModelMessageChunk)

    config = OpenAIConfig(model=model, base_url=url, api_key="sk-test", streaming=True)
    async with Agent("solo", "Be brief.", config=config).run(QUESTION) as run:
        run.stream.subscribe(count)
        await run.result()
    return tokens


async def in_threads(url: str, model: str, runs: int) -> int:
    """Classic AG2 is synchronous: a thread for each run, one HTTP client for all."""
    import httpx

    class Shared(httpx.Client):
        def __deepcopy__(self, memo: Any) -> Shared:
            return self

    shared = Shared(limits=httpx.Limits(max_connections=200))
    counts: list[int] = []
    threads = [threading.Thread(target=lambda: counts.append(classic(url, model, shared))) for _ in range(runs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        await asyncio.to_thread(thread.join)
    return sum(counts)


async def at_once(run: Callable[[str, str], Awaitable[int]], url: str, model: str, runs: int) -> int:
    return sum(await asyncio.gather(*(run(url, model) for _ in range(runs))))


async def main() -> None:
    generation, url, runs, warm_up, model = sys.argv[1], sys.argv[2], int(sys.argv[3]), *sys.argv[4:]

    async def play(count: int, model: str) -> int:
        if generation == "classic":
            return await in_threads(url, model, count)
        return await at_once(agentchat if generation == "agentchat" else ag2, url, model, count)

    await play(1, warm_up)
    before = _cpu_s()
    tokens = await play(runs, model)
    print(json.dumps({"cpu_s": _cpu_s() - before, "tokens": tokens}))


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    asyncio.run(main())
