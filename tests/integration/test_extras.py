"""Each extra alone, as pip installs it: a team of that generation talks; of the others one hears what is missing."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import httpx
import pytest

from tests.support.model_server import ModelServer
from tests.support.processes import ROOT
from tests.support.server import ColloquyServer
from tests.support.watcher import Watcher

pytestmark = [pytest.mark.matrix, pytest.mark.timeout(400)]

TEAMS = """
def agentchat(model_client):
    from autogen_agentchat.agents import AssistantAgent
    return AssistantAgent("solo", model_client, model_client_stream=True)

def classic(llm_config):
    from autogen import ConversableAgent
    return ConversableAgent("solo", llm_config=llm_config, human_input_mode="NEVER")

def ag2(model_config):
    from ag2 import Agent
    return Agent("solo", config=model_config)
"""


@pytest.mark.parametrize("extra", ["agentchat", "classic", "ag2", "agentchat,classic,ag2"])
def test_generations_alone_and_together(extra: str, tmp_path: Path, model: ModelServer) -> None:
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    pip = [str(python), "-m", "pip", "install", "-q", "--no-compile", "--disable-pip-version-check"]
    sources = tmp_path / "sources"  # building leaves files beside them
    sources.mkdir()
    for name in ("pyproject.toml", "setup.cfg", "README.md"):
        shutil.copy(ROOT / name, sources)
    shutil.copytree(ROOT / "app", sources / "app", ignore=shutil.ignore_patterns("__pycache__"))
    pins = tmp_path / "pins.txt"
    pins.write_text(re.sub(r"\[.*?\]", "", (ROOT / "requirements.txt").read_text()))  # constraints have no extras
    subprocess.run([*pip, "-c", str(pins), f"{sources}[{extra}]"], check=True)
    subprocess.run([str(python), "-m", "pip", "check"], check=True)
    (tmp_path / "three.py").write_text(textwrap.dedent(TEAMS))
    env = {
        "TEAMS": ",".join(f"{name}=three:{name}" for name in ("agentchat", "classic", "ag2")),
        "PYTHONPATH": str(tmp_path),
    }
    model.control(tokens=8, token_delay_ms=1)
    with ColloquyServer(model_url=model.url, env=env, python=str(python)) as server, Watcher(server.url) as watcher:
        for team in ("agentchat", "classic", "ag2"):
            started = watcher.must("start_stream", {"content": "Hello", "team": team})
            end = watcher.wait_for_end(started["session_id"])
            snapshot = httpx.get(f"{server.url}/api/conversations/{started['conversation_id']}").json()
            if team in extra.split(","):
                assert (end, snapshot["messages"][-1]["role"]) == ("completed", "agent")
            else:
                assert (end, snapshot["error"]["code"]) == ("error", "team_failed")
                assert "is not installed: pip install" in snapshot["error"]["error"]
