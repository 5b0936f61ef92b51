"""MagenticOne: an orchestrator that plans, keeps a ledger of its progress, and asks an analyst of crypto markets."""

from __future__ import annotations

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.teams import MagenticOneGroupChat
from autogen_core.models import ChatCompletionClient

from app.tools.crypto import get_crypto_price
from app.tools.functions import as_tool
from app.tools.guard import guarded

MAX_TURNS = 15
_SYSTEM = (
    "You are an analyst of cryptocurrency markets. Look prices up with your tool; never invent one. "
    "Where the tool fails, say so and why, and go on with what is known without it. Be brief, and use Markdown."
)


def team(model_client: ChatCompletionClient) -> MagenticOneGroupChat:
    """One agent with one tool, orchestrated."""
    analyst = AssistantAgent(
        "CryptoMarketAnalyst",
        model_client=model_client,
        description="Knows cryptocurrency markets, and looks up current prices.",
        system_message=_SYSTEM,
        tools=[as_tool(guarded(get_crypto_price))],
        reflect_on_tool_use=True,
        model_client_stream=True,
    )
    return MagenticOneGroupChat([analyst], model_client=model_client, max_turns=MAX_TURNS)
