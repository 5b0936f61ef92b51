"""Which components of AutoGen a team's file may name, and why not the others.

A component's ``provider`` is the path of a class: loading it imports the module and calls the class with what the file
says. So only classes that are known to be harmless are loaded, unless the operator trusts the files (ALLOW_TEAM_CODE).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

Path = tuple[str | int, ...]

_AGENTCHAT = "autogen_agentchat."
_CORE = "autogen_core."
_EXT = "autogen_ext."

HARMLESS = {
    *(_AGENTCHAT + "teams." + name for name in (
        "RoundRobinGroupChat", "SelectorGroupChat", "Swarm", "GraphFlow", "MagenticOneGroupChat",
    )),
    *(_AGENTCHAT + "agents." + name for name in (
        "AssistantAgent", "UserProxyAgent", "SocietyOfMindAgent", "MessageFilterAgent",
    )),
    *(_AGENTCHAT + "conditions." + name for name in (
        "MaxMessageTermination", "TextMentionTermination", "StopMessageTermination", "TokenUsageTermination",
        "HandoffTermination", "TimeoutTermination", "ExternalTermination", "SourceMatchTermination",
        "TextMessageTermination", "FunctionCallTermination",
    )),
    *(_AGENTCHAT + name for name in (
        "base.AndTerminationCondition", "base.OrTerminationCondition", "base.Handoff", "tools.AgentTool",
        "tools.TeamTool", "messages.StructuredMessageFactory",
    )),
    *(_CORE + "model_context." + name for name in (
        "UnboundedChatCompletionContext", "BufferedChatCompletionContext", "HeadAndTailChatCompletionContext",
        "TokenLimitedChatCompletionContext",
    )),
    *(_CORE + name for name in ("memory.ListMemory", "tools.StaticWorkbench", "tools.StaticStreamWorkbench")),
}  # fmt: skip
"""They hold texts and numbers, and call nothing but models and one another."""

_OWN_MODEL = {
    _EXT + "agents.openai.OpenAIAgent",
    _EXT + "agents.openai.OpenAIAssistantAgent",
    _EXT + "agents.azure.AzureAIAgent",
}
_FUNCTION = _CORE + "tools.FunctionTool"
_KNOWN_FUNCTIONS = {"5246bdd48378c390c252a1254aca487340a5cd0fa76015c867a42d70f9f8a2ab"}
"""SHA-256 of source code that is as harmless: the calculator of Studio's default team, the same in all its versions."""
_REASONS = (
    (_FUNCTION, "it runs Python code that stands in the file"),
    (_EXT + "code_executors.", "it runs what a model has written"),
    (_EXT + "tools.code_execution.", "it runs what a model has written"),
    (_AGENTCHAT + "agents.CodeExecutorAgent", "it runs what a model has written"),
    (_EXT + "agents.magentic_one.", "it writes code to be run"),
    (_EXT + "tools.mcp.", "it starts a program, or connects to a server that the file names"),
    (_EXT + "tools.http.", "it connects to a server that the file names"),
    (_EXT + "agents.web_surfer.", "it browses from this machine, its own network included"),
    (_EXT + "agents.file_surfer.", "it reads the files of this machine"),
    (_EXT + "memory.", "it connects to a database that the file names"),
)
_MODELS_BY_NICKNAME = {"openai_chat_completion_client", "azure_openai_chat_completion_client"}
_ASSISTANT = _AGENTCHAT + "agents.AssistantAgent"
_STREAMING = {_ASSISTANT, _AGENTCHAT + "agents.CodeExecutorAgent"}
_ENDLESS = {_AGENTCHAT + "teams." + name for name in ("RoundRobinGroupChat", "SelectorGroupChat", "Swarm")}
_NEEDED = {
    _AGENTCHAT + "conditions.TokenUsageTermination": ("max_total_token", "max_prompt_token", "max_completion_token")
}
"""Fields that AutoGen leaves out where they say nothing, and cannot load without."""
MAX_TURNS = 20
"""Of a team that has neither a condition nor a number of turns to end it."""
_MODEL = {"provider": "app.teams.studio.RunsModel", "component_type": "model", "version": 1, "config": {}}


def is_component(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("provider"), str)


def is_model(component: dict[str, Any]) -> bool:
    """Whether a component is one that the run's own model takes the place of."""
    provider = component["provider"]
    return (
        component.get("component_type") in ("model", "chat_completion_cache")
        or provider in _MODELS_BY_NICKNAME
        or provider.startswith(_EXT + "models.")
    )


def refusals(component: dict[str, Any], *, allow_code: bool) -> list[tuple[Path, str]]:
    """Where something stands that may not be loaded, and why. Models are none of it: they are never loaded."""
    return [(path, why) for path, each in _components(component, ()) if (why := _refusal(each, allow_code)) is not None]


def prepared(component: dict[str, Any]) -> dict[str, Any]:
    """A copy of a team as it is loaded: the run's model for every other one, agents that stream, an end."""
    ready: dict[str, Any] = _prepared(component)
    return ready


def _prepared(value: Any) -> Any:
    if isinstance(value, list):
        return [_prepared(each) for each in value]
    if not isinstance(value, dict):
        return value
    if is_component(value) and is_model(value):
        return _MODEL
    ready = {
        key: _MODEL if key == "model_client" and is_component(each) else _prepared(each) for key, each in value.items()
    }
    if is_component(value) and isinstance(ready.get("config"), dict):
        config = ready["config"]
        for name in _NEEDED.get(value["provider"], ()):
            config.setdefault(name, None)
        if value["provider"] in _STREAMING:
            config["model_client_stream"] = True
        if value["provider"] == _ASSISTANT:  # version 2 only added fields, and AutoGen refuses version 1
            ready["component_version"] = max(2, _version(value))
            if is_component(config.get("workbench")):  # until 0.6 there was one; the newest Studio still writes it so
                config["workbench"] = [config["workbench"]]
        if value["provider"] in _ENDLESS and not config.get("termination_condition") and not config.get("max_turns"):
            config["max_turns"] = MAX_TURNS
    return ready


def _version(component: dict[str, Any]) -> int:
    found = component.get("component_version")
    return found if isinstance(found, int) else 2


def _components(value: Any, path: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """All components that would be loaded, models aside, each after the one it stands in."""
    if isinstance(value, list):
        for index, each in enumerate(value):
            yield from _components(each, (*path, index))
    elif isinstance(value, dict):
        if is_component(value):
            if is_model(value) or path[-1:] == ("model_client",):
                return
            yield path, value
        for key, each in value.items():
            yield from _components(each, (*path, key))


def _refusal(component: dict[str, Any], allow_code: bool) -> str | None:
    provider = str(component["provider"])
    if provider in HARMLESS or (provider == _FUNCTION and _is_known(component.get("config"))):
        return None
    name = provider.rpartition(".")[2]
    if provider in _OWN_MODEL:
        return f"{name} speaks to a model of its own, past Colloquy's providers; AssistantAgent does not"
    if allow_code:
        return None
    why = next((reason for prefix, reason in _REASONS if provider.startswith(prefix)), "its code is not known")
    return f"{name} is refused: {why} (ALLOW_TEAM_CODE=true allows it)"


def _is_known(function: object) -> bool:
    """Whether nothing but known source code would be executed."""
    if not isinstance(function, dict) or function.get("global_imports"):
        return False
    source = function.get("source_code")
    return isinstance(source, str) and hashlib.sha256(source.encode(errors="replace")).hexdigest() in _KNOWN_FUNCTIONS
