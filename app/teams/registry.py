"""The known teams: the bundled ones, those that the setting TEAMS names, and those that packages offer.

Imported by the web process, so it imports no AutoGen: a factory is only a name here, called in a runner.
"""

from __future__ import annotations

import importlib.util
import logging
from importlib.metadata import entry_points

from app.errors import TeamUnknown
from app.protocol.common import AgentCard
from app.runner.wire import TeamSpec

logger = logging.getLogger(__name__)

ENTRY_POINT_GROUP = "colloquy.teams"

BUNDLED: tuple[TeamSpec, ...] = (
    TeamSpec(
        name="debate",
        title="Financial debate",
        description="Three analysts argue in turn, then agree on a consensus as far as they can.",
        factory="app.teams.debate:team",
        agents=(
            AgentCard(name="Financial Analyst", description="reads the figures", emoji="📊"),
            AgentCard(name="Market Context", description="sees the wider market", emoji="🌍"),
            AgentCard(name="Risk Challenger", description="looks for what may go wrong", emoji="⚠️"),
        ),
    ),
    TeamSpec(
        name="chat",
        title="Chat",
        description="One helpful assistant.",
        factory="app.teams.chat:team",
        agents=(AgentCard(name="Assistant", description="answers", emoji="💬"),),
    ),
)


class TeamRegistry:
    """All teams by name. A later one does not replace an earlier one of the same name.

    :param entries: ``name=module:function`` each, from the setting TEAMS.
    """

    default = "debate"

    def __init__(self, entries: tuple[str, ...] = ()) -> None:
        self.problems: dict[str, str] = {}
        self._teams = {team.name: team for team in BUNDLED}
        for entry in entries:
            name, _, factory = entry.partition("=")
            self._add(name.strip(), factory.strip())
        for point in entry_points(group=ENTRY_POINT_GROUP):
            self._add(point.name, point.value)

    def get(self, name: str) -> TeamSpec:
        """:raises TeamUnknown: when there is no such team."""
        team = self._teams.get(name)
        if team is None:
            raise TeamUnknown(f"there is no team {name[:100]!r}; there are: {', '.join(self._teams)}")
        return team

    def all(self) -> list[TeamSpec]:
        """The bundled ones first."""
        return list(self._teams.values())

    def _add(self, name: str, factory: str) -> None:
        if name in self._teams:
            self.problems[name] = "the name is taken by another team"
            return
        module = factory.partition(":")[0]
        try:
            found = importlib.util.find_spec(module)
        except (ImportError, ValueError) as error:
            self.problems[name] = f"{module} cannot be found: {error}"
            return
        if found is None:
            self.problems[name] = f"there is no module {module} (is its folder on PYTHONPATH?)"
            return
        self._teams[name] = TeamSpec(
            name=name, title=name.replace("_", " ").replace("-", " ").title(), factory=factory, isolated=True
        )
