"""Charts of prices, drawn by matplotlib: as SVG, in colours that can be told apart on light and on dark ground."""

from __future__ import annotations

import io
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from app.tools.market import Price

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # Okabe and Ito's
_INK = "#808890"  # readable on white and on black
_SIZE_INCHES = (7.2, 3.6)
_drawing = threading.Lock()  # matplotlib is not made for several threads


def price_lines(series: Mapping[str, Sequence[Price]], title: str) -> bytes:
    """A line for each symbol, as SVG. Several are drawn relative to their first month (100), one in dollars.

    Takes some 100 ms: call it in a thread.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    relative = len(series) > 1
    with _drawing, rc_context({"svg.fonttype": "none", "svg.hashsalt": "colloquy", "font.family": "sans-serif"}):
        figure = Figure(figsize=_SIZE_INCHES, layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        for (symbol, prices), colour in zip(series.items(), _COLOURS * len(series), strict=False):
            base = prices[0].close / 100 if relative else 1
            days: Any = [price.day for price in prices]  # its stubs know numbers only
            axes.plot(days, [price.close / base for price in prices], label=symbol, color=colour, linewidth=1.8)
        axes.xaxis_date()
        axes.set_title(title, color=_INK, fontsize=11)
        axes.set_ylabel("first month = 100" if relative else "US dollars", color=_INK)
        axes.tick_params(colors=_INK)
        axes.grid(color=_INK, alpha=0.25, linewidth=0.6)
        for side, spine in axes.spines.items():
            spine.set_visible(side in ("left", "bottom"))
            spine.set_color(_INK)
        if relative:
            axes.legend(frameon=False, labelcolor=_INK)
        drawn = io.BytesIO()
        figure.savefig(drawn, format="svg", transparent=True, metadata={"Date": None})
    return drawn.getvalue()
