"""Market data: monthly closing prices of five shares, 2000 to 2010, from the package ``vega_datasets`` (real figures).

Another source plugs in at the same place: setting MARKET_DATA, ``module:function``, which returns :class:`MarketData`.
"""

from __future__ import annotations

import csv
import importlib
import math
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Protocol

from app.protocol.common import ToolFailure

PERIODS_PER_YEAR = 12
_DATE = re.compile(r"\d{4}(-(0[1-9]|1[0-2])(-\d\d)?)?")


COMPANIES = {"APPLE": "AAPL", "AMAZON": "AMZN", "GOOGLE": "GOOG", "MICROSOFT": "MSFT"}


class NoSuchData(ValueError):
    """What was asked for is not there; the sentence says what is."""

    tool_failure: ToolFailure = "not_found"


class MarketUnavailable(NoSuchData):
    """There is no source, or it gives nothing that can be reckoned with."""

    tool_failure: ToolFailure = "unavailable"


@dataclass(frozen=True, slots=True)
class Price:
    """A closing price, in US dollars."""

    day: date
    close: float


class MarketData(Protocol):
    """A source of prices. Called from a thread of its own: it may block."""

    @property
    def name(self) -> str:
        """Where the figures come from, for people."""

    def symbols(self) -> Sequence[str]:
        """What there is."""

    def prices(self, symbol: str) -> Sequence[Price]:
        """All of one symbol, oldest first, monthly.

        :raises NoSuchData: there is no such symbol.
        """


class PackagedMarket:
    """The figures of ``vega_datasets``, read without importing it (it imports pandas)."""

    name = "vega_datasets: monthly closing prices, 2000 to 2010"

    def __init__(self) -> None:
        self._prices: dict[str, list[Price]] = {}
        with _packaged("stocks.csv").open(newline="") as rows:
            for row in csv.DictReader(rows):
                day = datetime.strptime(row["date"], "%b %d %Y").replace(tzinfo=UTC).date()
                self._prices.setdefault(row["symbol"], []).append(Price(day, float(row["price"])))

    def symbols(self) -> Sequence[str]:
        return list(self._prices)

    def prices(self, symbol: str) -> Sequence[Price]:
        found = self._prices.get(symbol.strip().upper())
        if found is None:
            raise NoSuchData(f"there are no prices of {symbol[:40]!r}; there are: {', '.join(self._prices)}")
        return found


def symbol_of(name: str) -> str:
    """The symbol that somebody means: a symbol in any spelling, or one of :data:`COMPANIES`."""
    return COMPANIES.get(name.strip().upper(), name.strip().upper())


@dataclass(frozen=True, slots=True)
class Statistics:
    """What prices have done between two months.

    :param total_return, annual_return, annual_volatility, max_drawdown: as shares of one: 0.1 is 10 %. The volatility
        is that of monthly returns, times the square root of 12; the drawdown is the deepest fall from a peak.
    """

    symbol: str
    first: Price
    last: Price
    lowest: Price
    highest: Price
    months: int
    total_return: float
    annual_return: float
    annual_volatility: float
    max_drawdown: float


def statistics_of(symbol: str, prices: Sequence[Price]) -> Statistics:
    """:raises NoSuchData: fewer than three prices say nothing; :class:`MarketUnavailable`: one of them is none."""
    if len(prices) < 3:
        raise NoSuchData(f"there are only {len(prices)} prices of {symbol} in that time; three are needed")
    closes = [price.close for price in prices]
    if not all(0 < close < math.inf for close in closes):
        raise MarketUnavailable(f"the prices of {symbol} hold one that is none")
    returns = [later / earlier - 1 for earlier, later in pairwise(closes)]
    total = closes[-1] / closes[0] - 1
    peak, drawdown = closes[0], 0.0
    for close in closes:
        peak = max(peak, close)
        drawdown = min(drawdown, close / peak - 1)
    return Statistics(
        symbol=symbol,
        first=prices[0],
        last=prices[-1],
        lowest=min(prices, key=lambda price: price.close),
        highest=max(prices, key=lambda price: price.close),
        months=len(prices),
        total_return=total,
        annual_return=(1 + total) ** (PERIODS_PER_YEAR / len(returns)) - 1,
        annual_volatility=statistics.stdev(returns) * math.sqrt(PERIODS_PER_YEAR),
        max_drawdown=drawdown,
    )


def within(prices: Sequence[Price], since: str, until: str) -> list[Price]:
    """Those of a time, its first and last month included; an empty bound is none.

    :param since: ``2008``, ``2008-03`` or ``2008-03-01``.
    :raises NoSuchData: a bound is no date, they are the wrong way round, or there is nothing between them.
    """
    if not prices:
        raise MarketUnavailable("the source gives no prices")
    since, until = _bound(since), _bound(until)
    if since and until and until < since[: len(until)]:
        raise NoSuchData(f"{since} is later than {until}")
    found = [price for price in prices if _reaches(price, since) and not _exceeds(price, until)]
    if not found:
        raise NoSuchData(f"there are prices from {prices[0].day:%Y-%m} to {prices[-1].day:%Y-%m} only")
    return found


def _bound(text: str) -> str:
    """A month or a year, as ISO 8601 writes it; a day of a month means the month."""
    if text.strip() and not _DATE.fullmatch(text.strip()):
        raise NoSuchData(f"{text[:40]!r} is no date; write 2008, 2008-03 or 2008-03-01")
    return text.strip()[:7]


def _reaches(price: Price, since: str) -> bool:
    return f"{price.day:%Y-%m}"[: len(since)] >= since


def _exceeds(price: Price, until: str) -> bool:
    return bool(until) and f"{price.day:%Y-%m}"[: len(until)] > until


@cache
def market(source: str = "") -> MarketData:
    """The source of the setting MARKET_DATA; the packaged one where it is empty.

    :raises NoSuchData: it cannot be had.
    """
    if not source:
        return PackagedMarket()
    module, _, function = source.partition(":")
    try:
        made: MarketData = getattr(importlib.import_module(module), function)()
    except Exception as error:  # an operator's code may raise anything
        raise MarketUnavailable(f"the market data of {source} cannot be had: {type(error).__name__}") from error
    return made


def _packaged(name: str) -> Path:
    found = find_spec("vega_datasets")
    for folder in (found.submodule_search_locations or []) if found else []:
        path = Path(folder) / "_data" / name
        if path.is_file():
            return path
    raise MarketUnavailable("the package vega_datasets is not installed")
