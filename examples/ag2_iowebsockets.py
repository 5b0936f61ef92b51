"""A function written for AG2's `IOWebsockets.run_server_in_thread(on_connect=…)`, as a team.

pip install "autogen>=0.14,<0.15"
# .env
TEAMS=poet=examples.ag2_iowebsockets:on_connect

A client written for it connects to ws://127.0.0.1:5000/ag2/poet. Without its parameter `llm_config`, and with a
configuration of its own in the place of that, the function runs on AG2's own server unchanged.
"""

from __future__ import annotations

import autogen
from autogen.io.websockets import IOWebsockets


def on_connect(iostream: IOWebsockets, llm_config: autogen.LLMConfig) -> None:
    """A chatbot with a tool; the reply that ends with TERMINATE is the last."""
    # 1. Receive Initial Message
    initial_msg = iostream.input()

    # 2. Instantiate ConversableAgent
    agent = autogen.ConversableAgent(
        name="chatbot",
        system_message="Complete a task given to you and reply TERMINATE when the task is done. If asked about the "
        "weather, use tool 'weather_forecast(city)' to get the weather forecast for a city.",
        llm_config=llm_config,
    )

    # 3. Define UserProxyAgent
    user_proxy = autogen.UserProxyAgent(
        name="user_proxy",
        is_termination_msg=lambda message: str(message.get("content") or "").rstrip().endswith("TERMINATE"),
        human_input_mode="NEVER",
        max_consecutive_auto_reply=3,
        code_execution_config=False,
    )

    # 4. Define Agent-specific Functions
    def weather_forecast(city: str) -> str:
        return f"The weather forecast for {city} is sunny."

    autogen.register_function(
        weather_forecast, caller=agent, executor=user_proxy, description="Weather forecast for a city"
    )

    # 5. Initiate conversation
    user_proxy.initiate_chat(agent, message=initial_msg)
