"""Who is in a team: built for nobody, never run, on a model that does not answer."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from typing import Any

from app.protocol.common import AgentCard, ContentType, ToolFailure
from app.protocol.events import Event
from app.providers.gate import Gate, RunAborted
from app.providers.model_run import ModelRun
from app.providers.network import Network
from app.runner.wire import Answer, Generation, Limits, ProviderSpec, StartRun, TeamSpec

MAX_DESCRIPTION_CHARS = 500
_NOWHERE = ProviderSpec(name="none", kind="openai", model="none", base_url="http://127.0.0.1:9/v1", api_key="none")
_PERSON = "🧑"


class Sketch:
    """A port to nowhere (:class:`app.adapters.base.RunPort`): what is built on it cannot run."""

    def __init__(self, spec: TeamSpec) -> None:
        self._start = StartRun(
            session="sketch", conversation="sketch", team=spec, content="", content_type=ContentType.TEXT
        )
        self._gate = Gate(1)
        self._model = ModelRun(Network(), self._gate, Limits(), (_NOWHERE,))

    @property
    def start(self) -> StartRun:
        return self._start

    @property
    def gate(self) -> Gate:
        return self._gate

    @property
    def model(self) -> ModelRun:
        return self._model

    async def emit(self, event: Event) -> None:
        raise RunAborted

    def delta(self, message_id: str, agent: str, text: str, tokens: int, *, reserved: bool) -> None: ...

    async def ask(self, agent: str, prompt: str, *, kind: str = "text", secret: bool = False) -> Answer:
        raise RunAborted

    def artifact(self, media_type: str, data: bytes) -> str | None:
        return None

    def tool_failure(self, answer: str) -> ToolFailure:
        return "failed"

    def checkpoint(self, state: dict[str, Any]) -> None: ...


def description(made: object, factory: object, generation: Generation | None) -> dict[str, Any]:
    """What :class:`app.runner.wire.Describe` is replied.

    :param factory: its docstring's first paragraph is the description; None: it is about no team in particular.
    """
    said = inspect.getdoc(factory) if inspect.isfunction(factory) else None
    return {
        "generation": generation,
        "agents": [card.model_dump() for card in _distinct(cards_of(made))],
        "description": _line(said.partition("\n\n")[0]) if said else "",
    }


def cards_of(made: object) -> Iterator[AgentCard]:
    """The agents in whatever a factory of any generation returns: a team, an agent, a plan, several of them.

    None of the frameworks has a public way to ask a team for its agents; an object that shows none has none.
    """
    if isinstance(made, list | tuple):
        for each in made:
            yield from cards_of(each)
        return
    for inner in _inside(made):
        yield from cards_of(inner)
        return
    name = getattr(made, "name", None)
    if isinstance(name, str) and name:
        yield AgentCard(name=name, description=_line(_about(made)), emoji=_PERSON if _is_person(made) else "")


def _inside(made: object) -> Iterator[object]:
    """What an object is made of, where it only holds others."""
    groupchat = getattr(made, "groupchat", None)  # classic AG2's manager
    if hasattr(made, "initiator") and hasattr(made, "recipient"):  # a ClassicPlan
        yield [made.initiator, made.recipient]
    for holder, name in ((groupchat, "agents"), (made, "_participants"), (made, "agents"), (made, "team")):
        found = getattr(holder, name, None)
        if (isinstance(found, list | tuple) and found) or (name == "team" and found is not None):
            yield found
    for name in ("_team", "_wrapped_agent"):  # SocietyOfMindAgent, MessageFilterAgent
        found = getattr(made, name, None)
        if found is not None and type(made).__module__.startswith("autogen_agentchat"):
            yield found


def _about(agent: object) -> str:
    for name in ("description", "system_message", "system_prompt"):
        found = getattr(agent, name, None)
        if isinstance(found, list | tuple):
            found = " ".join(each for each in found if isinstance(each, str))
        if isinstance(found, str) and found.strip():
            return found
    return ""


def _is_person(agent: object) -> bool:
    return any(cls.__name__ in ("UserProxyAgent", "HumanClient") for cls in type(agent).__mro__)


def _distinct(cards: Iterable[AgentCard]) -> list[AgentCard]:
    return list({card.name: card for card in cards}.values())


def _line(text: str) -> str:
    return " ".join(text.split())[:MAX_DESCRIPTION_CHARS]
