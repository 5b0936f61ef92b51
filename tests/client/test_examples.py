"""The examples of docs/clients/python.md and docs/clients/command-line.md run, as they stand there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.client.test_command_line import TIMEOUT_S, environment, lines, run
from tests.support.model_server import ModelServer
from tests.support.processes import ROOT
from tests.support.server import ColloquyServer

DOCS = ROOT / "docs" / "clients"


def blocks(page: str, language: str) -> list[str]:
    return re.findall(
        rf"^```{language}\n(.*?)^```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )


PYTHON = blocks("python.md", "python")
SHELL = [line for block in blocks("command-line.md", "sh") for line in block.splitlines()]


def test_there_are_examples() -> None:
    """They were found."""
    assert len(PYTHON) >= 4
    assert len(SHELL) >= 8


@pytest.mark.parametrize("number", range(len(PYTHON)))
def test_python_example(server: ColloquyServer, model: ModelServer, tmp_path: Path, number: int) -> None:
    """Runs to its end as a program, without a warning."""
    model.control(tokens=10, token_delay_ms=10)
    script = tmp_path / "example.py"
    script.write_text(PYTHON[number].replace("http://127.0.0.1:5000", server.url), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", script],
        env=environment({"PYTHONPATH": str(ROOT)}),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout


@pytest.mark.matrix
def test_shell_examples(server: ColloquyServer, model: ModelServer, tmp_path: Path) -> None:
    """Each line succeeds, in a shell that has the project's programs."""
    model.control(tokens=3, token_delay_ms=0)
    summary = lines(run("start", "x", "--json", url=server.url).stdout)[-1]["payload"]
    env = environment({"COLLOQUY_URL": server.url, "DATA_DIR": server.data_dir})
    (tmp_path / "new-password.txt").write_text("another long password\n", encoding="utf-8")
    made = ""
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    for line in SHELL:
        command = line.replace("EPOCH:OFFSET", summary["position"]).replace(" ID", f" {summary['conversation_id']}")
        for file in ("new-password.txt", "debate.html"):
            command = command.replace(file, str(tmp_path / file))
        command = command.replace("TOKEN_ID", made)
        done = subprocess.run(
            ["sh", "-c", command],
            env=env,
            cwd=ROOT,
            input="y\n" if "user delete" in command else "a good long password\n",  # of whom it asks for one
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, (line, done.stdout, done.stderr)
        made = (re.findall(r"tok_\w+", done.stdout + done.stderr) or [made])[0]
        assert done.stdout or done.stderr or "--position" in line
