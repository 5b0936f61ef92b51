"""What a finance team's agents may call: prices, their statistics, and a chart that everybody sees.

Plain asynchronous functions with names, types and a sentence, as every AutoGen generation takes them. Where a question
cannot be answered, they fail with a sentence that says what can be asked, so that the agent asks better.
"""

from __future__ import annotations

from typing import Annotated

from app.tools.charts import price_lines
from app.tools.context import RUN, show_chart
from app.tools.guard import guarded, in_thread
from app.tools.market import MarketData, NoSuchData, market, statistics_of, symbol_of, within

MAX_ROWS = 24
MAX_SYMBOLS = 6
Symbol = Annotated[str, "the share's symbol, such as AAPL"]
Symbols = Annotated[str, "the shares' symbols, such as AAPL, MSFT"]
When = Annotated[str, "years"]


async def market_data(symbol: Symbol, since: When = "", until: When = "") -> str:
    """Monthly closing prices of a share in US dollars, for example AAPL since 2008-01 until 2009-12."""

    def look() -> str:
        source, name = _source(), symbol_of(symbol)
        prices = within(source.prices(name), since, until)
        step = -(-len(prices) // MAX_ROWS)
        shown = [*prices[:-1:step], prices[-1]] if step > 1 else prices
        thinned = f" (every {step} months)" if step > 1 else ""
        rows = "\n".join(f"{price.day:%Y-%m}: {price.close:.2f}" for price in shown)
        return f"{name}, monthly closing price in US dollars{thinned}. Source: {source.name}\n{rows}"

    return await in_thread(look)


async def price_statistics(symbol: Symbol, since: When = "", until: When = "") -> str:
    """Return, volatility, lowest, highest price and worst fall of a share between two dates (2008, 2008-03)."""

    def look() -> str:
        source, name = _source(), symbol_of(symbol)
        found = statistics_of(name, within(source.prices(name), since, until))
        return (
            f"{found.symbol} {'rose' if found.total_return >= 0 else 'fell'} by {abs(found.total_return):.1%}, from "
            f"{found.first.close:.2f} US dollars in {found.first.day:%Y-%m} to {found.last.close:.2f} in "
            f"{found.last.day:%Y-%m} ({found.annual_return:+.1%} per year).\n"
            f"Its lowest price was {found.lowest.close:.2f} ({found.lowest.day:%Y-%m}), its highest "
            f"{found.highest.close:.2f} ({found.highest.day:%Y-%m}).\n"
            f"Its worst fall from a peak was {abs(found.max_drawdown):.1%}, its volatility "
            f"{found.annual_volatility:.1%} per year.\nSource: {source.name}"
        )

    return await in_thread(look)


async def price_chart(symbols: Symbols, since: When = "", until: When = "") -> str:
    """Show everybody a chart of the prices of one or more shares, for example AAPL, MSFT since 2008."""

    def draw() -> tuple[bytes, str, str]:
        source = _source()
        names = [symbol_of(name) for name in symbols.replace(";", ",").split(",") if name.strip()]
        if not names or len(names) > MAX_SYMBOLS:
            raise NoSuchData(f"name one to {MAX_SYMBOLS} symbols, separated by commas")
        series = {name: within(source.prices(name), since, until) for name in names}
        days = [price.day for prices in series.values() for price in prices]
        title = f"{', '.join(series)}, {min(days):%Y-%m} to {max(days):%Y-%m}"
        return price_lines(series, title), title, ",".join(series)

    picture, title, shown = await in_thread(draw)
    await show_chart(picture, title=title, symbol=shown)
    return f"The chart “{title}” is shown to everybody."


async def price_report(symbol: Symbol, since: When = "", until: When = "") -> str:
    """Return, volatility, lowest, highest price and worst fall of a share, with a chart that everybody sees."""
    told = await price_statistics(symbol, since, until)
    await price_chart(symbol, since, until)
    return told


def _source() -> MarketData:
    run = RUN.get()
    return market(run.limits.market_data if run is not None else "")


TOOLS = tuple(map(guarded, (market_data, price_statistics, price_chart)))
"""For models that call functions."""
ONE_TOOL = (guarded(price_report),)
"""For models that get tools by JSON schema, and need a choice as small as they are."""
