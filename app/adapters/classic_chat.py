"""The chat of a plan: begun, gone on with where it broke off, or given its next user message. In the run's thread."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from typing import Any

from autogen import Agent, ChatResult, ConversableAgent, GroupChat, GroupChatManager

from app.adapters.classic_plan import ClassicPlan

Message = dict[str, Any]


class Chat:
    """Keeps what is needed to go on in another process: AG2's own messages, each with its speaker's name.

    :param turns: ``options.max_turns`` of the start: replies of a group, or turns of two agents.
    :ivar opening_known: the first message that AG2 will tell of was said before this run.
    """

    def __init__(self, plan: ClassicPlan, turns: int | None) -> None:
        self.plan = plan
        self.opening_known = True
        self._manager = plan.recipient if isinstance(plan.recipient, GroupChatManager) else None
        self._turns = turns or plan.max_turns
        if self._manager is not None:
            self._rounds = turns + 1 if turns else self._manager.groupchat.max_round
        self._before = 0  # messages of earlier sessions

    @property
    def max_turns(self) -> int | None:
        """Replies at most; None: nobody knows."""
        if self._manager is not None:
            return max(1, self._rounds - 1)
        initiator = self.plan.initiator
        if self._turns and (initiator.llm_config or initiator._code_execution_config is not False):
            return 2 * self._turns - 1  # it replies, too, but for the first and the last time
        return self._turns

    # --- the ways in

    def begin(self, task: str, history: Sequence[Message] = ()) -> ChatResult | None:
        """A user message, after those that were exchanged before."""
        self._before = len(history)
        opening: Message = {"content": task, "role": "user", "name": self.plan.initiator.name}
        if self._manager is not None:
            if history:
                self._resume([*history, opening])
            self._limit(self._rounds)
        else:
            self._replay(history)
        return self._initiate(self.plan.initiator, opening if history else task, self._turns, fresh=not history)

    def go_on(self, history: Sequence[Message], before: int) -> ChatResult | None:
        """Where it broke off. The last message is waiting for its reply.

        :param before: how many of the messages belong to earlier sessions.
        """
        self._before = before
        mine = self.plan.initiator.name
        if self._manager is not None:
            self._resume(history)
            self._limit(max(1, self._rounds - (len(history) - before - 1)))
            return self._initiate(self._member(str(history[-1].get("name"))), history[-1], None)
        said = sum(message.get("name") == mine for message in history[before:])
        if history[-1].get("name") == mine:
            self._replay(history[:-1])
            left = self._turns - (said - 1) if self._turns else None
            return self._initiate(self.plan.initiator, history[-1], left)
        self._replay(history)
        left = self._turns - said if self._turns else None
        if left is not None and left <= 0:
            return None
        self.opening_known = False
        reply = self.plan.initiator.generate_reply(sender=self.plan.recipient)
        return None if reply is None else self._initiate(self.plan.initiator, reply, left)

    def _initiate(
        self, speaker: ConversableAgent, message: Any, max_turns: int | None, *, fresh: bool = False
    ) -> ChatResult:
        plan = self.plan
        result: ChatResult = speaker.initiate_chat(
            plan.recipient,
            message=message,
            max_turns=None if self._manager is not None else max_turns,
            clear_history=fresh,
            summary_method=plan.summary_method,
        )
        return result

    # --- what was said

    def capture(self, sender: str) -> dict[str, Any]:
        """All that was said, after a message of this sender has arrived. Values are JSON's."""
        messages: list[Message]
        if self._manager is not None:
            messages = list(self._manager.groupchat.messages)
            newest = self._manager.chat_messages[self._member(sender)][-1:]
            if newest and (not messages or newest[0] is not messages[-1]):
                messages += newest
        else:
            messages = self.plan.initiator.chat_messages[self.plan.recipient]
        return {"messages": json.loads(json.dumps(messages, default=str)), "before": self._before}

    def is_outer(self, sender: str, recipient: str) -> bool:
        """Whether a message between these two belongs to this chat, and not to one within it."""
        if self._manager is not None:
            return recipient == self._manager.name
        return {sender, recipient} == {self.plan.initiator.name, self.plan.recipient.name}

    def retold(self, transcript: Sequence[tuple[str, str]]) -> list[Message]:
        """Finished messages of the room as AG2's, where nothing better was kept: who is unknown is the initiator."""
        initiator = self.plan.initiator
        known = {agent.name for agent in self._members()}
        return [
            {"content": text, "role": "user", "name": name if name in known else initiator.name}
            for name, text in transcript
        ]

    def _member(self, name: str) -> ConversableAgent:
        """The agent of this name; the initiator, who may stand outside of the group, for all others."""
        return next((agent for agent in self._members() if agent.name == name), self.plan.initiator)

    def _members(self) -> list[ConversableAgent]:
        others = self._manager.groupchat.agents if self._manager is not None else [self.plan.recipient]
        return [self.plan.initiator, *others]

    def _replay(self, history: Sequence[Message]) -> None:
        agents = {agent.name: agent for agent in (self.plan.recipient, self.plan.initiator)}
        for message in history:
            speaker = agents.get(str(message.get("name")), self.plan.initiator)
            listener = self.plan.recipient if speaker is self.plan.initiator else self.plan.initiator
            speaker.send(copy.deepcopy(message), listener, request_reply=False, silent=True)

    def _limit(self, rounds: int) -> None:
        """AG2 copies a group chat when it is given to its manager: so it is given again."""
        assert self._manager is not None
        group = self._manager.groupchat
        if group.max_round != rounds:
            group.max_round = rounds
            self._manager.register_reply(Agent, GroupChatManager.run_chat, config=group, reset_config=GroupChat.reset)

    def _resume(self, history: Sequence[Message]) -> None:
        """The group as it was; the last message is yet to be said again."""
        assert self._manager is not None
        group = self._manager.groupchat
        known = {*group.agent_names, self._manager.name, group.admin_name}
        told = [m if m.get("name") in known else {**m, "name": group.admin_name} for m in history]
        self._manager.resume(messages=copy.deepcopy(told), silent=True)
