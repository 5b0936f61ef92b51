"""From a team's factory to the adapter that runs it. A factory says by its parameter's name what it wants:

=================  ==============================================================================================
``model_client``   autogen-agentchat: a ``ChatCompletionClient``; returns a team, a single agent or a ``TeamPlan``
``llm_config``     classic AG2 (``autogen``): an ``LLMConfig``; returns an agent, a chat manager or a ``ClassicPlan``
``model_config``   ag2 1.x: a ``ModelConfig``; returns an agent or an ``Ag2Plan``
``iostream``       classic AG2: no factory but the run itself, written for ``IOWebsockets.run_server_in_thread``; so is
                   one with a parameter of another name that is declared as ``IOWebsockets``
``file``           the path of the team's file, beside one of the above
=================  ==============================================================================================

A single parameter of another name gets the model client. No framework is imported before a factory asks for it.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any

from app.adapters.ag2_plan import plan_of
from app.adapters.base import Adapter, RunPort
from app.adapters.describe import Sketch, description
from app.errors import TeamFailed
from app.runner.wire import Generation, TeamSpec

MODEL_PARAMETERS: dict[str, Generation] = {"model_client": "agentchat", "llm_config": "classic", "model_config": "ag2"}
IOSTREAM = "iostream"
_PLANS: dict[str, Generation] = {
    "app.adapters.plan": "agentchat",
    "app.adapters.classic_plan": "classic",
    "app.adapters.ag2_plan": "ag2",
}
INSTALLED_BY = {  # the extras of setup.cfg say the same
    "ag2": 'pip install "ag2>=1.2,<2"',
    "autogen": 'pip install "autogen>=0.14,<0.15"',
    "autogen_agentchat": 'pip install "autogen-agentchat>=0.7.5,<0.8" "autogen-ext[openai]>=0.7.5,<0.8"',
}
INSTALLED_BY |= dict.fromkeys(("autogen_core", "autogen_ext"), INSTALLED_BY["autogen_agentchat"])
"""A framework that is no part of Colloquy, and what installs it."""
_ANYTHING = (Exception, SystemExit, KeyboardInterrupt)
"""But for what ends a run."""


async def build_adapter(port: RunPort) -> Adapter:
    """Call the factory of the run's team, and wrap what it returns.

    :raises TeamFailed: the factory cannot be found, fails, or returns no team.
    """
    spec = port.start.team
    factory = _found(spec)
    wanted = _parameters(factory)
    if (iostream := _iostream_of(factory)) is not None:
        from app.adapters.classic import ClassicAdapter

        return ClassicAdapter(port, None, _bound(spec, factory, wanted, iostream, port))
    given: dict[str, Any] = {"file": spec.file} if spec.file is not None else {}
    made = await _called(spec, factory, wanted, given, lambda generation: _model_for(generation, port))
    generation = _generation_of(made)
    if generation == "agentchat":
        from app.adapters.agentchat import AgentChatAdapter

        return AgentChatAdapter(port, made)
    if generation == "classic":
        from app.adapters.classic import ClassicAdapter

        return ClassicAdapter(port, made)
    if generation == "ag2":
        from app.adapters.ag2 import Ag2Adapter

        return Ag2Adapter(port, made)
    raise TeamFailed(f"the team {spec.name} is no AutoGen team: its factory returned a {type(made).__name__}")


async def describe_team(spec: TeamSpec) -> dict[str, Any]:
    """Who is in a team, without running it: ``generation``, ``agents``, ``description``; or ``problem``."""
    sketch = Sketch(spec)
    try:
        factory = _found(spec)
        wanted = _parameters(factory)
        if _iostream_of(factory) is not None:
            return description(None, factory, "classic")
        given: dict[str, Any] = {"file": spec.file} if spec.file is not None else {}
        made = await _called(spec, factory, wanted, given, lambda generation: _model_for(generation, sketch))
        generation = _generation_of(made)
        if generation == "ag2":
            plan_of(made)
    except TeamFailed as error:
        return {"problem": error.message}
    if generation is None:
        return {"problem": f"it is no AutoGen team: its factory returned a {type(made).__name__}"}
    return description(made, factory if spec.file is None else None, generation)


def _model_for(generation: Generation, port: RunPort) -> Any:
    """The run's models as this generation wants them.

    :raises TeamFailed: it is not installed.
    """
    try:
        return _models_of(generation, port)
    except ModuleNotFoundError as error:
        raise TeamFailed(f"the team {port.start.team.name} cannot be built: {_why(error)}"[:500]) from error


def _models_of(generation: Generation, port: RunPort) -> Any:
    if generation == "agentchat":
        from app.providers.client import GatedModelClient

        return GatedModelClient(port.model)
    if generation == "classic":
        from app.adapters.classic_models import llm_config

        return llm_config(port)
    from app.adapters.ag2_model import model_config

    return model_config(port.model)


def _generation_of(made: object) -> Generation | None:
    """Whose object this is, by the packages of its class's ancestors; None: nobody's."""
    module = type(made).__module__
    if module in _PLANS:
        return _PLANS[module]
    packages = {cls.__module__.partition(".")[0] for cls in type(made).__mro__}
    if packages & {"autogen_agentchat", "autogen_core"}:
        return "agentchat"
    if "autogen" in packages:
        return "classic"
    if "ag2" in packages:
        return "ag2"
    if isinstance(made, list | tuple) and made:
        return _generation_of(made[0])
    return None


def _iostream_of(factory: Callable[..., Any]) -> str | None:
    """The parameter that takes the run itself: that of this name, or one that is declared as what AG2 gives."""
    try:
        parameters = inspect.signature(factory).parameters
    except (TypeError, ValueError):  # written in C
        return None
    if IOSTREAM in parameters:
        return IOSTREAM
    for each in parameters.values():
        declared = str(getattr(each.annotation, "__name__", each.annotation))
        if declared.rpartition(".")[2] in ("IOWebsockets", "IOStream"):
            return each.name
    return None


def _bound(
    spec: TeamSpec, function: Callable[..., Any], wanted: list[str], iostream: str, port: RunPort
) -> Callable[..., Any]:
    """A function written for ``IOWebsockets``, with all that it wants but the ``iostream``.

    :raises TeamFailed: nobody knows what it wants.
    """
    given: dict[str, Any] = {"file": spec.file} if spec.file is not None else {}
    for name in wanted:
        if name in MODEL_PARAMETERS:
            given[name] = _model_for(MODEL_PARAMETERS[name], port)
        elif name not in (iostream, "file"):
            raise TeamFailed(f"the team {spec.name} cannot run: nobody knows what its parameter {name} wants")
    return lambda stream: function(**{iostream: stream}, **given)


def _found(spec: TeamSpec) -> Callable[..., Any]:
    module_name, _, function_name = spec.factory.partition(":")
    try:
        factory: Any = importlib.import_module(module_name)
        for part in function_name.split("."):
            factory = getattr(factory, part)
    except _ANYTHING as error:  # a user's module may raise it
        raise TeamFailed(f"the team {spec.name} cannot be loaded: {_why(error)}"[:500]) from error
    if not callable(factory):
        raise TeamFailed(f"the team {spec.name} cannot be loaded: {spec.factory} is no function")
    found: Callable[..., Any] = factory
    return found


def _parameters(factory: Callable[..., Any]) -> list[str]:
    """The names of the parameters that must be given, and of those that we know."""
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):  # written in C
        return ["model_client"]
    known = {*MODEL_PARAMETERS, IOSTREAM, "file"}
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [
        each.name
        for each in parameters
        if each.kind in kinds and (each.default is inspect.Parameter.empty or each.name in known)
    ]


async def _called(
    spec: TeamSpec,
    factory: Callable[..., Any],
    wanted: list[str],
    given: dict[str, Any],
    model_for: Callable[[Generation], Any],
) -> Any:
    arguments: dict[str, Any] = {}
    positional: list[Any] = []
    for name in wanted:
        if name in given:
            arguments[name] = given[name]
        elif name in MODEL_PARAMETERS:
            arguments[name] = model_for(MODEL_PARAMETERS[name])
        elif name != "file" and not positional and not arguments:
            positional.append(model_for("agentchat"))
        elif name != "file":
            raise TeamFailed(f"the team {spec.name} cannot be built: nobody knows what its parameter {name} wants")
    try:
        made = factory(*positional, **arguments)
        return await made if inspect.isawaitable(made) else made
    except TeamFailed:
        raise
    except _ANYTHING as error:  # a user's code may raise it
        raise TeamFailed(f"the team {spec.name} cannot be built: {_why(error)}"[:500]) from error


def _why(error: BaseException) -> str:
    """What is wrong, and what installs a framework that is missing."""
    missing = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if missing in INSTALLED_BY:
        return f"{missing} is not installed: {INSTALLED_BY[missing]}"
    return f"{type(error).__name__}: {error}"
