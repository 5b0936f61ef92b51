"""What a factory of classic AG2 may return beside an agent or a chat manager: who speaks to whom, and for how long."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from autogen import ConversableAgent, GroupChatManager, LLMConfig, UserProxyAgent

from app.errors import TeamFailed

HumanInputMode = Literal["ALWAYS", "NEVER", "TERMINATE"]
TERMINATION_WORD = "NEXT"


@dataclass(frozen=True, slots=True)
class ClassicPlan:
    """Two agents that talk, or one that addresses a group: ``initiator.initiate_chat(recipient, …)``.

    :param initiator: says what people write to this team.
    :param max_turns: as AG2's; None: until one of them ends it. ``options.max_turns`` of a start counts before it.
    :param summary_method: as AG2's (``reflection_with_llm``, a function): its result is the conversation's summary.
    """

    initiator: ConversableAgent
    recipient: ConversableAgent
    max_turns: int | None = None
    summary_method: str | Callable[..., Any] | None = None


def person(
    name: str = "user",
    *,
    human_input_mode: HumanInputMode = "NEVER",
    ends_with: str = TERMINATION_WORD,
    max_replies: int = 10,
) -> UserProxyAgent:
    """The person of a two-agent chat, which is over when the reply contains ``NEXT``.

    :param human_input_mode: ``ALWAYS``: asked after each reply; ``TERMINATE``: only before the end; ``NEVER``.
    :param ends_with: the word that ends it.
    :param max_replies: how often it lets the other agent go on without a person's word.
    """
    return UserProxyAgent(
        name,
        human_input_mode=human_input_mode,
        is_termination_msg=lambda message: ends_with in str(message.get("content") or ""),
        max_consecutive_auto_reply=max_replies,
        code_execution_config=False,
    )


def replies(llm_config: LLMConfig, *, stream: bool) -> LLMConfig:
    """The same models with ``stream`` set: agents whose output has a structure had better deliver it whole."""
    changed = llm_config.copy()
    for entry in changed.config_list:
        setattr(entry, "stream", stream)  # noqa: B010  # the entries of a config are of many kinds
    return changed


def plan_of(made: object) -> ClassicPlan:
    """What a factory has returned, as a plan.

    :raises TeamFailed: it is no team.
    """
    if isinstance(made, ClassicPlan):
        return made
    if isinstance(made, GroupChatManager):
        members = made.groupchat.agents
        people = [agent for agent in members if isinstance(agent, UserProxyAgent)]
        return ClassicPlan(people[0] if people else person(_free("user", made)), made)
    if isinstance(made, ConversableAgent):
        return ClassicPlan(person("user" if made.name != "user" else "person"), made, max_turns=1)
    raise TeamFailed(f"it is no team of classic AG2: the factory returned a {type(made).__name__}")


def _free(name: str, manager: GroupChatManager) -> str:
    taken = {agent.name for agent in manager.groupchat.agents}
    return next(each for each in (name, "person", "visitor") if each not in taken)
