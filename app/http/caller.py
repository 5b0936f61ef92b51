"""Who is asking, of the present request."""

from __future__ import annotations

from flask import Flask, g, request

from app.auth.identity import Principal
from app.auth.permissions import Action, authorise
from app.services import services
from app.streaming.conversation import Conversation

_OPEN = frozenset(
    {
        "static",
        "accounts.register",
        "accounts.log_in",
        "accounts.log_out",
        "account_pages.show_register",
        "account_pages.submit_registration",
        "account_pages.show_log_in",
        "account_pages.submit_log_in",
        "account_pages.show_log_out",
        "account_pages.submit_log_out",
        "pages.favicon",
        "shares.follow_link",
    }
)
"""What is there for everybody; of everything else, nobody learns anything who is not recognised."""


def recognise_first(app: Flask) -> None:
    """Ask who it is before any view runs: else one that looks something up first would tell strangers what there is."""

    @app.before_request
    def check() -> None:
        if request.endpoint is not None and request.endpoint not in _OPEN:
            caller()


def caller() -> Principal:
    """The principal of the present request.

    :raises Unauthenticated: :raises LimitExceeded: when they ask too often.
    """
    found: Principal | None = g.get("principal")
    if found is None:
        g.ticket = services().live.ticket()
        found = g.principal = services().gate.identify(request.environ)
        services().requests.count_person(found)
    return found


def ticket() -> int:
    """What had ended before the present request's principal was recognised; see :class:`app.auth.live.Live`."""
    caller()
    found: int = g.ticket
    return found


def recognised() -> Principal | None:
    """The principal of the present request, if somebody has asked for it and got one; asks nobody."""
    found: Principal | None = g.get("principal")
    return found


def permitted(action: Action, conversation_id: str) -> tuple[Principal, Conversation]:
    """The principal of the present request and the conversation, if the action is for them. May wait for the database.

    :raises ConversationUnknown: when there is none, or they are no part of it.
    """
    principal = caller()  # who is nobody causes no question to the database
    return principal, services().entrance.find(principal, action, conversation_id)


def permit(action: Action, conversation: Conversation | None = None) -> Principal:
    """The principal of the present request, if the action is for them; see :func:`authorise` for what is raised."""
    principal = caller()
    authorise(principal, action, conversation)
    return principal
