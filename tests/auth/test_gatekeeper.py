"""Who somebody is, by what they bring."""

from __future__ import annotations

import secrets
import time
from typing import Any

import jwt
import pytest

from app.auth.attempts import Attempts, source_of
from app.auth.gatekeeper import Gatekeeper
from app.auth.identity import GUEST
from app.auth.jwks import KeySet
from app.auth.jwts import JsonWebTokens, JwtRules
from app.auth.people import People
from app.errors import LimitExceeded, Unauthenticated
from app.store.database import Database
from tests.auth.conftest import MODE, PASSWORD, people_in
from tests.support.issuer import Issuer
from tests.support.waiting import wait_until

SECRET = "a secret of thirty-two bytes or more"
HERE = {"REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "127.0.0.1:5000"}
THERE = {"REMOTE_ADDR": "203.0.113.7", "HTTP_HOST": "colloquy.example"}


def gate(people: People, session: dict[str, Any] | None = None, *, bad: int = 1000, guests: bool = True) -> Gatekeeper:
    return Gatekeeper(
        guests=guests,
        read_session=lambda _: session or {},
        sign_ins=people.sign_ins,
        tokens=people.tokens,
        jwts=JsonWebTokens(JwtRules(secret=SECRET)),
        bad_tokens=Attempts(bad, "too many bad tokens"),
        endings=people.endings,
    )


def bearer(token: str, environ: dict[str, str] = THERE) -> dict[str, str]:
    return {**environ, "HTTP_AUTHORIZATION": f"Bearer {token}"}


def made_jwt(subject: str = "user_1", ends_in_s: float = 60) -> str:
    return jwt.encode({"sub": subject, "exp": time.time() + ends_in_s}, SECRET, "HS256")


def test_a_token_of_each_kind(people: People) -> None:
    """In the header, or from elsewhere; the header wins."""
    ada = people.accounts.register("Ada@Example.com", PASSWORD, "Ada")
    _, secret = people.tokens.create(ada.user_id, "laptop", ["read"])
    who = gate(people).identify(bearer(secret))
    assert (who.id, who.kind, who.name, who.scopes, who.admin) == (
        ada.user_id,
        "token",
        "Ada",
        frozenset({"read"}),
        False,
    )
    assert gate(people).identify(THERE, secret) == who
    assert gate(people).identify(bearer(made_jwt()), secret).id == "user_1"


def test_a_bad_token_is_no_guest(people: People) -> None:
    """Though who brings nothing would be one: a mistake has to be noticed."""
    assert gate(people).identify(HERE) is GUEST
    for bad in ("x", "Bearer", made_jwt() + "x", "cq_" + "0" * 42):
        with pytest.raises(Unauthenticated):
            gate(people).identify({**HERE, "HTTP_AUTHORIZATION": bad})
    with pytest.raises(Unauthenticated):
        gate(people, {"_user_id": "sin_gone"}).identify(HERE)


def test_without_guests_a_name_is_needed(people: People) -> None:
    """In production, and where GUEST_ACCESS is off."""
    with pytest.raises(Unauthenticated):
        gate(people, guests=False).identify(HERE)
    with pytest.raises(Unauthenticated):
        gate(people).identify(THERE)


def test_a_cookie_names_a_sign_in(people: People) -> None:
    """Until it is ended; and links that the session holds come along, with a name or without."""
    ada = people.accounts.register("ada", PASSWORD)
    sign_in = people.sign_ins.begin(ada, "203.0.113.7", "Firefox")
    who = gate(people, {"_user_id": sign_in, "links": ["lnk_1", 7]}).identify(THERE)
    assert (who.id, who.kind, who.credential, who.links) == (ada.user_id, "user", f"sign_in:{sign_in}", {"lnk_1"})
    people.sign_ins.end(ada.user_id, sign_in)
    with pytest.raises(Unauthenticated):
        gate(people, {"_user_id": sign_in}).identify(THERE)
    holder = gate(people, {"links": ["lnk_1"]}).identify(THERE)
    assert (holder.id, holder.kind, holder.links) == ("", "link", {"lnk_1"})
    assert gate(people, {"links": ["lnk_1"]}).identify(HERE).id == "local"


def test_too_many_bad_tokens_are_not_looked_at(people: People) -> None:
    """Of one address; a token that was good a moment ago still is, and others are not concerned."""
    ada = people.accounts.register("ada", PASSWORD)
    _, secret = people.tokens.create(ada.user_id, "laptop", ["read"])
    one, fresh, other = made_jwt(), made_jwt("user_2"), made_jwt("user_3")
    door = gate(people, bad=5)
    assert door.identify(bearer(one)).id == "user_1"
    assert door.identify(bearer(secret)).id == ada.user_id
    for _ in range(5):
        with pytest.raises(Unauthenticated):
            door.identify(bearer("x.y.z"))
    for refused in ("x.y.z", fresh):
        with pytest.raises(LimitExceeded) as error:
            door.identify(bearer(refused))
        assert 0 < (error.value.retry_after_s or 0) <= 60
    assert door.identify(bearer(one)).id == "user_1"
    people.tokens.revoke(people.tokens.of(ada.user_id)[0].token_id)
    with pytest.raises((Unauthenticated, LimitExceeded)):
        door.identify(bearer(secret))
    elsewhere = {**THERE, "REMOTE_ADDR": "203.0.113.8"}
    assert door.identify(bearer(other, elsewhere)).id == "user_3"


def test_random_tokens_cost_no_query(people: People, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten thousand pieces of nonsense: none is admitted, none crashes, none reaches the database."""

    def asked(*_: Any) -> None:
        pytest.fail("the database was asked")

    monkeypatch.setattr(Database, "read", asked)
    door = gate(people, bad=20_000)
    for number in range(10_000):
        nonsense = secrets.token_urlsafe(number % 60 + 1)
        token = (nonsense, f"cq_{nonsense}", f"cq_{nonsense:0<42.42}", f"{nonsense}.{nonsense}.{nonsense}")[number % 4]
        with pytest.raises(Unauthenticated):
            door.identify(bearer(token))


def test_what_another_process_ends_is_told(people: People, database: Database) -> None:
    """The command line, say: a token, a sign-in, a person; each within one look."""
    ada = people.accounts.register("ada", PASSWORD)
    token, secret = people.tokens.create(ada.user_id, "laptop", ["read"])
    sign_in = people.sign_ins.begin(ada, "203.0.113.7", "Firefox")
    told: list[str] = []
    door = gate(people, {"_user_id": sign_in})
    door.on_ended(told.append)
    assert door.identify(bearer(secret)).id == door.identify(THERE).id == ada.user_id
    other = people_in(database)
    other.tokens.revoke(token.token_id)
    other.sign_ins.end_all(ada.user_id)
    other.accounts.set_disabled(ada.user_id, True)
    assert told == []
    people.endings.look()
    assert sorted(told) == sorted([f"token:{token.token_id}", f"sign_in:{sign_in}", f"user:{ada.user_id}"])
    for environ in (bearer(secret), THERE):
        with pytest.raises(Unauthenticated):
            door.identify(environ)
    people.endings.look()
    assert len(told) == 3


def test_what_this_process_ends_is_told_at_once(people: People) -> None:
    """And a callback that fails keeps it from nobody."""
    ada = people.accounts.register("ada", PASSWORD)
    token, _ = people.tokens.create(ada.user_id, "laptop", ["read"])
    told: list[str] = []
    people.endings.on_ended(lambda name: 1 / 0)
    people.endings.on_ended(told.append)
    people.tokens.revoke(token.token_id, ada.user_id)
    assert told == [f"token:{token.token_id}"]


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("203.0.113.7:4711", "203.0.113.7"),
        ("[2001:db8:1:2:3:4:5:6]:4711", "2001:db8:1:2::/64"),
        ("nonsense", "nonsense"),
    ],
)
def test_an_ipv6_network_is_one_visitor(address: str, source: str) -> None:
    """Its household has 2⁶⁴ addresses to try from. A port, which some proxies tell, makes nobody somebody else."""
    assert source_of(address) == source


def test_a_withdrawn_key_is_noticed_though_nobody_brings_another(
    people: People, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token that lives for long was good until its end: it was never looked at again."""
    at = [time.time()]
    monkeypatch.setattr("app.auth.gatekeeper.time.time", lambda: at[0])
    issuer.publish("rsa1")
    keys = KeySet(issuer.url, MODE, clock=lambda: at[0], on_change=lambda: door.forget_verified())
    door = Gatekeeper(tokens=people.tokens, jwts=JsonWebTokens(JwtRules(issuer="me"), keys))
    token = issuer.token({"iss": "me", "sub": "user_1", "exp": int(at[0]) + 86_400}, "rsa1")
    assert door.identify(bearer(token)).id == "user_1"
    issuer.publish("ec1")
    at[0] += 601
    assert door.identify(bearer(token)).id == "user_1", "the keys are looked at beside the work"
    wait_until(lambda: not is_taken(door, token), "the look")


def is_taken(door: Gatekeeper, token: str) -> bool:
    try:
        return bool(door.identify(bearer(token)))
    except Unauthenticated:
        return False
