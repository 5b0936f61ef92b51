"""The factory of teams that are a round of prompts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core.models import ChatCompletionClient, UserMessage

from app.adapters.plan import Closing, ClosingCall, TeamPlan
from app.errors import TeamFailed
from app.teams.documents import TeamFileError, read_document
from app.teams.names import identifier
from app.teams.rounds_file import read_rounds


def team(model_client: ChatCompletionClient, file: str) -> TeamPlan:
    """The agents of the file, each with its prompt, in their order.

    :raises TeamFailed: the file is gone, or broken since it was listed.
    """
    try:
        described = read_rounds(read_document(Path(file)))
    except TeamFileError as error:
        raise TeamFailed(f"{Path(file).name}: {error}") from None
    agents = [
        AssistantAgent(
            identifier(each.name),
            model_client,
            description=each.description or each.name,
            system_message=each.prompt,
            model_client_stream=True,
        )
        for each in described.agents
    ]
    chat = RoundRobinGroupChat(list(agents), max_turns=described.rounds * len(agents))
    return TeamPlan(chat, closing=None if described.closing is None else _closing(described.closing))


def _closing(request: str) -> ClosingCall:
    async def conclude(model_client: ChatCompletionClient, spoken: Sequence[tuple[str, str]]) -> Closing:
        if not spoken:
            return Closing(reason="nobody has spoken")
        said = "\n\n".join(f"{agent}: {text}" for agent, text in spoken)
        result = await model_client.create([UserMessage(content=f"{said}\n\n{request}", source="user")])
        text = result.content.strip() if isinstance(result.content, str) else ""
        return Closing(summary=text or None, reason=None if text else "the model said nothing")

    return conclude
