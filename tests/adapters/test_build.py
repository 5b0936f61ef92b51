"""From a factory's parameters to its generation, and what is said where a framework is missing."""

from __future__ import annotations

import subprocess
import sys

import pytest

from app.adapters.build import describe_team
from app.runner.wire import TeamSpec
from tests.support.processes import ROOT

WITHOUT = """
import asyncio, sys
from types import SimpleNamespace
from unittest.mock import Mock

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
from app.adapters.build import build_adapter
from app.errors import TeamFailed

def wants({parameter}):
    raise AssertionError("it is never called")

sys.modules["mine"] = SimpleNamespace(wants=wants)
team = SimpleNamespace(name="mine", factory={factory!r}, file=None)
try:
    asyncio.run(build_adapter(Mock(start=SimpleNamespace(team=team))))
except TeamFailed as error:
    print(error.message)
"""


@pytest.mark.parametrize(
    "factory", ["mine:wants", "tests.adapters.ag2_teams:solo"], ids=["by its parameter", "by its module"]
)
def test_ag2_is_not_installed(factory: str) -> None:
    """The team is told broken, with the command that mends it; nothing of ag2 was wanted before."""
    script = WITHOUT.format(missing="ag2", parameter="model_config", factory=factory)
    done = subprocess.run(  # ours
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert "ag2 is not installed: pip install" in done.stdout


@pytest.mark.parametrize("framework", ["ag2", "autogen"])
def test_frameworks_are_imported_when_a_factory_asks_for_them(framework: str) -> None:
    """A runner that plays the bundled teams knows nothing of the others."""
    script = f"import sys, app.runner.__main__, app.teams.debate; print({framework!r} in sys.modules)"
    done = subprocess.run(  # ours
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "False"


async def test_a_factory_that_leaves_is_described_as_broken() -> None:
    """As scripts do that are no modules: `sys.exit()`. Nobody had an answer."""
    team = TeamSpec(name="mine", factory="tests.runner.quitters:agentchat_factory")
    assert await describe_team(team) == {
        "problem": "the team mine cannot be built: SystemExit: no model is good enough"
    }
