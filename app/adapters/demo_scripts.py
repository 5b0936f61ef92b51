"""What the agents say in demo mode: prepared texts that quote the user and pretend to no opinion of a model."""

from __future__ import annotations

from collections.abc import Sequence

from app.protocol.common import AgentCard, ContentType

SNIPPET_CHARS = 90
_KIND = {
    ContentType.TEXT: "your text",
    ContentType.ARTICLE: "the article you pasted",
    ContentType.URL: "the page you named (it was not fetched)",
}
_DEBATE = (
    "This is a prepared script: no model has read {kind}, “{snippet}”. In a live debate I would begin with the "
    "figures: what the matter brings in, what it costs, how the margin moves and what price is already paid for it. "
    "I would then take a position, and say how sure I am of it.",
    "Still the prepared script. A live model would now set “{snippet}” beside its market: who competes, how demand has "
    "moved, what interest rates and the economy allow. It would say where it agrees with the Financial Analyst and "
    "where the context tells another story.",
    "And still no model. My part would be to contradict: to name the two greatest risks that the others have passed "
    "over in {kind}, to ask which assumption carries the whole case, and what would have to happen for it to break.",
)
_ANYBODY = (
    "This is a prepared script of {agent}: no model has read {kind}, “{snippet}”. As soon as a model answers, "
    "I will reply in earnest.{about}"
)


def snippet_of(content: str) -> str:
    """The beginning of the user's words, on one line."""
    line = " ".join(content.split())
    return line if len(line) <= SNIPPET_CHARS else line[: SNIPPET_CHARS - 1].rsplit(" ", 1)[0] + "…"


def cast_of(team: str, agents: Sequence[AgentCard]) -> tuple[AgentCard, ...]:
    """Who speaks; a team without cards is one agent of its name."""
    return tuple(agents) or (AgentCard(name=team.capitalize(), emoji="🤖"),)


def script(team: str, agent: AgentCard, turn: int, content: str, content_type: ContentType) -> str:
    """What ``agent`` says at ``turn`` (from 1)."""
    values = {
        "kind": _KIND[content_type],
        "snippet": snippet_of(content),
        "agent": agent.name,
        "about": f" My part here: {agent.description}" if agent.description else "",
    }
    text = _DEBATE[(turn - 1) % len(_DEBATE)] if team == "debate" else _ANYBODY
    return text.format(**values)
