"""Teams of classic AG2 as users write them, for the adapter's tests."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import Any

from autogen import ConversableAgent, GroupChat, GroupChatManager, LLMConfig, UserProxyAgent, register_function
from autogen.coding import LocalCommandLineCodeExecutor
from autogen.io.websockets import IOWebsockets

from app.adapters.classic_plan import ClassicPlan, person, replies
from app.tools.finance import TOOLS as FINANCE
from tests.support.abort import aborts

DOZING, WAKE = threading.Event(), threading.Event()
"""Of the tool in :func:`sleepy`."""


def agent(name: str, llm_config: Any, **more: Any) -> ConversableAgent:
    return ConversableAgent(name, llm_config=llm_config, human_input_mode="NEVER", **more)


def single(llm_config: LLMConfig) -> ConversableAgent:
    """One agent: it answers once."""
    return agent("solo", llm_config)


def pair(llm_config: LLMConfig) -> ClassicPlan:
    """Two agents with models, three turns."""
    return ClassicPlan(agent("first", llm_config), agent("second", llm_config), max_turns=3)


def until_next(llm_config: LLMConfig) -> ClassicPlan:
    """A person's proxy and an assistant; the reply with NEXT ends it."""
    return ClassicPlan(person(), agent("assistant", llm_config))


def always(llm_config: LLMConfig) -> ClassicPlan:
    """The person is asked after each reply."""
    return ClassicPlan(person(human_input_mode="ALWAYS"), agent("assistant", llm_config))


def terminate(llm_config: LLMConfig) -> ClassicPlan:
    """The person is asked when the reply would end it."""
    return ClassicPlan(person(human_input_mode="TERMINATE"), agent("assistant", llm_config))


def group(llm_config: LLMConfig) -> GroupChatManager:
    """A round of three."""
    members = [agent(name, llm_config) for name in ("a", "b", "c")]
    chat = GroupChat(members, messages=[], max_round=4, speaker_selection_method="round_robin")
    return GroupChatManager(chat, llm_config=llm_config)


def chosen(llm_config: LLMConfig) -> GroupChatManager:
    """A model chooses who is next."""
    members = [agent(name, llm_config) for name in ("ann", "bob", "cid")]
    chat = GroupChat(members, messages=[], max_round=3, speaker_selection_method="auto",
                     max_retries_for_selecting_speaker=0)  # fmt: skip
    return GroupChatManager(chat, llm_config=llm_config)


def by_hand(llm_config: LLMConfig) -> GroupChatManager:
    """A person chooses who is next."""
    members = [agent(name, llm_config) for name in ("ann", "bob", "cid")]
    chat = GroupChat(members, messages=[], max_round=2, speaker_selection_method="manual")
    return GroupChatManager(chat, llm_config=llm_config)


def coding(llm_config: LLMConfig) -> ClassicPlan:
    """The person's proxy runs what code the assistant writes."""
    executor = LocalCommandLineCodeExecutor(work_dir=os.environ["CODE_DIR"])
    runs = UserProxyAgent("user", human_input_mode="NEVER", code_execution_config={"executor": executor})
    return ClassicPlan(runs, agent("assistant", llm_config), max_turns=2)


def hasty(llm_config: LLMConfig) -> ConversableAgent:
    """It asks its model before there is anybody to answer."""
    made = agent("hasty", llm_config)
    made.generate_reply(messages=[{"role": "user", "content": "Hello?"}])
    return made


def mixed(llm_config: LLMConfig) -> GroupChatManager:
    """One streams, the other delivers whole messages."""
    members = [agent("streams", llm_config), agent("whole", replies(llm_config, stream=False))]
    chat = GroupChat(members, messages=[], max_round=3, speaker_selection_method="round_robin")
    return GroupChatManager(chat, llm_config=llm_config)


def nested(llm_config: LLMConfig) -> ClassicPlan:
    """The recipient asks somebody else before it replies."""
    outer, inner = agent("outer", llm_config), agent("inner", llm_config)
    starter = person()
    outer.register_nested_chats([{"recipient": inner, "max_turns": 1, "summary_method": "last_msg"}], trigger=starter)
    return ClassicPlan(starter, outer, max_turns=1)


def tools(llm_config: LLMConfig) -> ClassicPlan:
    """The assistant has two tools, one of which fails."""
    assistant, proxy = agent("assistant", llm_config), person()

    def lookup(symbol: str) -> str:
        return f"{symbol} is at 7. " + "long " * 300

    def broken() -> str:
        raise ValueError("no such thing")

    for tool in (lookup, broken):
        register_function(tool, caller=assistant, executor=proxy, description="A tool.")
    return ClassicPlan(proxy, assistant, max_turns=2)


def charting(llm_config: LLMConfig) -> ClassicPlan:
    """The bundled finance tools, which are coroutines."""
    assistant, proxy = agent("assistant", llm_config), person()
    for tool in FINANCE:
        register_function(tool, caller=assistant, executor=proxy, description=tool.__doc__)
    return ClassicPlan(proxy, assistant, max_turns=2)


def aborting(llm_config: LLMConfig) -> ClassicPlan:
    """Its tool raises what is no Exception."""
    assistant, proxy = agent("assistant", llm_config), person()
    register_function(aborts, caller=assistant, executor=proxy, description="A tool.")
    return ClassicPlan(proxy, assistant, max_turns=2)


def sleepy(llm_config: LLMConfig) -> ClassicPlan:
    """Its tool takes its time."""
    assistant, proxy = agent("assistant", llm_config), person()

    def doze() -> str:
        DOZING.set()
        WAKE.wait(10)
        return "awake"

    register_function(doze, caller=assistant, executor=proxy, description="A tool.")
    return ClassicPlan(proxy, assistant, max_turns=2)


def summed_up(llm_config: LLMConfig) -> ClassicPlan:
    """A model sums it up at the end."""
    return ClassicPlan(person(), agent("assistant", llm_config), max_turns=1, summary_method="reflection_with_llm")


def own_config() -> dict[str, Any]:
    """A configuration with an address and a key of its own."""
    model, url = os.environ["OWN_MODEL"], os.environ["OWN_URL"]
    return {"config_list": [{"model": model, "base_url": url, "api_key": "sk-own", "stream": True, "price": [0, 0]}]}


def own(llm_config: LLMConfig) -> ConversableAgent:
    """It does not use what it is given."""
    return agent("own", own_config())


def failing(llm_config: LLMConfig) -> ClassicPlan:
    """An exception in an agent."""
    assistant = agent("assistant", llm_config)

    def fail(*_: Any, **__: Any) -> tuple[bool, str]:
        raise ZeroDivisionError("a bug")

    assistant.register_reply([ConversableAgent, None], fail, position=0)
    return ClassicPlan(person(), assistant)


def on_connect(iostream: IOWebsockets) -> None:
    """AG2's documented function, with the model of the tests."""
    # 1. Receive Initial Message
    initial_msg = iostream.input()

    # 2. Instantiate ConversableAgent
    chatbot = ConversableAgent(
        name="chatbot",
        system_message="Complete a task given to you and reply TERMINATE when the task is done.",
        llm_config=own_config(),
    )

    # 3. Define UserProxyAgent
    user_proxy = UserProxyAgent(
        name="user_proxy",
        system_message="A proxy for the user.",
        is_termination_msg=lambda x: x.get("content", "") and x.get("content", "").rstrip().endswith("TERMINATE"),
        human_input_mode="NEVER",
        max_consecutive_auto_reply=1,
        code_execution_config=False,
    )

    # 4. Initiate conversation
    user_proxy.initiate_chat(chatbot, message=initial_msg)


def on_connect_with_tool(iostream: IOWebsockets) -> None:
    """As AG2's example: a tool, which the proxy executes."""
    chatbot = ConversableAgent(name="chatbot", llm_config=own_config())
    user_proxy = UserProxyAgent(
        name="user_proxy",
        is_termination_msg=lambda message: "word6" in str(message.get("content")),
        human_input_mode="NEVER",
        code_execution_config=False,
    )

    def weather_forecast(city: str) -> str:
        return f"The weather forecast for {city} is sunny."

    register_function(weather_forecast, caller=chatbot, executor=user_proxy, description="Weather forecast for a city")
    user_proxy.initiate_chat(chatbot, message=iostream.input())


def on_connect_in_group(iostream: IOWebsockets) -> None:
    """A group, and a person in it who is asked."""
    config = own_config()
    members = [agent(name, config) for name in ("ann", "bob")]
    people = UserProxyAgent(name="user_proxy", human_input_mode="ALWAYS", code_execution_config=False)
    chat = GroupChat([people, *members], messages=[], max_round=5, speaker_selection_method="round_robin")
    people.initiate_chat(GroupChatManager(chat, llm_config=config), message=iostream.input())


def asks(iostream: IOWebsockets) -> None:
    """It prints and asks by itself."""
    topic = iostream.input()
    iostream.print("About", topic)
    name = iostream.input("Your name? ")
    secret = iostream.input("Your password? ", password=True)
    iostream.print(f"{name} has {len(secret)} letters")


def asks_first(iostream: IOWebsockets) -> None:
    """Its first question is answered by what the client has sent already."""
    name = iostream.input("Your name? ")
    town = iostream.input("Your town? ")
    iostream.print(f"{name} lives in {town}")


def declared(ws: IOWebsockets, llm_config: LLMConfig) -> None:
    """Its parameter has a name of its own."""
    ws.print("I heard", ws.input())


async def coroutine(iostream: Any, llm_config: LLMConfig) -> None:
    """Written for AG2's asynchronous side."""
    customer = person("customer", human_input_mode="ALWAYS")
    await customer.a_initiate_chat(agent("assistant", llm_config), message=iostream.input(), max_turns=2)


def at_once(iostream: Any, llm_config: LLMConfig) -> None:
    """One person who has several chats at the same time."""
    task, user = iostream.input(), person(max_replies=3)
    chats = [
        {"chat_id": number, "recipient": agent(f"agent{number}", llm_config), "message": task, "max_turns": 3}
        for number in range(4)
    ]
    asyncio.run(user.a_initiate_chats(chats))


def untold(iostream: Any, llm_config: LLMConfig) -> None:
    """A silent chat: AG2 tells nobody of its messages."""
    person().initiate_chat(agent("quiet", llm_config), message=iostream.input(), max_turns=1, silent=True)
    person().initiate_chat(agent("loud", llm_config), message="And you?", max_turns=1)


def with_models(iostream: Any, llm_config: LLMConfig) -> None:
    """The same kind of function over the run's models."""
    person().initiate_chat(agent("assistant", llm_config), message=iostream.input(), max_turns=1)


def failing_function(iostream: Any) -> None:
    """It raises."""
    raise LookupError(iostream.input())
