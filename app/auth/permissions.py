"""The one gate: every command, event, route and door asks it."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Protocol

from app.auth.identity import Principal, Scope
from app.errors import ConversationUnknown, NotPermitted, Unauthenticated
from app.streaming.access import Access, Role


class Action(StrEnum):
    """What somebody may want to do. The table below says what each one takes."""

    CONNECT = "connect"
    ACCOUNT = "account"  # their own account, tokens, sign-ins
    LIST = "list"
    START = "start"
    WATCH = "watch"
    RATE = "rate"
    STEER = "steer"
    EDIT = "edit"
    MANAGE = "manage"  # rename, delete, share
    OPERATE = "operate"  # sessions, status, metrics, audit, settings
    BROADCAST = "broadcast"


_SCOPES: dict[Action, Scope | None] = {
    Action.CONNECT: None,
    Action.ACCOUNT: "write",
    Action.LIST: "read",
    Action.START: "write",
    Action.WATCH: "read",
    Action.RATE: "write",
    Action.STEER: "write",
    Action.EDIT: "write",
    Action.MANAGE: "write",
    Action.OPERATE: "admin",
    Action.BROADCAST: "admin",
}
_ROLES: dict[Action, Role] = {
    Action.WATCH: Role.VIEWER,
    Action.RATE: Role.VIEWER,
    Action.STEER: Role.EDITOR,
    Action.EDIT: Role.EDITOR,
    Action.MANAGE: Role.OWNER,
}
_NAMED = frozenset({Action.ACCOUNT, Action.LIST, Action.START})  # not for who only holds a link
_ADMIN = frozenset({Action.OPERATE, Action.BROADCAST})


class Guarded(Protocol):
    """A conversation, as far as the gate looks at it."""

    @property
    def access(self) -> Access: ...


def authorise(principal: Principal, action: Action, conversation: Guarded | None = None) -> None:
    """Let pass, or refuse. When in doubt, refuse.

    :raises ConversationUnknown: when a conversation is not for this principal: not even its existence is told.
    :raises NotPermitted: when the action takes more than they have.
    :raises Unauthenticated: when it takes a name, and they only hold a link.
    """
    role = None
    if conversation is not None or action in _ROLES:
        role = role_in(principal, conversation)
        if role is None:
            raise ConversationUnknown("there is no such conversation")
    scope = _SCOPES[action]
    if scope is not None and scope not in principal.scopes:
        raise NotPermitted(f"this token does not allow to {action} (scope `{scope}`)")
    if action in _NAMED and not principal.id:
        raise Unauthenticated("sign in first")
    if action in _ADMIN and not principal.admin:
        raise NotPermitted("only an administrator may do that")
    wanted = _ROLES.get(action)
    if wanted is not None and role is not None and not role.covers(wanted):
        raise NotPermitted(f"that takes the role `{wanted}`; yours is `{role}`")


def permits(principal: Principal, action: Action, conversation: Guarded | None = None) -> bool:
    """Whether :func:`authorise` would let pass."""
    try:
        authorise(principal, action, conversation)
    except (ConversationUnknown, NotPermitted, Unauthenticated):
        return False
    return True


def role_in(principal: Principal, conversation: Guarded | None) -> Role | None:
    """What somebody is to a conversation; None: a stranger."""
    if conversation is None:
        return None
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return conversation.access.role_of(principal.id, principal.tenant, principal.links, now)
