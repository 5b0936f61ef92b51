"""What teams say of themselves: asked once, in the background, and again when their code has changed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from app.errors import RunnerLost
from app.runner.wire import TeamSpec
from app.teams.descriptions import RETRY_S, Descriptions, code_state
from app.teams.directory import TeamDirectory
from app.teams.folder import TeamFolder

CARD = {"name": "Helper", "description": "Helps.", "emoji": ""}


class Bench:
    """A workshop that answers from a script; its work waits until :meth:`work`."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asked: list[str] = []
        self.opened = 0
        self.answers: dict[str, Any] = {}
        self._todo: list[Callable[[], None]] = []
        self.descriptions = Descriptions(self.open, self._todo.append, lambda: self.now)

    @contextmanager
    def open(self) -> Iterator[Callable[[TeamSpec], dict[str, Any]]]:
        self.opened += 1
        yield self.describe

    def describe(self, team: TeamSpec) -> dict[str, Any]:
        self.asked.append(team.name)
        answer = self.answers.get(team.name, {"generation": "agentchat", "agents": [CARD], "description": "Good."})
        if isinstance(answer, Exception):
            raise answer
        return dict(answer)

    def work(self) -> None:
        while self._todo:
            self._todo.pop(0)()


@pytest.fixture
def bench() -> Bench:
    return Bench()


def own(name: str = "mine", factory: str = "my_team:team", **fields: Any) -> TeamSpec:
    return TeamSpec(name=name, factory=factory, isolated=True, **fields)


def test_a_team_is_asked_once(bench: Bench) -> None:
    """Nobody waits for it; one process for all that are asked at once."""
    first, second = own("first"), own("second", description="Its file says so.")
    for _ in range(3):
        assert bench.descriptions.pending(first)
        assert bench.descriptions.completed(second).agents == ()
    bench.work()
    assert bench.asked == ["first", "second"]
    assert bench.opened == 1
    assert not bench.descriptions.pending(first)
    described = bench.descriptions.completed(second)
    assert [card.name for card in described.agents] == ["Helper"]
    assert (described.generation, described.description) == ("agentchat", "Its file says so.")


def test_bundled_teams_are_not_asked(bench: Bench) -> None:
    assert not bench.descriptions.pending(TeamSpec(name="debate", factory="app.teams.debate:team"))
    bench.work()
    assert bench.asked == []


def test_a_team_is_asked_again_when_its_code_changes(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its module, or its file."""
    monkeypatch.syspath_prepend(str(tmp_path))
    module, file = tmp_path / "changing_team.py", tmp_path / "team.json"
    for each in (module, file):
        each.write_text("1", encoding="utf-8")
    team = own(factory="changing_team:team", file=str(file))
    bench.descriptions.completed(team)
    bench.work()
    for each in (module, file):
        os.utime(each, (1, 1))
        assert bench.descriptions.pending(team)
        bench.work()
    assert len(bench.asked) == 3


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"problem": "ValueError: no"}, "ValueError: no"),
        (RunnerLost("the agent process could not be started"), "the agent process could not be started"),
        ({"agents": [{"colour": "red"}]}, "what it says of its agents cannot be read"),
    ],
)
def test_a_team_that_fails_is_asked_again_later(bench: Bench, answer: Any, said: str) -> None:
    """What it needs may be there by then."""
    bench.answers["mine"] = answer
    bench.descriptions.completed(own())
    bench.work()
    assert bench.descriptions.problem(own()) == said
    bench.work()
    assert len(bench.asked) == 1
    bench.now = RETRY_S + 1
    assert bench.descriptions.problem(own()) == said
    del bench.answers["mine"]
    bench.work()
    assert bench.descriptions.problem(own()) is None


def test_the_directory_moves_what_fails_to_the_broken(bench: Bench, tmp_path: Path) -> None:
    """It can still be started: the run says the same, or what was missing is there."""
    (tmp_path / "poets.yaml").write_text("agents: [{name: A, prompt: b}]", encoding="utf-8")
    (tmp_path / "mine.yaml").write_text("agents: [{name: A, prompt: b}]", encoding="utf-8")
    bench.answers["mine"] = {"problem": "it is no AutoGen team"}
    directory = TeamDirectory(["mine=json:loads"], folder=TeamFolder(tmp_path), descriptions=bench.descriptions)
    assert [each.spec.name for each in directory.offered() if each.source != "bundled"] == ["mine", "poets"]
    bench.work()
    assert [each.spec.name for each in directory.offered() if each.source != "bundled"] == ["poets"]
    assert [(each.name, each.error) for each in directory.broken()] == [
        ("mine", "a team of TEAMS or of an installed package has this name: rename it"),
        ("mine", "it is no AutoGen team"),
    ]
    assert directory.get("mine").factory == "json:loads"


@pytest.mark.parametrize("init", [True, False], ids=["package", "folder without __init__.py"])
def test_a_module_that_has_changed_is_noticed(init: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without importing it: the next conversation runs the new one."""
    folder = tmp_path / f"chamber_{init}"
    folder.mkdir()
    if init:
        (folder / "__init__.py").touch()
    (folder / "teams.py").write_text("one = 1")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = code_state(f"{folder.name}.teams:team")
    assert before is not None
    (folder / "teams.py").write_text("another = 2")
    assert code_state(f"{folder.name}.teams:team") != before
    assert code_state(f"{folder.name}.gone:team") is None
