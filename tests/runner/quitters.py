"""Teams of every generation whose code wants to end the process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ag2 import Agent, tool
from autogen import ConversableAgent, LLMConfig, register_function
from autogen_agentchat.agents import AssistantAgent, BaseChatAgent
from autogen_agentchat.base import Response
from autogen_agentchat.messages import BaseChatMessage, TextMessage
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core import CancellationToken
from autogen_core.models import ChatCompletionClient

from app.adapters.classic_plan import ClassicPlan


def leave() -> str:
    """As scripts do at their end."""
    raise SystemExit(3)


async def interrupt() -> str:
    """As if somebody had pressed Ctrl-C."""
    raise KeyboardInterrupt


class Quitter(BaseChatAgent):
    """An agent that does so itself."""

    produced_message_types = (TextMessage,)

    async def on_messages(self, messages: Sequence[BaseChatMessage], cancellation_token: CancellationToken) -> Response:
        raise SystemExit

    async def on_reset(self, cancellation_token: CancellationToken) -> None:
        return


def agentchat(model_client: ChatCompletionClient) -> AssistantAgent:
    return AssistantAgent("helper", model_client, tools=[leave, interrupt], model_client_stream=True)


def agentchat_agent(model_client: ChatCompletionClient) -> RoundRobinGroupChat:
    return RoundRobinGroupChat([Quitter("quitter", "It leaves.")])


def agentchat_factory(model_client: ChatCompletionClient) -> RoundRobinGroupChat:
    raise SystemExit("no model is good enough")


def classic(llm_config: LLMConfig) -> ClassicPlan:
    proxy = ConversableAgent("proxy", human_input_mode="NEVER")
    assistant = ConversableAgent("assistant", llm_config=llm_config, human_input_mode="NEVER")
    for each in (leave, interrupt):
        register_function(each, caller=assistant, executor=proxy, description="A tool.")
    return ClassicPlan(proxy, assistant, max_turns=3)


def ag2(model_config: Any) -> Agent[Any]:
    return Agent(
        "assistant", config=model_config, tools=[tool(leave, sync_to_thread=False), leave_in_thread, interrupt]
    )


def leave_in_thread() -> str:
    """The same, where ag2 calls it in a thread."""
    raise SystemExit(3)
