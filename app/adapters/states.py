"""What a team's saved state says, and how it is mended where AutoGen's own is not enough to go on from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autogen_agentchat.base import Team
from autogen_agentchat.messages import BaseAgentEvent, BaseChatMessage, HandoffMessage, TextMessage
from autogen_agentchat.teams import BaseGroupChat, GraphFlow

from app.adapters.tree import TeamTree

_FRESH: dict[str, Any] = {"next_speaker_index": 0, "current_turn": 0, "previous_speaker": None}


async def saved(team: Team, tree: TeamTree) -> dict[str, Any]:
    """A team's state between two turns, as it can be loaded by a new process."""
    state = dict(await team.save_state())
    if isinstance(team, GraphFlow):
        _settle(_manager_state(state, team), team)
    # SocietyOfMindAgent forgets to save what it remembers itself.
    contexts = {each.name: dict(await each.model_context.save_state()) for each in tree.societies}
    return {"team": state, "contexts": contexts}


async def loaded(kept: Mapping[str, Any], team: Team, tree: TeamTree) -> None:
    """Put the team where it was.

    :raises Exception: the state is another team's, or another version's.
    """
    await team.load_state(kept["team"])
    contexts = kept.get("contexts") or {}
    for each in tree.societies:
        if each.name in contexts:
            await each.model_context.load_state(contexts[each.name])


def thread(kept: Mapping[str, Any], team: Team, begin: int = 0) -> list[BaseAgentEvent | BaseChatMessage]:
    """All that the team has heard and said, from a message on."""
    if not isinstance(team, BaseGroupChat):
        return []
    dumped = _manager_state(kept["team"], team).get("message_thread", [])
    return [team._message_factory.create(message) for message in dumped[begin:]]


def first_speaker_again(kept: Mapping[str, Any], team: Team) -> None:
    """A new user message is answered by the first agent, wherever the last run was stopped.

    In a swarm who has the word keeps it.
    """
    if not isinstance(team, BaseGroupChat):
        return
    state = _manager_state(kept["team"], team)
    state.update({name: value for name, value in _FRESH.items() if name in state})
    if isinstance(team, GraphFlow):
        graph = team._graph
        state["ready"] = list(graph.get_start_nodes())
        state["remaining"] = {target: dict(groups) for target, groups in graph.get_remaining_map().items()}
        state["enqueued_any"] = {
            target: dict.fromkeys(groups, False) for target, groups in state["enqueued_any"].items()
        }


def reply_to(kept: Mapping[str, Any], team: Team, speakers: set[str], text: str) -> BaseChatMessage:
    """The user's next message: an answer to who has handed over to them, where somebody has."""
    for message in reversed(thread(kept, team)):
        if isinstance(message, HandoffMessage):
            if message.target not in speakers:
                return HandoffMessage(content=text, source=message.target, target=message.source)
            break
    return TextMessage(content=text, source="user")


def _manager_state(state: Mapping[str, Any], team: BaseGroupChat) -> dict[str, Any]:
    found: dict[str, Any] = state["agent_states"][team._group_chat_manager_name]
    return found


def _settle(state: dict[str, Any], team: GraphFlow) -> None:
    """A node that is ready has its parents counted down; AutoGen counts them up again when it runs, but keeps what it
    needs for that out of the state, so that a loop would run only once after a load.
    """
    origin = team._graph.get_remaining_map()
    state["enqueued_any"] = {node: dict(groups) for node, groups in state["enqueued_any"].items()}  # not the team's own
    for node in state["ready"]:
        left = state["remaining"].get(node, {})
        left.update({group: origin[node][group] for group, count in left.items() if count <= 0})
        waiting = state["enqueued_any"].get(node, {})
        waiting.update(dict.fromkeys(waiting, False))
