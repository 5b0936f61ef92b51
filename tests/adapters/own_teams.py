"""Teams as users write them, for the adapter's tests. Each is a factory ``team(model_client)``."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import PIL.Image
from autogen_agentchat.agents import (
    AssistantAgent,
    BaseChatAgent,
    CodeExecutorAgent,
    SocietyOfMindAgent,
    UserProxyAgent,
)
from autogen_agentchat.agents._code_executor_agent import ApprovalResponse
from autogen_agentchat.base import Response
from autogen_agentchat.conditions import HandoffTermination, MaxMessageTermination, TextMentionTermination
from autogen_agentchat.messages import (
    BaseChatMessage,
    ModelClientStreamingChunkEvent,
    MultiModalMessage,
    TextMessage,
)
from autogen_agentchat.teams import (
    DiGraphBuilder,
    GraphFlow,
    MagenticOneGroupChat,
    RoundRobinGroupChat,
    SelectorGroupChat,
    Swarm,
)
from autogen_agentchat.tools import AgentTool, TeamTool
from autogen_core import CancellationToken, Image
from autogen_core.code_executor import CodeBlock, CodeExecutor, CodeResult
from autogen_core.memory import ListMemory, MemoryContent, MemoryMimeType
from autogen_core.models import ChatCompletionClient, UserMessage
from autogen_ext.models.replay import ReplayChatCompletionClient
from pydantic import BaseModel


def single(model_client: ChatCompletionClient) -> Any:
    """A single agent instead of a team, built by an asynchronous factory."""

    async def build() -> AssistantAgent:
        return AssistantAgent("solo", model_client, model_client_stream=True)

    return build()


class Verdict(BaseModel):
    """What :func:`structured` answers with."""

    consensus: str
    summary: str


def structured(model_client: ChatCompletionClient) -> AssistantAgent:
    """It answers with an object."""
    return AssistantAgent("judge", model_client, output_content_type=Verdict, model_client_stream=True)


def structured_team(model_client: ChatCompletionClient) -> RoundRobinGroupChat:
    """So does one of a team in the team."""
    inner = RoundRobinGroupChat([structured(model_client)], max_turns=1)
    return RoundRobinGroupChat([inner, AssistantAgent("clerk", model_client, model_client_stream=True)], max_turns=2)


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


def talking(model_client: ChatCompletionClient) -> RoundRobinGroupChat:
    """Two agents, four turns."""
    agents = [AssistantAgent(name, model_client, model_client_stream=True) for name in ("a", "b")]
    return RoundRobinGroupChat(list(agents), max_turns=4)


def three(model_client: ChatCompletionClient) -> RoundRobinGroupChat:
    """Three agents, one turn each."""
    agents = [AssistantAgent(name, model_client, model_client_stream=True) for name in ("a", "b", "c")]
    return RoundRobinGroupChat(list(agents), max_turns=3)


def asked(model_client: ChatCompletionClient) -> RoundRobinGroupChat:
    """A person, then an agent."""
    agent = AssistantAgent("a", model_client, model_client_stream=True)
    return RoundRobinGroupChat([UserProxyAgent("person"), agent], max_turns=2)


def looping(model_client: ChatCompletionClient) -> GraphFlow:
    """A graph that goes round twice before it ends."""
    writer, critic, editor = (
        AssistantAgent(name, model_client, model_client_stream=True) for name in ("writer", "critic", "editor")
    )
    graph = DiGraphBuilder().add_node(writer).add_node(critic).add_node(editor)
    graph.add_edge(writer, critic)
    graph.add_edge(critic, writer, condition="AGAIN", activation_group="again")
    graph.add_edge(critic, editor, condition="DONE")
    graph.set_entry_point(writer)
    return GraphFlow([writer, critic, editor], graph.build(), termination_condition=MaxMessageTermination(20))


def society(model_client: ChatCompletionClient) -> RoundRobinGroupChat:
    """An agent that is a team, then a plain one."""
    inner = [AssistantAgent(name, model_client, model_client_stream=True) for name in ("left", "right")]
    mind = SocietyOfMindAgent("mind", RoundRobinGroupChat(list(inner), max_turns=2), model_client)
    plain = AssistantAgent("plain", model_client, model_client_stream=True)
    return RoundRobinGroupChat([mind, plain], max_turns=2)


def nested(model_client: ChatCompletionClient) -> RoundRobinGroupChat:
    """A team among its participants."""
    inner = [AssistantAgent(name, model_client, model_client_stream=True) for name in ("left", "right")]
    duo = RoundRobinGroupChat(list(inner), max_turns=2, name="duo")
    plain = AssistantAgent("plain", model_client, model_client_stream=True)
    return RoundRobinGroupChat([duo, plain], max_turns=2)


def swarm(model_client: ChatCompletionClient) -> Swarm:
    """Its first agent hands over to the second, which may hand over to the user."""
    first = AssistantAgent("first", model_client, handoffs=["second"], model_client_stream=True)
    second = AssistantAgent("second", model_client, handoffs=["first", "user"], model_client_stream=True)
    ending = HandoffTermination("user") | TextMentionTermination("GOODBYE")
    return Swarm([first, second], termination_condition=ending, max_turns=8)


def magentic(model_client: ChatCompletionClient) -> MagenticOneGroupChat:
    """An orchestrator and two agents, one of which has tools."""
    lookup = AssistantAgent(
        "lookup",
        model_client,
        tools=[quote, broken, encyclopedia],
        reflect_on_tool_use=True,
        model_client_stream=True,
    )
    other = AssistantAgent("other", model_client, model_client_stream=True)
    return MagenticOneGroupChat([lookup, other], model_client, max_turns=15)


def asking(model_client: ChatCompletionClient) -> RoundRobinGroupChat:
    """An agent, then a person, then the agent again."""
    agent = AssistantAgent("agent", model_client, model_client_stream=True)
    return RoundRobinGroupChat([agent, UserProxyAgent("person")], max_turns=3)


def asking_by_input(model_client: ChatCompletionClient) -> RoundRobinGroupChat:
    """As the framework's documentation shows it: a person at the terminal, and nobody else before."""
    return RoundRobinGroupChat([UserProxyAgent("person", input_func=input)], max_turns=1)


def toolbox(model_client: ChatCompletionClient) -> RoundRobinGroupChat:
    """An agent with three tools, which talks about what they have answered."""
    agent = AssistantAgent(
        "helper", model_client, tools=[quote, broken, encyclopedia], reflect_on_tool_use=True, model_client_stream=True
    )
    return RoundRobinGroupChat([agent], max_turns=1)


def talking_toolbox(model_client: ChatCompletionClient) -> RoundRobinGroupChat:
    """Two agents with the same tool."""
    agents = [AssistantAgent(name, model_client, tools=[quote], model_client_stream=True) for name in ("a", "b")]
    return RoundRobinGroupChat(list(agents), max_turns=2)


def two_societies(model_client: ChatCompletionClient) -> GraphFlow:
    """Two teams that speak at the same time, with agents of the same names."""

    def society(name: str) -> SocietyOfMindAgent:
        inner = [AssistantAgent(each, model_client, model_client_stream=True) for each in ("a", "b")]
        return SocietyOfMindAgent(name, RoundRobinGroupChat(list(inner), max_turns=2), model_client)

    first, last = (AssistantAgent(name, model_client, model_client_stream=True) for name in ("first", "last"))
    left, right = society("left"), society("right")
    graph = DiGraphBuilder().add_node(first).add_node(left).add_node(right).add_node(last)
    graph.add_edge(first, left).add_edge(first, right).add_edge(left, last).add_edge(right, last)
    return GraphFlow([first, left, right, last], graph.build())


def agents_as_tools(model_client: ChatCompletionClient) -> RoundRobinGroupChat:
    """An agent whose tools are an agent and a team."""
    expert = AssistantAgent("expert", model_client, description="Knows.", model_client_stream=True)
    inner = [AssistantAgent(each, model_client, model_client_stream=True) for each in ("x", "y")]
    duo = RoundRobinGroupChat(list(inner), max_turns=2)
    agent = AssistantAgent(
        "boss",
        model_client,
        tools=[
            AgentTool(expert, return_value_as_last_message=True),
            TeamTool(duo, "duo", "Two of them.", return_value_as_last_message=True),
        ],
        reflect_on_tool_use=True,
        model_client_stream=True,
    )
    return RoundRobinGroupChat([agent], max_turns=1)


def coder(model_client: ChatCompletionClient) -> RoundRobinGroupChat:
    """An agent that runs the code that its model writes."""
    agent = CodeExecutorAgent(
        "coder",
        Echo(),
        model_client=model_client,
        model_client_stream=True,
        approval_func=lambda request: ApprovalResponse(approved=True, reason=""),
    )
    return RoundRobinGroupChat([agent], max_turns=1)


def remembering(model_client: ChatCompletionClient) -> RoundRobinGroupChat:
    """An agent with a memory."""

    async def build() -> RoundRobinGroupChat:
        memory = ListMemory()
        await memory.add(MemoryContent(content="It was 2.", mime_type=MemoryMimeType.TEXT))
        agent = AssistantAgent("elder", model_client, memory=[memory], model_client_stream=True)
        return RoundRobinGroupChat([agent], max_turns=1)

    return build()  # type: ignore[return-value]


def own_orchestrator(model_client: ChatCompletionClient) -> MagenticOneGroupChat:
    """MagenticOne on a model client of the team's own."""
    ledgers = [
        json.dumps(
            {
                "is_request_satisfied": {"reason": "r", "answer": done},
                "is_in_loop": {"reason": "r", "answer": False},
                "is_progress_being_made": {"reason": "r", "answer": True},
                "next_speaker": {"reason": "r", "answer": "own"},
                "instruction_or_question": {"reason": "r", "answer": "Speak."},
            }
        )
        for done in (False, True)
    ]
    own = ReplayChatCompletionClient(["facts", "plan", ledgers[0], "I speak.", ledgers[1], "The answer."])
    return MagenticOneGroupChat([AssistantAgent("own", own, model_client_stream=True)], own)


class Echo(CodeExecutor):
    """It runs no code, and says what it was given."""

    component_type = "code_executor"

    async def execute_code_blocks(
        self, code_blocks: list[CodeBlock], cancellation_token: CancellationToken
    ) -> CodeResult:
        return CodeResult(exit_code=0, output="".join(block.code for block in code_blocks))

    async def start(self) -> None:
        return

    async def stop(self) -> None:
        return

    async def restart(self) -> None:
        return


def waiting(model_client: ChatCompletionClient) -> RoundRobinGroupChat:
    """An agent whose tool does not come back; ``WAITED`` notes how it ended."""

    async def wait() -> str:
        """Wait."""
        WAITED.clear()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            WAITED.append("cancelled")
            raise
        return "done"

    return RoundRobinGroupChat([AssistantAgent("waiter", model_client, tools=[wait])], max_turns=1)


WAITED: list[str] = []


async def quote(symbol: str = "ACME") -> str:
    """The price of a symbol."""
    return f"{symbol} costs 1"


async def broken() -> str:
    """It never works."""
    raise ValueError("the tool is broken")


async def encyclopedia() -> str:
    """More than fits into a preview."""
    return "wisdom " * 1000


def painting(model_client: ChatCompletionClient) -> Any:
    """An agent that shows a picture, then one that talks."""
    talker = AssistantAgent("talker", model_client, model_client_stream=True)
    return RoundRobinGroupChat([Painter("painter", "paints"), talker], max_turns=2)


class Painter(BaseChatAgent):
    """Its messages have a picture between their words."""

    produced_message_types = (MultiModalMessage,)

    async def on_messages(self, messages: Sequence[BaseChatMessage], cancellation_token: CancellationToken) -> Response:
        red = PIL.Image.new("RGB", (2, 1), "red")
        return Response(chat_message=MultiModalMessage(content=["Look:", Image(red), "Nice?"], source=self.name))

    async def on_reset(self, cancellation_token: CancellationToken) -> None:
        return


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
