"""Teams of every generation whose code wants to end the process. Each imports its own generation alone."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def leave() -> str:
    """As scripts do at their end."""
    raise SystemExit(3)


def leave_in_thread() -> str:
    """The same, where ag2 calls it in a thread."""
    raise SystemExit(3)


async def interrupt() -> str:
    """As if somebody had pressed Ctrl-C."""
    raise KeyboardInterrupt


def agentchat(model_client: Any) -> Any:
    from autogen_agentchat.agents import AssistantAgent

    return AssistantAgent("helper", model_client, tools=[leave, interrupt], model_client_stream=True)


def agentchat_agent(model_client: Any) -> Any:
    """An agent that leaves itself."""
    from autogen_agentchat.agents import BaseChatAgent
    from autogen_agentchat.messages import TextMessage
    from autogen_agentchat.teams import RoundRobinGroupChat

    class Quitter(BaseChatAgent):
        produced_message_types = (TextMessage,)

        async def on_messages(self, messages: Sequence[Any], cancellation_token: Any) -> Any:
            raise SystemExit

        async def on_reset(self, cancellation_token: Any) -> None:
            return

    return RoundRobinGroupChat([Quitter("quitter", "It leaves.")])


def agentchat_factory(model_client: Any) -> Any:
    raise SystemExit("no model is good enough")


async def forking(model_client: Any) -> Any:
    """It leaves a process behind, and never gets ready."""
    if os.fork() == 0:
        signal.pause()
    await asyncio.Event().wait()


def blocking(model_client: Any, file: str) -> Any:
    """It blocks its process until somebody writes into a pipe."""
    Path(file).read_text(encoding="ascii")
    raise ValueError("released")


def classic(llm_config: Any) -> Any:
    from autogen import ConversableAgent, register_function

    from app.adapters.classic_plan import ClassicPlan

    proxy = ConversableAgent("proxy", human_input_mode="NEVER")
    assistant = ConversableAgent("assistant", llm_config=llm_config, human_input_mode="NEVER")
    for each in (leave, interrupt):
        register_function(each, caller=assistant, executor=proxy, description="A tool.")
    return ClassicPlan(proxy, assistant, max_turns=3)


def ag2(model_config: Any) -> Any:
    from ag2 import Agent, tool

    tools = [tool(leave, sync_to_thread=False), leave_in_thread, interrupt]
    return Agent("assistant", config=model_config, tools=tools)
