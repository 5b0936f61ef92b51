"""Who somebody is, their tokens and their sign-ins, for pages and programs."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from flask import Blueprint, session
from pydantic import Field

from app.auth.api_tokens import ApiToken
from app.auth.audit import Audited
from app.auth.gatekeeper import SIGN_IN
from app.auth.identity import Kind, Principal, Scope
from app.auth.permissions import Action
from app.auth.sign_ins import SignIn
from app.auth.times import iso
from app.errors import InvalidPayload, InvalidState, LimitExceeded, NotFound, NotPermitted, Unauthenticated
from app.http import sign_in as browser
from app.http.answers import Timestamp
from app.http.audit import note
from app.http.body import parse_body
from app.http.caller import permit
from app.http.contract import contract
from app.http.csrf import csrf_token_for
from app.protocol.common import Moment, Payload
from app.services import services

accounts = Blueprint("accounts", __name__)


class Person(Payload):
    """Somebody who asks."""

    id: Annotated[str, Field(description="empty for who only holds a link")]
    name: str
    kind: Kind
    admin: Annotated[bool, Field(description="an administrator of this server")]
    tenant: str | None
    scopes: Annotated[tuple[Scope, ...], Field(description="what their credential allows")]


class Me(Payload):
    """The caller, as this server recognises them."""

    user: Person
    guest: Annotated[bool, Field(description="nobody has signed in: this is the guest of the server's own machine")]
    expires_at: Annotated[str | None, Field(description="when the credential ends; null: not by itself")]
    csrf_token: Annotated[
        str | None, Field(description="for the header `X-CSRFToken` of changing requests; null: none is needed")
    ]
    may_register: Annotated[bool, Field(description="whether people may make accounts here by themselves")]


class Credentials(Payload):
    """A login and a password."""

    login: Annotated[str, Field(max_length=1000)]
    password: Annotated[str, Field(max_length=4096)]


class Registration(Credentials):
    """A new account."""

    name: Annotated[str, Field(max_length=1000)] = ""


class Farewell(Payload):
    """The password, once more."""

    password: Annotated[str, Field(max_length=4096)]


class Done(Payload):
    ok: Literal[True] = True


class TokenRow(Payload):
    """An API token, without its secret."""

    token_id: str
    name: str
    hint: Annotated[str, Field(description="its last characters")]
    scopes: tuple[Scope, ...]
    created_at: Timestamp
    expires_at: Timestamp | None
    last_used_at: Annotated[str | None, Field(description="to the minute")]


class TokenList(Payload):
    tokens: tuple[TokenRow, ...]


class NewToken(Payload):
    """What a new token shall be like."""

    name: Annotated[str, Field(description="to know it by", max_length=1000)]
    scopes: tuple[Scope, ...] = ("read", "write")
    expires_at: Annotated[Moment | None, Field(description="ISO 8601, with time zone; null: never")] = None


class MadeToken(TokenRow):
    """A new token. Its secret is not to be had again."""

    token: Annotated[str, Field(description="the secret, for the header `Authorization: Bearer …`")]


class SignInRow(Payload):
    """A browser in which the caller has signed in."""

    sign_in_id: str
    created_at: Timestamp
    expires_at: Timestamp
    address: str
    browser: Annotated[str, Field(description="as it calls itself (User-Agent)")]
    current: Annotated[bool, Field(description="whether this is the one that asks")]


class SignInList(Payload):
    sign_ins: tuple[SignInRow, ...]


class Ended(Payload):
    ended: Annotated[int, Field(description="how many sign-ins were ended")]


# --- who --------------------------------------------------------------------------------------------------------------


@accounts.get("/api/me")
@contract(Me)
def me() -> dict[str, Any]:
    """Who the caller is, and what a page needs to know about that."""
    return _me(permit(Action.CONNECT))


@accounts.post("/api/register")
@contract(Me, status=201, body=Registration, errors=(InvalidPayload, InvalidState, LimitExceeded))
def register() -> tuple[dict[str, Any], int]:
    """Make an account, and sign in: the answer sets the session's cookie."""
    body = parse_body(Registration)
    return _me(browser.register(body.login, body.password, body.name)), 201


@accounts.post("/api/login")
@contract(Me, body=Credentials, errors=(InvalidPayload, LimitExceeded))
def log_in() -> dict[str, Any]:
    """Sign in: the answer sets the session's cookie, and tells the `csrf_token` of the new session."""
    body = parse_body(Credentials)
    return _me(browser.sign_in(body.login, body.password))


@accounts.post("/api/logout")
@contract(Done)
def log_out() -> dict[str, Any]:
    """Sign out: the sign-in ends, and every connection that was made with it. Without a sign-in, nothing happens."""
    browser.sign_out()
    return {"ok": True}


@accounts.post("/api/me/delete")
@contract(status=204, body=Farewell, errors=(InvalidPayload, LimitExceeded, NotFound))
def delete_me() -> tuple[str, int]:
    """Delete the caller's account for good, with its tokens, sign-ins, shares and conversations (those within a minute,
    also for whom they are shared with). It takes a sign-in and the password; all connections end.
    """
    principal, body = own_account(), parse_body(Farewell)
    if not delete_account(principal, body.password):
        raise NotPermitted("this is not your password")
    return "", 204


# --- tokens and sign-ins ----------------------------------------------------------------------------------------------


@accounts.get("/api/tokens")
@contract(TokenList)
def list_tokens() -> dict[str, Any]:
    """The caller's API tokens, the newest first; not their secrets."""
    return {"tokens": [token_row(each) for each in services().people.tokens.of(own_account().id)]}


@accounts.post("/api/tokens")
@contract(MadeToken, status=201, body=NewToken, errors=(InvalidPayload, LimitExceeded))
def make_token() -> tuple[dict[str, Any], int]:
    """Make an API token. Its secret stands in this answer and nowhere else."""
    principal, body = own_account(), parse_body(NewToken)
    made, secret = create_token(principal, body.name, body.scopes, body.expires_at)
    return {**token_row(made), "token": secret}, 201


@accounts.delete("/api/tokens/<token_id>")
@contract(status=204, errors=(NotFound,))
def revoke_token(token_id: str) -> tuple[str, int]:
    """Revoke an API token: at once, and every connection that was made with it ends."""
    end_token(own_account(), token_id)
    return "", 204


@accounts.get("/api/sign-ins")
@contract(SignInList)
def list_sign_ins() -> dict[str, Any]:
    """The browsers in which the caller has signed in, the newest first."""
    return {"sign_ins": sign_in_rows(own_account())}


@accounts.delete("/api/sign-ins")
@contract(Ended)
def end_other_sign_ins() -> dict[str, Any]:
    """Sign out everywhere but here."""
    return {"ended": end_others(own_account())}


@accounts.delete("/api/sign-ins/<sign_in_id>")
@contract(status=204, errors=(NotFound,))
def end_sign_in(sign_in_id: str) -> tuple[str, int]:
    """Sign one browser out."""
    end_one(own_account(), sign_in_id)
    return "", 204


# --- shared with the pages --------------------------------------------------------------------------------------------


def own_account() -> Principal:
    """The caller, who has signed in here with an account of ours.

    A token cannot make or revoke tokens: it would outlive its own end.

    :raises Unauthenticated: when this is the guest. :raises NotPermitted: when they came by a token.
    """
    principal = permit(Action.ACCOUNT)
    if principal.kind == "guest":
        raise Unauthenticated("the guest has no account: sign in first")
    if principal.kind != "user":
        raise NotPermitted("that takes a sign-in with an account of this server, not a token")
    return principal


def knows_password(principal: Principal, typed: str) -> bool:
    """Whether it is they who sit there. :raises LimitExceeded: after too many attempts."""
    people = services().people
    people.attempts.take(f"password {principal.id}")
    account = people.accounts.find(principal.id)
    return account is not None and people.accounts.authenticate(account.login, typed) is not None


def delete_account(principal: Principal, password: str) -> bool:
    """Delete somebody's account for good, and forget the present browser; False: that is not their password.

    :raises LimitExceeded: after too many attempts.
    """
    if not knows_password(principal, password):
        note(Audited.PERSON_DELETED, principal.id, "refused")
        return False
    services().people.delete(principal.id)
    note(Audited.PERSON_DELETED, principal.id)
    browser.sign_out()
    return True


def create_token(
    principal: Principal, name: str, scopes: tuple[str, ...], expires_at: datetime | None
) -> tuple[ApiToken, str]:
    """:raises NotPermitted: for `admin` where they are none. :raises InvalidPayload: :raises LimitExceeded:"""
    if "admin" in scopes and not principal.admin:
        raise NotPermitted("only an administrator's token may have the scope `admin`")
    tokens = services().people.tokens
    made, secret = tokens.create(principal.id, name, scopes, tenant=principal.tenant, expires_at=expires_at)
    note(Audited.TOKEN_MADE, made.token_id, name=made.name, scopes=list(made.scopes))
    return made, secret


def end_token(principal: Principal, token_id: str) -> None:
    """Revoke a token of somebody's. :raises NotFound:"""
    services().people.tokens.revoke(token_id, principal.id)
    note(Audited.TOKEN_REVOKED, token_id)


def end_others(principal: Principal) -> int:
    """Sign somebody out everywhere but here; how many browsers that were."""
    ended = services().people.sign_ins.end_all(principal.id, except_id=session.get(SIGN_IN))
    if ended:
        note(Audited.SIGN_OUT, principal.id, how="everywhere else", ended=ended)
    return ended


def token_row(token: ApiToken) -> dict[str, Any]:
    """A token, as it is listed."""
    return {
        "token_id": token.token_id,
        "name": token.name,
        "hint": token.hint,
        "scopes": token.scopes,
        "created_at": token.created_at,
        "expires_at": token.expires_at,
        "last_used_at": token.last_used_at,
    }


def sign_in_rows(principal: Principal) -> list[dict[str, Any]]:
    """Somebody's sign-ins, as they are listed; the one of the present session first."""
    held = session.get(SIGN_IN)
    rows = [
        {
            "sign_in_id": _public_id(each),
            "created_at": each.created_at,
            "expires_at": each.expires_at,
            "address": each.address,
            "browser": each.browser,
            "current": each.sign_in_id == held,
        }
        for each in services().people.sign_ins.of(principal.id)
    ]
    return sorted(rows, key=lambda row: not row["current"])


def end_one(principal: Principal, public_id: str) -> None:
    """End the sign-in that is listed so. :raises NotFound:"""
    sign_ins = services().people.sign_ins
    for each in sign_ins.of(principal.id):
        if _public_id(each) == public_id:
            sign_ins.end(principal.id, each.sign_in_id)
            note(Audited.SIGN_OUT, principal.id, how="from another browser")
            return
    raise NotFound("there is no such sign-in")


def _public_id(sign_in: SignIn) -> str:
    """The id itself is half of the cookie's secret: it is not shown."""
    return hashlib.sha256(sign_in.sign_in_id.encode()).hexdigest()[:24]


def _me(principal: Principal) -> dict[str, Any]:
    return {
        "user": {
            "id": principal.id,
            "name": principal.name,
            "kind": principal.kind,
            "admin": principal.admin,
            "tenant": principal.tenant,
            "scopes": sorted(principal.scopes),
        },
        "guest": principal.kind == "guest",
        "expires_at": _moment(principal.expires_at),
        "csrf_token": csrf_token_for(principal),
        "may_register": services().settings.may_register(),
    }


def _moment(epoch_s: float | None) -> str | None:
    try:
        return None if epoch_s is None else iso(datetime.fromtimestamp(epoch_s, UTC))
    except (OverflowError, ValueError, OSError):  # a token that ends after the year 9999
        return None
