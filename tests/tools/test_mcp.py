"""Tools of a real MCP server, in a process of its own."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from app.errors import TeamFailed
from app.runner.wire import Limits
from app.tools import mcp
from app.tools.context import RUN
from tests.conftest import TIMEOUT_SCALE
from tests.tools.test_finance import OneRun

SERVER = {"command": sys.executable, "args": [str(Path(__file__).with_name("mcp_server.py"))]}


def run_with(tmp_path: Path, document: Any, **limits: Any) -> OneRun:
    """A run whose MCP_SERVERS is a file with this in it."""
    path = tmp_path / "mcp.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    run = OneRun(Limits(mcp_servers=str(path), **limits))
    RUN.set(run)
    return run


async def test_a_team_gets_the_tools_of_a_server(tmp_path: Path) -> None:
    """What hangs or fails is a result that says so; the server ends with the run."""
    off = {"command": "/no/such/program", "disabled": True}
    run = run_with(tmp_path, {"mcpServers": {"sums": SERVER, "off": off}}, tool_timeout_s=1.0 * TIMEOUT_SCALE)
    [bench] = await mcp.workbenches()
    try:
        assert [tool["name"] for tool in await bench.list_tools()] == ["add", "hang", "fail"]
        assert (await bench.call_tool("add", {"first": 1, "second": 2})).to_text() == "3"
        failed = await bench.call_tool("fail")
        assert failed.is_error
        assert "it is broken" in failed.to_text()
        late = await bench.call_tool("hang")
        assert late.is_error
        assert late.to_text().startswith("Error: hang had no answer within")
    finally:
        for ending in run.endings:
            await ending()


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ({"mcpServers": {"gone": {"command": "/no/such/program"}}}, "server gone cannot be used: .*No such file"),
        (
            {"mcpServers": {"mute": {"command": sys.executable, "args": ["-c", ""]}}},
            "server mute cannot be used: (it has ended|Connection closed)",
        ),
        ({"mcpServers": {"odd": {"command": "a", "url": "b"}}}, "mcpServers.odd: it needs a command or a url"),
        ({"servers": {}}, "mcpServers: Field required"),
        ("{", "^MCP_SERVERS: mcp.json is no JSON$"),
    ],
)  # fmt: skip
async def test_what_cannot_be_used_is_named(tmp_path: Path, document: Any, sentence: str) -> None:
    """Without a word of what else stands in the file."""
    run = run_with(tmp_path, document)
    with pytest.raises(TeamFailed, match=sentence):
        await mcp.workbenches()
    for ending in run.endings:
        await ending()


async def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to install."""
    run_with(tmp_path, {"mcpServers": {"sums": SERVER}})
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(TeamFailed, match="pip install 'mcp"):
        await mcp.workbenches()


async def test_nothing_is_asked_for_where_nothing_is_set() -> None:
    """Nor outside of a run."""
    RUN.set(None)
    assert await mcp.workbenches() == []
    RUN.set(OneRun())
    assert await mcp.workbenches() == []
