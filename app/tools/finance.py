"""What a finance team's agents may call: prices, their statistics, and a chart that everybody sees.

Plain asynchronous functions with names, types and a sentence, as every AutoGen generation takes them. Where a question
cannot be answered, they fail with a sentence that says what can be asked, so that the agent asks better.
"""

from __future__ import annotations

import asyncio

from app.tools.charts import price_lines
from app.tools.context import RUN, show_chart
from app.tools.market import MarketData, NoSuchData, market, statistics_of, within

MAX_ROWS = 24
MAX_SYMBOLS = 6


async def market_data(symbol: str, since: str = "", until: str = "") -> str:
    """Monthly closing prices of a share in US dollars, for example AAPL since 2008-01 until 2009-12."""

    def look() -> str:
        source = _source()
        prices = within(source.prices(symbol), since, until)
        step = -(-len(prices) // MAX_ROWS)
        shown = [*prices[:-1:step], prices[-1]] if step > 1 else prices
        thinned = f" (every {step} months)" if step > 1 else ""
        rows = "\n".join(f"{price.day:%Y-%m}: {price.close:.2f}" for price in shown)
        return f"{symbol.upper()}, monthly closing price in US dollars{thinned}. Source: {source.name}\n{rows}"

    return await asyncio.to_thread(look)


async def price_statistics(symbol: str, since: str = "", until: str = "") -> str:
    """Return, volatility, lowest, highest price and worst fall of a share between two dates (2008, 2008-03)."""

    def look() -> str:
        source = _source()
        found = statistics_of(symbol.upper(), within(source.prices(symbol), since, until))
        return (
            f"{found.symbol} from {found.first.day:%Y-%m} to {found.last.day:%Y-%m}, {found.months} months:\n"
            f"first {found.first.close:.2f}, last {found.last.close:.2f} US dollars\n"
            f"total return {found.total_return:+.1%}, per year {found.annual_return:+.1%}\n"
            f"volatility per year {found.annual_volatility:.1%}\n"
            f"lowest {found.lowest.close:.2f} ({found.lowest.day:%Y-%m}), "
            f"highest {found.highest.close:.2f} ({found.highest.day:%Y-%m})\n"
            f"worst fall from a peak {found.max_drawdown:.1%}. Source: {source.name}"
        )

    return await asyncio.to_thread(look)


async def price_chart(symbols: str, since: str = "", until: str = "") -> str:
    """Show everybody a chart of the prices of one or more shares, for example AAPL, MSFT since 2008."""

    def draw() -> tuple[bytes, str, str]:
        source = _source()
        names = [name.strip().upper() for name in symbols.replace(";", ",").split(",") if name.strip()]
        if not names or len(names) > MAX_SYMBOLS:
            raise NoSuchData(f"name one to {MAX_SYMBOLS} symbols, separated by commas")
        series = {name: within(source.prices(name), since, until) for name in names}
        days = [price.day for prices in series.values() for price in prices]
        title = f"{', '.join(series)}, {min(days):%Y-%m} to {max(days):%Y-%m}"
        return price_lines(series, title), title, ",".join(series)

    picture, title, shown = await asyncio.to_thread(draw)
    await show_chart(picture, title=title, symbol=shown)
    return f"The chart “{title}” is shown to everybody."


def _source() -> MarketData:
    run = RUN.get()
    return market(run.limits.market_data if run is not None else "")


TOOLS = (market_data, price_statistics, price_chart)
