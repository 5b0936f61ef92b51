"""From a team's factory to something that runs: the team itself, its agents' cards, its closing, its turns."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from autogen_agentchat.base import ChatAgent, Team
from autogen_agentchat.teams import BaseGroupChat, RoundRobinGroupChat, SelectorGroupChat
from autogen_core.models import ChatCompletionClient

from app.errors import TeamFailed
from app.protocol.common import AgentCard

DEFAULT_EMOJI = "🤖"


@dataclass(frozen=True, slots=True)
class Closing:
    """How a conversation ends. What no model made is null, with a reason."""

    consensus: str | None = None
    summary: str | None = None
    reason: str | None = None


ClosingCall = Callable[[ChatCompletionClient, Sequence[tuple[str, str]]], Awaitable[Closing]]


@dataclass(frozen=True, slots=True)
class TeamPlan:
    """What a factory may return instead of a bare team.

    :param closing: called with the model client and the (agent, text) pairs of this session when the team has ended.
    """

    team: Team | ChatAgent
    closing: ClosingCall | None = None


@dataclass(frozen=True, slots=True)
class LoadedTeam:
    """A team ready to run. ``steps``: it can be run one turn at a time, and so be resumed at any turn."""

    team: Team
    closing: ClosingCall | None
    participants: tuple[str, ...]
    max_turns: int | None
    steps: bool


def load_team(made: Team | ChatAgent | TeamPlan, max_turns: int | None) -> LoadedTeam:
    """Make what a factory has returned ready to run.

    :param max_turns: the caller's wish; it counts for teams that can step.
    :raises TeamFailed: it is no team.
    """
    plan = made if isinstance(made, TeamPlan) else TeamPlan(made)
    team = plan.team
    if isinstance(team, ChatAgent) and not isinstance(team, Team):
        team = RoundRobinGroupChat([team], max_turns=1)
    if not isinstance(team, Team):
        raise TeamFailed(f"it is no AutoGen team: the factory returned a {type(team).__name__}")
    # AutoGen has no public way to ask for these; it reads them when the team first runs.
    own_turns: int | None = getattr(team, "_max_turns", None)
    participants = tuple(agent.name for agent in getattr(team, "_participants", ()))
    steps = (
        isinstance(team, RoundRobinGroupChat | SelectorGroupChat)
        and own_turns is not None
        and getattr(team, "_termination_condition", None) is None
    )
    total = (max_turns or own_turns) if steps else own_turns
    if steps and isinstance(team, BaseGroupChat):
        team._max_turns = 1
    return LoadedTeam(team, plan.closing, participants, total, steps)


class Cast:
    """How agents appear: AgentChat names are identifiers (``Financial_Analyst``), people read ``Financial Analyst``."""

    def __init__(self, cards: Sequence[AgentCard]) -> None:
        self._cards = {_identifier(card.name): card for card in cards}

    def name(self, agent: str) -> str:
        """The display name; the agent's own where the team has no card for it."""
        card = self._cards.get(_identifier(agent))
        return card.name if card else agent

    def emoji(self, agent: str) -> str:
        card = self._cards.get(_identifier(agent))
        return (card.emoji if card else "") or DEFAULT_EMOJI


def _identifier(name: str) -> str:
    return re.sub(r"\W+", "_", name).lower()
