"""Tools of MCP servers for a team: those of the setting MCP_SERVERS, each in a session of the run's own.

    from app.tools import mcp

    async def team(model_client):
        return AssistantAgent("Helper", model_client=model_client, workbench=await mcp.workbenches())

Needs the package ``mcp`` beside ``autogen-ext``.
"""

from __future__ import annotations

import asyncio
import atexit
import importlib.util
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from autogen_core import CancellationToken
from autogen_core.tools import TextResultContent, ToolResult, ToolSchema, Workbench
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from app.errors import TeamFailed
from app.protocol.common import ToolFailure
from app.providers.tool_words import FAILED
from app.tools.context import RUN

START_TIMEOUT_S = 15.0
CLOSE_TIMEOUT_S = 5.0
MAX_FILE_BYTES = 262_144
_ENDED = {"BrokenResourceError", "ClosedResourceError", "EndOfStream"}
"""What anyio raises where nobody is at the other end; it says no word beside its name."""


class McpServer(BaseModel):
    """One entry of ``mcpServers``: a command to start, or the address of a server that runs."""

    model_config = ConfigDict(extra="ignore")

    command: str | None = None
    args: list[str] = []
    env: dict[str, str] | None = None
    cwd: str | None = None
    url: str | None = None
    type: str = ""
    headers: dict[str, str] | None = None
    disabled: bool = False

    @model_validator(mode="after")
    def _one_of_both(self) -> McpServer:
        if (self.command is None) == (self.url is None):
            raise ValueError("it needs a command or a url")
        return self


class McpServers(BaseModel):
    """The file."""

    model_config = ConfigDict(extra="ignore")

    servers: dict[str, McpServer] = Field(alias="mcpServers")


def read_servers(path: str) -> dict[str, McpServer]:
    """The servers of a file, without those that are disabled.

    :raises TeamFailed: it cannot be read; the sentence quotes nothing of it: there may be keys in it.
    """
    try:
        with Path(path).expanduser().open("rb") as file:
            document = json.loads(file.read(MAX_FILE_BYTES))
        servers = McpServers.model_validate(document).servers
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        what = first["msg"].removeprefix("Value error, ")
        raise TeamFailed(f"MCP_SERVERS: {Path(path).name}: {where}: {what}") from None
    except OSError as error:
        raise TeamFailed(f"MCP_SERVERS: {Path(path).name} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise TeamFailed(f"MCP_SERVERS: {Path(path).name} is no JSON") from error
    return {name: server for name, server in servers.items() if not server.disabled}


async def workbenches() -> list[Workbench]:
    """One workbench for each server of MCP_SERVERS; none where the setting is empty. They end with the run.

    :raises TeamFailed: the file cannot be read, the package is missing, or a server does not start.
    """
    run = RUN.get()
    if run is None or not run.limits.mcp_servers:
        return []
    servers = read_servers(run.limits.mcp_servers)
    if servers and importlib.util.find_spec("mcp") is None:
        raise TeamFailed("MCP_SERVERS needs the package mcp: pip install 'mcp>=1.11,<2'")
    made = [McpTools(name, server, run.limits.tool_timeout_s) for name, server in servers.items()]
    for bench in made:
        run.at_end(bench.stop)
    await asyncio.gather(*(bench.start() for bench in made))
    return list(made)


class _NoConfig(BaseModel):
    """Nothing: it is made from the settings."""


class McpTools(Workbench):
    """One server's tools. A call that hangs or fails is a result that says so.

    :param timeout_s: for one call.
    """

    component_config_schema = _NoConfig
    component_provider_override = "app.tools.mcp.McpTools"

    def __init__(self, name: str, server: McpServer, timeout_s: float) -> None:
        self._name = name
        self._inner = _connected(server, timeout_s)
        self._timeout_s = timeout_s
        self._tools: list[ToolSchema] = []

    async def start(self) -> None:
        """Connect and ask for the tools.

        :raises TeamFailed: that fails, or takes longer than ``START_TIMEOUT_S``.
        """
        if self._tools:
            return
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                self._tools = await self._inner.list_tools()
        except Exception as error:  # a server may fail in any way
            why = f"no answer within {START_TIMEOUT_S:g} s" if isinstance(error, TimeoutError) else _first_line(error)
            raise TeamFailed(f"the MCP server {self._name} cannot be used: {why}") from error

    async def stop(self) -> None:
        """Disconnect; a server that we have started ends."""
        actor = self._inner._actor
        with suppress(Exception):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._inner.stop()
        if actor is None:
            return
        # What it leaves where its server has failed: a task, and references that last as long as the process.
        if actor._actor_task is not None:
            actor._actor_task.cancel()
        atexit.unregister(actor._sync_shutdown)
        self._inner._actor = None

    async def list_tools(self) -> list[ToolSchema]:
        return self._tools

    async def call_tool(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        cancellation_token: CancellationToken | None = None,
        call_id: str | None = None,
    ) -> ToolResult:
        try:
            async with asyncio.timeout(self._timeout_s):
                result: ToolResult = await self._inner.call_tool(name, arguments, cancellation_token, call_id)
        except TimeoutError:
            return _failed(name, f"{name} had no answer within {self._timeout_s:g} s", "timeout")
        except Exception as error:  # noqa: BLE001  # a server may fail in any way
            return _failed(name, _first_line(error), "unavailable")
        return _failed(name, result.to_text()) if result.is_error else result

    async def reset(self) -> None:
        """It has no state of its own."""

    async def save_state(self) -> Mapping[str, Any]:
        return {}

    async def load_state(self, state: Mapping[str, Any]) -> None:
        """It has none."""

    def _to_config(self) -> _NoConfig:
        return _NoConfig()

    @classmethod
    def _from_config(cls, config: _NoConfig) -> McpTools:
        raise NotImplementedError("it is made from the setting MCP_SERVERS")


def _connected(server: McpServer, timeout_s: float) -> Any:
    """AutoGen's own workbench, not started."""
    from autogen_ext.tools.mcp import McpWorkbench, SseServerParams, StdioServerParams, StreamableHttpServerParams

    if server.command is not None:
        return McpWorkbench(
            StdioServerParams(
                command=server.command,
                args=server.args,
                env=server.env,
                cwd=server.cwd,
                read_timeout_seconds=max(timeout_s, START_TIMEOUT_S),
            )
        )
    kind = SseServerParams if server.type == "sse" else StreamableHttpServerParams
    return McpWorkbench(kind(url=server.url or "", headers=server.headers, timeout=max(timeout_s, START_TIMEOUT_S)))


def _failed(name: str, sentence: str, code: ToolFailure = "failed") -> ToolResult:
    told = f"{FAILED}{sentence.strip()}"
    run = RUN.get()
    if run is not None:
        run.tool_failed(told, code)
    return ToolResult(name=name, result=[TextResultContent(content=told)], is_error=True)


def _first_line(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    lines = str(error).strip().splitlines()
    if lines:
        return lines[0][:300]
    return "it has ended" if type(error).__name__ in _ENDED else type(error).__name__
