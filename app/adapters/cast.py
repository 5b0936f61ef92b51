"""How agents appear to people, whatever framework they are of."""

from __future__ import annotations

from collections.abc import Sequence

from app.protocol.common import AgentCard
from app.teams.names import identifier

DEFAULT_EMOJI = "🤖"
_EMOJI = {"magenticoneorchestrator": "🧭"}


class Cast:
    """How agents appear: AgentChat names are identifiers (``Financial_Analyst``), people read ``Financial Analyst``."""

    def __init__(self, cards: Sequence[AgentCard]) -> None:
        self._cards = {_identifier(card.name): card for card in cards}

    def name(self, agent: str) -> str:
        """The display name; the agent's own where the team has no card for it."""
        card = self._cards.get(_identifier(agent))
        return card.name if card else agent

    def emoji(self, agent: str) -> str:
        card = self._cards.get(_identifier(agent))
        return (card.emoji if card else "") or _EMOJI.get(_identifier(agent), DEFAULT_EMOJI)


def _identifier(name: str) -> str:
    return identifier(name).lower()
