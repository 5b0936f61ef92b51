"""``user`` and ``token``: people and their tokens, in the database itself. No server has to run; one that does follows
within seconds.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import click

from app.auth.accounts import Account
from app.auth.audit import Audited, AuditLog
from app.auth.identity import SCOPES
from app.auth.people import People, people_of
from app.auth.times import now
from app.cli.options import json_option
from app.concurrency import AsyncMode, SystemClock
from app.errors import ColloquyError, StoreUnavailable
from app.settings import SettingsError, load_settings
from app.store.database import Database

_PROJECT = Path(__file__).resolve().parents[2]
_FAILED, _USAGE, _UNREACHABLE = 1, 2, 3


@contextmanager
def _people() -> Iterator[tuple[People, Callable[[Audited, str], None]]]:
    """The people in the configured database, whose place is told, and the audit log's pen; errors become sentences."""
    try:
        settings = load_settings(_PROJECT / ".env")
        mode = AsyncMode("threading")
        database = Database(settings.database_address(), mode)
        database.prepare()
        click.echo(f"database: {database.place()}", err=True)
        log = AuditLog(database, mode, SystemClock())
        yield people_of(settings, database, mode), lambda *noted: log.note("command line", "", *noted)
        log.flush()
    except (SettingsError, ValueError) as error:
        _fail(str(error), _USAGE)
    except StoreUnavailable as error:
        _fail(error.message, _UNREACHABLE)
    except ColloquyError as error:
        _fail(error.message, _FAILED)


def _fail(sentence: str, status: int) -> None:
    click.echo(f"colloquy: {sentence}", err=True)
    sys.exit(status)


def _account(people: People, login: str) -> Account:
    account = people.accounts.find(login)
    if account is None:
        raise click.ClickException(f"there is no account {login!r}")
    return account


def _password() -> str:
    """Asked for in a terminal, twice and unseen; else the first line of standard input."""
    if sys.stdin.isatty():
        return str(click.prompt("Password", hide_input=True, confirmation_prompt=True))
    return sys.stdin.readline().rstrip("\r\n")


# --- people -----------------------------------------------------------------------------------------------------------


@click.group()
def user() -> None:
    """Accounts of people who sign in with a password. Works on the database itself."""


@user.command("add")
@click.argument("login")
@click.option("--name", default="", help="The name that others see.")
@click.option("--admin", is_flag=True, help="Make an administrator.")
@click.option("--tenant", help="The tenant to which they belong.")
def add_user(login: str, name: str, admin: bool, tenant: str | None) -> None:
    """Make an account. The password is asked for, or read from standard input."""
    with _people() as (people, note):
        account = people.accounts.register(login, _password(), name, admin=admin, tenant=tenant)
        note(Audited.PERSON_ADDED, account.user_id)
        click.echo(f"{account.login} is {account.user_id}{', an administrator' if account.admin else ''}")


@user.command("list")
@json_option
def list_users(as_json: bool) -> None:
    """All accounts, the oldest first."""
    with _people() as (people, _):
        for account in people.accounts.all():
            if as_json:
                click.echo(json.dumps(asdict(account)))
                continue
            marks = [
                "administrator" if account.admin else "",
                f"tenant {account.tenant}" if account.tenant else "",
                f"disabled {account.disabled_at}" if account.disabled_at else "",
            ]
            click.echo("  ".join([account.user_id, account.login, account.name, *filter(None, marks)]))


@user.command("disable")
@click.argument("login")
def disable_user(login: str) -> None:
    """Keep somebody out: their sign-ins, tokens and connections end."""
    with _people() as (people, note):
        account = _account(people, login)
        people.accounts.set_disabled(account.user_id, True)
        note(Audited.PERSON_DISABLED, account.user_id)
        ended = people.sign_ins.end_all(account.user_id)
        click.echo(f"{account.login} is kept out; sign-ins ended: {ended}")


@user.command("enable")
@click.argument("login")
def enable_user(login: str) -> None:
    """Let somebody in again who was disabled."""
    with _people() as (people, note):
        account = _account(people, login)
        people.accounts.set_disabled(account.user_id, False)
        note(Audited.PERSON_ENABLED, account.user_id)
        click.echo(f"{account.login} may sign in again")


@user.command("delete")
@click.argument("login")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete_user(login: str, yes: bool) -> None:
    """Delete an account for good, with its tokens, sign-ins and conversations."""
    with _people() as (people, note):
        account = _account(people, login)
        if not yes:
            click.confirm(f"Delete {account.login} and their conversations for good?", abort=True, err=True)
        people.delete(account.user_id)
        note(Audited.PERSON_DELETED, account.user_id)
        click.echo(f"{account.login} is deleted; a server that runs deletes their conversations within a minute")


@user.command("password")
@click.argument("login")
def set_password(login: str) -> None:
    """Set somebody's password, and end their sign-ins."""
    with _people() as (people, note):
        account = _account(people, login)
        people.accounts.set_password(account.user_id, _password())
        note(Audited.PASSWORD_CHANGED, account.user_id)
        click.echo(f"{account.login} has a new password; sign-ins ended: {people.sign_ins.end_all(account.user_id)}")


@user.command("admin")
@click.argument("login")
@click.option("--off", is_flag=True, help="Not any more.")
def set_admin(login: str, off: bool) -> None:
    """Make somebody an administrator, or not any more; their sign-ins end, so that it holds at once."""
    with _people() as (people, note):
        account = _account(people, login)
        people.accounts.set_admin(account.user_id, not off)
        note(Audited.PERSON_CHANGED, account.user_id)
        people.sign_ins.end_all(account.user_id)
        click.echo(f"{account.login} is {'no' if off else 'an'} administrator")


# --- tokens -----------------------------------------------------------------------------------------------------------


@click.group()
def token() -> None:
    """API tokens of people. Works on the database itself."""


@token.command("create")
@click.argument("login")
@click.option("--name", default="command line", show_default=True, help="To know the token by.")
@click.option("--scope", "scopes", multiple=True, type=click.Choice(SCOPES), help="Repeatable. [default: read, write]")
@click.option("--admin", is_flag=True, help="The same as --scope read --scope write --scope admin.")
@click.option("--days", type=click.FloatRange(min=0, min_open=True), help="It ends after so long. [default: never]")
@click.option("--user-id", is_flag=True, help="LOGIN is the `sub` of somebody who comes with JWTs, not an account.")
@click.option("--tenant", help="With --user-id: their tenant.")
def create_token(
    login: str, name: str, scopes: tuple[str, ...], admin: bool, days: float | None, user_id: bool, tenant: str | None
) -> None:
    """Make a token of somebody's; it is printed, and not to be had again."""
    with _people() as (people, note):
        wanted = SCOPES if admin else scopes or ("read", "write")
        if user_id:
            owner, may = login, people.accounts.is_named_admin(login)
        else:
            account = _account(people, login)
            owner, may, tenant = account.user_id, account.admin, account.tenant
        if "admin" in wanted and not may:
            raise click.ClickException(f"{login} is no administrator: `flask colloquy user admin {login}` makes one")
        ends = None if days is None else now() + timedelta(days=days)
        made, secret = people.tokens.create(owner, name, wanted, tenant=tenant, expires_at=ends)
        note(Audited.TOKEN_MADE, made.token_id)
        click.echo(f"{made.token_id}: {', '.join(made.scopes)}; ends {made.expires_at or 'never'}", err=True)
        click.echo(secret)


@token.command("list")
@click.argument("login", required=False)
@json_option
def list_tokens(login: str | None, as_json: bool) -> None:
    """The tokens of all people, or of one; not their secrets."""
    with _people() as (people, _):
        owner = None
        if login is not None:
            account = people.accounts.find(login)
            owner = account.user_id if account else login
        for each in people.tokens.of(owner):
            if as_json:
                click.echo(json.dumps(asdict(each)))
                continue
            ends, used = each.expires_at or "never", each.last_used_at or "never"
            scopes = ",".join(each.scopes)
            parts = (each.token_id, each.user_id, f"cq_…{each.hint}", scopes, f"ends {ends}", f"used {used}", each.name)
            click.echo("  ".join(parts))


@token.command("revoke")
@click.argument("token_id")
def revoke_token(token_id: str) -> None:
    """End a token, by its id, and what was opened with it."""
    with _people() as (people, note):
        people.tokens.revoke(token_id)
        note(Audited.TOKEN_REVOKED, token_id)
        click.echo(f"{token_id} is revoked")
