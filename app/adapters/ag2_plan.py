"""What a factory for ag2 1.x may return. Imports nothing of ag2: the factory has done so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.errors import TeamFailed


@dataclass(frozen=True, slots=True)
class Ag2Plan:
    """Several agents that discuss: what a factory may return in the place of a bare agent.

    :param agents: instances of ``ag2.Agent``. Several discuss in a channel of ``ag2.network``: after each message of
        the user they speak in this order.
    :param rounds: how often each of several speaks.
    """

    agents: tuple[Any, ...]
    rounds: int = 1


def plan_of(made: Any) -> Ag2Plan:
    """The plan of what a factory has returned: an agent, several, or a plan.

    :raises TeamFailed: it holds something else, or two agents of one name.
    """
    plan = made if isinstance(made, Ag2Plan) else Ag2Plan(tuple(made) if isinstance(made, list | tuple) else (made,))
    names = [getattr(agent, "name", None) for agent in plan.agents]
    if not names or not all(isinstance(name, str) and name for name in names) or plan.rounds < 1:
        raise TeamFailed("it is no ag2 team: agents and at least one round are needed")
    if len({*names, "user"}) <= len(names):
        raise TeamFailed("the agents of an ag2 team need names of their own, and none may be called user")
    return plan
