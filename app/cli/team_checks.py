"""What ``doctor`` says of the teams: of a running server, by what it answers; else by building each one here."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from app.concurrency import AsyncMode, SystemClock
from app.runner.supervisor import Supervisor
from app.runner.workshop import opened
from app.settings import Settings
from app.teams.descriptions import Descriptions
from app.teams.directory import TeamDirectory
from app.teams.folder import BrokenTeam, TeamFolder

_WAIT_S = 15.0
_LOOK_AGAIN_S = 0.2

Finding = tuple[str, str, str | None]
"""Of the team (empty: of all), what was found, and what mends it (None: it is good)."""


def teams_of_server(ask: Callable[[], dict[str, Any]]) -> Iterator[Finding]:
    """Those of a running server.

    :param ask: what ``GET /api/teams`` answers; asked again while teams are being built, but not for long.
    """
    deadline = time.monotonic() + _WAIT_S
    answer = ask()
    while any(each["pending"] for each in answer["teams"]) and time.monotonic() < deadline:
        time.sleep(_LOOK_AGAIN_S)
        answer = ask()
    yield from _findings([each["name"] for each in answer["teams"]], [BrokenTeam(**each) for each in answer["broken"]])


def teams_of_settings(settings: Settings, project: Path) -> Iterator[Finding]:
    """Those that a server would have. Each of the user's own is built once, in a process beside this one."""
    supervisor = Supervisor(AsyncMode("threading"))
    to_do: list[Callable[[], None]] = []
    directory = TeamDirectory(
        settings.teams,
        settings.abandoned_rules(),
        folder=TeamFolder(settings.teams_folder(project), allow_code=settings.allow_team_code),
        descriptions=Descriptions(
            partial(opened, supervisor, settings.team_load_timeout_s), to_do.append, SystemClock().monotonic
        ),
    )
    try:
        directory.offered()
        for work in to_do:
            work()
        yield from _findings([each.spec.name for each in directory.offered()], directory.broken())
    finally:
        supervisor.close(time.monotonic() + 1)


def _findings(names: list[str], broken: list[BrokenTeam]) -> Iterator[Finding]:
    yield "", ", ".join(names), None
    for each in broken:
        where = f"correct {each.file}" if each.file else "correct TEAMS, or the team's module"
        yield each.name, f"{each.file}: {each.error}" if each.file else each.error, where
