"""The teams that may be started."""

from __future__ import annotations

from dataclasses import asdict
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
    directory = services().teams
    found = [
        {
            "name": each.spec.name,
            "title": each.spec.title or each.spec.name,
            "description": each.spec.description,
            "agents": [agent.model_dump() for agent in each.spec.agents],
            "generation": each.spec.generation,
            "source": each.source,
            "file": each.file,
            "pending": each.pending,
        }
        for each in directory.offered()
    ]
    broken = [asdict(each) for each in directory.broken()]
    return {"teams": found, "broken": broken, "default": directory.default}
