"""Teams of ag2 1.x as users write them, for the adapter's tests. Each is a factory ``team(model_config)``."""

from __future__ import annotations

from typing import Any

from ag2 import Agent, Context, tool
from ag2.config import ModelConfig
from ag2.middleware import approval_required

from app.adapters.ag2_plan import Ag2Plan


def solo(model_config: ModelConfig) -> Agent[Any]:
    """A single agent."""
    return Agent("solo", "Be brief.", config=model_config)


def three(model_config: ModelConfig) -> Ag2Plan:
    """Three that discuss, one turn each."""
    return Ag2Plan(tuple(Agent(name, f"You are {name}.", config=model_config) for name in ("a", "b", "c")))


def price(symbol: str) -> str:
    """The price of a symbol."""
    return f"{symbol} costs 1"


def fails() -> str:
    """Never works."""
    raise ZeroDivisionError("a mistake in the user's code")


async def ask_back(question: str, context: Context) -> str:
    """Ask the user."""
    return await context.input(question)


@tool(middleware=[approval_required("May I?")])
def sell() -> str:
    """Sell everything."""
    return "sold"


def tools(model_config: ModelConfig) -> Agent[Any]:
    """An agent with tools that the model may call: one that works, one that fails, two that need a person."""
    return Agent("helper", config=model_config, tools=[price, fails, ask_back, sell])
