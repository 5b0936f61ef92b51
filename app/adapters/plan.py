"""From a team's factory to something that runs: the team itself, its agents' cards, its closing, its turns."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from autogen_agentchat.base import ChatAgent, Team
from autogen_agentchat.teams import BaseGroupChat, RoundRobinGroupChat, SelectorGroupChat
from autogen_core.models import ChatCompletionClient

from app.errors import TeamFailed
from app.protocol.common import AgentCard
from app.runner.wire import TeamSpec

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


async def load_team(spec: TeamSpec, client: ChatCompletionClient, max_turns: int | None) -> LoadedTeam:
    """Call the team's factory.

    :param max_turns: the caller's wish; it counts for teams that can step.
    :raises TeamFailed: the factory cannot be found, fails, or returns no team.
    """
    made = await _call_factory(spec, client)
    plan = made if isinstance(made, TeamPlan) else TeamPlan(made)
    team = plan.team
    if isinstance(team, ChatAgent) and not isinstance(team, Team):
        team = RoundRobinGroupChat([team], max_turns=1)
    if not isinstance(team, Team):
        raise TeamFailed(f"the team {spec.name} is no AutoGen team: its factory returned a {type(team).__name__}")
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


async def _call_factory(spec: TeamSpec, client: ChatCompletionClient) -> Any:
    module_name, _, function_name = spec.factory.partition(":")
    try:
        factory: Any = importlib.import_module(module_name)
        for part in function_name.split("."):
            factory = getattr(factory, part)
        made = factory(client)
        return await made if inspect.isawaitable(made) else made
    except Exception as error:  # a user's code may raise anything
        raise TeamFailed(f"the team {spec.name} cannot be built: {type(error).__name__}: {error}"[:500]) from error


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
