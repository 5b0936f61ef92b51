"""The market desk: an analyst who looks share prices up and shows charts, then a challenger of what he says."""

from __future__ import annotations

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core.models import ChatCompletionClient
from autogen_core.tools import StaticWorkbench

from app.adapters.plan import TeamPlan
from app.providers.client import calls_functions
from app.teams.debate import conclude
from app.tools import finance, mcp
from app.tools.functions import as_tool
from app.tools.pages import read_page

TURNS = 2
MAX_ROUNDS = 4
_STYLE = "Write one short paragraph of at most 80 words. End with how sure you are, as in: Confidence: 70%"
_ANALYST = (
    "You are the Market Analyst. Explain what the figures of your tools say about the share. "
    "Never invent a figure: where a tool fails, say what it says."
)
_MANY_TOOLS = "Look the figures up first, and show a chart of what you speak of."
_CHALLENGER = (
    "You are the Risk Challenger. Name the two greatest risks that the Market Analyst has missed, and explain why the "
    "past says little about the future of this share."
)


async def team(model_client: ChatCompletionClient) -> TeamPlan:
    """Two agents, one turn each. A model that calls no functions has one tool to choose, and one round of it.

    :raises TeamFailed: MCP_SERVERS names servers that cannot be used.
    """
    able = calls_functions(model_client)
    functions = [*finance.TOOLS, read_page] if able else finance.ONE_TOOL
    tools = StaticWorkbench([as_tool(function) for function in functions])
    analyst = AssistantAgent(
        "Market_Analyst",
        model_client=model_client,
        description="Looks prices up and shows charts",
        system_message=" ".join([_ANALYST, *([_MANY_TOOLS] if able else []), _STYLE]),
        workbench=[tools, *await mcp.workbenches()],
        max_tool_iterations=MAX_ROUNDS if able else 1,
        reflect_on_tool_use=True,
        model_client_stream=True,
    )
    challenger = AssistantAgent(
        "Risk_Challenger",
        model_client=model_client,
        description="Looks for what could go wrong",
        system_message=f"{_CHALLENGER} {_STYLE}",
        model_client_stream=True,
    )
    return TeamPlan(RoundRobinGroupChat([analyst, challenger], max_turns=TURNS), closing=conclude)
