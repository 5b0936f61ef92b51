"""Lists of conversations and teams, for pages and programs."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, request

from app.auth.permissions import Action
from app.errors import ConversationUnknown, InvalidPayload
from app.http.answers import ConversationList, ListQuery, MessageList, SinceQuery, TeamList
from app.http.caller import caller, permit
from app.http.contract import contract
from app.http.message_view import shape, stored
from app.http.reading import find_conversation, wish_of
from app.protocol.snapshot import Snapshot
from app.services import services
from app.streaming.conversation import Conversation

conversations = Blueprint("conversations", __name__)

_MOST = 200


@conversations.get("/api/conversations")
@contract(ConversationList, query=ListQuery, errors=(InvalidPayload,))
def list_conversations() -> dict[str, Any]:
    """The caller's conversations, the last changed first; ``?limit=`` at most 200, default 50."""
    principal = permit(Action.LIST)
    try:
        limit = min(_MOST, max(1, int(request.args.get("limit", 50))))
    except ValueError:
        raise InvalidPayload("limit: a whole number is needed") from None
    mine = [each for each in services().manager.conversations() if each.owner == principal.id]
    mine.sort(key=lambda each: each.fold.updated_at, reverse=True)
    return {"conversations": [_row(each) for each in mine[:limit]], "total": len(mine)}


@conversations.get("/api/conversations/<conversation_id>")
@contract(Snapshot, errors=(ConversationUnknown,))
def show_conversation(conversation_id: str) -> dict[str, Any]:
    """One conversation as it stands: the same snapshot that a join answers."""
    conversation = services().manager.get(conversation_id)
    permit(Action.WATCH, conversation)
    return conversation.snapshot()


@conversations.get("/api/conversations/<key>/messages")
@contract(MessageList, query=SinceQuery, errors=(InvalidPayload, ConversationUnknown))
def show_messages(key: str) -> dict[str, Any]:
    """A conversation's messages (by its id or its name), oldest first; ``?since=`` leaves out what has not changed."""
    conversation = find_conversation(services().manager, caller(), key, Action.WATCH)
    snapshot = conversation.snapshot()
    found = [shape(view).model_dump() for view in stored(snapshot, wish_of(request.args).since)]
    place = {name: snapshot[name] for name in ("conversation_id", "epoch", "offset", "omitted_messages")}
    return {**place, "messages": found}


@conversations.get("/api/teams")
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


def _row(conversation: Conversation) -> dict[str, Any]:
    fold = conversation.fold
    return {
        "conversation_id": conversation.id,
        "title": fold.title,
        "team": fold.team,
        "status": fold.status,
        "demo": fold.demo,
        "created_at": fold.created_at,
        "updated_at": fold.updated_at,
        "messages": fold.message_count(),
        "watchers": conversation.watchers,
    }
