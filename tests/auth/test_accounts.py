"""Accounts, passwords, sign-ins and API tokens."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select, update

from app.auth import api_tokens as tokens_module
from app.auth.accounts import Accounts
from app.auth.api_tokens import new_token, well_formed
from app.auth.passwords import Passwords
from app.auth.people import People
from app.auth.sign_ins import SignIns
from app.auth.times import now_iso
from app.errors import InvalidPayload, InvalidState, LimitExceeded, NotFound, TokenExpired
from app.store import tables
from app.store.database import Database
from tests.auth.conftest import MODE, PASSWORD, people_in
from tests.support.waiting import wait_until


def test_a_login_is_one_whatever_its_case(people: People) -> None:
    """Also in Unicode's other ways of writing it."""
    ada = people.accounts.register("  Ada@Example.COM ", PASSWORD)
    assert (ada.login, ada.name, ada.admin) == ("ada@example.com", "ada", False)
    assert people.accounts.authenticate("ADA@example.com", PASSWORD) == ada
    assert people.accounts.find("Ada@example.com") == people.accounts.find(ada.user_id) == ada
    for taken in ("ada@example.com", "\uff21da@example.com"):
        with pytest.raises(InvalidState):
            people.accounts.register(taken, PASSWORD)


@pytest.mark.parametrize("login", ["", "  ", "a b", "a\nb", "x" * 201, "local", "usr_1", "USR_1", "a/b", "a\u202eb"])
def test_what_is_no_login_is_refused(people: People, login: str) -> None:
    """Or would be taken for an id."""
    with pytest.raises(InvalidPayload):
        people.accounts.register(login, PASSWORD)
    assert people.accounts.authenticate(login, PASSWORD) is None


@pytest.mark.parametrize("login", ["ada\ufe0f", "ada\u3164", "ada\u2800", "\u0430da", "paul\u03bf", "a\u200dda"])
def test_a_login_does_not_pass_for_anothers(people: People, login: str) -> None:
    """By what nobody sees, or by letters of another alphabet that look the same; one alphabet is nobody's business."""
    with pytest.raises(InvalidPayload):
        people.accounts.register(login, PASSWORD)
    for good in (
        "\u0430\u043d\u043d\u0430",
        "\u03b1\u03bd\u03bd\u03b1-1",
        "jos\u00e9@example.com",
        "\u592a\u90ce.taro",
    ):
        people.accounts.register(good, PASSWORD)


@pytest.mark.parametrize("password", ["", "seven77", "x" * 1025, "ä" * 513])
def test_what_is_no_password_is_refused(people: People, password: str) -> None:
    """At least 8 characters, at most 1024 bytes."""
    with pytest.raises(InvalidPayload):
        people.accounts.register("ada", password)
    ada = people.accounts.register("ada", "ä" * 512)
    with pytest.raises(InvalidPayload):
        people.accounts.set_password(ada.user_id, password)
    assert people.accounts.authenticate("ada", password) is None


def test_a_wrong_password_is_refused(people: People) -> None:
    """An unknown login, a changed password, and a disabled account, too."""
    ada = people.accounts.register("ada", PASSWORD)
    assert people.accounts.authenticate("ada", PASSWORD + " ") is None
    assert people.accounts.authenticate("eve", PASSWORD) is None
    people.accounts.set_password(ada.user_id, "another password")
    assert people.accounts.authenticate("ada", PASSWORD) is None
    people.accounts.set_disabled(ada.user_id, True)
    assert people.accounts.authenticate("ada", "another password") is None
    people.accounts.set_disabled(ada.user_id, False)
    assert people.accounts.authenticate("ada", "another password") is not None


def test_an_unknown_login_costs_as_much(database: Database) -> None:
    """One hash is compared, whatever was found: time does not tell who has an account."""

    class Counting(PasswordHasher):
        compared = 0

        def verify(self, *arguments: object) -> bool:
            Counting.compared += 1
            return bool(super().verify(*arguments))  # type: ignore[arg-type]  # passed on as they came

    accounts = Accounts(database, Passwords(MODE, Counting(time_cost=1, memory_cost=8, parallelism=1)))
    accounts.register("ada", PASSWORD)
    for login in ("ada", "eve", "a b"):
        before = Counting.compared
        accounts.authenticate(login, "wrong password")
        assert Counting.compared - before == 1


def test_hashes_follow_the_parameters(people: People, database: Database) -> None:
    """Who signs in with an old hash gets a new one."""
    people.accounts.register("ada", PASSWORD)

    def stored() -> str:
        return str(database.read(lambda connection: connection.execute(select(tables.users.c.password_hash)).scalar()))

    old = stored()
    stronger = Accounts(database, Passwords(MODE, PasswordHasher(time_cost=2, memory_cost=16, parallelism=1)))
    assert stronger.authenticate("ada", PASSWORD) is not None
    assert stored() != old
    assert "m=16,t=2" in stored()
    assert stronger.authenticate("ada", PASSWORD) is not None


def test_two_passwords_are_hashed_at_once() -> None:
    """Further ones wait; too many are refused, with a word on when to come back."""
    present, most, go = [0], [0], threading.Event()

    class Slow(PasswordHasher):
        def hash(self, *_: object, **__: object) -> str:
            present[0] += 1
            most[0] = max(most[0], present[0])
            go.wait(10)
            present[0] -= 1
            return "hash"

    passwords = Passwords(MODE, Slow())
    threads = [threading.Thread(target=passwords.hash, args=(PASSWORD,)) for _ in range(34)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: passwords._present == 34, "34 hashes are asked for")
        with pytest.raises(LimitExceeded) as refused:
            passwords.hash(PASSWORD)
        assert refused.value.retry_after_s
    finally:
        go.set()
        for thread in threads:
            thread.join(10)
    assert most == [2]


def test_admins_are_named_or_made(people: People) -> None:
    """By ADMIN_USERS, as id or login; or by the account."""
    assert people.accounts.register("Root@example.com", PASSWORD).admin
    ada = people.accounts.register("ada", PASSWORD)
    assert not ada.admin
    people.accounts.set_admin(ada.user_id, True)
    assert [account.admin for account in people.accounts.all()] == [True, True]


def test_a_name_is_one_line(people: People) -> None:
    """Whatever was typed."""
    ada = people.accounts.register("ada", PASSWORD, " Ada\n\u202eLovelace ")
    assert ada.name == "Ada Lovelace"
    assert people.accounts.rename(ada.user_id, "").name == "ada"
    with pytest.raises(InvalidPayload):
        people.accounts.rename(ada.user_id, "x" * 101)
    with pytest.raises(NotFound):
        people.accounts.rename("usr_nobody", "x")


# --- sign-ins ---------------------------------------------------------------------------------------------------------


def test_a_sign_in_ends(people: People, database: Database) -> None:
    """When it is ended, or runs out; others of the same person go on, and are listed."""
    ada = people.accounts.register("ada", PASSWORD)
    first, second, third = (people.sign_ins.begin(ada, f"192.0.2.{number}", "Firefox") for number in range(3))
    assert {each.sign_in_id for each in people.sign_ins.of(ada.user_id)} == {first, second, third}
    people.sign_ins.end(ada.user_id, first)
    assert people.sign_ins.find(first) is None
    assert people.sign_ins.find(second) is not None
    assert people.sign_ins.end_all(ada.user_id, except_id=second) == 1
    assert [each.sign_in_id for each in people.sign_ins.of(ada.user_id)] == [second]
    table = tables.sign_ins
    database.write(lambda connection: connection.execute(update(table).values(expires_at=now_iso(ahead_s=-1))).rowcount)
    assert people_in(database).sign_ins.find(second) is None
    assert people.sign_ins.find("sin_never") is None


def test_a_sign_in_of_somebody_else_cannot_be_ended(people: People) -> None:
    """Not even told to exist."""
    ada, eve = (people.accounts.register(login, PASSWORD) for login in ("ada", "eve"))
    sign_in = people.sign_ins.begin(ada, "192.0.2.1", "Firefox")
    with pytest.raises(NotFound):
        people.sign_ins.end(eve.user_id, sign_in)
    assert people.sign_ins.find(sign_in) is not None


def test_the_database_is_asked_once(people: People, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not at each request; but what this process ends, it knows."""
    ada = people.accounts.register("ada", PASSWORD)
    sign_in = people.sign_ins.begin(ada, "192.0.2.1", "Firefox")
    asked: list[int] = []
    look_up = SignIns._look_up
    monkeypatch.setattr(SignIns, "_look_up", lambda self, name: asked.append(1) or look_up(self, name))
    for _ in range(5):
        assert people.sign_ins.find(sign_in) is not None
    assert len(asked) == 1
    people.sign_ins.end(ada.user_id, sign_in)
    assert people.sign_ins.find(sign_in) is None


def test_a_person_has_so_many_sign_ins(people: People) -> None:
    """The oldest goes."""
    ada = people.accounts.register("ada", PASSWORD)
    made = [people.sign_ins.begin(ada, "192.0.2.1", "Firefox") for _ in range(101)]
    assert len(people.sign_ins.of(ada.user_id)) == 100
    assert people.sign_ins.find(made[-1]) is not None


# --- API tokens -------------------------------------------------------------------------------------------------------


def test_a_token_has_a_checksum() -> None:
    """One letter wrong, and no database is asked."""
    token = new_token()
    assert (len(token), token[:3], well_formed(token)) == (45, "cq_", True)
    for at in range(3, len(token)):
        assert not well_formed(token[:at] + ("a" if token[at] != "a" else "b") + token[at + 1 :])
    assert not well_formed(token + "a")
    assert len({new_token() for _ in range(100)}) == 100


def test_a_tokens_secret_is_not_kept(people: People, database: Database) -> None:
    """Only its SHA-256, and its last characters to know it by."""
    ada = people.accounts.register("ada", PASSWORD)
    token, secret = people.tokens.create(ada.user_id, "laptop", ["write", "read"])
    assert token.scopes == ("read", "write")
    assert secret.endswith(token.hint)
    rows = database.read(lambda connection: connection.execute(select(tables.api_tokens)).all())
    assert secret not in str(rows)


def test_a_token_ends(people: People) -> None:
    """Revoked, run out, or its person kept out."""
    ada, eve = (people.accounts.register(login, PASSWORD) for login in ("ada", "eve"))
    soon = datetime.now(UTC) + timedelta(milliseconds=300)
    short, short_secret = people.tokens.create(ada.user_id, "short", ["read"], expires_at=soon)
    token, secret = people.tokens.create(ada.user_id, "laptop", ["read"])
    assert people.tokens.find(short_secret) is not None
    with pytest.raises(NotFound):
        people.tokens.revoke(token.token_id, eve.user_id)
    wait_until(lambda: time.time() > soon.timestamp(), "the token has run out")
    with pytest.raises(TokenExpired):
        people.tokens.find(short_secret)
    people.tokens.revoke(token.token_id, ada.user_id)
    assert people.tokens.find(secret) is None
    with pytest.raises(NotFound):
        people.tokens.revoke(token.token_id, ada.user_id)
    assert [each.token_id for each in people.tokens.of(ada.user_id)] == [short.token_id]
    _, hers = people.tokens.create(eve.user_id, "hers", ["read"])
    people.accounts.set_disabled(eve.user_id, True)
    assert people.tokens.find(hers) is None


def test_a_token_may_be_an_administrators(people: People) -> None:
    """Where its person is one, and its scopes say so."""
    root = people.accounts.register("root@example.com", PASSWORD)
    ada = people.accounts.register("ada", PASSWORD)
    admins = []
    for owner, scopes in ((root, ["read", "admin"]), (root, ["read"]), (ada, ["read", "admin"])):
        principal = people.tokens.find(people.tokens.create(owner.user_id, "x", scopes)[1])
        assert principal is not None
        admins.append(principal.admin)
    assert admins == [True, False, False]


@pytest.mark.parametrize(("name", "scopes"), [("", ["read"]), ("x" * 101, ["read"]), ("x", []), ("x", ["root"])])
def test_what_is_no_token_is_refused(people: People, name: str, scopes: list[str]) -> None:
    """It needs a name and a scope; and its end lies ahead."""
    with pytest.raises(InvalidPayload):
        people.tokens.create("usr_1", name, scopes)
    with pytest.raises(InvalidPayload):
        people.tokens.create("usr_1", "x", ["read"], expires_at=datetime.now(UTC))


def test_a_person_has_so_many_tokens(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    """Revoked ones make room."""
    monkeypatch.setattr(tokens_module, "_MOST_PER_PERSON", 2)
    first, _ = people.tokens.create("user_1", "one", ["read"])
    people.tokens.create("user_1", "two", ["read"])
    with pytest.raises(LimitExceeded):
        people.tokens.create("user_1", "three", ["read"])
    people.tokens.revoke(first.token_id)
    people.tokens.create("user_1", "three", ["read"])


def test_the_last_use_is_noted(people: People) -> None:
    """Once a minute, and nobody waits for it."""
    token, secret = people.tokens.create("user_1", "one", ["read"])
    assert people.tokens.find(secret) is not None
    wait_until(lambda: people.tokens.of("user_1")[0].last_used_at is not None, "its use is noted")
    first = people.tokens.of("user_1")[0].last_used_at
    assert people.tokens.find(secret) is not None
    assert people.tokens.of("user_1")[0].last_used_at == first
    assert token.last_used_at is None


def test_a_deleted_account_is_gone(people: People, database: Database) -> None:
    """With its tokens and sign-ins, here and in other processes; its login may be had by somebody else."""
    elsewhere = people_in(database)
    ada = people.accounts.register("ada", PASSWORD, "Ada Lovelace")
    _, secret = people.tokens.create(ada.user_id, "ci", ("read",))
    sign_in = people.sign_ins.begin(ada, "127.0.0.1", "a browser")
    assert people.tokens.find(secret) is not None
    assert people.sign_ins.find(sign_in) is not None
    told: list[str] = []
    elsewhere.endings.on_ended(told.append)
    people.delete(ada.user_id)
    elsewhere.endings.look()
    assert told == [f"user:{ada.user_id}"]
    assert (people.tokens.find(secret), people.sign_ins.find(sign_in)) == (None, None)
    assert (people.accounts.find("ada"), people.accounts.find(ada.user_id), people.accounts.all()) == (None, None, [])
    assert people.accounts.authenticate("ada", PASSWORD) is None
    with pytest.raises(NotFound):
        people.delete(ada.user_id)
    left = database.read(lambda connection: connection.execute(select(tables.users)).mappings().one())
    assert {name for name, value in left.items() if value} == {"user_id", "login", "created_at", "disabled_at"}
    assert left["login"] == ada.user_id
    assert people.accounts.register("ada", PASSWORD).user_id != ada.user_id
