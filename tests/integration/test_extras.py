"""Each generation's extra alone, as pip installs it: a team of it talks; of the others one hears what is missing. And
Azure's libraries, which are not installed for the other tests, with a Key Vault on loopback."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
import sysconfig
import textwrap
from pathlib import Path

import httpx
import pytest

from tests.integration.conftest import MODES
from tests.support.key_vault import KeyVaultServer
from tests.support.model_server import ModelServer
from tests.support.processes import ROOT
from tests.support.server import ColloquyServer
from tests.support.waiting import wait_until
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


@pytest.fixture(scope="module")
def with_azure(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter with what this one has, and the extra `azure`."""
    folder = tmp_path_factory.mktemp("azure")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python, here = str(folder / "bin" / "python"), sysconfig.get_path("purelib")
    Path(sysconfig.get_path("purelib", vars={"base": str(folder)}), "ours.pth").write_text(here)
    configuration = configparser.ConfigParser()
    configuration.read(ROOT / "setup.cfg")
    wanted = configuration["options.extras_require"]["azure"].split()
    subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *wanted], check=True)
    return python


@pytest.mark.parametrize("mode", MODES)
def test_a_key_from_azure_key_vault(mode: str, with_azure: str, tmp_path: Path, model: ModelServer) -> None:
    """By Azure's own libraries: challenge, identity, secret; the provider is tested and answers. What cannot be had is
    told by a sentence; nothing of a secret, and of what the vault says, is logged.
    """
    provider = {"kind": "openai", "model": "scripted", "base_url": model.url}
    with KeyVaultServer(tmp_path) as vault:
        vault.secrets = {"OPENAI-KEY": "sk-planted-in-the-vault", "OFF": None}
        env = {**vault.env(), "ASYNC_MODE": mode, "STREAM_TOKENS_PER_S": "0"}
        with (
            ColloquyServer(env=env, python=with_azure) as server,
            httpx.Client(base_url=server.url, timeout=60) as http,
        ):

            def add(name: str) -> str:
                body = {**provider, "name": name, "api_key": f"keyvault:{name}"}
                return str(http.post("/api/providers", json=body).raise_for_status().json()["provider_id"])

            def problems() -> dict[str, str | None]:
                return {each["name"]: each["problem"] for each in http.get("/api/providers").json()["providers"]}

            good = add("OPENAI-KEY")
            add("OFF")
            add("NOWHERE")

            def fetched() -> bool:
                return not any("is being fetched" in (each or "") for each in problems().values())

            wait_until(fetched, "an answer for each", 30)
            told = problems()
            assert told["OPENAI-KEY"] is None
            assert "disabled" in str(told["OFF"])
            assert "no secret of this name" in str(told["NOWHERE"])
            assert http.post(f"/api/providers/{good}/test").json()["outcome"] == "ok"
            with Watcher(server.url) as watcher:
                started = watcher.must("start_stream", {"content": "Hello", "team": "chat"})
                assert watcher.wait_for_end(started["session_id"]) == "completed"
            log = server.output()
            assert "planted" not in log
            assert "Request URL" not in log  # Azure's libraries log each request
