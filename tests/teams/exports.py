"""Teams as AutoGen Studio writes them: dumped by the real library, with keys in them that must go nowhere."""

from __future__ import annotations

import copy
import warnings
from typing import Any

from autogen_agentchat.agents import (
    AssistantAgent,
    CodeExecutorAgent,
    MessageFilterAgent,
    MessageFilterConfig,
    PerSourceFilter,
    SocietyOfMindAgent,
    UserProxyAgent,
)
from autogen_agentchat.conditions import MaxMessageTermination, TextMentionTermination
from autogen_agentchat.teams import (
    DiGraphBuilder,
    GraphFlow,
    MagenticOneGroupChat,
    RoundRobinGroupChat,
    SelectorGroupChat,
    Swarm,
)
from autogen_agentchat.tools import AgentTool
from autogen_core.model_context import BufferedChatCompletionContext, TokenLimitedChatCompletionContext
from autogen_core.tools import FunctionTool
from autogen_ext.code_executors.local import LocalCommandLineCodeExecutor
from autogen_ext.models.openai import OpenAIChatCompletionClient

MODEL = "gpt-4o-mini"
KEY = "sk-from-the-file-0123456789"


def _model() -> OpenAIChatCompletionClient:
    return OpenAIChatCompletionClient(model=MODEL, api_key=KEY, base_url="http://127.0.0.1:9/file/v1")


def _agent(name: str, **fields: Any) -> AssistantAgent:
    fields = {"description": f"{name} does its part.", "system_message": f"You are {name}.", **fields}
    return AssistantAgent(name, _model(), **fields)


def adder(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def round_robin() -> Any:
    """With contexts, conditions and no streaming, as Studio's own defaults are."""
    agents = [
        _agent("writer", model_context=BufferedChatCompletionContext(buffer_size=5)),
        _agent("critic", model_context=TokenLimitedChatCompletionContext(_model(), token_limit=1000)),
    ]
    return RoundRobinGroupChat(
        list(agents), termination_condition=TextMentionTermination("TERMINATE") | MaxMessageTermination(3)
    )


def endless() -> Any:
    """Nothing would ever end it."""
    return RoundRobinGroupChat([_agent("talker")])


def selector() -> Any:
    """With a person."""
    people = [_agent("analyst"), UserProxyAgent("person", description="Answers questions.")]
    return SelectorGroupChat(list(people), _model(), termination_condition=MaxMessageTermination(4))


def swarm() -> Any:
    agents = [_agent("alice", handoffs=["bob"]), _agent("bob", handoffs=["alice"])]
    return Swarm(list(agents), termination_condition=MaxMessageTermination(4))


def graph() -> Any:
    first, left, right = (_agent(name) for name in ("first", "left", "right"))
    builder = DiGraphBuilder()
    builder.add_node(first).add_node(left).add_node(right).add_edge(first, left).add_edge(first, right)
    return GraphFlow([first, left, right], builder.build())


def magentic() -> Any:
    return MagenticOneGroupChat([_agent("coder"), _agent("searcher")], _model(), max_turns=5)


def nested() -> Any:
    """A team in an agent, an agent in a filter, an agent as a tool."""
    inner = RoundRobinGroupChat([_agent("inner")], max_turns=1)
    society = SocietyOfMindAgent("society", team=inner, model_client=_model())
    filtered = MessageFilterAgent(
        "filtered",
        wrapped_agent=_agent("wrapped"),
        filter=MessageFilterConfig(per_source=[PerSourceFilter(source="user", position="last", count=1)]),
    )
    boss = _agent("boss", tools=[AgentTool(_agent("helper"))])
    return RoundRobinGroupChat([society, filtered, boss], max_turns=3)


def with_function() -> Any:
    tool = FunctionTool(adder, "Adds.", global_imports=[])
    return RoundRobinGroupChat([_agent("adder", tools=[tool])], max_turns=1)


def with_executor() -> Any:
    executor = CodeExecutorAgent("runner", LocalCommandLineCodeExecutor(work_dir="/nowhere"))
    return RoundRobinGroupChat([_agent("coder"), executor], max_turns=2)


HARMLESS = {
    "round_robin": round_robin,
    "endless": endless,
    "selector": selector,
    "swarm": swarm,
    "graph": graph,
    "magentic": magentic,
    "nested": nested,
}


def dumped(build: Any) -> dict[str, Any]:
    """The team's component JSON; the key stands in it as it does when somebody typed it into Studio."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        component: dict[str, Any] = build().dump_component().model_dump(mode="json", exclude_none=True)
    _put_keys(component)
    return component


def _put_keys(value: Any) -> None:
    if isinstance(value, list):
        for each in value:
            _put_keys(each)
    elif isinstance(value, dict):
        if value.get("component_type") == "model":
            value["config"]["api_key"] = KEY
        for each in value.values():
            _put_keys(each)


MCP_TOOLS = {
    "provider": "autogen_ext.tools.mcp.McpWorkbench",
    "component_type": "workbench",
    "version": 1,
    "component_version": 1,
    "config": {"server_params": {"type": "StdioServerParams", "command": "touch", "args": ["/tmp/never"]}},
}
"""As Studio's default gallery has it; the extra that would load it need not be installed."""

CALCULATOR = {
    "provider": "autogen_core.tools.FunctionTool",
    "component_type": "tool",
    "version": 1,
    "component_version": 1,
    "config": {
        "source_code": """def calculator(a: float, b: float, operator: str) -> str:
    try:
        if operator == "+":
            return str(a + b)
        elif operator == "-":
            return str(a - b)
        elif operator == "*":
            return str(a * b)
        elif operator == "/":
            if b == 0:
                return "Error: Division by zero"
            return str(a / b)
        else:
            return "Error: Invalid operator. Please use +, -, *, or /"
    except Exception as e:
        return f"Error: {str(e)}"
""",
        "name": "calculator",
        "description": "A simple calculator that performs basic arithmetic operations",
        "global_imports": [],
        "has_cancellation_support": False,
    },
}
"""The tool of Studio's default team, as all its versions since 0.4.0.4 write it."""


def with_calculator() -> dict[str, Any]:
    """Studio's default team."""
    component = dumped(endless)
    bench = {"provider": "autogen_core.tools.StaticWorkbench", "component_type": "workbench", "config": {}}
    bench["config"] = {"tools": [copy.deepcopy(CALCULATOR)]}
    component["config"]["participants"][0]["config"]["workbench"] = bench  # since 0.4.3 a list of them
    return component
