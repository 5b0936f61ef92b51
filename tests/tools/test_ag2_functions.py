"""Tools for ag2 1.x."""

from __future__ import annotations

import subprocess
import sys

from app.tools import finance
from app.tools.ag2_functions import for_ag2

ALONE = """
from ag2 import Agent
from ag2.testing import TestConfig
from app.tools import finance
from app.tools.ag2_functions import for_ag2

Agent("a", config=TestConfig(), tools=[for_ag2(tool) for tool in finance.TOOLS])
"""


def test_ag2_takes_the_tools_where_classic_ag2_was_never_imported() -> None:
    """That puts objects in the place of parameters' sentences; without it, ag2 took those for types."""
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


async def test_it_is_the_same_tool_with_its_sentences() -> None:
    """Name, docstring and answers; the descriptions stand where pydantic looks for them."""
    tool = for_ag2(finance.TOOLS[0])
    assert (tool.__name__, tool.__doc__) == ("market_data", finance.TOOLS[0].__doc__)
    assert tool.__annotations__["symbol"].__metadata__[0].description == "the share's symbol, such as AAPL"
    assert "2008-01: 135.36" in await tool("AAPL", "2008", "2008")
