"""What MagenticOne's orchestrator asks its model for: facts, a plan, a progress ledger, the final answer.

It asks for whole replies and shows none of them while they come. Its calls are recognised by what they ask.
"""

from __future__ import annotations

from dataclasses import dataclass

from autogen_agentchat.teams._group_chat._magentic_one import _prompts as prompts

from app.protocol.common import MessageKind


@dataclass(frozen=True, slots=True)
class Phase:
    """One kind of call.

    :param doing: what people read while it lasts.
    """

    kind: MessageKind
    doing: str


FACTS = Phase("facts", "Gathering the facts")
PLAN = Phase("plan", "Making a plan")
LEDGER = Phase("ledger", "Looking at the progress")
NEW_FACTS = Phase("facts", "Going over the facts again")
NEW_PLAN = Phase("plan", "Making a new plan")
ANSWER = Phase("message", "Writing the final answer")


def _opening(prompt: str) -> str:
    return prompt.partition("{")[0].strip()


_PHASES = {
    _opening(prompts.ORCHESTRATOR_TASK_LEDGER_FACTS_PROMPT): FACTS,
    _opening(prompts.ORCHESTRATOR_TASK_LEDGER_PLAN_PROMPT): PLAN,
    _opening(prompts.ORCHESTRATOR_PROGRESS_LEDGER_PROMPT): LEDGER,
    _opening(prompts.ORCHESTRATOR_TASK_LEDGER_FACTS_UPDATE_PROMPT): NEW_FACTS,
    _opening(prompts.ORCHESTRATOR_TASK_LEDGER_PLAN_UPDATE_PROMPT): NEW_PLAN,
}
_TASK_LEDGER = _opening(prompts.ORCHESTRATOR_TASK_LEDGER_FULL_PROMPT)


def phase_of(asked: str) -> Phase:
    """Which of its questions this is; one that is none of the known ones wants the final answer."""
    asked = asked.strip()
    return next((phase for opening, phase in _PHASES.items() if asked.startswith(opening)), ANSWER)


def is_task_ledger(text: str) -> bool:
    """Whether this is the message in which the orchestrator repeats task, team, facts and plan for its agents."""
    return text.strip().startswith(_TASK_LEDGER)
