"""A small real HTTP server with pages to fetch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

HTML = "text/html; charset=utf-8"
PAGES: dict[str, tuple[int, dict[str, str], bytes]] = {
    "/page": (200, {"content-type": HTML}, b"<h1>Hello</h1><p>reader</p>"),
    "/redirect": (302, {"location": "/page"}, b""),
    "/bad-ring": (302, {"location": "/bad-ring"}, b""),
    "/bad-inside": (302, {"location": "http://127.0.0.1:9/"}, b""),
    "/bad-scheme": (302, {"location": "file:///etc/passwd"}, b""),
    "/bad-type": (200, {"content-type": "image/png"}, b"x"),
    "/bad-size": (200, {"content-type": "text/plain"}, b"x" * 1_100_000),
    "/bad-status": (404, {"content-type": HTML}, b"nothing"),
    "/bad-empty": (200, {"content-type": HTML}, b"<script>x</script>"),
}


@asynccontextmanager
async def serve_pages() -> AsyncIterator[int]:
    """Serve until the block is left; yields the port."""
    server = await asyncio.start_server(_answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    request = await reader.readuntil(b"\r\n\r\n")
    status, headers, body = PAGES[request.split()[1].decode()]
    lines = [f"HTTP/1.1 {status} X", f"content-length: {len(body)}", "connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
    try:
        await writer.drain()
        writer.close()
        await writer.wait_closed()
    except OSError:
        pass
