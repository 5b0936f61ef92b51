"""Who is in a team, nested teams included: participants, managers that speak for nobody, people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from autogen_agentchat.agents import SocietyOfMindAgent, UserProxyAgent
from autogen_agentchat.base import ChatAgent, Team
from autogen_agentchat.teams import BaseGroupChat, MagenticOneGroupChat
from pydantic import BaseModel


@dataclass(slots=True)
class TeamTree:
    """Names as AutoGen knows them.

    :param speakers: direct participants that are agents: each of their messages is a turn of the team.
    :param agents: every agent, at any depth.
    :param selectors: managers that ask a model only who speaks next.
    :param orchestrators: managers of MagenticOne: they plan, keep ledgers and give the final answer.
    :param people: stand-ins for a person.
    :param teams: the team and those in it.
    :param structures: what agents answer with instead of words (``output_content_type``).
    """

    speakers: set[str] = field(default_factory=set)
    agents: set[str] = field(default_factory=set)
    selectors: set[str] = field(default_factory=set)
    orchestrators: set[str] = field(default_factory=set)
    people: list[UserProxyAgent] = field(default_factory=list)
    societies: list[SocietyOfMindAgent] = field(default_factory=list)
    teams: list[BaseGroupChat] = field(default_factory=list)
    structures: list[type[BaseModel]] = field(default_factory=list)

    @property
    def stand_ins(self) -> set[str]:
        """The names of those who speak for a person."""
        return {person.name for person in self.people}


def tree_of(team: Team) -> TeamTree:
    """Look through a team. AutoGen has no public way to ask; what is no group chat of its own shows nothing."""
    tree = TeamTree(speakers={each.name for each in members_of(team) if not isinstance(each, Team)})
    _walk(team, tree)
    return tree


def members_of(team: object) -> list[ChatAgent | Team]:
    """Its direct participants; none where it has none to show."""
    found = getattr(team, "_participants", ())
    return [each for each in found if isinstance(each, ChatAgent | Team)]


def _walk(team: object, tree: TeamTree) -> None:
    if isinstance(team, BaseGroupChat):
        tree.teams.append(team)
        managers = tree.orchestrators if isinstance(team, MagenticOneGroupChat) else tree.selectors
        managers.add(team._group_chat_manager_name)
    for member in members_of(team):
        if isinstance(member, Team):
            _walk(member, tree)
            continue
        tree.agents.add(member.name)
        structure = getattr(member, "_output_content_type", None)
        if isinstance(structure, type):
            tree.structures.append(structure)
        if isinstance(member, UserProxyAgent):
            tree.people.append(member)
        elif isinstance(member, SocietyOfMindAgent):
            tree.societies.append(member)
        for inner in _inner_teams(member):
            _walk(inner, tree)


def _inner_teams(agent: ChatAgent) -> Iterator[Team]:
    """The team that an agent speaks for, as SocietyOfMindAgent does; or an agent that it wraps."""
    inner = getattr(agent, "_team", None)
    if isinstance(inner, Team):
        yield inner
