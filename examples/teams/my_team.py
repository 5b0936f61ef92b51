"""A team in Python, for ``TEAMS=duet=my_team:team`` with this folder on PYTHONPATH: see docs/teams/python.md."""

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core.models import ChatCompletionClient


def team(model_client: ChatCompletionClient) -> RoundRobinGroupChat:
    """A poet writes two lines, a critic judges them."""
    poet = AssistantAgent(
        "Poet",
        model_client,
        description="Writes two lines.",
        system_message="Write two lines about what the user names.",
        model_client_stream=True,
    )
    critic = AssistantAgent(
        "Critic",
        model_client,
        description="Judges them.",
        system_message="Judge the poem in one sentence.",
        model_client_stream=True,
    )
    return RoundRobinGroupChat([poet, critic], max_turns=2)
