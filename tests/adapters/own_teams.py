"""Teams as users write them, for the adapter's tests. Each is a factory ``team(model_client)``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autogen_agentchat.agents import AssistantAgent, BaseChatAgent
from autogen_agentchat.base import Response
from autogen_agentchat.conditions import MaxMessageTermination
from autogen_agentchat.messages import BaseChatMessage, ModelClientStreamingChunkEvent, TextMessage
from autogen_agentchat.teams import DiGraphBuilder, GraphFlow, RoundRobinGroupChat, SelectorGroupChat
from autogen_core import CancellationToken
from autogen_core.models import ChatCompletionClient, UserMessage
from autogen_ext.models.replay import ReplayChatCompletionClient


def single(model_client: ChatCompletionClient) -> Any:
    """A single agent instead of a team, built by an asynchronous factory."""

    async def build() -> AssistantAgent:
        return AssistantAgent("solo", model_client, model_client_stream=True)

    return build()


def terminated(model_client: ChatCompletionClient) -> RoundRobinGroupChat:
    """It has a termination condition: it cannot be stepped."""
    agents = [AssistantAgent(name, model_client, model_client_stream=True) for name in ("a", "b")]
    return RoundRobinGroupChat(list(agents), termination_condition=MaxMessageTermination(4))


def quiet(model_client: ChatCompletionClient) -> RoundRobinGroupChat:
    """Agents that do not stream."""
    return RoundRobinGroupChat([AssistantAgent("quiet", model_client)], max_turns=2)


def selected(model_client: ChatCompletionClient) -> SelectorGroupChat:
    """A selector that asks the model who is next, and takes it as it comes."""
    agents = [AssistantAgent(name, model_client, model_client_stream=True) for name in ("a", "b")]
    return SelectorGroupChat(list(agents), model_client, max_turns=2, max_selector_attempts=1)


def parallel(model_client: ChatCompletionClient) -> GraphFlow:
    """Two agents that speak at the same time, then a third."""
    first, left, right, last = (
        AssistantAgent(name, model_client, model_client_stream=True) for name in ("first", "left", "right", "last")
    )
    graph = DiGraphBuilder()
    for agent in (first, left, right, last):
        graph.add_node(agent)
    graph.add_edge(first, left).add_edge(first, right).add_edge(left, last).add_edge(right, last)
    return GraphFlow([first, left, right, last], graph.build())


def own_client(model_client: ChatCompletionClient) -> RoundRobinGroupChat:
    """It brings its own model client."""
    own = ReplayChatCompletionClient(["one two three"])
    return RoundRobinGroupChat([AssistantAgent("own", own, model_client_stream=True)], max_turns=1)


def tools(model_client: ChatCompletionClient) -> RoundRobinGroupChat:
    """An agent with a tool that the model may call."""

    async def price(symbol: str) -> str:
        """The price of a symbol."""
        return f"{symbol} costs 1"

    agent = AssistantAgent("helper", model_client, tools=[price], model_client_stream=True)
    return RoundRobinGroupChat([agent], max_turns=1)


def failing(model_client: ChatCompletionClient) -> Any:
    """An agent whose own code fails."""
    return RoundRobinGroupChat([Odd("odd", model_client, "fail")], max_turns=1)


def swallowing(model_client: ChatCompletionClient) -> Any:
    """An agent that reads a stream and passes none of it on."""
    return RoundRobinGroupChat([Odd("odd", model_client, "swallow")], max_turns=1)


def revising(model_client: ChatCompletionClient) -> Any:
    """An agent that streams one text and says another."""
    return RoundRobinGroupChat([Odd("odd", model_client, "revise")], max_turns=1)


class Odd(BaseChatAgent):
    """An agent of a user's own making."""

    produced_message_types = (TextMessage,)

    def __init__(self, name: str, model_client: ChatCompletionClient, manner: str) -> None:
        super().__init__(name, "odd")
        self._client = model_client
        self._manner = manner

    async def on_messages(self, messages: Sequence[BaseChatMessage], cancellation_token: CancellationToken) -> Response:
        raise NotImplementedError

    async def on_messages_stream(
        self, messages: Sequence[BaseChatMessage], cancellation_token: CancellationToken
    ) -> Any:
        if self._manner == "fail":
            raise ZeroDivisionError("a mistake in the user's code")
        text = ""
        async for piece in self._client.create_stream([UserMessage(content="hi", source="user")]):
            if isinstance(piece, str):
                text += piece
                if self._manner == "revise":
                    yield ModelClientStreamingChunkEvent(content=piece, source=self.name, full_message_id="m")
        said = "I say something else." if self._manner == "revise" else text
        yield Response(chat_message=TextMessage(content=said, source=self.name))

    async def on_reset(self, cancellation_token: CancellationToken) -> None:
        return
