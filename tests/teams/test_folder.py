"""The folder of team files: rounds of prompts, and what is wrong with a file."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from app.adapters.cast import Cast
from app.protocol.common import AgentCard
from app.teams.documents import MAX_FILE_BYTES, MAX_YAML_BYTES
from app.teams.folder import TeamFolder, team_name
from app.teams.names import identifier
from app.teams.rounds_file import RoundsFile
from tests.support.processes import ROOT

POETS = """\
name: Two poets
description: They write about anything.
rounds: 2
agents:
  - name: Poet
    emoji: 🪶
    prompt: Write two lines.
  - name: Strict Critic
    description: Judges them.
    prompt: Judge them.
closing: Which line was the best?
"""


def problem(folder: Path, text: str | bytes, name: str = "team.yaml") -> str:
    """What is wrong with such a file."""
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    teams, broken = TeamFolder(folder).look()
    assert not teams
    assert [each.file for each in broken] == [f"{folder.name}/{name}"]
    return broken[0].error


def test_a_round_of_prompts_is_a_team(tmp_path: Path) -> None:
    """Named by its file, shown by what it says."""
    (tmp_path / "poets.yaml").write_text(POETS, encoding="utf-8")
    (tmp_path / "same.json").write_text(json.dumps({"agents": [{"name": "A", "prompt": "b"}]}), encoding="utf-8")
    teams, broken = TeamFolder(tmp_path).look()
    assert not broken
    assert [(each.name, each.title, each.isolated) for each in teams] == [
        ("poets", "Two poets", False),
        ("same", "Same", False),
    ]
    assert [(card.name, card.emoji) for card in teams[0].agents] == [("Poet", "🪶"), ("Strict Critic", "")]


def test_files_come_change_and_go_without_a_restart(tmp_path: Path) -> None:
    """Only what has changed is read again; one that breaks does not touch the others."""
    folder = TeamFolder(tmp_path / "teams")
    assert folder.look() == ([], [])
    (tmp_path / "teams").mkdir()
    first, second = tmp_path / "teams" / "a.yaml", tmp_path / "teams" / "b.yaml"
    first.write_text(POETS, encoding="utf-8")
    second.write_text(POETS, encoding="utf-8")
    before = folder.look()[0]
    assert [each.name for each in before] == ["a", "b"]
    second.write_text("agents: [", encoding="utf-8")
    after, broken = folder.look()
    assert after == before[:1]
    assert after[0] is before[0]
    assert [each.name for each in broken] == ["b"]
    first.unlink()
    assert folder.look()[0] == []


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    """What an editor leaves, what a person notes."""
    for name in ("README.md", ".hidden.yaml", "~lock.json", "helper.py", "poets.yaml~"):
        (tmp_path / name).write_text("nonsense: [", encoding="utf-8")
    (tmp_path / "folder.json").mkdir()
    assert TeamFolder(tmp_path).look() == ([], [])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it is empty"),
        ("just words", "an object with fields is needed"),
        ("agents:\n  - name: a\n   prompt: b\n", "line 3, column 4: it is no YAML"),
        ("agents: [{name: a, prompt: b, colour: red}]", "there is no such field; there are: name, prompt, emoji, desc"),
        ("rounds: 2\n", "agents: it is missing"),
        ("agents: []\n", "line 1, agents: Tuple should have at least 1 item"),
        ("agents:\n  - name: a\n", "line 2, agents[0].prompt: it is missing"),
        ("agents:\n  - name: a\n    promt: b\n", "line 3, agents[0].promt: there is no such field; did you mean"),
        ("agents: [{name: a, prompt: b}]\nround: 3\n", "line 2, round: there is no such field; did you mean rounds?"),
        ("agents:\n  - {name: a, prompt: b}\n  - {name: A, prompt: b}\n", "line 3, agents[1].name: the model could"),
        ("agents: [{name: user, prompt: b}]", "agents[0].name: the model could not tell it from"),
        ("agents:\n  - {name: yes, prompt: b}\n", "line 2, agents[0].name: Input should be a valid string"),
        ("rounds: many\nagents: [{name: a, prompt: b}]", "line 1, rounds: Input should be a valid integer"),
        ("rounds: yes\nagents: [{name: a, prompt: b}]", "line 1, rounds: Input should be a valid integer"),
        ("rounds: 51\nagents: [{name: a, prompt: b}]", "line 1, rounds: Input should be less than or equal to 50"),
        ("rounds: 50\nagents: [{name: a, prompt: b}, {name: c, prompt: d}, {name: e, prompt: f}]", "more than 100"),
        ("agents: [{name: a, prompt: 2024-01-01}]", "put it into quotes"),
        ("a: &a [1]\nb: *a\n", "line 2: references (*a) are not supported"),
        ("a: !!python/object/apply:os.system [x]", "it is no YAML: could not determine a constructor"),
        ("- agents", "an object with the field `agents` is needed"),
        ("agents: [{name: \"\\e\", prompt: b}]", "line 1, agents[0].name: it has no letters that can be seen"),
        (b"\xff\xfe", "it is not UTF-8"),
        ("x" * (MAX_YAML_BYTES + 1), "it is larger than"),
        ("{" * 5000, "line 1: it is nested too deeply"),
        ("[" * 100_000, "line 1: it is nested too deeply"),
        ("\n".join(" " * level + "a:" for level in range(200)), "line 101: it is nested too deeply"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_place(text: str | bytes, said: str, tmp_path: Path) -> None:
    """In words, with line and field."""
    assert said in problem(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"agents": [}', "line 1, column 13: it is no JSON: Expecting value"),
        ('{"agents": [\n{"name": "a"}]}', "line 2, agents[0].prompt: it is missing"),
        ('{\n\t"agents": [{"name": "a"}]}', "agents[0].prompt: it is missing"),
        ("[" * 100_000, "nested too deeply"),
        *(("[" * depth + "]" * depth, "nested too deeply") for depth in (101, 500, 900)),
        ('{"data": ' * 500 + "{}" + "}" * 500, "nested too deeply"),
        ('{"agents": [{"name": "a", "prompt": "\\ud800"}]}', "it holds half of a character"),
        ('{"agents": [{"name": "a"}], "closing": "' + "x" * MAX_YAML_BYTES + '"}', "agents[0].prompt: it is missing"),
        ("x" * (MAX_FILE_BYTES + 1), "it is larger than"),
        ('{"rounds": ' + "1" * 5000 + "}", "it is no JSON that can be read"),
    ],
)
def test_what_is_wrong_with_json_is_named(text: str, said: str, tmp_path: Path) -> None:
    assert said in problem(tmp_path, text, "team.json")


def test_values_are_not_quoted(tmp_path: Path) -> None:
    """A file may hold what nobody else should read."""
    assert "sk-secret" not in problem(tmp_path, "agents: [{name: a, prompt: {key: sk-secret}}]")


def test_names_of_files_fit_into_addresses() -> None:
    """A browser's second download, a title, another script."""
    assert team_name("team-config (1)") == "team-config-1"
    assert team_name("Was nun?") == "Was-nun"
    assert team_name("分析") == "分析"
    assert team_name("…") == "team"


@pytest.mark.parametrize(
    ("name", "known_as"),
    [("Strict Critic", "Strict_Critic"), ("Müller", "Muller"), ("1st", "_1st"), ("a-b", "a_b"), ("分", "_20998_")],
)
def test_models_know_agents_by_ascii_names(name: str, known_as: str) -> None:
    """OpenAI and AutoGen take no others."""
    assert identifier(name) == known_as
    assert identifier(known_as) == known_as
    assert known_as.isidentifier()


def test_people_read_the_names_of_the_file() -> None:
    """Whatever the model knows the agents by."""
    cast = Cast([AgentCard(name="Müller", emoji="🧔"), AgentCard(name="分"), AgentCard(name="Strict Critic")])
    assert [cast.name(identifier(name)) for name in ("Müller", "分", "Strict Critic")] == [
        "Müller",
        "分",
        "Strict Critic",
    ]
    assert cast.emoji("Muller") == "🧔"


def test_what_is_no_file_is_told_and_never_waited_for(tmp_path: Path) -> None:
    """Links that lead nowhere or to themselves; a pipe and a device, which would give bytes for ever or never."""
    os.symlink(tmp_path / "nowhere", tmp_path / "gone.yaml")
    os.symlink(tmp_path / "itself.yaml", tmp_path / "itself.yaml")
    os.symlink("/dev/zero", tmp_path / "endless.json")
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "good.yaml").write_text(POETS, encoding="utf-8")
    teams, broken = TeamFolder(tmp_path).look()
    assert [each.name for each in teams] == ["good"]
    assert {each.name: each.error for each in broken} == {
        "gone": "it cannot be read: No such file or directory",
        "itself": "it cannot be read: Too many levels of symbolic links",
        "endless": "it is no file that can be read",
        "pipe": "it is no file that can be read",
    }


def test_a_file_whose_name_cannot_be_told_is_broken(tmp_path: Path) -> None:
    """Bytes that are no text, what commands a terminal: no answer could carry them."""
    (tmp_path / os.fsdecode(b"bad\xff.yaml")).write_text(POETS, encoding="utf-8")
    (tmp_path / "red\x1b[31m.yaml").write_text(POETS, encoding="utf-8")
    teams, broken = TeamFolder(tmp_path).look()
    assert not teams
    assert [each.file for each in broken] == [f"{tmp_path.name}/bad?.yaml", f"{tmp_path.name}/red [31m.yaml"]
    assert all("rename it" in each.error for each in broken)


def test_names_command_no_terminal(tmp_path: Path) -> None:
    """They are printed by `flask colloquy`, and stand in one line."""
    (tmp_path / "odd.json").write_text('{"name": "a\\u001b[31m", "agents": [{"name": "b\\u0000\\nc", "prompt": "d"}]}')
    (team,), broken = TeamFolder(tmp_path).look()
    assert not broken
    assert (team.title, team.agents[0].name) == ("a [31m", "b c")


def test_a_folder_that_is_none_is_told(tmp_path: Path) -> None:
    """TEAMS_DIR names a file."""
    (tmp_path / "teams").write_text("", encoding="utf-8")
    teams, broken = TeamFolder(tmp_path / "teams").look()
    assert not teams
    assert [each.error for each in broken] == ["the folder of teams cannot be read: Not a directory"]


def test_the_published_schema_is_current() -> None:
    """docs/teams/rounds.schema.json; `make generate` writes it."""
    from tools import team_schema

    assert team_schema.FILE.read_text(encoding="utf-8") == team_schema.written()
    assert set(RoundsFile.model_fields) == {"name", "description", "agents", "rounds", "closing"}


@pytest.mark.parametrize(("page", "file"), [("rounds.md", "poets.yaml"), ("python.md", "my_team.py")])
def test_the_pages_show_the_examples_as_they_are(page: str, file: str) -> None:
    """They are run by tests/integration/test_own_teams.py."""
    text = (ROOT / "docs/teams" / page).read_text()
    shown = re.findall(r"^```(?:yaml|python)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert shown[0] == (ROOT / "examples/teams" / file).read_text()


def test_the_examples_are_good() -> None:
    """All that may be copied into the folder."""
    teams, broken = TeamFolder(ROOT / "examples/teams").look()
    assert not broken
    assert [each.name for each in teams] == ["plan-write-review", "poets"]
