"""The plainest team: one assistant, one answer."""

from __future__ import annotations

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.base import Team
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core.models import ChatCompletionClient

SYSTEM = "You are a helpful assistant. Answer briefly and clearly. Say so when you do not know something."


def team(model_client: ChatCompletionClient) -> Team:
    """One assistant that answers once per user message and remembers what was said."""
    assistant = AssistantAgent("Assistant", model_client=model_client, system_message=SYSTEM, model_client_stream=True)
    return RoundRobinGroupChat([assistant], max_turns=1)
