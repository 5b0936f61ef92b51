"""Prices of cryptocurrencies from an API like CoinGecko's: setting COINGECKO_URL."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import UTC, datetime
from typing import Any, TypeGuard

import httpx2

from app.protocol.common import ToolFailure
from app.runner.wire import Limits
from app.tools.context import RUN

TIMEOUT_S = 10.0
MAX_BYTES = 256 * 1024
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_IDS = {
    "btc": "bitcoin",
    "eth": "ethereum",
    "usdt": "tether",
    "bnb": "binancecoin",
    "sol": "solana",
    "usdc": "usd-coin",
    "xrp": "ripple",
    "doge": "dogecoin",
    "ada": "cardano",
    "trx": "tron",
    "avax": "avalanche-2",
    "link": "chainlink",
    "dot": "polkadot",
    "ltc": "litecoin",
    "bch": "bitcoin-cash",
    "xlm": "stellar",
    "atom": "cosmos",
    "xmr": "monero",
}


class CryptoError(Exception):
    """The price cannot be told. The sentence is for the agent that has asked, and for people."""


class CryptoUnavailable(CryptoError):
    """The source of prices does not answer, or with something else."""

    tool_failure: ToolFailure = "unavailable"


class CryptoUnknown(CryptoError):
    """There is no such coin, or no such currency."""

    tool_failure: ToolFailure = "not_found"


async def get_crypto_price(coin: str, currency: str = "usd") -> str:
    """The current price of a cryptocurrency, by its name or symbol (bitcoin, BTC), with its change in 24 hours."""
    run = RUN.get()
    return await price_of(coin, currency, (run.limits if run is not None else Limits()).coingecko_url)


async def price_of(coin: str, currency: str, base_url: str) -> str:
    """What ``{base_url}/simple/price`` says, in a line for the agent.

    At most ``TIMEOUT_S`` and ``MAX_BYTES``; no redirection is followed.

    :raises CryptoUnknown: there is no such coin or currency.
    :raises CryptoUnavailable: nothing readable came in time.
    """
    name, money = (text.strip().lower().replace(" ", "-") for text in (coin, currency))
    name = _IDS.get(name, name)
    if not _NAME.fullmatch(name) or not _NAME.fullmatch(money):
        raise CryptoUnknown(f"{coin[:40]!r} in {currency[:20]!r} is no coin in a currency; ask for bitcoin in usd")
    wanted = {
        "ids": name,
        "vs_currencies": money,
        "include_24hr_change": "true",
        "include_market_cap": "true",
        "include_last_updated_at": "true",
    }
    source = httpx2.URL(base_url).host
    found = (await _asked(f"{base_url.rstrip('/')}/simple/price", wanted, source)).get(name)
    if not isinstance(found, dict) or not found:
        raise CryptoUnknown(f"{source} knows no coin {coin[:40]!r}; try its full name, as in bitcoin")
    price = found.get(money)
    if not _is_number(price):
        raise CryptoUnknown(f"{source} knows no price of {name} in {currency[:20]!r}; try usd")
    return _line(name, money, found, source)


async def _asked(url: str, wanted: dict[str, str], source: str) -> dict[str, Any]:
    try:
        async with (
            asyncio.timeout(TIMEOUT_S),
            httpx2.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False) as client,
            client.stream("GET", url, params=wanted, headers={"accept": "application/json"}) as response,
        ):
            if response.status_code != 200:
                raise CryptoUnavailable(f"{source} gives no prices now: status {response.status_code}")
            body = b""
            async for part in response.aiter_bytes():
                body += part
                if len(body) > MAX_BYTES:
                    raise CryptoUnavailable(f"{source} answered with too much")
    except TimeoutError:
        raise CryptoUnavailable(f"{source} did not answer within {TIMEOUT_S:g} s") from None
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        raise CryptoUnavailable(f"{source} cannot be reached: {type(error).__name__}") from None
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise CryptoUnavailable(f"{source} answered with something that is no price")
    return document


def _line(name: str, money: str, found: dict[str, Any], source: str) -> str:
    unit = money.upper()
    parts = [f"{name}: {found[money]:,} {unit}"]
    change, cap, at = (found.get(key) for key in (f"{money}_24h_change", f"{money}_market_cap", "last_updated_at"))
    if _is_number(change):
        parts.append(f"{change:+.2f} % in 24 hours")
    if _is_number(cap):
        parts.append(f"market capitalisation {cap:,.0f} {unit}")
    if _is_number(at) and 0 < at < 1e11:
        parts.append(f"as of {datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC")
    return f"{'; '.join(parts)}. Source: {source}"


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
