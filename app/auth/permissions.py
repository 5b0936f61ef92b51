"""The one gate: every command, route and door asks it."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from app.auth.identity import LOCAL, Principal
from app.errors import ConversationUnknown, NotPermitted


class Action(StrEnum):
    """What somebody may want to do."""

    CONNECT = "connect"
    START = "start"
    LIST = "list"
    WATCH = "watch"
    STEER = "steer"
    BROADCAST = "broadcast"
    OPERATE = "operate"  # sessions, status, health


class Owned(Protocol):
    """A conversation, as far as the gate looks at it."""

    @property
    def owner(self) -> str: ...


def authorise(principal: Principal, action: Action, conversation: Owned | None = None) -> None:
    """Let pass, or refuse. When in doubt, refuse.

    :raises ConversationUnknown: when a conversation is somebody else's: not even its existence is told.
    :raises NotPermitted: when the action is not for this principal.
    """
    if principal != LOCAL:
        raise NotPermitted(f"{action} is not permitted")
    if conversation is not None and conversation.owner != principal.id:
        raise ConversationUnknown("there is no such conversation")
