"""A small real HTTP server with pages to fetch."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

HTML = "text/html; charset=utf-8"
PAGES: dict[str, tuple[int, dict[str, str], bytes]] = {
    "/page": (200, {"content-type": HTML}, b"<h1>Hello</h1><p>reader</p>"),
    "/latin": (
        200,
        {"content-type": HTML},
        "<p>Zürich grüßt die Welt, die Welt grüßt zurück.</p>".encode("latin-1"),
    ),
    "/meta": (200, {"content-type": "text/html"}, "<meta charset='cp1251'><p>Привет</p>".encode("cp1251")),
    "/odd-charset": (200, {"content-type": "text/html; charset=x-none"}, "<p>Grüße aus Zürich</p>".encode()),
    "/gzip": (200, {"content-type": HTML, "content-encoding": "gzip"}, gzip.compress(b"<p>Hello reader</p>")),
    "/hostile": (200, {"content-type": HTML}, f"<p {' '.join(f'a{i}=1' for i in range(90_000))}>x</p>".encode()),
    "/hostile-charset": (200, {"content-type": "text/plain; charset=punycode"}, b"-" + b"a1" * 400_000),
    "/long": (200, {"content-type": "text/plain"}, b"word " * 20_000),
    "/drip": (200, {"content-type": HTML}, b""),
    "/bad-bomb": (200, {"content-type": HTML, "content-encoding": "gzip"}, gzip.compress(b"x" * 50_000_000)),
    "/bad-gzip": (200, {"content-type": HTML, "content-encoding": "gzip"}, b"no gzip"),
    "/bad-encoding": (200, {"content-type": HTML, "content-encoding": "br"}, b"x"),
    "/redirect": (302, {"location": "/page"}, b""),
    "/bad-ring": (302, {"location": "/bad-ring"}, b""),
    "/bad-inside": (302, {"location": "http://127.0.0.1:9/"}, b""),
    "/bad-port": (302, {"location": "http://page.test:99999/"}, b""),
    "/bad-scheme": (302, {"location": "file:///etc/passwd"}, b""),
    "/bad-type": (200, {"content-type": "image/png"}, b"x"),
    "/bad-size": (200, {"content-type": "text/plain"}, b"x" * 1_100_000),
    "/bad-status": (404, {"content-type": HTML}, b"nothing"),
    "/bad-empty": (200, {"content-type": HTML}, b"<script>x</script>"),
}


@asynccontextmanager
async def serve_pages() -> AsyncIterator[int]:
    """Serve until the block is left; yields the port."""
    answering: set[asyncio.Task[None]] = set()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answering.add(asyncio.create_task(_answer(reader, writer)))

    server = await asyncio.start_server(begin, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.gather(*answering)


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    request = await reader.readuntil(b"\r\n\r\n")
    status, headers, body = PAGES[request.split()[1].decode()]
    if request.split()[1] == b"/drip":
        await _drip(reader, writer)
        return
    lines = [f"HTTP/1.1 {status} X", f"content-length: {len(body)}", "connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
    try:
        await writer.drain()
        writer.close()
        await writer.wait_closed()
    except OSError:
        pass


async def _drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A beginning, and no end until nobody waits for it any more."""
    writer.write(b"HTTP/1.1 200 X\r\ncontent-type: text/html\r\n\r\nx")
    await reader.read()
    writer.close()
    await writer.wait_closed()
