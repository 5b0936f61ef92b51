"""Each generation of AutoGen works where the other two are not installed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from app.adapters.build import INSTALLED_BY

PACKAGES = {
    "agentchat": {"autogen_agentchat", "autogen_core", "autogen_ext"},
    "classic": {"autogen"},
    "ag2": {"ag2"},
}
ADAPTERS = {"agentchat": "app.adapters.agentchat", "classic": "app.adapters.classic", "ag2": "app.adapters.ag2"}
IMPORT = """
import importlib, sys

class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, NotInstalled())
for name in ("app.runner.__main__", {adapter!r}, "app.adapters.demo"):
    importlib.import_module(name)
"""


@pytest.mark.parametrize("generation", PACKAGES)
def test_an_adapter_needs_no_other_generation(generation: str) -> None:
    """In an interpreter of its own, in which importing the others fails as if they were not there."""
    missing = set().union(*(packages for name, packages in PACKAGES.items() if name != generation))
    script = IMPORT.format(missing=missing, adapter=ADAPTERS[generation])
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_is_missing_can_be_installed() -> None:
    """For each package that a team may lack there is a command."""
    assert set(INSTALLED_BY) == set().union(*PACKAGES.values())
