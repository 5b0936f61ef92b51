"""The teams that may be started."""

from __future__ import annotations

from typing import Any

from flask import Blueprint

from app.auth.permissions import Action
from app.http.caller import permit
from app.http.contract import contract
from app.http.conversation_shapes import TeamList
from app.services import services

teams = Blueprint("teams", __name__)


@teams.get("/api/teams")
@contract(TeamList)
def list_teams() -> dict[str, Any]:
    """The teams that may be started, with their agents."""
    permit(Action.LIST)
    registry = services().teams
    found = [
        {
            "name": team.name,
            "title": team.title or team.name,
            "description": team.description,
            "agents": [agent.model_dump() for agent in team.agents],
        }
        for team in registry.all()
    ]
    broken = [{"name": name, "error": problem} for name, problem in registry.problems.items()]
    return {"teams": found, "broken": broken, "default": registry.default}
