"""A real MCP server over its standard streams."""

from __future__ import annotations

import asyncio

from mcp.server.fastmcp import FastMCP

server = FastMCP("sums")


@server.tool()
def add(first: int, second: int) -> int:
    """Add two numbers."""
    return first + second


@server.tool()
async def hang() -> str:
    """Answer after a minute."""
    await asyncio.sleep(60)
    return "late"


@server.tool()
def fail() -> str:
    """Fail."""
    raise ValueError("it is broken")


if __name__ == "__main__":
    server.run()
