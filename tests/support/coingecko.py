"""A stand-in for CoinGecko's API, in the test's own loop."""

from __future__ import annotations

import asyncio
import json
from typing import Self
from urllib.parse import parse_qs, urlsplit

PRICES = {
    "bitcoin": {
        "usd": 63000.5,
        "usd_24h_change": -1.25,
        "usd_market_cap": 1.2e12,
        "last_updated_at": 1_714_564_800,
    }
}


class Coingecko:
    """Knows the price of bitcoin in US dollars.

    ``answer``: a (status, body) that it gives to everything; None: it accepts and never answers; unset: prices.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer: tuple[int, bytes] | str | None = "prices"
        self._over = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/api/v3"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over.set()
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        target = head.split(b" ")[1].decode()
        self.asked.append(target)
        if self.answer is None:
            await self._over.wait()
        else:
            status, body = self.answer if isinstance(self.answer, tuple) else (200, self._prices(target))
            writer.write(
                f"HTTP/1.1 {status} X\r\nLocation: /elsewhere\r\nContent-Length: {len(body)}\r\n"
                "Connection: close\r\n\r\n".encode()
                + body
            )
            await writer.drain()
        writer.close()

    @staticmethod
    def _prices(target: str) -> bytes:
        url = urlsplit(target)
        assert url.path == "/api/v3/simple/price"
        query = parse_qs(url.query)
        money = query["vs_currencies"][0]
        found = PRICES.get(query["ids"][0])
        if found is None:
            return b"{}"
        shown = {key: value for key, value in found.items() if key.startswith(money) or key == "last_updated_at"}
        return json.dumps({query["ids"][0]: shown}).encode()
