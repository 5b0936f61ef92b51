"""Stand-ins for a person (UserProxyAgent) ask the people in the room instead of the terminal of the process."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from autogen_agentchat.agents import UserProxyAgent
from autogen_agentchat.agents._user_proxy_agent import cancellable_input
from autogen_core import CancellationToken

from app.adapters.answers import NO_ANSWER

_TERMINAL = (cancellable_input, builtins.input)


@dataclass(slots=True, eq=False)
class Question:
    """What an agent wants to know from a person.

    :param request_id: AutoGen's own, by which its event announces the question.
    """

    agent: str
    prompt: str
    request_id: str
    reply: asyncio.Future[str] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Inputs:
    """Connects the stand-ins of a team with ``on_question``. An input function of the team's own is left alone."""

    def __init__(self, people: Sequence[UserProxyAgent]) -> None:
        self.on_question: Callable[[Question], None] = _refuse
        for person in people:
            if person.input_func in _TERMINAL:  # there is no terminal here, and waiting for one would never end
                person.input_func = self._asker(person.name)
                person._is_async = True

    def _asker(self, agent: str) -> Callable[[str, CancellationToken | None], Awaitable[str]]:
        async def ask(prompt: str, token: CancellationToken | None = None) -> str:
            question = Question(agent, prompt.strip(), UserProxyAgent.InputRequestContext.request_id())
            if token is not None:
                token.link_future(question.reply)
            self.on_question(question)
            return await question.reply

        return ask


def _refuse(question: Question) -> None:
    question.reply.set_result(NO_ANSWER["cancelled"])
