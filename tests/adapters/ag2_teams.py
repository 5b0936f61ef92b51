"""Teams of ag2 1.x as users write them, for the adapter's tests. Each is a factory ``team(model_config)``."""

from __future__ import annotations

from typing import Any

from ag2 import Agent, Context, MemoryStream, TaskConfig, tool
from ag2.config import ModelConfig
from ag2.events import ModelMessage, ModelMessageChunk, ModelResponse, ToolCallEvent, ToolCallsEvent
from ag2.middleware import approval_required
from ag2.testing import TestConfig

from app.adapters.ag2_plan import Ag2Plan
from app.tools.ag2_functions import for_ag2
from app.tools.finance import TOOLS as FINANCE
from tests.support.abort import aborts


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


def twice(model_config: ModelConfig) -> Ag2Plan:
    """Two that discuss in two rounds."""
    return Ag2Plan(tuple(Agent(name, f"You are {name}.", config=model_config) for name in ("a", "b")), rounds=2)


def delegating(model_config: ModelConfig) -> Agent[Any]:
    """An agent that hands work to another one."""
    worker = Agent("worker", "You work.", config=model_config)
    tools = [worker.as_tool(description="Works.", name=name) for name in ("work", "toil")]
    return Agent("boss", config=model_config, tools=tools)


REMEMBERED = MemoryStream()


def remembering(model_config: ModelConfig) -> Agent[Any]:
    """Its worker remembers all runs of this process."""
    worker = Agent("worker", "You work.", config=model_config)
    work = worker.as_tool(description="Works.", name="work", stream=REMEMBERED)
    return Agent("boss", config=model_config, tools=[work])


def splitting(model_config: ModelConfig) -> Agent[Any]:
    """An agent that has parts of its task done by copies of itself."""
    return Agent("boss", config=model_config, tasks=TaskConfig())


def brought_along(model_config: ModelConfig) -> Ag2Plan:
    """One that brings a model of its own, which streams, beside one that does not."""
    own = TestConfig(ModelMessageChunk("words "), ModelMessageChunk("of mine"), "words of mine")
    return Ag2Plan((Agent("own", config=own), Agent("other", "You are other.", config=model_config)))


def silent(model_config: ModelConfig) -> Ag2Plan:
    """One that says nothing, then one that does."""
    return Ag2Plan((Agent("mute", config=TestConfig("")), Agent("other", "You are other.", config=model_config)))


def talkative(model_config: ModelConfig) -> Agent[Any]:
    """One that says something while it calls a tool."""
    call = ToolCallEvent("price", arguments='{"symbol": "A"}')
    first = ModelResponse(ModelMessage("I look it up."), tool_calls=ToolCallsEvent([call]))
    return Agent("own", config=TestConfig(ModelMessageChunk("I look it up."), first, "It costs 1."), tools=[price])


def broken_prompt() -> str:
    """Instructions that cannot be made."""
    raise ZeroDivisionError("a mistake in the user's code")


def failing(model_config: ModelConfig) -> Ag2Plan:
    """One whose own code fails in its turn."""
    return Ag2Plan((Agent("a", config=model_config), Agent("b", broken_prompt, config=model_config)))


def same_names(model_config: ModelConfig) -> list[Agent[Any]]:
    """Nobody can tell them apart."""
    return [Agent("a", config=model_config), Agent("a", config=model_config)]


def long_answer() -> str:
    """Much."""
    return "much " * 1000


def charting(model_config: ModelConfig) -> Agent[Any]:
    """The bundled finance tools."""
    return Agent("assistant", config=model_config, tools=[for_ag2(tool) for tool in FINANCE])


def aborting(model_config: ModelConfig) -> Agent[Any]:
    """Its tool raises what is no Exception."""
    return Agent("assistant", config=model_config, tools=[aborts])


def listing(model_config: ModelConfig) -> Agent[Any]:
    """Its tool says more than anybody reads at once."""
    return Agent("helper", config=model_config, tools=[long_answer])
