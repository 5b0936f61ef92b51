"""The examples in docs/doors and docs/http.md run as they stand there: each fenced block that says `run`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.doors.clients import TERMINAL, TIMEOUT_S
from tests.support.model_server import ModelServer
from tests.support.server import ColloquyServer
from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[3]
PAGES = [ROOT / "docs" / "doors" / f"{name}.md" for name in ("sse", "websocket", "tasks", "messages", "ag2")]
EXAMPLES = [*PAGES, ROOT / "docs" / "http.md"]
ADDRESS = "127.0.0.1:5000"
_BLOCK = re.compile(r'^```(\w+) run expect="([^"]+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)
RUN = {
    "python": lambda code: [sys.executable, "-c", code],
    "bash": lambda code: ["bash", "-euo", "pipefail", "-c", code],
    "js": lambda code: ["node", "--input-type=module", "--eval", code],
}


def examples() -> Iterator[Any]:
    for page in EXAMPLES:
        for number, (language, expected, code) in enumerate(_BLOCK.findall(page.read_text()), 1):
            yield pytest.param(language, expected, code, id=f"{page.stem}-{number}-{language}")


@pytest.mark.parametrize(("language", "expected", "code"), tuple(examples()))
def test_an_example_runs(
    server: ColloquyServer,
    model: ModelServer,
    start: Callable[..., str],
    snapshot: Callable[[str], dict[str, Any]],
    language: str,
    expected: str,
    code: str,
) -> None:
    """With another port, and nothing else changed; it ends by itself and prints what its fence says."""
    model.control(tokens=30, token_delay_ms=3)
    conversation_id = start()  # the newest one, for those that ask for it
    wait_until(lambda: snapshot(conversation_id)["status"] in TERMINAL, "the end", 20)
    assert ADDRESS in code
    command = RUN[language](code.replace(ADDRESS, f"127.0.0.1:{server.port}"))
    ended = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S, env=os.environ | {"NO_PROXY": "*"}
    )
    assert ended.returncode == 0, ended.stderr
    assert expected in ended.stdout
    assert not ended.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_door_has_examples(page: Path) -> None:
    """In Python and in JavaScript; and its page is linked."""
    languages = {language for language, _, _ in _BLOCK.findall(page.read_text())}
    assert languages >= {"python", "js"}
    assert f"]({page.name})" in (ROOT / "docs" / "doors" / "README.md").read_text()
