"""What AutoGen Studio exports: a team as component JSON, a team's record, or a gallery of several teams.

Imports no AutoGen: whether it really loads, a runner finds out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from app.protocol.common import AgentCard
from app.teams.components import Path, is_component, prepared, refusals
from app.teams.documents import Document, TeamFileError

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
        or isinstance(value.get("component"), dict)
        or isinstance(value.get("components"), dict)
        or (isinstance(value.get("config"), dict) and "components" in value["config"])
    )


def teams_in(document: Document) -> list[StudioTeam]:
    """The teams of an export.

    :raises TeamFileError: there is none.
    """
    found = [_team(path, each) for path, each in _found(document.value, ())]
    if not found:
        kinds = {str(each.get("component_type")) for each in [document.value] if isinstance(each, dict)}
        what = f"it is a component of type {kinds.pop()}" if is_component(document.value) else "there is no team in it"
        raise TeamFileError(f"{what}; export a team from AutoGen Studio's team builder")
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
        if value.get("component_type") in ("team", "agent"):
            yield path, value
    elif isinstance(value, dict):
        if isinstance(value.get("components"), dict):
            yield from _found(value["components"].get("teams", []), (*path, "components", "teams"))
        for key in ("component", "config"):
            if isinstance(value.get(key), dict):
                yield from _found(value[key], (*path, key))


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
    return re.sub(r"\s+", " ", value).strip()[:_MAX_DESCRIPTION_CHARS] if isinstance(value, str) else ""
