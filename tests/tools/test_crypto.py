"""Prices of cryptocurrencies: from an API like CoinGecko's, or a sentence about why there are none."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator

import pytest

from app.tools import crypto
from app.tools.crypto import CryptoUnavailable, CryptoUnknown, price_of
from tests.support.coingecko import Coingecko


@pytest.fixture
async def api() -> AsyncIterator[Coingecko]:
    async with Coingecko() as server:
        yield server


async def test_a_price(api: Coingecko) -> None:
    """With its change, size, time and source; symbols are understood as names."""
    assert await price_of("BTC", "USD", api.url) == (
        "bitcoin: 63,000.5 USD; -1.25 % in 24 hours; market capitalisation 1,200,000,000,000 USD; "
        "as of 2024-05-01 12:00 UTC. Source: 127.0.0.1"
    )
    assert "ids=bitcoin&vs_currencies=usd" in api.asked[0]


@pytest.mark.parametrize(("coin", "money"), [("nocoin", "usd"), ("bitcoin", "xyz"), ("../admin", "usd"), ("", "usd")])
async def test_what_there_is_not(coin: str, money: str, api: Coingecko) -> None:
    """The sentence says what may be asked instead; odd names never reach the source."""
    with pytest.raises(CryptoUnknown):
        await price_of(coin, money, api.url)
    assert not any(".." in asked for asked in api.asked)


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ((500, b"{}"), "status 500"),
        ((302, b"{}"), "status 302"),
        ((200, b"<html>"), "no price"),
        ((200, b"[1]"), "no price"),
        ((200, json.dumps({"x": "y" * 300_000}).encode()), "too much"),
        (None, "within 0.2 s"),
    ],
    ids=["failed", "redirected", "html", "list", "long", "silent"],
)
async def test_a_source_that_gives_none(
    answer: tuple[int, bytes] | None, sentence: str, api: Coingecko, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In time, and with a reason that an agent can repeat."""
    api.answer = answer
    if answer is None:
        monkeypatch.setattr(crypto, "TIMEOUT_S", 0.2)
    with pytest.raises(CryptoUnavailable, match=re.escape(sentence)):
        await price_of("bitcoin", "usd", api.url)


async def test_no_network() -> None:
    """A source that cannot be reached is named."""
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    with pytest.raises(CryptoUnavailable, match=re.escape("127.0.0.1 cannot be reached")):
        await price_of("bitcoin", "usd", f"http://127.0.0.1:{port}/api/v3")
