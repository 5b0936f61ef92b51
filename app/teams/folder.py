"""The folder of team files: each JSON or YAML file in it is a team, or says what is wrong with it.

It is looked at whenever teams are asked for; only files that have changed are read. Imports no AutoGen.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from app.runner.wire import TeamSpec
from app.teams.documents import SUFFIXES, Document, TeamFileError, dotted, read_document
from app.teams.names import one_line
from app.teams.rounds_file import read_rounds
from app.teams.studio_file import StudioTeam, loadable, looks_like_studio, teams_in

ROUNDS = "app.teams.rounds:team"
STUDIO = "app.teams.studio:team"
STUDIO_WITH_CODE = "app.teams.studio:trusted_team"
FRAGMENT = "#"  # in a spec's file: which of several teams of an export

_Stamp = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class BrokenTeam:
    """A team that was brought, and cannot be started.

    :param file: the file that it should have come from, by its folder and name.
    """

    name: str
    error: str
    file: str | None = None


@dataclass(frozen=True, slots=True)
class _Read:
    stamp: _Stamp
    teams: tuple[TeamSpec, ...]
    broken: tuple[BrokenTeam, ...]


class TeamFolder:
    """The teams of a folder. Safe to use from any thread: at worst a file is read twice.

    :param folder: one that is not there is one without files.
    :param allow_code: whether files may bring code and unknown components.
    """

    def __init__(self, folder: Path, *, allow_code: bool = False) -> None:
        self._folder = folder
        self._allow_code = allow_code
        self._files: dict[str, _Read] = {}

    def look(self) -> tuple[list[TeamSpec], list[BrokenTeam]]:
        """The teams now, in the order of their files' names, and what is broken. Reads only what has changed."""
        try:
            with os.scandir(self._folder) as entries:
                found = {each.name: _stamp(each) for each in entries if _is_team_file(each)}
        except FileNotFoundError:
            found = {}
        except OSError as error:
            why = f"the folder of teams cannot be read: {error.strerror or error}"
            return [], [BrokenTeam(self._folder.name, why, one_line(self._folder.name))]
        known = self._files
        self._files = files = {
            name: known[name] if name in known and known[name].stamp == stamp else self._read(name, stamp)
            for name, stamp in sorted(found.items())
        }
        return (
            [team for file in files.values() for team in file.teams],
            [each for file in files.values() for each in file.broken],
        )

    def shown(self, file: str) -> str:
        """A team's file as people are told of it: folder and name, never where on the machine."""
        name = one_line(Path(file).name)
        while not name.lower().endswith(SUFFIXES) and FRAGMENT in name:
            name = name.rpartition(FRAGMENT)[0]
        return f"{self._folder.name}/{name}"

    def _read(self, file: str, stamp: _Stamp) -> _Read:
        path = self._folder.absolute() / file
        name = team_name(path.stem)
        try:
            if one_line(file) != " ".join(file.split()):
                raise TeamFileError("its name is not UTF-8, or holds what cannot be shown: rename it")
            document = read_document(path)
            if looks_like_studio(document.value):
                return self._read_studio(document, name, stamp)
            rounds = read_rounds(document)
        except TeamFileError as error:
            return _Read(stamp, (), (BrokenTeam(name, str(error), self.shown(file)),))
        spec = TeamSpec(
            name=name,
            title=rounds.name or title_of(path.stem),
            description=rounds.description,
            factory=ROUNDS,
            file=str(path),
            generation="agentchat",
            agents=rounds.cards(),
        )
        return _Read(stamp, (spec,), ())

    def _read_studio(self, document: Document, name: str, stamp: _Stamp) -> _Read:
        teams: list[TeamSpec] = []
        broken: list[BrokenTeam] = []
        found = teams_in(document)
        taken: set[str] = set()
        for team in found:
            own = name if len(found) == 1 else _one_of_many(name, team, taken)
            try:
                loadable(document, team, allow_code=self._allow_code)
            except TeamFileError as error:
                broken.append(BrokenTeam(own, str(error), self.shown(document.path.name)))
                continue
            where = f"{FRAGMENT}{dotted(team.path)}" if team.path else ""
            teams.append(
                TeamSpec(
                    name=own,
                    title=team.label or title_of(document.path.stem),
                    description=team.description,
                    factory=STUDIO_WITH_CODE if self._allow_code else STUDIO,
                    file=f"{document.path}{where}",
                    generation="agentchat",
                    agents=team.cards(),
                    isolated=True,
                )
            )
        return _Read(stamp, tuple(teams), tuple(broken))


def team_name(stem: str) -> str:
    """``team-config (1)`` → ``team-config-1``: what fits into an address."""
    return re.sub(r"[^\w.]+", "-", stem).strip("-.")[:100] or "team"


def title_of(name: str) -> str:
    """``my_team`` → ``My team``."""
    title = name.replace("_", " ").replace("-", " ").strip() or name
    return title[:1].upper() + title[1:]


def _one_of_many(name: str, team: StudioTeam, taken: set[str]) -> str:
    wanted = own = f"{name}.{team_name(team.label or 'team').lower()}"
    number = 2
    while own in taken:
        own, number = f"{wanted}-{number}", number + 1
    taken.add(own)
    return own


def _is_team_file(entry: os.DirEntry[str]) -> bool:
    if entry.name.startswith((".", "~")) or not entry.name.lower().endswith(SUFFIXES):
        return False
    try:
        return not entry.is_dir()
    except OSError:  # a link to itself: reading it tells
        return True


def _stamp(entry: os.DirEntry[str]) -> _Stamp:
    try:
        status = entry.stat()
    except OSError:  # gone since
        return (0, 0, 0)
    return (status.st_mtime_ns, status.st_size, status.st_ino)
