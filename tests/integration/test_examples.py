"""The examples of the documents, as they stand there, against a running server."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest

from tests.conftest import TIMEOUT_SCALE
from tests.support.model_server import ModelServer
from tests.support.processes import ROOT
from tests.support.server import ColloquyServer

ONE_MODE = pytest.mark.parametrize("server", ["eventlet"], indirect=True)


def example(document: str, language: str, server: ColloquyServer) -> str:
    """All code of a language in a document, with the server's real address."""
    text = (ROOT / "docs" / document).read_text()
    blocks = re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert blocks, f"docs/{document} has no {language}"
    return "\n".join(blocks).replace("http://127.0.0.1:5000", server.url)


def run(*command: str) -> str:
    """What a program prints; it has to succeed."""
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60 * TIMEOUT_SCALE, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@ONE_MODE
def test_agui(server: ColloquyServer, model: ModelServer) -> None:
    """Three agents speak; asked again with the position, nothing is said twice."""
    node = shutil.which("node")
    assert node, "Node.js is missing"
    said = run(node, "--input-type=module", "--eval", example("doors/agui.md", "js", server)).splitlines()
    speakers = [line.removesuffix(" speaks") for line in said if line.endswith(" speaks")]
    assert speakers == ["Financial Analyst", "Market Context", "Risk Challenger"]
    assert "You: Are bank shares cheap?" in said
    assert "completed" in said


@ONE_MODE
def test_contracts(server: ColloquyServer) -> None:
    """An answer fits the published schema."""
    run(sys.executable, "-c", example("contracts.md", "python", server))
