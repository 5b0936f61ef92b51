"""Classic AG2: an assistant that works with a person until its reply contains NEXT, with a tool.

pip install "autogen>=0.14,<0.15"
# .env
TEAMS=workshop=examples.classic_team:team
"""

from __future__ import annotations

from statistics import mean

from autogen import ConversableAgent, LLMConfig, register_function

from app.adapters.classic_plan import ClassicPlan, person

SYSTEM = (
    "You help to put a plan in order. Ask for what you need to know, one question at a time. When the plan stands, "
    "write it down in at most five lines and end with the word NEXT."
)


def average(figures: list[float]) -> float:
    """The mean of some figures."""
    return mean(figures)


def team(llm_config: LLMConfig) -> ClassicPlan:
    """The person is asked after each reply; an empty answer lets the assistant go on, `exit` ends it."""
    assistant = ConversableAgent("assistant", system_message=SYSTEM, llm_config=llm_config, human_input_mode="NEVER")
    user = person(human_input_mode="ALWAYS")
    register_function(average, caller=assistant, executor=user, description="The mean of some figures.")
    return ClassicPlan(user, assistant)
