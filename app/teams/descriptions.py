"""What teams say of themselves once their own code has built them: who is in them, or why they cannot be built.

The web process runs no user's code: a process of its own is asked for each team, in the background, once for each state
of the team's code. Imports no AutoGen.
"""

from __future__ import annotations

import importlib.util
import logging
import threading
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from app.protocol.common import AgentCard
from app.runner.wire import TeamSpec

logger = logging.getLogger(__name__)

RETRY_S = 60.0
"""A team that could not be built is asked again, when somebody looks, at the earliest after so long."""
MAX_AGENTS = 50

Describe = Callable[[TeamSpec], dict[str, Any]]
Workshop = Callable[[], AbstractContextManager[Describe]]
_Stamp = tuple[object, ...]


@dataclass(slots=True)
class _Known:
    stamp: _Stamp
    answer: dict[str, Any] | None = None
    asked_at: float = 0.0


class Descriptions:
    """Asks each team once and remembers. Nothing here waits for a team; safe to use from any thread.

    :param workshop: opens what builds a team, in another process, and returns ``generation``, ``agents`` and
        ``description``, or ``problem``; it may take its time, and may raise.
    :param spawn: runs a function in the background.
    :param monotonic: the clock, in seconds.
    """

    def __init__(self, workshop: Workshop, spawn: Callable[..., Any], monotonic: Callable[[], float]) -> None:
        self._workshop = workshop
        self._spawn = spawn
        self._monotonic = monotonic
        self._known: dict[str, _Known] = {}
        self._waiting: deque[TeamSpec] = deque()
        self._working = False
        self._lock = threading.Lock()  # guards the three above

    def completed(self, team: TeamSpec) -> TeamSpec:
        """The team with what it says of itself, as far as that is known now; what its file says goes first."""
        answer = self._answer(team) or {}
        found: dict[str, Any] = {"generation": team.generation or answer.get("generation")}
        if not team.agents:
            found["agents"] = answer.get("agents", ())
        if not team.description:
            found["description"] = answer.get("description", "")
        return team.model_copy(update=found)

    def pending(self, team: TeamSpec) -> bool:
        """Whether it has not said anything yet."""
        return team.isolated and self._answer(team) is None

    def problem(self, team: TeamSpec) -> str | None:
        """Why its code does not build it; None: it does, or has not been asked to yet."""
        answer = self._answer(team)
        return str(answer["problem"]) if answer and answer.get("problem") else None

    def _answer(self, team: TeamSpec) -> dict[str, Any] | None:
        if not team.isolated:
            return None
        stamp = (team.factory, team.file, code_state(team.factory), _changed(team.file))
        with self._lock:
            known = self._known.get(team.name)
            if known is None or known.stamp != stamp:
                known = self._known[team.name] = _Known(stamp)
                again = True
            else:
                failed = known.answer is not None and bool(known.answer.get("problem"))
                again = failed and self._monotonic() - known.asked_at > RETRY_S
            if again:
                known.asked_at = self._monotonic()
                self._waiting.append(team)
            begin = again and not self._working
            self._working = self._working or begin
            answer = known.answer
        if begin:
            self._spawn(self._work)
        return answer

    def _work(self) -> None:
        """One after the other, until nothing is left to do."""
        while True:
            with self._workshop() as describe:
                while (team := self._next()) is not None:
                    known = self._known[team.name]
                    known.answer = self._ask(describe, team)
            with self._lock:
                if not self._waiting:
                    self._working = False
                    return

    def _next(self) -> TeamSpec | None:
        with self._lock:
            return self._waiting.popleft() if self._waiting else None

    def _ask(self, describe: Describe, team: TeamSpec) -> dict[str, Any]:
        try:
            answer = describe(team)
            cards = tuple(AgentCard.model_validate(each) for each in answer.get("agents", ())[:MAX_AGENTS])
            return {**answer, "agents": cards}
        except ValidationError:
            return {"problem": "what it says of its agents cannot be read"}
        except Exception as error:  # noqa: BLE001  # whatever it is, it is this team's affair
            return {"problem": getattr(error, "message", None) or type(error).__name__}


def code_state(factory: str) -> object:
    """Something that is another one when the factory's module has changed on disk. None: nobody knows."""
    top, *rest = factory.partition(":")[0].split(".")
    try:
        found = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if found is None:
        return None
    if not rest:
        return _changed(found.origin)
    folders = [Path(found.origin).parent] if found.origin else map(Path, found.submodule_search_locations or ())
    modules = (folder.joinpath(*rest) for folder in folders)  # several: a package without an __init__.py
    paths = (module / "__init__.py" if module.is_dir() else module.with_suffix(".py") for module in modules)
    return next((state for path in paths if (state := _changed(str(path)))), None)


def _changed(file: str | None) -> tuple[int, int] | None:
    if file is None:
        return None
    try:
        status = Path(file).stat()
    except OSError:  # also a team within a file: the whole file's name is another one
        return None
    return (status.st_mtime_ns, status.st_size)
