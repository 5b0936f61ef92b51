"""Which teams there are: the bundled ones, the entry points of installed packages, and those of the settings.

Imports no AutoGen: the web process reads this.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Literal

from app.protocol.common import AgentCard
from app.runner.wire import TeamSpec

ENTRY_POINT_GROUP = "colloquy.teams"

Source = Literal["bundled", "python", "studio", "rounds"]
"""Of this server · a Python factory · a file that AutoGen Studio has exported · a file with a round of prompts."""

DEBATE = TeamSpec(
    name="debate",
    title="Financial debate",
    description="Three finance experts look at your text in turn, then draw a conclusion together.",
    factory="app.teams.debate:team",
    generation="agentchat",
    agents=(
        AgentCard(name="Financial Analyst", description="Reads the figures: revenue, margins, valuation.", emoji="📊"),
        AgentCard(
            name="Market Context", description="Puts it beside the market, the sector and the times.", emoji="🌍"
        ),
        AgentCard(name="Risk Challenger", description="Looks for what could go wrong.", emoji="⚠️"),
    ),
)
CHAT = TeamSpec(
    name="chat",
    title="Assistant",
    description="One helpful assistant.",
    factory="app.teams.chat:team",
    generation="agentchat",
    agents=(AgentCard(name="Assistant", description="Answers questions.", emoji="💬"),),
)
MAGENTIC = TeamSpec(
    name="magentic",
    title="Magentic One",
    description="An orchestrator plans your task, has an analyst of crypto markets look things up, and sums up.",
    factory="app.teams.magentic:team",
    generation="agentchat",
    agents=(
        AgentCard(
            name="MagenticOneOrchestrator", description="Plans, keeps the ledgers, gives the answer.", emoji="🧭"
        ),
        AgentCard(name="CryptoMarketAnalyst", description="Looks up the prices of cryptocurrencies.", emoji="🪙"),
    ),
)
MARKET = TeamSpec(
    name="market",
    title="Market desk",
    description="An analyst looks share prices up (Apple, Amazon, Google, IBM, Microsoft, 2000 to 2010) and shows a "
    "chart; a challenger looks for what could go wrong.",
    factory="app.teams.market:team",
    generation="agentchat",
    agents=(
        AgentCard(name="Market Analyst", description="Looks prices up and shows charts.", emoji="📈"),
        AgentCard(name="Risk Challenger", description="Looks for what could go wrong.", emoji="⚠️"),
    ),
)
BUNDLED = (DEBATE, CHAT, MAGENTIC, MARKET)


def find_teams(entries: Sequence[str] = ()) -> dict[str, TeamSpec]:
    """All teams by name; a later one replaces an earlier one of the same name.

    :param entries: ``name=module:function`` from the settings; they win. Users' teams run in runners of their own.
    """
    teams = {spec.name: spec for spec in BUNDLED}
    for point in entry_points(group=ENTRY_POINT_GROUP):
        teams[point.name] = _own(point.name, point.value)
    for entry in entries:
        name, _, factory = entry.partition("=")
        teams[name.strip()] = _own(name.strip(), factory.strip())
    return teams


def _own(name: str, factory: str) -> TeamSpec:
    title = name.replace("_", " ").replace("-", " ").strip().capitalize()
    return TeamSpec(name=name, title=title, factory=factory, isolated=True)
