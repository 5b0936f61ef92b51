"""Exports of AutoGen Studio: what is in them, what is refused, and what is loaded."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.base import ChatAgent, Team
from autogen_agentchat.conditions import TokenUsageTermination
from autogen_agentchat.teams import RoundRobinGroupChat, SelectorGroupChat
from autogen_core.models import ChatCompletionClient, ModelInfo
from autogen_ext.models.replay import ReplayChatCompletionClient

from app.adapters.describe import cards_of
from app.errors import TeamFailed
from app.teams.documents import TeamFileError, read_document
from app.teams.folder import TeamFolder
from app.teams.studio import team, trusted_team
from app.teams.studio_file import StudioTeam, loadable, teams_in
from tests.teams import exports


@pytest.fixture
def model() -> ChatCompletionClient:
    can: ModelInfo = {
        "vision": False,
        "function_calling": True,
        "json_output": True,
        "family": "unknown",
        "structured_output": True,
    }
    return ReplayChatCompletionClient(["yes"], model_info=can)


def write(folder: Path, value: Any, name: str = "team.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(value, indent=2), encoding="utf-8")
    return path


def read(path: Path) -> list[StudioTeam]:
    return teams_in(read_document(path))


def clients_in(value: object, seen: set[int] | None = None) -> list[ChatCompletionClient]:
    """All model clients anywhere in a team."""
    seen = set() if seen is None else seen
    if id(value) in seen or isinstance(value, str | int | float | type(None)):
        return []
    seen.add(id(value))
    if isinstance(value, ChatCompletionClient):
        return [value]
    if isinstance(value, dict):
        inside = list(value.values())
    elif isinstance(value, list | tuple):
        inside = list(value)
    elif type(value).__module__.startswith("autogen"):
        inside = list(getattr(value, "__dict__", {}).values())
    else:
        return []
    return [client for each in inside for client in clients_in(each, seen)]


@pytest.mark.parametrize("name", exports.HARMLESS)
def test_every_kind_of_team_runs_on_our_model_alone(name: str, model: ChatCompletionClient, tmp_path: Path) -> None:
    """Selector's, orchestrator's, nested and contexts' models are the run's; no key of the file is left anywhere."""
    path = write(tmp_path, exports.dumped(exports.HARMLESS[name]))
    assert exports.KEY in path.read_text()
    loaded = team(model, str(path))
    found = clients_in(loaded)
    assert found
    assert all(client is model for client in found)
    document = read_document(path)
    assert exports.KEY not in json.dumps(loadable(document, teams_in(document)[0], allow_code=False))


@pytest.mark.parametrize("name", exports.HARMLESS)
def test_the_cards_are_those_of_the_loaded_team(name: str, model: ChatCompletionClient, tmp_path: Path) -> None:
    """What the web process reads from the file is what a runner finds in the built team."""
    path = write(tmp_path, exports.dumped(exports.HARMLESS[name]))
    assert [card.name for card in read(path)[0].cards()] == [card.name for card in cards_of(team(model, str(path)))]


def test_agents_stream(model: ChatCompletionClient, tmp_path: Path) -> None:
    """Studio's default is that they do not."""
    loaded = team(model, str(write(tmp_path, exports.dumped(exports.round_robin))))
    assert isinstance(loaded, RoundRobinGroupChat)
    assert [each._model_client_stream for each in loaded._participants if isinstance(each, AssistantAgent)] == [
        True
    ] * 2


def test_a_team_without_an_end_gets_one(model: ChatCompletionClient, tmp_path: Path) -> None:
    """It would spend tokens for ever."""
    loaded = team(model, str(write(tmp_path, exports.dumped(exports.endless))))
    assert isinstance(loaded, RoundRobinGroupChat)
    assert loaded._max_turns == 20


def test_a_limit_of_tokens_loads(model: ChatCompletionClient, tmp_path: Path) -> None:
    """AutoGen dumps it without what it cannot load it without."""
    component = exports.dumped(exports.endless)
    component["config"]["termination_condition"] = {
        "provider": "autogen_agentchat.conditions.TokenUsageTermination",
        "component_type": "termination",
        "version": 1,
        "config": TokenUsageTermination(max_total_token=10).dump_component().config,
    }
    assert isinstance(team(model, str(write(tmp_path, component))), RoundRobinGroupChat)


def test_assistants_of_the_first_version_load(model: ChatCompletionClient, tmp_path: Path) -> None:
    """AutoGen itself refuses what Studio wrote before 0.6, though nothing but new fields has come since."""
    old = exports.dumped(exports.endless)
    for agent in old["config"]["participants"]:
        agent["version"] = agent["component_version"] = 1
        agent["config"].pop("metadata", None)
    assert isinstance(team(model, str(write(tmp_path, old))), Team)


def test_a_single_agent_is_a_team(model: ChatCompletionClient, tmp_path: Path) -> None:
    agent = exports.dumped(exports.endless)["config"]["participants"][0]
    assert isinstance(team(model, str(write(tmp_path, agent))), ChatAgent)


def test_a_record_and_a_gallery_have_teams(model: ChatCompletionClient, tmp_path: Path) -> None:
    """What Studio's API and its gallery's download button give."""
    one, other = exports.dumped(exports.round_robin), exports.dumped(exports.selector)
    other |= {"label": "Who is next?", "description": "Chooses\n  its speakers."}
    write(tmp_path, {"id": 3, "user_id": "x@y.z", "version": "0.0.1", "component": one}, "record.json")
    gallery = {"id": "g", "name": "Mine", "components": {"agents": [], "models": [], "teams": [one, other, one]}}
    write(tmp_path, {"id": 1, "config": gallery}, "gallery.json")
    teams, broken = TeamFolder(tmp_path).look()
    assert not broken
    assert [each.name for each in teams] == ["gallery.team", "gallery.who-is-next", "gallery.team-2", "record"]
    assert (teams[1].title, teams[1].description) == ("Who is next?", "Chooses its speakers.")
    assert isinstance(team(model, teams[1].file or ""), SelectorGroupChat)
    assert isinstance(team(model, teams[3].file or ""), RoundRobinGroupChat)


def test_answers_of_studios_api_and_older_galleries_have_teams(tmp_path: Path) -> None:
    """What `curl` gets of Studio; what its galleries were called before 0.4.1."""
    one = exports.dumped(exports.round_robin) | {"label": "One"}
    gallery = {"config": {"components": {"teams": [one, one]}}}
    answers: dict[str, Any] = {
        "a-team": {"status": True, "data": {"id": 1, "user_id": "x@y.z", "component": one}},
        "b-teams": {"status": True, "data": [{"component": one}, {"component": one}]},
        "c-gallery": {"status": True, "message": "Gallery Retrieved Successfully", "data": gallery},
        "d-galleries": {"status": True, "message": "Gallery Retrieved Successfully", "data": [gallery]},
        "e-older": {"id": "g", "items": {"teams": [one], "components": {"agents": [one["config"]["participants"][0]]}}},
    }
    for name, answer in answers.items():
        write(tmp_path, answer, f"{name}.json")
    teams, broken = TeamFolder(tmp_path).look()
    assert not broken
    assert [each.name for each in teams] == [
        "a-team", "b-teams.one", "b-teams.one-2", "c-gallery.one", "c-gallery.one-2",
        "d-galleries.one", "d-galleries.one-2", "e-older",
    ]  # fmt: skip


def test_a_component_need_not_say_its_kind(model: ChatCompletionClient, tmp_path: Path) -> None:
    """AutoGen reads it as well."""
    component = exports.dumped(exports.round_robin)
    del component["component_type"]
    assert isinstance(team(model, str(write(tmp_path, component))), RoundRobinGroupChat)


def test_studios_default_team_runs_as_it_is(model: ChatCompletionClient, tmp_path: Path) -> None:
    """The code of its calculator is known, to the byte."""
    path = write(tmp_path, exports.with_calculator())
    teams, broken = TeamFolder(tmp_path).look()
    assert not broken
    assert [each.factory for each in teams] == ["app.teams.studio:team"]
    assert isinstance(team(model, str(path)), RoundRobinGroupChat)


@pytest.mark.parametrize(
    "change",
    [
        {"source_code": exports.CALCULATOR["config"]["source_code"] + "\n"},  # type: ignore[index]
        {"global_imports": ["os"]},
        {"source_code": None},
    ],
)
def test_a_calculator_of_ones_own_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    """One more byte, one import."""
    component = exports.with_calculator()
    component["config"]["participants"][0]["config"]["workbench"]["config"]["tools"][0]["config"] |= change
    write(tmp_path, component)
    _, broken = TeamFolder(tmp_path).look()
    assert "FunctionTool is refused" in broken[0].error


@pytest.mark.parametrize(
    ("build", "why"),
    [
        (exports.with_function, "config.participants[0].config.workbench[0].config.tools[0]: FunctionTool is refused"),
        (exports.with_executor, "config.participants[1]: CodeExecutorAgent is refused"),
    ],
)
def test_code_is_refused_unless_allowed(build: Any, why: str, model: ChatCompletionClient, tmp_path: Path) -> None:
    """It is named with its place, before anything is loaded; a runner refuses it as well."""
    path = write(tmp_path, exports.dumped(build))
    teams, broken = TeamFolder(tmp_path).look()
    assert not teams
    assert why in broken[0].error
    assert "ALLOW_TEAM_CODE" in broken[0].error
    line = int(re.findall(r"line (\d+)", broken[0].error)[0])
    assert path.read_text().splitlines()[line - 1].strip().startswith("{")
    with pytest.raises(TeamFailed, match="refused"):
        team(model, str(path))
    teams, broken = TeamFolder(tmp_path, allow_code=True).look()
    assert not broken
    assert isinstance(trusted_team(model, teams[0].file or ""), Team)


@pytest.mark.parametrize(
    "provider",
    [
        "autogen_ext.code_executors.docker.DockerCommandLineCodeExecutor",
        "autogen_ext.tools.code_execution.PythonCodeExecutionTool",
        "autogen_ext.tools.http.HttpTool",
        "autogen_ext.agents.file_surfer.FileSurfer",
        "autogen_ext.agents.web_surfer.MultimodalWebSurfer",
        "autogen_ext.memory.redis_memory.RedisMemory",
        "autogen_agentchat.agents.AssistantAgentOfMine",
        "os.system",
        "my_package.MyAgent",
        "",
    ],
)
def test_what_is_not_known_is_refused(provider: str, tmp_path: Path) -> None:
    """A provider is a path that would be imported: only known ones are."""
    component = exports.dumped(exports.endless)
    component["config"]["participants"].append({"provider": provider, "component_type": "agent", "config": {}})
    document = read_document(write(tmp_path, component))
    with pytest.raises(TeamFileError, match=r"config\.participants\[1\]"):
        loadable(document, teams_in(document)[0], allow_code=False)


def test_mcp_servers_are_refused(tmp_path: Path) -> None:
    """They start programs."""
    component = exports.dumped(exports.endless)
    component["config"]["participants"][0]["config"]["workbench"] = [exports.MCP_TOOLS]
    document = read_document(write(tmp_path, component))
    with pytest.raises(TeamFileError, match="McpWorkbench is refused: it starts a program"):
        loadable(document, teams_in(document)[0], allow_code=False)
    loadable(document, teams_in(document)[0], allow_code=True)


def test_an_agent_with_a_model_of_its_own_is_always_refused(tmp_path: Path) -> None:
    """Nothing could pause it, stop it, or stand in for it."""
    component = exports.dumped(exports.endless)
    component["config"]["participants"][0]["provider"] = "autogen_ext.agents.openai.OpenAIAgent"
    document = read_document(write(tmp_path, component))
    with pytest.raises(TeamFileError, match="a model of its own"):
        loadable(document, teams_in(document)[0], allow_code=True)


def test_nothing_hides_as_a_model(model: ChatCompletionClient, tmp_path: Path) -> None:
    """Whatever calls itself a model, or stands where one does, is never loaded."""
    component = exports.dumped(exports.selector)
    evil = {"provider": "os.system", "config": {}}
    component["config"]["model_client"] = evil
    component["config"]["participants"][0]["config"]["model_client"] = {**evil, "component_type": "model"}
    loaded = team(model, str(write(tmp_path, component)))
    assert {id(client) for client in clients_in(loaded)} == {id(model)}


def test_bytes_cannot_smuggle_a_provider(tmp_path: Path) -> None:
    """YAML has bytes, which pydantic would take for a string and the check would not."""
    (tmp_path / "team.yaml").write_text(
        "provider: autogen_agentchat.teams.RoundRobinGroupChat\n"
        "component_type: team\n"
        "config: {participants: [{provider: !!binary b3Muc3lzdGVt, component_type: agent, config: {}}]}\n",
        encoding="utf-8",
    )
    _, broken = TeamFolder(tmp_path).look()
    assert "JSON does not have" in broken[0].error


def test_what_does_not_load_is_told_without_its_values(model: ChatCompletionClient, tmp_path: Path) -> None:
    """AutoGen's own errors quote what they got."""
    component = exports.dumped(exports.endless)
    component["config"]["participants"][0]["config"] = {"name": "x", "model_client": None, "secret": exports.KEY}
    with pytest.raises(TeamFailed) as raised:
        team(model, str(write(tmp_path, component)))
    assert "team.json: AssistantAgentConfig" in raised.value.message
    assert exports.KEY not in raised.value.message


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({"provider": "autogen_ext.models.openai.OpenAIChatCompletionClient", "component_type": "model", "config": {}},
         "a component of type model"),
        ({"components": {"teams": []}}, "there is no team in it"),
        ({"component_type": "team", "team_type": "RoundRobinGroupChat", "participants": []}, "before 0.4.0.4"),
        ({"id": "g", "items": {"teams": [{"team_type": "RoundRobinGroupChat"}]}}, "before 0.4.0.4"),
        ({"name": "w", "type": "autonomous", "sender": {"id": 1}, "receiver": {"id": 2}}, "before 0.4.0.4"),
    ],
)  # fmt: skip
def test_an_export_without_a_team_is_told(value: Any, why: str, tmp_path: Path) -> None:
    write(tmp_path, value)
    _, broken = TeamFolder(tmp_path).look()
    assert why in broken[0].error
