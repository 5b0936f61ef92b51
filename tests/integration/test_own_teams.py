"""Teams that people bring, in the real server: from files, from Python, broken ones, and ones that misbehave."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import TIMEOUT_SCALE
from tests.support.model_server import ModelServer
from tests.support.processes import ROOT
from tests.support.server import ColloquyServer
from tests.support.waiting import wait_until
from tests.support.watcher import Watcher
from tests.teams import exports

WAIT_S = 20 * TIMEOUT_SCALE
EXAMPLES = ROOT / "examples/teams"

ODD_TEAMS = '''
import os, time


def assistant(model_client):
    """One who helps.

    And more that nobody needs to know.
    """
    from autogen_agentchat.agents import AssistantAgent

    return AssistantAgent("Helper", model_client, description="Helps.", model_client_stream=True)


def hanging(model_client):
    time.sleep(3600)


def dying(model_client):
    os.kill(os.getpid(), 11)


def raising(model_client):
    raise ValueError("no such file: prices.csv")


def nothing(model_client):
    return 42


def odd(model_client):
    """It does to its process what it is asked to."""
    from autogen_agentchat.agents import AssistantAgent

    class Odd(AssistantAgent):
        async def on_messages_stream(self, messages, cancellation_token):
            match messages[-1].to_text():
                case "die":
                    os.kill(os.getpid(), 11)
                case "block":
                    time.sleep(3600)
                case "print":
                    print("x" * 5_000_000)
            async for each in super().on_messages_stream(messages, cancellation_token):
                yield each

    return Odd("Odd", model_client, model_client_stream=True)
'''


CHANGING = """
from autogen_agentchat.agents import AssistantAgent


def team(model_client):
    return AssistantAgent("{}", model_client, model_client_stream=True)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Team files: the examples as they are, one with code, one broken, one that takes a bundled team's name."""
    folder: Path = tmp_path_factory.mktemp("brought") / "teams"
    folder.mkdir()
    for name in ("poets.yaml", "plan-write-review.json"):
        shutil.copy(EXAMPLES / name, folder)
    (folder / "with-code.json").write_text(json.dumps(exports.dumped(exports.with_function)), encoding="utf-8")
    (folder / "typo.yaml").write_text("agents:\n  - name: A\n    promt: b\n", encoding="utf-8")
    (folder / "debate.yaml").write_text("agents: [{name: A, prompt: b}]", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder on the server's PYTHONPATH."""
    found: Path = tmp_path_factory.mktemp("modules")
    return found


@pytest.fixture(scope="module")
def own(folder: Path, modules: Path, model: ModelServer) -> Iterator[ColloquyServer]:
    """A server with teams from everywhere."""
    (modules / "odd_teams.py").write_text(ODD_TEAMS, encoding="utf-8")
    shutil.copy(EXAMPLES / "my_team.py", modules)
    (modules / "changing.py").write_text(CHANGING.format("Before"), encoding="utf-8")
    names = ("assistant", "hanging", "dying", "raising", "nothing", "odd")
    readme = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    (modules / "readme_team.py").write_text(readme[0], encoding="utf-8")
    teams = [
        *(f"{name}=odd_teams:{name}" for name in names),
        "duet=my_team:team",
        "readme=readme_team:team",
        "changing=changing:team",
        "lost=no_such_module:team",
    ]
    env = {
        "PYTHONPATH": str(modules),
        "TEAMS": ",".join(teams),
        "TEAMS_DIR": str(folder),
        "TEAM_LOAD_TIMEOUT_S": str(3 * TIMEOUT_SCALE),
        "STREAM_TOKENS_PER_S": "0",
        "RUNNERS_PER_TEAM": "1",  # so that they are neighbours
        "RUNNER_SILENCE_S": str(round(3 * TIMEOUT_SCALE)),
    }
    with ColloquyServer(model_url=model.url, env=env) as server:
        yield server


@pytest.fixture
def person(own: ColloquyServer) -> Iterator[Watcher]:
    with Watcher(own.url, timeout_s=WAIT_S) as client:
        yield client


def teams_of(server: ColloquyServer) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """What is offered and what is broken, by name."""
    answer = server.get("/api/teams")
    return {each["name"]: each for each in answer["teams"]}, {each["name"]: each for each in answer["broken"]}


def settled(server: ColloquyServer) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """The same, when every team's own code has been asked."""
    wait_until(lambda: not any(each["pending"] for each in teams_of(server)[0].values()), "the last description", 40)
    return teams_of(server)


def test_each_team_is_told_with_its_agents(own: ColloquyServer) -> None:
    """Where it comes from, who is in it, and whose AutoGen it is; Python's by its own code."""
    offered, _ = settled(own)
    poets, studio, duet, assistant = (offered[name] for name in ("poets", "plan-write-review", "duet", "assistant"))
    assert (poets["title"], poets["source"], poets["file"]) == ("Two poets", "rounds", "teams/poets.yaml")
    assert [(each["name"], each["emoji"]) for each in poets["agents"]] == [("Poet", "🪶"), ("Strict Critic", "🧐")]
    assert (studio["title"], studio["source"], studio["generation"]) == ("Plan, write, review", "studio", "agentchat")
    assert [each["name"] for each in studio["agents"]] == ["planner", "writer", "reviewer"]
    assert (duet["source"], duet["generation"]) == ("python", "agentchat")
    assert [each["description"] for each in duet["agents"]] == ["Writes two lines.", "Judges them."]
    assert (assistant["description"], assistant["agents"][0]["name"]) == ("One who helps.", "Helper")
    assert offered["debate"]["source"] == "bundled"


def test_each_broken_team_is_told_with_its_error(own: ColloquyServer) -> None:
    """In the answer, with file, line and field; also a factory that hangs or dies. None stops another."""
    _, broken = settled(own)
    said = {name: each["error"] for name, each in broken.items()}
    assert said["typo"].startswith("line 3, agents[0].promt: there is no such field")
    assert broken["typo"]["file"] == "teams/typo.yaml"
    assert "FunctionTool is refused" in said["with-code"]
    assert said["debate"] == "a bundled team has this name: rename it"
    assert "there is no module no_such_module" in said["lost"]
    assert "ValueError: no such file: prices.csv" in said["raising"]
    assert "its factory returned a int" in said["nothing"]
    assert "SIGSEGV" in said["dying"]
    assert "does not build it within" in said["hanging"]
    assert not [each for each in own.get("/api/websocket/status")["runners"] if each["for"].startswith("describe:")]


@pytest.mark.parametrize(
    ("team", "speakers"),
    [
        ("poets", ["Poet", "Strict Critic", "Poet", "Strict Critic"]),
        ("duet", ["Poet", "Critic"]),
        ("readme", ["Poet", "Critic"]),
    ],
)
def test_the_examples_run(team: str, speakers: list[str], person: Watcher) -> None:
    """Token by token, under the names of their descriptions."""
    person.must("start_stream", {"content": "Rain.", "team": team})
    assert person.wait_for_end() == "completed"
    assert [payload["agent"] for _, payload in person.events("agent_message")] == ["user", *speakers]
    assert person.events("message_delta")
    if team == "poets":
        assert person.events("conversation_complete")[0][1]["summary"]


def test_a_studio_team_speaks_by_our_model(person: Watcher, model: ModelServer, folder: Path) -> None:
    """Its own address, model and key are not used; it streams although the file says no."""
    (folder / "round.json").write_text(json.dumps(exports.dumped(exports.round_robin)), encoding="utf-8")
    person.must("start_stream", {"content": "Rain.", "team": "round"})
    assert person.wait_for_end() == "completed"
    spoken = [payload["agent"] for _, payload in person.events("agent_message")]
    assert spoken == ["user", "writer", "critic"]
    assert len(person.events("message_delta")) > 2
    assert exports.MODEL not in {each["model"] for each in model.stats()["requests"]}
    (folder / "round.json").unlink()


def test_a_file_comes_breaks_and_goes_while_the_server_runs(
    own: ColloquyServer, person: Watcher, folder: Path, model: ModelServer
) -> None:
    """No restart; the conversation that was begun with it goes on to its end."""
    model.control(token_delay_ms=20)
    path = folder / "late.yaml"
    path.write_text("rounds: 2\nagents: [{name: Späte, prompt: Speak.}]", encoding="utf-8")
    ack = person.must("start_stream", {"content": "Rain.", "team": "late"})
    person.wait_for_event("message_delta")
    path.write_text("rounds: [", encoding="utf-8")
    assert "late" in teams_of(own)[1]
    assert person.refused("start_stream", {"content": "Rain.", "team": "late"}) == "team_unknown"
    path.unlink()
    offered, broken = teams_of(own)
    assert "late" not in offered
    assert "late" not in broken
    assert person.wait_for_end(ack["session_id"]) == "completed"
    assert {payload["agent"] for _, payload in person.events("agent_message")} == {"user", "Späte"}


@pytest.mark.matrix
@pytest.mark.parametrize("harm", ["die", "block"])
def test_a_team_that_kills_its_process_ends_alone(
    harm: str, own: ColloquyServer, person: Watcher, model: ModelServer
) -> None:
    """A neighbour in the same process goes on in another one; the culprit is tried again by itself, then it is over."""
    model.control(token_delay_ms=20, tokens=100)
    calm = person.must("start_stream", {"content": "Rain.", "team": "odd"})
    person.wait_for_event("message_delta")
    with Watcher(own.url, timeout_s=60 * TIMEOUT_SCALE) as other:
        other.must("start_stream", {"content": harm, "team": "odd"})
        assert other.wait_for_end() == "error"
        codes = [payload["code"] for _, payload in other.events("conversation_error")]
        assert codes == ["runner_lost"] * 3
    assert person.wait_for_end(calm["session_id"]) == "completed"
    assert [payload["code"] for _, payload in person.events("conversation_error")] == ["runner_lost"]


@pytest.mark.matrix
def test_what_a_team_prints_does_not_fill_the_log(own: ColloquyServer, person: Watcher) -> None:
    """Its beginning is there, under the team's name."""
    before = len(own.output())
    person.must("start_stream", {"content": "print", "team": "odd"})
    assert person.wait_for_end() == "completed"
    wait_until(lambda: "team:odd: xxx" in own.output()[before:], "its first line", 40)  # at a megabyte per second
    assert len(own.output()) - before < 10_000


@pytest.mark.matrix
def test_changed_code_is_there_with_the_next_run(person: Watcher, modules: Path) -> None:
    """No restart of the server: a new process runs it."""
    person.must("start_stream", {"content": "Rain.", "team": "changing"})
    person.wait_for_end()
    (modules / "changing.py").write_text(CHANGING.format("Afterwards"), encoding="utf-8")
    ack = person.must("start_stream", {"content": "Rain.", "team": "changing"})
    person.wait_for_end(ack["session_id"])
    spoken = [payload["agent"] for _, payload in person.events("agent_message")]
    assert spoken == ["user", "Before", "user", "Afterwards"]
