"""The finance tools: real figures, their statistics, and charts, without a network."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from datetime import date
from xml.etree import ElementTree

import pytest

from app.protocol.common import ToolFailure
from app.protocol.events import ChartGenerated, Event
from app.runner.wire import Limits
from app.tools import finance
from app.tools.context import RUN, ChartNotKept
from app.tools.market import MarketUnavailable, NoSuchData, Price, market, statistics_of, within


class OneRun:
    """A run that keeps what its tools show."""

    def __init__(self, limits: Limits | None = None, *, full: bool = False) -> None:
        self.conversation = "c1"
        self.limits = limits or Limits()
        self.full = full
        self.events: list[Event] = []
        self.pictures: list[bytes] = []
        self.failures: list[tuple[str, ToolFailure]] = []
        self.endings: list[Callable[[], Awaitable[None]]] = []

    async def emit(self, event: Event) -> None:
        self.events.append(event)

    def caller(self) -> str | None:
        return None

    def tool_failed(self, sentence: str, code: ToolFailure) -> None:
        self.failures.append((sentence, code))

    def at_end(self, ending: Callable[[], Awaitable[None]]) -> None:
        self.endings.append(ending)

    def artifact(self, media_type: str, data: bytes) -> str | None:
        assert media_type == "image/svg+xml"
        self.pictures.append(data)
        return None if self.full else "a1"


@pytest.fixture
def run() -> OneRun:
    made = OneRun()
    RUN.set(made)
    return made


def prices(*closes: float) -> list[Price]:
    return [Price(date(2000 + month // 12, month % 12 + 1, 1), close) for month, close in enumerate(closes)]


async def test_prices_of_a_time() -> None:
    """Apple's closing prices of early 2008, to the cent."""
    told = await finance.market_data(" aapl ", "2008-01", "2008-03-31")
    assert told.splitlines()[1:] == ["2008-01: 135.36", "2008-02: 125.02", "2008-03: 143.50"]
    assert "vega_datasets" in told


async def test_long_times_are_thinned_out() -> None:
    """Ten years are told in two dozen rows, the last one among them."""
    rows = (await finance.market_data("IBM")).splitlines()[1:]
    assert len(rows) <= finance.MAX_ROWS + 1
    assert rows[-1].startswith("2010-03")


@pytest.mark.parametrize(
    ("symbol", "since", "until", "sentence"),
    [
        ("ZZZ", "", "", "MSFT, AMZN, IBM, GOOG, AAPL"),
        ("AAPL", "soon", "", "no date"),
        ("AAPL", "2008-13", "", "no date"),
        ("AAPL", "2009-03", "2008", "2009-03 is later than 2008"),
        ("AAPL", "2020", "", "from 2000-01 to 2010-03 only"),
    ],
)
async def test_what_is_not_there_is_said(symbol: str, since: str, until: str, sentence: str) -> None:
    with pytest.raises(NoSuchData, match=sentence):
        await finance.market_data(symbol, since, until)


def test_statistics_are_what_the_definitions_say() -> None:
    """Doubling in a year, with one fall by half."""
    found = statistics_of("X", prices(100, 200, 100, 120, 140, 150, 160, 170, 180, 185, 190, 195, 200))
    assert (found.total_return, found.annual_return) == (pytest.approx(1.0), pytest.approx(1.0))
    assert found.max_drawdown == pytest.approx(-0.5)
    assert (found.lowest.close, found.highest.close, found.months) == (100, 200, 13)
    steady = statistics_of("X", prices(100, 110, 121, 133.1))
    assert steady.annual_volatility == pytest.approx(0, abs=1e-9)
    with pytest.raises(NoSuchData, match="three are needed"):
        statistics_of("X", prices(1, 2))


@pytest.mark.parametrize("close", [0.0, -1.0, float("nan"), float("inf")])
def test_a_source_that_gives_nonsense_is_told(close: float) -> None:
    """Nothing is divided by it, and nobody reads that a share has risen by nan."""
    with pytest.raises(MarketUnavailable, match="hold one that is none"):
        statistics_of("X", prices(1, close, 2))
    with pytest.raises(MarketUnavailable, match="no prices"):
        within([], "2008", "")


def test_bounds_include_their_months() -> None:
    months = [price.day for price in within(market().prices("GOOG"), "2008-02", "2008")]
    assert (months[0], months[-1]) == (date(2008, 2, 1), date(2008, 12, 1))


async def test_a_chart_is_shown_to_everybody(run: OneRun) -> None:
    """It is an SVG with each symbol in it, and has no script."""
    told = await finance.price_chart("aapl, MSFT", "2007", "2008")
    [event] = run.events
    assert isinstance(event, ChartGenerated)
    assert event.url == "/api/conversations/c1/artifacts/a1"
    assert (event.symbol, event.title) == ("AAPL,MSFT", "AAPL, MSFT, 2007-01 to 2008-12")
    assert event.title in told
    drawn = ElementTree.fromstring(run.pictures[0])  # noqa: S314  # we have drawn it
    texts = {"".join(each.itertext()).strip() for each in drawn.iter("{http://www.w3.org/2000/svg}text")}
    assert {"AAPL", "MSFT", "first month = 100"} <= texts
    assert {text[:4] for text in texts if re.fullmatch(r"\d{4}-\d\d", text)} <= {"2007", "2008", "2009"}, texts
    assert "2008-01" in texts
    assert b"<script" not in run.pictures[0]


async def test_a_chart_that_cannot_be_kept_fails_the_tool() -> None:
    run = OneRun(full=True)
    RUN.set(run)
    with pytest.raises(ChartNotKept):
        await finance.price_chart("AAPL")
    assert run.events == []


class FewPrices:
    name = "ours"

    def symbols(self) -> list[str]:
        return ["OWN"]

    def prices(self, symbol: str) -> list[Price]:
        return prices(1, 2, 3)


async def test_another_source_plugs_in() -> None:
    """The setting MARKET_DATA names it; one that cannot be had is told as such."""
    RUN.set(OneRun(Limits(market_data=f"{__name__}:FewPrices")))
    with pytest.MonkeyPatch.context() as patch:
        import sys

        patch.setitem(sys.modules, __name__, sys.modules[FewPrices.__module__])
        assert "Source: ours" in await finance.market_data("OWN")
    RUN.set(OneRun(Limits(market_data="no_such_module:x")))
    with pytest.raises(MarketUnavailable, match="no_such_module"):
        await finance.market_data("OWN")
