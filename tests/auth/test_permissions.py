"""The one gate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from app.auth import permissions
from app.auth.identity import GUEST, Principal
from app.auth.permissions import Action, authorise
from app.errors import ColloquyError, ConversationUnknown, NotPermitted, Unauthenticated
from app.streaming.access import Access, LinkGrant, Role

ROLES = {
    Action.WATCH: Role.VIEWER,
    Action.RATE: Role.VIEWER,
    Action.STEER: Role.EDITOR,
    Action.EDIT: Role.EDITOR,
    Action.MANAGE: Role.OWNER,
}
ALICE, BOB, MALLORY = (Principal(name, "user") for name in ("alice", "bob", "mallory"))


@dataclass
class Thing:
    """Stands in for a conversation."""

    access: Access


def refused(principal: Principal, action: Action, thing: Thing | None) -> type[ColloquyError] | None:
    """What somebody gets, if not the permission."""
    try:
        authorise(principal, action, thing)
    except ColloquyError as error:
        return type(error)
    return None


@pytest.mark.parametrize("action", Action)
def test_the_guest_may_do_everything_with_what_is_its_own(action: Action) -> None:
    """In development, on this machine."""
    authorise(GUEST, action, Thing(Access("local")))


@pytest.mark.parametrize("action", ROLES)
@pytest.mark.parametrize("role", Role)
def test_a_role_reaches_as_far_as_the_table_says(action: Action, role: Role) -> None:
    """By the owner, by a share, and by a link."""
    expected = None if role.covers(ROLES[action]) else NotPermitted
    owner = "bob" if role is Role.OWNER else "alice"
    assert refused(BOB, action, Thing(Access(owner, users={"bob": role}))) is expected
    held = replace(BOB, id="", kind="link", links=frozenset({"l1"}))
    assert refused(held, action, Thing(Access("alice", links={"l1": LinkGrant(role)}))) is expected


@pytest.mark.parametrize("action", ROLES)
def test_a_stranger_is_told_nothing(action: Action) -> None:
    """Somebody else, somebody of another tenant, the holder of another link or of one that has run out."""
    shared = Access("alice", "acme", users={"bob": Role.EDITOR}, links={"l1": LinkGrant(Role.EDITOR, "2020-01-01")})
    for stranger in (
        MALLORY,
        ALICE,
        BOB,
        replace(MALLORY, tenant="acme"),
        replace(BOB, tenant="other"),
        replace(MALLORY, links=frozenset({"l1", "l2"})),
        replace(MALLORY, admin=True),
    ):
        assert refused(stranger, action, Thing(shared)) is ConversationUnknown
        assert refused(stranger, action, None) is ConversationUnknown
    assert refused(replace(ALICE, tenant="acme"), action, Thing(shared)) is None


def test_operation_is_for_administrators() -> None:
    """And for those of their tokens that say so."""
    for action in (Action.OPERATE, Action.BROADCAST):
        assert refused(ALICE, action, None) is NotPermitted
        assert refused(replace(ALICE, admin=True, scopes=frozenset({"read", "write"})), action, None) is NotPermitted
        assert refused(replace(ALICE, admin=True), action, None) is None


def test_a_token_reaches_as_far_as_its_scopes() -> None:
    """Whatever its owner may."""
    reads = replace(ALICE, kind="token", scopes=frozenset({"read"}))
    mine = Thing(Access("alice"))
    assert refused(reads, Action.WATCH, mine) is None
    assert refused(reads, Action.STEER, mine) is NotPermitted
    assert refused(reads, Action.START, None) is NotPermitted
    assert refused(replace(reads, scopes=frozenset()), Action.LIST, None) is NotPermitted


def test_who_only_holds_a_link_starts_nothing() -> None:
    """They have no name that could own it."""
    held = Principal("", "link", links=frozenset({"l1"}))
    for action in (Action.START, Action.LIST, Action.ACCOUNT):
        assert refused(held, action, None) is Unauthenticated


def test_the_document_says_what_the_table_says() -> None:
    """docs/permissions.md, row by row."""
    text = (Path(__file__).parents[2] / "docs" / "permissions.md").read_text()
    rows = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in text.splitlines()]
    told = {row[0]: tuple(row[1:]) for row in rows if len(row) == 4 and row[0] in set(Action)}
    for action in Action:
        role, scope = permissions._ROLES.get(action), permissions._SCOPES[action]
        administrator = action in permissions._ADMIN
        person = "an administrator" if administrator else "a person" if action in permissions._NAMED else ""
        assert told[action] == (role or "", scope or "", person)
