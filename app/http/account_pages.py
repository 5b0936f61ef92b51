"""The pages to register, log in and out, and to look after an account. They work without JavaScript."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, Response, flash, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue

from app.auth.api_tokens import ApiToken
from app.auth.audit import Audited
from app.auth.gatekeeper import SIGN_IN
from app.auth.identity import Principal
from app.auth.times import now
from app.errors import ColloquyError, InvalidState, LimitExceeded, NotFound, RequestError, Unauthenticated
from app.http import sign_in as browser
from app.http.account_forms import DeletionForm, EmptyForm, LogInForm, NameForm, PasswordForm, RegisterForm, TokenForm
from app.http.accounts import (
    create_token,
    delete_account,
    end_one,
    end_others,
    end_token,
    knows_password,
    own_account,
    sign_in_rows,
    token_row,
)
from app.http.audit import note
from app.http.browser_names import browser_name
from app.http.contract import HTML, contract
from app.services import services

account_pages = Blueprint("account_pages", __name__)


def inner_path(wanted: str | None) -> str:
    """Where to go after signing in: an address of this site, or its first page; never another site's."""
    path = wanted or "/"
    try:
        parts = urlsplit(path)
    except ValueError:
        return "/"
    here = not parts.scheme and not parts.netloc and path.startswith("/") and not path.startswith("//")
    plain = "\\" not in path and path.isprintable()
    aside = parts.path.startswith(("/login", "/logout", "/register", "/api/"))
    return path if here and plain and not aside else "/"


@account_pages.get("/login")
@contract(media=HTML)
def show_log_in() -> ResponseReturnValue:
    """The form to log in; who is signed in already goes on to `next`."""
    return _door(LogInForm(), "login.html")


@account_pages.post("/login")
@contract(media=HTML, status=302)
def submit_log_in() -> ResponseReturnValue:
    """Log in, and go on to `next`."""
    form = LogInForm()
    if not form.validate_on_submit():
        return _again(form, "login.html", 400)
    try:
        browser.sign_in(form.login.data, form.password.data)
    except (Unauthenticated, LimitExceeded) as error:
        return _again(form, "login.html", error.http_status, error)
    return redirect(inner_path(form.next.data))


@account_pages.get("/register")
@contract(media=HTML)
def show_register() -> ResponseReturnValue:
    """The form to register."""
    return _door(RegisterForm(), "register.html")


@account_pages.post("/register")
@contract(media=HTML, status=302)
def submit_registration() -> ResponseReturnValue:
    """Register, and go on to `next`, signed in."""
    form = RegisterForm()
    if not services().settings.may_register() or not form.validate_on_submit():
        return _again(form, "register.html", 400)
    try:
        browser.register(form.login.data, form.password.data, form.name.data or "")
    except LimitExceeded as error:
        return _again(form, "register.html", error.http_status, error)
    except RequestError as error:
        field = form.name if error.message.startswith("name:") else form.login
        field.errors = [*field.errors, error.message.removeprefix("login: ").removeprefix("name: ")]
        return _again(form, "register.html", error.http_status)
    return redirect(inner_path(form.next.data))


@account_pages.get("/logout")
@contract(media=HTML)
def show_log_out() -> ResponseReturnValue:
    """A button to log out: an address alone signs nobody out."""
    if not browser.is_signed_in():
        return redirect(url_for("account_pages.show_log_in"))
    return render_template("logout.html", page="logout", form=EmptyForm())


@account_pages.post("/logout")
@contract(media=HTML, status=302)
def submit_log_out() -> ResponseReturnValue:
    """Log out, and end every connection of this sign-in."""
    browser.sign_out()
    flash("You have been logged out.", "good")
    return redirect(url_for("account_pages.show_log_in"))


# --- the account ------------------------------------------------------------------------------------------------------


@account_pages.get("/account")
@contract(media=HTML)
def show_account() -> ResponseReturnValue:
    """Name, password, API tokens and sign-ins."""
    return _account(own_account())


@account_pages.post("/account/name")
@contract(media=HTML, status=302)
def submit_name() -> ResponseReturnValue:
    """Change the name that others see."""
    principal, form = own_account(), NameForm()
    people = services().people
    if not form.validate_on_submit():
        return _account(principal, name_form=form, status=400)
    try:
        people.accounts.rename(principal.id, form.name.data)
    except RequestError as error:
        form.name.errors = [error.message.removeprefix("name: ")]
        return _account(principal, name_form=form, status=error.http_status)
    people.sign_ins.refresh(principal.id)
    return _back("Your name was changed.", "profile")


@account_pages.post("/account/password")
@contract(media=HTML, status=302)
def submit_password() -> ResponseReturnValue:
    """Change the password; all other sign-ins end."""
    principal, form = own_account(), PasswordForm()
    people = services().people
    if not form.validate_on_submit():
        return _account(principal, password_form=form, status=400)
    try:
        if not knows_password(principal, form.current.data):
            note(Audited.PASSWORD_CHANGED, principal.id, "refused")
            form.current.errors = ["This is not your present password"]
            return _account(principal, password_form=form, status=400)
        people.accounts.set_password(principal.id, form.password.data)
    except LimitExceeded as error:
        form.current.errors = [error.message]
        return _account(principal, password_form=form, status=error.http_status)
    note(Audited.PASSWORD_CHANGED, principal.id)
    ended = end_others(principal)
    others = f" {ended} other sign-in{'s were' if ended > 1 else ' was'} ended." if ended else ""
    return _back("Your password was changed." + others, "password")


@account_pages.post("/account/delete")
@contract(media=HTML, status=302)
def submit_deletion() -> ResponseReturnValue:
    """Delete the account for good, with all that is its person's; it takes the password."""
    principal, form = own_account(), DeletionForm()
    if not form.validate_on_submit():
        return _account(principal, deletion_form=form, status=400)
    try:
        if not delete_account(principal, form.deletion_password.data):
            form.deletion_password.errors = ["This is not your password"]
            return _account(principal, deletion_form=form, status=400)
    except LimitExceeded as error:
        form.deletion_password.errors = [error.message]
        return _account(principal, deletion_form=form, status=error.http_status)
    flash("Your account was deleted.", "good")
    return redirect(url_for("account_pages.show_log_in"))


@account_pages.post("/account/tokens")
@contract(media=HTML)
def submit_token() -> ResponseReturnValue:
    """Make an API token, and show its secret this once."""
    principal, form = own_account(), TokenForm()
    if not form.validate_on_submit():
        return _account(principal, token_form=form, status=400)
    days = int(form.days.data)
    try:
        made, secret = create_token(
            principal, form.token_name.data, form.scopes(), now() + timedelta(days=days) if days else None
        )
    except RequestError as error:
        form.token_name.errors = [error.message.removeprefix("name: ")]
        return _account(principal, token_form=form, status=error.http_status)
    return _account(principal, made=made, secret=secret)


@account_pages.post("/account/tokens/<token_id>/revoke")
@contract(media=HTML, status=302, errors=(NotFound,))
def submit_revocation(token_id: str) -> ResponseReturnValue:
    """Revoke an API token."""
    end_token(own_account(), token_id)
    return _back("The token was revoked.", "tokens")


@account_pages.post("/account/sign-ins/<sign_in_id>/end")
@contract(media=HTML, status=302, errors=(NotFound,))
def submit_sign_in_end(sign_in_id: str) -> ResponseReturnValue:
    """Sign one browser out."""
    end_one(own_account(), sign_in_id)
    return _back("That browser was signed out.", "sign-ins")


@account_pages.post("/account/sign-ins/end-others")
@contract(media=HTML, status=302)
def submit_sign_ins_end() -> ResponseReturnValue:
    """Sign out everywhere but here."""
    end_others(own_account())
    return _back("All other browsers were signed out.", "sign-ins")


def _door(form: Any, template: str) -> ResponseReturnValue:
    """A form for who is not signed in. A sign-in that has ended is forgotten here, so that nobody is stuck with it."""
    target = inner_path(request.args.get("next"))
    if browser.is_signed_in():
        return redirect(target)
    if SIGN_IN in session:
        browser.forget_session()
    form.next.data = target
    return _form(form, template)


def _again(form: Any, template: str, status: int, error: ColloquyError | None = None) -> Response:
    response = Response(_form(form, template, error), status)
    if error is not None and error.retry_after_s is not None:
        response.headers["Retry-After"] = str(int(error.retry_after_s) + 1)
    return response


def _form(form: Any, template: str, error: ColloquyError | None = None) -> str:
    settings = services().settings
    if form.errors.get("csrf_token"):
        error = InvalidState("This page was too old. Please try once more.")
    return render_template(
        template,
        page=template.partition(".")[0],
        form=form,
        problem=None if error is None else error.message,
        may_register=settings.may_register(),
        guests=settings.guests_welcome(),
        target=inner_path(form.next.data),
    )


def _account(
    principal: Principal,
    *,
    made: ApiToken | None = None,
    secret: str | None = None,
    status: int = 200,
    **forms: Any,
) -> ResponseReturnValue:
    people = services().people
    account = people.accounts.find(principal.id)
    if account is None:
        raise Unauthenticated("there is no such account any more")
    shown = {
        "name_form": NameForm(formdata=None, data={"name": account.name}),
        "password_form": PasswordForm(formdata=None),
        "token_form": TokenForm(formdata=None),
        "deletion_form": DeletionForm(formdata=None),
    }
    page = render_template(
        "account.html",
        page="account",
        account=account,
        tokens=[token_row(each) for each in people.tokens.of(principal.id)],
        sign_ins=sign_in_rows(principal),
        button=EmptyForm(formdata=None),
        browser_name=browser_name,
        made=made,
        secret=secret,
        **(shown | forms),
    )
    return page, status


def _back(said: str, anchor: str) -> ResponseReturnValue:
    flash(said, "good")
    return redirect(url_for("account_pages.show_account", _anchor=anchor))
