"""From what a team's factory returns to something that runs: the team itself, who is in it, its turns, its closing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from autogen_agentchat.base import ChatAgent, Team, TerminationCondition
from autogen_agentchat.messages import StructuredMessage
from autogen_agentchat.teams import (
    BaseGroupChat,
    GraphFlow,
    MagenticOneGroupChat,
    RoundRobinGroupChat,
    SelectorGroupChat,
    Swarm,
)
from autogen_core.models import ChatCompletionClient

from app.adapters.tree import TeamTree, tree_of
from app.errors import TeamFailed

STEPPABLE = (RoundRobinGroupChat, SelectorGroupChat, Swarm, GraphFlow)


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
    """A team ready to run.

    :param steps: it can be run one turn at a time, and so be resumed at any turn. Its ``condition`` was taken from it:
        whoever steps it must ask that after each turn.
    """

    team: Team
    closing: ClosingCall | None
    tree: TeamTree
    max_turns: int | None
    steps: bool
    condition: TerminationCondition | None = None

    @property
    def orchestrated(self) -> bool:
        """Whether it plans by itself, and gives a final answer."""
        return isinstance(self.team, MagenticOneGroupChat)


def load_team(made: Team | ChatAgent | TeamPlan, max_turns: int | None) -> LoadedTeam:
    """Make what a factory has returned ready to run.

    :param max_turns: the caller's wish, in place of the team's own figure.
    :raises TeamFailed: it is no team.
    """
    plan = made if isinstance(made, TeamPlan) else TeamPlan(made)
    team = plan.team
    if isinstance(team, ChatAgent) and not isinstance(team, Team):
        team = RoundRobinGroupChat([team], max_turns=1)
    if not isinstance(team, Team):
        raise TeamFailed(f"it is no AutoGen team: the factory returned a {type(team).__name__}")
    tree = tree_of(team)
    _expect_structures(tree)
    if not isinstance(team, BaseGroupChat):
        return LoadedTeam(team, plan.closing, tree, None, steps=False)
    # AutoGen has no public way to ask for these; it reads them when the team first runs.
    total = team._max_turns
    condition = team._termination_condition
    if isinstance(team, STEPPABLE):
        total = max_turns or total
        team._max_turns, team._termination_condition = 1, None
        return LoadedTeam(team, plan.closing, tree, total, steps=True, condition=condition)
    if max_turns is not None and isinstance(team, MagenticOneGroupChat):
        team._max_turns = total = max_turns
    return LoadedTeam(team, plan.closing, tree, total, steps=False)


def _expect_structures(tree: TeamTree) -> None:
    """Whoever answers with an object of a type is understood. AutoGen wants its teams to be told of each such type
    (``custom_message_types``), which nobody can do for the team that is made around a single agent.
    """
    for team in tree.teams:
        for structure in tree.structures:
            kind = StructuredMessage[structure]  # type: ignore[valid-type]
            if not team._message_factory.is_registered(kind):
                team._message_factory.register(kind)
