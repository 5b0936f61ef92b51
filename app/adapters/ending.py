"""When a team that is run turn by turn is at its end: its own termination condition, asked after each turn.

AutoGen's managers reset their condition whenever a run ends, so a team of single turns would never reach ten messages.
Here the condition lives as long as the team's whole run, and a run in a new process tells it what was said before.
"""

from __future__ import annotations

from collections.abc import Sequence

from autogen_agentchat.base import TerminationCondition
from autogen_agentchat.messages import BaseAgentEvent, BaseChatMessage, HandoffMessage

Messages = Sequence[BaseAgentEvent | BaseChatMessage]
ONE_TURN = "Maximum number of turns 1 reached."
"""What AutoGen says when a single turn has ended, and only that."""


class Ending:
    """Asks whether the team is at its end.

    :param speakers: a handoff to anybody else waits for a person, and so ends the run.
    """

    def __init__(self, condition: TerminationCondition | None, speakers: set[str]) -> None:
        self._condition = condition
        self._speakers = speakers

    async def after(self, messages: Messages, stop_reason: str | None = None) -> str | None:
        """Why the team ends after these messages; None: it goes on.

        :param messages: the task, or what one turn has brought.
        :param stop_reason: what AutoGen says about that turn's end.
        """
        if self._condition is not None and messages:
            stop = await self._condition(messages)
            if stop is not None:
                return stop.content
        if stop_reason is not None and stop_reason != ONE_TURN:
            return stop_reason
        last = next((each for each in reversed(messages) if isinstance(each, BaseChatMessage)), None)
        if stop_reason is not None and isinstance(last, HandoffMessage) and last.target not in self._speakers:
            return f"{last.source} hands over to {last.target}."
        return None
