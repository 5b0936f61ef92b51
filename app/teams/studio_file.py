"""What AutoGen Studio exports: a team as component JSON, what its API answers, or a gallery of several teams.

Imports no AutoGen: whether it really loads, a runner finds out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from app.protocol.common import AgentCard
from app.teams.components import Path, is_component, prepared, refusals
from app.teams.documents import Document, TeamFileError
from app.teams.names import one_line

_INSIDE = ("component", "config", "components", "items", "data", "teams")
"""Where teams stand: in a team's record, in galleries (newer and older ones), in the API's answers."""
_BEFORE_COMPONENTS = ("team_type", "agent_type"), ("sender", "receiver")
_PERSON = "autogen_agentchat.agents.UserProxyAgent"
_MAX_NAMED = 4  # refused components that one sentence names
_MAX_CARDS = 50
_MAX_DESCRIPTION_CHARS = 500


@dataclass(frozen=True, slots=True)
class StudioTeam:
    """One team of a file.

    :param path: where in the file it stands; empty: it is the whole file.
    :param label: what its author calls it; empty where that is only the name of its class.
    """

    path: Path
    label: str
    description: str
    component: dict[str, Any]

    def cards(self) -> tuple[AgentCard, ...]:
        """Its agents, those of nested teams included."""
        return tuple(_cards(self.component))[:_MAX_CARDS]


def looks_like_studio(value: object) -> bool:
    """Whether a document is an export of AutoGen Studio, and no round of prompts."""
    if isinstance(value, list):
        return any(looks_like_studio(each) for each in value)
    return isinstance(value, dict) and (
        "provider" in value
        or _is_of_old(value)
        or ("agents" not in value and any(isinstance(value.get(key), dict | list) for key in _INSIDE))
    )


def teams_in(document: Document) -> list[StudioTeam]:
    """The teams of an export.

    :raises TeamFileError: there is none.
    """
    found = [_team(path, each) for path, each in _found(document.value, ())]
    if not found:
        raise TeamFileError(_instead(document.value))
    return found


def loadable(document: Document, team: StudioTeam, *, allow_code: bool) -> dict[str, Any]:
    """The team as AutoGen may load it: see :func:`app.teams.components.prepared`.

    :raises TeamFileError: something in it is refused, with its line.
    """
    refused = refusals(team.component, allow_code=allow_code)
    if refused:
        sentences = [document.problem((*team.path, *path), why) for path, why in refused[:_MAX_NAMED]]
        more = f"; and {len(refused) - _MAX_NAMED} more" if len(refused) > _MAX_NAMED else ""
        raise TeamFileError("; ".join(sentences) + more)
    if not isinstance(team.component.get("config"), dict):
        raise TeamFileError(document.problem(team.path, "its config is missing"))
    return prepared(team.component)


def _found(value: Any, path: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    if isinstance(value, list):
        for index, each in enumerate(value):
            yield from _found(each, (*path, index))
    elif is_component(value):
        if _kind(value) in ("team", "agent"):
            yield path, value
    elif isinstance(value, dict):
        for key in _INSIDE:
            if isinstance(value.get(key), dict | list):
                yield from _found(value[key], (*path, key))


def _kind(component: dict[str, Any]) -> str:
    """What a component is; AutoGen reads one that does not say so as well."""
    named = component.get("component_type")
    package = str(component["provider"]).rpartition(".")[0].rpartition(".")[2]  # teams, agents
    return named if isinstance(named, str) else package.removesuffix("s")


def _instead(value: Any) -> str:
    """What a document without a team is, and what helps."""
    if any(_is_of_old(each) for each in _records(value)):
        return "it comes from AutoGen Studio before 0.4.0.4, which newer ones cannot read either: build it anew there"
    what = f"it is a component of type {_kind(value)}" if is_component(value) else "there is no team in it"
    return f"{what}; export a team from AutoGen Studio's team builder"


def _records(value: Any) -> Iterator[Any]:
    """A document, and what stands where teams do."""
    yield value
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for each in inner:
        yield from _records(each)


def _is_of_old(value: object) -> bool:
    """Whether it is from before AutoGen had component JSON."""
    return isinstance(value, dict) and any(
        any(isinstance(value.get(key), str | dict) for key in keys) for keys in _BEFORE_COMPONENTS
    )


def _team(path: Path, component: dict[str, Any]) -> StudioTeam:
    label, description = (_text(component.get(key)) for key in ("label", "description"))
    is_default = label == str(component["provider"]).rpartition(".")[2]  # then the description is its docstring
    return StudioTeam(path, "" if is_default else label, "" if is_default else description, component)


def _cards(component: dict[str, Any]) -> Iterator[AgentCard]:
    config = component.get("config")
    if not isinstance(config, dict):
        return
    inner: Any = config.get("team") or config.get("wrapped_agent")
    if component.get("component_type") == "team":
        participants = config.get("participants")
        for each in participants if isinstance(participants, list) else []:
            if is_component(each):
                yield from _cards(each)
    elif is_component(inner):
        yield from _cards(inner)
    elif _text(config.get("name")):
        person = component["provider"] == _PERSON
        yield AgentCard(
            name=_text(config["name"]), description=_text(config.get("description")), emoji="🧑" if person else ""
        )


def _text(value: object) -> str:
    return one_line(value)[:_MAX_DESCRIPTION_CHARS] if isinstance(value, str) else ""
