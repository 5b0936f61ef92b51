"""The teams as the web process offers them. Implements :class:`app.streaming.ports.Teams`; imports no AutoGen."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.errors import TeamUnknown
from app.runner.wire import OnAbandoned, TeamSpec
from app.teams.descriptions import Descriptions, code_state
from app.teams.folder import ROUNDS, STUDIO, STUDIO_WITH_CODE, BrokenTeam, TeamFolder
from app.teams.registry import BUNDLED, DEBATE, Source, find_teams

_SOURCE_OF: dict[str, Source] = {ROUNDS: "rounds", STUDIO: "studio", STUDIO_WITH_CODE: "studio"}


@dataclass(frozen=True, slots=True)
class Offered:
    """A team that may be started.

    :param pending: its own code has not said yet who is in it.
    """

    spec: TeamSpec
    source: Source
    file: str | None
    pending: bool


class TeamDirectory:
    """All teams by name, those of files included, and what is wrong with the others. Safe to use from any thread.

    :param entries: ``name=module:function`` each, from the setting TEAMS.
    :param on_abandoned: what happens to a team's runs that nobody watches, by its name; ``*`` for every other team.
    :param folder: where team files lie; None: nowhere.
    :param descriptions: what teams say of themselves; None: only what can be read is known.
    """

    default = DEBATE.name

    def __init__(
        self,
        entries: Sequence[str] = (),
        on_abandoned: Mapping[str, OnAbandoned] | None = None,
        *,
        folder: TeamFolder | None = None,
        descriptions: Descriptions | None = None,
    ) -> None:
        self._rules = dict(on_abandoned or {})
        self._named = find_teams(entries)
        self._folder = folder
        self._descriptions = descriptions

    def get(self, name: str) -> TeamSpec:
        """:raises TeamUnknown: when there is no such team, with what is wrong with it, or with those there are."""
        teams, broken = self._look()
        team = teams.get(name)
        if team is not None:
            return self._described(team)
        problem = next((each for each in broken if each.name == name), None)
        if problem is not None:
            where = f"{problem.file}: " if problem.file else ""
            raise TeamUnknown(f"the team {name!r} cannot be used: {where}{problem.error}"[:1000])
        raise TeamUnknown(f"there is no team {name[:100]!r}; there are: {', '.join(list(teams)[:30])}")

    def all(self) -> list[TeamSpec]:
        """Those that may be started, the bundled ones first."""
        return [each.spec for each in self.offered()]

    def offered(self) -> list[Offered]:
        """Those that may be started, the bundled ones first; those whose own code fails are among :meth:`broken`."""
        teams, _ = self._look()
        return [
            Offered(
                self._described(team),
                source_of(team),
                self._folder.shown(team.file) if team.file and self._folder else None,
                pending=self._descriptions is not None and self._descriptions.pending(team),
            )
            for team in teams.values()
            if self._problem(team) is None
        ]

    def broken(self) -> list[BrokenTeam]:
        """Those that cannot be started."""
        teams, broken = self._look()
        for team in teams.values():
            problem = self._problem(team)
            if problem is not None:
                file = self._folder.shown(team.file) if team.file and self._folder else None
                broken.append(BrokenTeam(team.name, problem, file))
        return broken

    def _look(self) -> tuple[dict[str, TeamSpec], list[BrokenTeam]]:
        """What can be told without any team's own code."""
        teams: dict[str, TeamSpec] = {}
        broken: list[BrokenTeam] = []
        for name, team in self._named.items():
            problem = _missing(team.factory) if team.isolated else None
            if problem is None:
                teams[name] = team
            else:
                broken.append(BrokenTeam(name, problem))
        found, unreadable = self._folder.look() if self._folder else ([], [])
        for team in found:
            if team.name in teams or team.name in self._named:
                file = self._folder.shown(team.file or "") if self._folder else None
                broken.append(BrokenTeam(team.name, f"{_owner(teams.get(team.name))} has this name: rename it", file))
            else:
                teams[team.name] = team
        broken += unreadable
        known = {*teams, *(each.name for each in broken), "*"}
        broken += [
            BrokenTeam(name, "ON_ABANDONED names it, but there is no such team") for name in self._rules.keys() - known
        ]
        every = self._rules.get("*")
        return (
            {
                name: team.model_copy(update={"on_abandoned": self._rules.get(name, every), "version": _version(team)})
                for name, team in teams.items()
            },
            broken,
        )

    def _described(self, team: TeamSpec) -> TeamSpec:
        return self._descriptions.completed(team) if self._descriptions is not None else team

    def _problem(self, team: TeamSpec) -> str | None:
        return self._descriptions.problem(team) if self._descriptions is not None else None


def source_of(team: TeamSpec) -> Source:
    """Where a team comes from."""
    if team in BUNDLED or (not team.isolated and team.file is None):
        return "bundled"
    return _SOURCE_OF.get(team.factory, "python")


def _version(team: TeamSpec) -> str:
    """Files are read for each run, Python's modules once for each process."""
    return str(code_state(team.factory) or "") if team.isolated and team.file is None else ""


def _owner(team: TeamSpec | None) -> str:
    if team is None:
        return "a team of the setting TEAMS"
    match source_of(team):
        case "bundled":
            return "a bundled team"
        case "python":
            return "a team of TEAMS or of an installed package"
    return "another file's team"


def _missing(factory: str) -> str | None:
    top = factory.partition(":")[0].partition(".")[0]  # only this may be looked for without running the user's code
    try:
        found = importlib.util.find_spec(top)
    except (ImportError, ValueError) as error:
        return f"the module {top} cannot be found: {type(error).__name__}"
    if found is None:
        return f"there is no module {top} (is its folder on PYTHONPATH?)"
    return None
