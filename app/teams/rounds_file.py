"""The simplest team of one's own: some prompts that take their turns, written down in a YAML or JSON file.

``docs/teams/rounds.md`` describes the format, ``docs/teams/rounds.schema.json`` is made from here. Imports no AutoGen.
"""

from __future__ import annotations

import difflib
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from app.protocol.common import AgentCard
from app.teams.documents import Document, TeamFileError
from app.teams.names import identifier, one_line

MAX_AGENTS = 20
MAX_ROUNDS = 50
MAX_TURNS = 100
MAX_PROMPT_CHARS = 20_000

_TWIN = "the model could not tell it from another agent, or from the person, who is called user"
_Line = Annotated[str, Field(max_length=500)]


class RoundsAgent(BaseModel):
    """One agent: a name and what it is told."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    name: Annotated[str, Field(min_length=1, max_length=60, description="how people see it")]
    prompt: Annotated[
        str, Field(min_length=1, max_length=MAX_PROMPT_CHARS, description="its instructions: the system message")
    ]
    emoji: Annotated[str, Field(max_length=16, description="stands beside its name")] = ""
    description: Annotated[_Line, Field(description="one line about it, for the chooser of teams")] = ""

    @field_validator("name", "emoji", "description")
    @classmethod
    def _readable(cls, text: str) -> str:
        return one_line(text)

    @field_validator("name")
    @classmethod
    def _usable(cls, name: str) -> str:
        if not name:
            raise ValueError("it has no letters that can be seen")
        if len(identifier(name)) > 60:
            raise ValueError("it is too long: the model knows an agent by at most 60 ASCII characters")
        return name


class RoundsFile(BaseModel):
    """A team of prompts: all agents speak in their order, ``rounds`` times."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True, title="A round of prompts")

    name: Annotated[str, Field(max_length=100, description="its title; default: the name of the file")] = ""
    description: Annotated[_Line, Field(description="one line about the team, for the chooser")] = ""
    agents: Annotated[
        tuple[RoundsAgent, ...], Field(min_length=1, max_length=MAX_AGENTS, description="in the order they speak in")
    ]
    rounds: Annotated[int, Field(ge=1, le=MAX_ROUNDS, strict=True, description="how often each of them speaks")] = 1
    closing: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=MAX_PROMPT_CHARS,
            description="asked at the end, about all that was said; the answer is the conversation's summary",
        ),
    ] = None

    @field_validator("name", "description")
    @classmethod
    def _readable(cls, text: str) -> str:
        return one_line(text)

    def cards(self) -> tuple[AgentCard, ...]:
        """The agents as people see them."""
        return tuple(AgentCard(name=each.name, description=each.description, emoji=each.emoji) for each in self.agents)


def read_rounds(document: Document) -> RoundsFile:
    """A document as a round of prompts.

    :raises TeamFileError: it is none; all that is wrong is named, with its line.
    """
    if not isinstance(document.value, dict):
        raise TeamFileError("an object with the field `agents` is needed")
    try:
        team = RoundsFile.model_validate(document.value)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        found.sort(key=lambda item: item["type"] != "extra_forbidden")  # a slip of the pen comes first
        told = [item for item in found if item["loc"] != ("agents",)] or found  # agents that are wrong are not too few
        raise TeamFileError("; ".join(_sentence(document, item) for item in told[:5])) from None
    _refuse_twins(document, team)
    if team.rounds * len(team.agents) > MAX_TURNS:
        raise TeamFileError(document.problem(("rounds",), f"agents and rounds make more than {MAX_TURNS} turns"))
    return team


def schema() -> dict[str, Any]:
    """The JSON Schema of such a file."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **RoundsFile.model_json_schema()}


def _sentence(document: Document, item: Any) -> str:
    location = item["loc"]
    if item["type"] == "missing":
        return document.problem(location, "it is missing")
    if item["type"] == "extra_forbidden":
        fields = RoundsAgent if location[0] == "agents" and len(location) > 1 else RoundsFile
        close = difflib.get_close_matches(str(location[-1]), fields.model_fields, n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are: {', '.join(fields.model_fields)}"
        return document.problem(location, f"there is no such field; {hint}")
    return document.problem(location, str(item["msg"]).removeprefix("Value error, "))


def _refuse_twins(document: Document, team: RoundsFile) -> None:
    seen = {"user"}
    for index, agent in enumerate(team.agents):
        name = identifier(agent.name).lower()
        if name in seen:
            raise TeamFileError(document.problem(("agents", index, "name"), _TWIN))
        seen.add(name)
