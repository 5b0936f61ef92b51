"""Signs the browser of the present request in and out. Flask-Login keeps the sign-in's id in the session."""

from __future__ import annotations

from flask import Flask, g, request, session
from flask_login import LoginManager, UserMixin, login_user, logout_user

from app.auth.accounts import Account, without_case
from app.auth.attempts import source_of
from app.auth.audit import Audited
from app.auth.gatekeeper import LINKS, SIGN_IN
from app.auth.identity import Principal
from app.errors import InvalidPayload, InvalidState, LimitExceeded, NotPermitted, RequestError, Unauthenticated
from app.http.audit import note
from app.http.caller import recognised
from app.services import services


class SignedIn(UserMixin):  # type: ignore[misc]  # Flask-Login has no types
    """Somebody who has signed in; what Flask-Login keeps of them is the sign-in, not the person."""

    def __init__(self, sign_in_id: str, principal: Principal) -> None:
        self.sign_in_id = sign_in_id
        self.principal = principal

    def get_id(self) -> str:
        return self.sign_in_id


def prepare_sign_in(app: Flask) -> None:
    """Bind Flask-Login to an application."""
    manager = LoginManager()
    manager.session_protection = None  # it would sign people out whose address changes; the server's side can be ended
    manager.init_app(app, add_context_processor=False)  # `me` is who it is, however they were recognised
    app.context_processor(lambda: {"me": recognised()})

    @manager.user_loader  # type: ignore[untyped-decorator]  # Flask-Login has no types
    def load(sign_in_id: str) -> SignedIn | None:
        principal = services().people.sign_ins.find(sign_in_id)
        return None if principal is None else SignedIn(sign_in_id, principal)


def sign_in(login: str, password: str) -> Principal:
    """Sign the present browser in.

    :raises Unauthenticated: when that is not somebody's login and password.
    :raises LimitExceeded: after too many attempts from there, or, by many, for that login.
    """
    people, typed = services().people, without_case(login)[:200]
    try:
        people.attempts.take(_source())
        people.login_attempts.take(typed)
        account = people.accounts.authenticate(login, password)
        if account is None:
            raise Unauthenticated("login or password is wrong")
    except RequestError as error:
        _note_refusal(Audited.SIGN_IN, typed, error)
        raise
    principal = _begin(account)
    note(Audited.SIGN_IN, account.login, person=principal.id)
    return principal


def register(login: str, password: str, name: str) -> Principal:
    """Make an account, and sign the present browser in.

    :raises NotPermitted: where nobody may register.
    :raises InvalidPayload: for a login, a password or a name that cannot be one.
    :raises InvalidState: when the login is taken.
    :raises LimitExceeded: after too many attempts from there.
    """
    people = services().people
    try:
        people.attempts.take(_source())
        if not services().settings.may_register():
            raise NotPermitted("nobody may register on this server: ask its operator for an account")
        if people.accounts.is_named_admin(login.strip()):  # else whoever came first would be the administrator
            raise InvalidState("this login is taken, or kept for somebody: its account is made on the command line")
        account = people.accounts.register(login, password, name)
    except InvalidPayload:
        raise  # no more than a slip
    except RequestError as error:
        _note_refusal(Audited.REGISTER, without_case(login)[:200], error)
        raise
    principal = _begin(account)
    note(Audited.REGISTER, account.login, person=principal.id)
    return principal


def sign_out() -> None:
    """End the present browser's sign-in, if there is one; the links that it holds go with it."""
    held = session.get(SIGN_IN)
    if held is not None:
        end(str(held))
    logout_user()
    forget_session()
    g.principal = None


def end(sign_in_id: str) -> None:
    """End a sign-in, if it has not ended."""
    sign_ins = services().people.sign_ins
    principal = sign_ins.find(sign_in_id)
    if principal is not None:
        sign_ins.end(principal.id, sign_in_id)
        note(Audited.SIGN_OUT, principal.id, actor=principal.id, how="by themselves")


def forget_session() -> None:
    """A new session: nobody can have prepared it. Its proof against foreign forms is a new one, too."""
    session.clear()
    g.pop("csrf_token", None)


def is_signed_in() -> bool:
    """Whether the present browser's sign-in still holds."""
    held = session.get(SIGN_IN)
    return held is not None and services().people.sign_ins.find(str(held)) is not None


def _note_refusal(action: Audited, typed: str, error: RequestError) -> None:
    """Of who is over the limit, once a minute: a flood of attempts would be one of entries, too."""
    if isinstance(error, LimitExceeded):
        try:
            services().people.noted_floods.take(_source())
        except LimitExceeded:
            return
    note(action, typed, "refused", actor="", why=error.error_code)


def _begin(account: Account) -> Principal:
    sign_ins = services().people.sign_ins
    before, links = session.get(SIGN_IN), session.get(LINKS)
    forget_session()
    if before is not None:
        end(str(before))
    if links:
        session[LINKS] = links
    session.permanent = True
    g.ticket = services().live.ticket()
    made = sign_ins.begin(account, request.remote_addr or "", request.user_agent.string)
    principal = sign_ins.find(made)
    if principal is None:
        raise Unauthenticated("this sign-in has been ended")
    login_user(SignedIn(made, principal))
    g.principal = principal
    return principal


def _source() -> str:
    return f"address {source_of(request.remote_addr or '')}"
