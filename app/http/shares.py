"""Sharing a conversation: with people, and by links."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal

from flask import Blueprint, Response, redirect, request, session, url_for
from pydantic import Field

from app.auth.accounts import USER_PREFIX
from app.auth.audit import Audited
from app.auth.gatekeeper import LINKS
from app.auth.identity import GUEST_ID
from app.auth.permissions import Action, role_in
from app.auth.shares import Changed
from app.errors import (
    ConversationUnknown,
    InvalidPayload,
    InvalidState,
    LimitExceeded,
    NotFound,
    StoreUnavailable,
    Unauthenticated,
)
from app.http.audit import note
from app.http.body import parse_body
from app.http.caller import permitted
from app.http.contract import HTML, contract
from app.protocol.common import ANumber, Payload
from app.services import Services, services
from app.streaming.access import Role
from app.streaming.conversation import Conversation

shares = Blueprint("shares", __name__)

_MOST_HELD = 50  # links that a browser remembers; the oldest is forgotten first
_MAX_USER = 255
_YEAR_S = 366 * 86_400

GivenRole = Annotated[Literal["viewer", "editor"], Field(description="what they may: watch, or steer as well")]


class ShareRequest(Payload):
    """What a person shall be to a conversation."""

    role: GivenRole


class LinkRequest(Payload):
    """What the holders of a link shall be to a conversation, and until when."""

    role: GivenRole
    expires_in_s: Annotated[
        float | None, Field(ge=1, le=_YEAR_S, description="default: it does not end by itself"), ANumber
    ] = None


class ShareRow(Payload):
    """A person whom a conversation is shared with."""

    user_id: str
    name: str
    role: GivenRole
    created_at: str


class LinkRow(Payload):
    """A link, without its secret."""

    link_id: str
    role: GivenRole
    created_at: str
    expires_at: str | None


class NewLink(LinkRow):
    """A link that was just made."""

    url: Annotated[str, Field(description="what to pass on; it is shown this once")]


class ShareList(Payload):
    """Whom a conversation is shared with."""

    shares: list[ShareRow]
    links: list[LinkRow]


class Standing(Payload):
    """What somebody is to a conversation."""

    role: Annotated[Role, Field(description="yours; each may do what the one before it in `viewer, editor, owner` may")]


_REFUSALS = (ConversationUnknown, StoreUnavailable)
_CHANGES = (*_REFUSALS, InvalidPayload, InvalidState, LimitExceeded, NotFound)


@shares.get("/api/conversations/<conversation_id>/role")
@contract(Standing, errors=_REFUSALS)
def show_role(conversation_id: str) -> dict[str, Any]:
    """What you are to a conversation: a page offers what you may do."""
    principal, conversation = permitted(Action.WATCH, conversation_id)
    return {"role": role_in(principal, conversation)}


@shares.get("/api/conversations/<conversation_id>/shares")
@contract(ShareList, errors=_REFUSALS)
def list_shares(conversation_id: str) -> dict[str, Any]:
    """Whom a conversation is shared with, and its links; for its owner."""
    parts = services()
    conversation = _own(conversation_id)
    people, links = parts.shares.of(conversation.id)
    return {"shares": [asdict(each) for each in people], "links": [asdict(each) for each in links]}


@shares.put("/api/conversations/<conversation_id>/shares/<user>")
@contract(ShareRow, body=ShareRequest, errors=_CHANGES)
def share(conversation_id: str, user: str) -> dict[str, Any]:
    """Share a conversation with a person (by id or login), or change their role; for its owner."""
    parts = services()
    conversation = _own(conversation_id)
    body = parse_body(ShareRequest)
    user_id = _person(parts, conversation, user)
    _have_written(parts, conversation)
    changed, made = parts.shares.grant(conversation.id, user_id, Role(body.role), conversation.owner)
    _install(parts, conversation.id, changed)
    note(Audited.SHARE_SET, conversation.id, person=user_id, role=body.role)
    return asdict(made)


@shares.delete("/api/conversations/<conversation_id>/shares/<user>")
@contract(status=204, errors=_CHANGES)
def unshare(conversation_id: str, user: str) -> tuple[str, int]:
    """Share it with that person no longer: what flows to them ends at once; for its owner."""
    parts = services()
    conversation = _own(conversation_id)
    user_id = user if user in conversation.access.users else _account_id(parts, user) or user
    _install(parts, conversation.id, parts.shares.withdraw(conversation.id, user_id))
    note(Audited.SHARE_REVOKED, conversation.id, person=user_id)
    return "", 204


@shares.post("/api/conversations/<conversation_id>/links")
@contract(NewLink, status=201, body=LinkRequest, errors=_CHANGES)
def make_link(conversation_id: str) -> tuple[dict[str, Any], int]:
    """Make a link whose holders may come in, without signing in; for its owner."""
    parts = services()
    conversation = _own(conversation_id)
    body = parse_body(LinkRequest)
    _have_written(parts, conversation)
    changed, made, secret = parts.shares.make_link(
        conversation.id, Role(body.role), conversation.owner, body.expires_in_s
    )
    _install(parts, conversation.id, changed)
    note(Audited.LINK_MADE, conversation.id, link=made.link_id, role=body.role, expires_at=made.expires_at)
    return {**asdict(made), "url": url_for("shares.follow_link", secret=secret)}, 201


@shares.delete("/api/conversations/<conversation_id>/links/<link_id>")
@contract(status=204, errors=_CHANGES)
def revoke_link(conversation_id: str, link_id: str) -> tuple[str, int]:
    """End a link: what flows to its holders ends at once; for its owner."""
    parts = services()
    conversation = _own(conversation_id)
    _install(parts, conversation.id, parts.shares.revoke(conversation.id, link_id))
    note(Audited.LINK_REVOKED, conversation.id, link=link_id)
    return "", 204


@shares.get("/s/<secret>")
@contract(media=HTML, status=302, errors=(NotFound, LimitExceeded, StoreUnavailable))
def follow_link(secret: str) -> Response:
    """Remember the link in this browser's session, and lead to its conversation."""
    try:
        found = services().gate.open_link(secret, request.remote_addr or "")
    except Unauthenticated:
        raise NotFound("this link is not known, or has ended") from None
    held = [each for each in session.get(LINKS) or () if each != found.link_id]
    session[LINKS] = [*held, found.link_id][-_MOST_HELD:]
    answer = redirect(url_for("pages.conversation", conversation_id=found.conversation_id))
    answer.headers["Referrer-Policy"] = "no-referrer"
    answer.headers["Cache-Control"] = "no-store"
    return answer  # type: ignore[return-value]  # Flask's redirect makes werkzeug's class


def _have_written(parts: Services, conversation: Conversation) -> None:
    """Let the store know of a conversation that has just begun: who has its id may be quicker than its first event."""
    session = parts.manager.library.session_of(conversation.id)
    if session is not None:
        parts.manager.begin(session)
    parts.recorder.flush(conversation.id)


def _own(conversation_id: str) -> Conversation:
    return permitted(Action.MANAGE, conversation_id)[1]


def _person(parts: Services, conversation: Conversation, user: str) -> str:
    """Whose id it is. :raises NotFound: for nobody, and for who is of another tenant: there is no difference.

    Where the owner came with a JWT, a name is a `sub`: whoever has registered it as a login here is somebody else.
    """
    if not 0 < len(user) <= _MAX_USER:
        raise InvalidPayload(f"user: from 1 to {_MAX_USER} characters are needed")
    named = not user.startswith(USER_PREFIX)
    elsewhere = named and parts.gate.takes_jwts and _is_of_jwt(conversation.owner)
    account = None if elsewhere else parts.people.accounts.find(user)
    if account is not None:
        same = account.tenant == conversation.access.tenant and account.disabled_at is None
        user_id = account.user_id if same else None
    else:
        user_id = user if parts.gate.takes_jwts and named else None  # the `sub` of a JWT
    if user_id is None:
        raise NotFound("there is no such person")
    if user_id == conversation.owner:
        raise InvalidPayload("it is theirs already")
    return user_id


def _is_of_jwt(user_id: str) -> bool:
    return user_id != GUEST_ID and not user_id.startswith(USER_PREFIX)


def _account_id(parts: Services, user: str) -> str | None:
    account = parts.people.accounts.find(user)
    return account.user_id if account is not None else None


def _install(parts: Services, conversation_id: str, changed: Changed) -> None:
    """Let it hold for what is in memory by now; who watches and no longer may is told, and gets nothing more."""
    try:
        conversation = parts.manager.get(conversation_id)
    except ConversationUnknown:  # deleted meanwhile
        return
    parts.shares.install(conversation, changed)
    parts.live.access_changed(conversation)
