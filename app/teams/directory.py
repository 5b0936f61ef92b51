"""The teams as the web process offers them. Implements :class:`app.streaming.ports.Teams`; imports no AutoGen."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence

from app.errors import TeamUnknown
from app.runner.wire import OnAbandoned, TeamSpec
from app.teams.registry import DEBATE, find_teams


class TeamDirectory:
    """All teams by name; those whose module cannot be found are told as problems instead.

    :param entries: ``name=module:function`` each, from the setting TEAMS.
    :param on_abandoned: what happens to a team's runs that nobody watches, by its name; ``*`` for every other team.
    """

    default = DEBATE.name

    def __init__(self, entries: Sequence[str] = (), on_abandoned: Mapping[str, OnAbandoned] | None = None) -> None:
        rules = on_abandoned or {}
        self.problems: dict[str, str] = {}
        self._teams: dict[str, TeamSpec] = {}
        for name, team in find_teams(entries).items():
            problem = _missing(team.factory) if team.isolated else None
            if problem is None:
                self._teams[name] = team.model_copy(update={"on_abandoned": rules.get(name, rules.get("*"))})
            else:
                self.problems[name] = problem
        for name in set(rules) - set(self._teams) - {"*"}:
            self.problems.setdefault(name, "ON_ABANDONED names it, but there is no such team")

    def get(self, name: str) -> TeamSpec:
        """:raises TeamUnknown: when there is no such team, with what is wrong with it, or with those there are."""
        team = self._teams.get(name)
        if team is None and name in self.problems:
            raise TeamUnknown(f"the team {name!r} cannot be used: {self.problems[name]}")
        if team is None:
            raise TeamUnknown(f"there is no team {name[:100]!r}; there are: {', '.join(self._teams)}")
        return team

    def all(self) -> list[TeamSpec]:
        """The bundled ones first."""
        return list(self._teams.values())


def _missing(factory: str) -> str | None:
    top = factory.partition(":")[0].partition(".")[0]  # only this may be looked for without running the user's code
    if importlib.util.find_spec(top) is None:
        return f"there is no module {top} (is its folder on PYTHONPATH?)"
    return None
