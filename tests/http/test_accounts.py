"""Signing in and out, tokens, cookies, and the proof that a page of ours asked."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from flask import Flask
from flask.testing import FlaskClient

from app import create_app
from app.auth.passwords import Passwords
from app.http.account_pages import inner_path
from app.settings import load_settings

BASE = "http://127.0.0.1:5000"
PASSWORD = "correct horse battery"
MakeApp = Callable[..., Flask]


@pytest.fixture
def make_app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeApp:
    """An application with a database of its own, and quick password hashes."""
    quick, original = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1), Passwords.__init__
    monkeypatch.setattr(Passwords, "__init__", lambda self, mode: original(self, mode, quick))

    def make(**settings: Any) -> Flask:
        given = {"async_mode": "threading", "local_model": False, "data_dir": tmp_path, "max_sign_ins_per_minute": 1000}
        app = create_app(load_settings(None, **(given | settings)))
        app.extensions["colloquy"].database.prepare()
        return app

    return make


@pytest.fixture
def app(make_app: MakeApp) -> Flask:
    return make_app()


class Browser:
    """A client with cookies, at one address."""

    def __init__(self, app: Flask, base: str = BASE, address: str = "127.0.0.1") -> None:
        self.client: FlaskClient = app.test_client()
        self.base, self.address = base, address
        self.csrf: str | None = None

    def ask(self, method: str, path: str, body: Any = None, *, csrf: bool = True, **headers: str) -> Any:
        """JSON in and out, with the proof where there is one."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if csrf and self.csrf:
            sent["X-CSRFToken"] = self.csrf
        answer = self.client.open(
            path, method=method, json=body, headers=sent, base_url=self.base, environ_base={"REMOTE_ADDR": self.address}
        )
        if path in ("/api/login", "/api/register") and answer.status_code < 300:
            self.csrf = answer.get_json()["csrf_token"]
        return answer

    def form(self, path: str, fields: dict[str, str], *, page: str | None = None) -> Any:
        """Send a form as a browser does, with the hidden field that its page has."""
        shown = self.client.get(page or path, base_url=self.base, environ_base={"REMOTE_ADDR": self.address}).text
        found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', shown)
        proof = {"csrf_token": found.group(1)} if found else {}
        return self.client.post(
            path, data=proof | fields, base_url=self.base, environ_base={"REMOTE_ADDR": self.address}
        )

    def who(self) -> Any:
        return self.ask("GET", "/api/me").get_json()


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.get_json()["error"]["code"]


def registered(app: Flask, login: str = "ada@example.com", **more: Any) -> Browser:
    browser = Browser(app, **more)
    answer = browser.ask("POST", "/api/register", {"login": login, "password": PASSWORD, "name": "Ada"})
    assert answer.status_code == 201, answer.text
    return browser


def test_the_guest_is_told(app: Flask) -> None:
    """Who has not signed in, on this machine, in development."""
    me = Browser(app).who()
    assert (me["guest"], me["user"]["id"], me["user"]["kind"], me["user"]["admin"]) == (True, "local", "guest", True)
    assert (me["csrf_token"], me["expires_at"], me["may_register"]) == (None, None, True)


def test_register_log_out_log_in(app: Flask) -> None:
    """Each changes who one is."""
    browser = registered(app)
    me = browser.who()
    assert (me["guest"], me["user"]["name"], me["user"]["kind"], me["user"]["admin"]) == (False, "Ada", "user", False)
    assert me["expires_at"].endswith("Z")
    assert browser.ask("POST", "/api/logout").get_json() == {"ok": True}
    assert browser.who()["guest"]
    assert code(browser.ask("POST", "/api/login", {"login": "ADA@example.com", "password": "wrong one"})) == (
        401,
        "unauthenticated",
    )
    answer = browser.ask("POST", "/api/login", {"login": "ADA@example.com", "password": PASSWORD})
    assert answer.get_json()["user"]["id"] == browser.who()["user"]["id"] != "local"
    assert code(browser.ask("POST", "/api/register", {"login": "ada@example.com", "password": PASSWORD})) == (
        409,
        "invalid_state",
    )


@pytest.mark.parametrize(
    "body", [None, [], {}, {"login": "a"}, {"login": 1, "password": PASSWORD}, {"login": "ada", "password": "short"}]
)
def test_bad_registrations_are_refused(app: Flask, body: Any) -> None:
    """In the one shape of errors."""
    assert code(Browser(app).ask("POST", "/api/register", body)) == (400, "invalid_payload")


def test_a_foreign_form_cannot_sign_anybody_in(app: Flask) -> None:
    """It cannot send JSON."""
    answer = app.test_client().post("/api/login", data={"login": "ada", "password": PASSWORD}, base_url=BASE)
    assert code(answer) == (400, "invalid_payload")
    refused = app.test_client().post("/login", data={"login": "ada", "password": PASSWORD}, base_url=BASE)
    assert refused.status_code == 400
    assert "too old" in refused.text


def test_changes_by_cookie_need_the_pages_proof(app: Flask) -> None:
    """Those by token, and those of the guest, do not."""
    browser = registered(app)
    for method, path in (
        ("POST", "/api/tokens"),
        ("DELETE", "/api/sign-ins"),
        ("POST", "/api/logout"),
        ("POST", "/logout"),
    ):
        assert browser.ask(method, path, {}, csrf=False).status_code == 403
        assert browser.ask(method, path, {}, csrf=False, X_CSRFToken="wrong").status_code == 403
    assert code(browser.ask("POST", "/api/tokens", {}, csrf=False)) == (403, "csrf_failed")
    other = registered(app, "eve@example.com")
    assert code(browser.ask("POST", "/api/tokens", {}, csrf=False, X_CSRFToken=str(other.csrf))) == (403, "csrf_failed")
    secret = browser.ask("POST", "/api/tokens", {"name": "x", "scopes": ["write"]}).get_json()["token"]
    assert code(browser.ask("POST", "/api/websocket/broadcast", {}, csrf=False, Authorization=f"Bearer {secret}")) == (
        403,
        "not_permitted",
    )
    assert browser.who()["user"]["kind"] == "user"


def test_each_sign_in_is_a_new_session(app: Flask) -> None:
    """A cookie that somebody has planted before is worth nothing after; the sign-in before it has ended."""
    browser = registered(app)
    before = browser.client.get_cookie("colloquy_session", domain="127.0.0.1")
    assert before is not None
    old_proof = browser.csrf
    browser.ask("POST", "/api/login", {"login": "ada@example.com", "password": PASSWORD})
    thief = Browser(app)
    thief.client.set_cookie("colloquy_session", before.value, domain="127.0.0.1")
    assert code(thief.ask("GET", "/api/me")) == (401, "unauthenticated")
    assert code(browser.ask("POST", "/api/logout", csrf=False, X_CSRFToken=str(old_proof))) == (403, "csrf_failed")


def test_a_stolen_cookie_ends_with_the_sign_in(app: Flask) -> None:
    """What the cookie says is not enough: the server has to know the sign-in."""
    browser = registered(app)
    cookie = browser.client.get_cookie("colloquy_session", domain="127.0.0.1")
    assert cookie is not None
    browser.ask("POST", "/api/logout")
    browser.client.set_cookie("colloquy_session", cookie.value, domain="127.0.0.1")
    assert code(browser.ask("GET", "/api/me")) == (401, "unauthenticated")
    page = browser.client.get("/websocket-test", base_url=BASE)
    assert (page.status_code, page.location) == (302, "/login?next=/websocket-test")
    assert browser.client.get(page.location, base_url=BASE).status_code == 200
    assert browser.who()["guest"]  # the page has taken the useless cookie away


def test_a_forged_cookie_is_nothing(app: Flask) -> None:
    """Without the key, a cookie says nothing."""
    browser = Browser(app)
    browser.client.set_cookie("colloquy_session", "eyJfdXNlcl9pZCI6InNpbl8xIn0.aaaa.bbbb", domain="127.0.0.1")
    assert browser.who()["guest"]


@pytest.mark.parametrize(("base", "production"), [(BASE, False), ("https://127.0.0.1:5000", False), (BASE, True)])
def test_the_cookie_is_safe(make_app: MakeApp, base: str, production: bool) -> None:
    """Not for scripts, not for other sites, and over TLS alone where there is any."""
    settings = {"colloquy_env": "production", "secret_key": "k" * 32, "registration": "open"} if production else {}
    app = make_app(**settings)
    answer = Browser(app, base).ask("POST", "/api/register", {"login": "ada", "password": PASSWORD})
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("colloquy_session=")
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
    assert "Domain" not in cookie
    assert ("Secure" in cookie) is (base.startswith("https") or production)
    assert ("Strict-Transport-Security" in answer.headers) is base.startswith("https")


def test_a_restart_signs_nobody_out(make_app: MakeApp, tmp_path: Path) -> None:
    """In development, the key is kept, for this user alone."""
    browser = registered(make_app())
    assert (tmp_path / "secret_key").stat().st_mode & 0o777 == 0o600
    cookie = browser.client.get_cookie("colloquy_session", domain="127.0.0.1")
    assert cookie is not None
    later = Browser(make_app())
    later.client.set_cookie("colloquy_session", cookie.value, domain="127.0.0.1")
    assert later.who()["user"]["name"] == "Ada"


def test_production_has_no_guest_and_no_registration(make_app: MakeApp) -> None:
    """Pages lead to the form; programs get 401; what needs no name stays open."""
    app = make_app(colloquy_env="production", secret_key="k" * 32)
    browser = Browser(app)
    for path in ("/api/me", "/api/conversations", "/api/websocket/status", "/ws/status"):
        answer = browser.ask("GET", path)
        assert code(answer) == (401, "unauthenticated")
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    for path, target in (
        ("/", "/login"),
        ("/c/abc?x=1", "/login?next=/c/abc?x%3D1"),
        ("/account", "/login?next=/account"),
    ):
        answer = browser.client.get(path, base_url=BASE)
        assert (answer.status_code, answer.location) == (302, target)
    assert "guest" not in browser.client.get("/login", base_url=BASE).text
    assert code(browser.ask("POST", "/api/register", {"login": "ada", "password": PASSWORD})) == (403, "not_permitted")
    with browser.client.get("/static/css/base.css", base_url=BASE) as file:
        assert file.status_code == 200
    app.extensions["colloquy"].people.accounts.register("ada", PASSWORD)
    assert browser.ask("POST", "/api/login", {"login": "ada", "password": PASSWORD}).status_code == 200
    assert browser.ask("GET", "/api/conversations").status_code == 200
    assert code(browser.ask("GET", "/api/websocket/status")) == (403, "not_permitted")


def test_attempts_are_limited(make_app: MakeApp) -> None:
    """By address; the answer says when to come back. Whoever guesses a password does not keep its owner out."""
    app = make_app(max_sign_ins_per_minute=3)
    app.extensions["colloquy"].people.accounts.register("ada", PASSWORD)
    here, there = Browser(app, address="203.0.113.1"), Browser(app, address="203.0.113.2")
    for _ in range(3):
        assert here.ask("POST", "/api/login", {"login": "ada", "password": "wrong one"}).status_code == 401
    answer = here.ask("POST", "/api/login", {"login": "eve", "password": PASSWORD})
    assert code(answer) == (429, "limit_exceeded")
    assert 0 < answer.get_json()["error"]["retry_after_s"] <= 60
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    page = here.form("/login", {"login": "ada", "password": PASSWORD})
    assert (page.status_code, "Too many attempts" in page.text) == (429, True)
    assert there.ask("POST", "/api/login", {"login": "Ada", "password": PASSWORD}).status_code == 200


def test_attempts_at_one_login_are_limited(make_app: MakeApp) -> None:
    """From however many addresses they come: ten times as many as from one."""
    app = make_app(max_sign_ins_per_minute=1)
    for number in range(10):
        guesser = Browser(app, address=f"203.0.113.{number}")
        assert guesser.ask("POST", "/api/login", {"login": "eve", "password": "wrong one"}).status_code == 401
    late = Browser(app, address="203.0.113.99")
    assert code(late.ask("POST", "/api/login", {"login": "EVE", "password": "wrong one"})) == (429, "limit_exceeded")


def test_an_admins_login_cannot_be_registered(make_app: MakeApp) -> None:
    """Whoever came first would be the administrator."""
    app = make_app(admin_users="root@example.com")
    answer = Browser(app).ask("POST", "/api/register", {"login": "Root@example.com", "password": PASSWORD})
    assert code(answer) == (409, "invalid_state")


# --- tokens and sign-ins ----------------------------------------------------------------------------------------------


def test_tokens_are_made_used_and_revoked(app: Flask) -> None:
    """The secret is told once."""
    browser = registered(app)
    made = browser.ask("POST", "/api/tokens", {"name": "laptop", "scopes": ["read"]})
    assert made.status_code == 201
    row = made.get_json()
    secret = row.pop("token")
    assert browser.ask("GET", "/api/tokens").get_json() == {"tokens": [row]}
    program = Browser(app, address="203.0.113.9")
    me = program.ask("GET", "/api/me", Authorization=f"Bearer {secret}").get_json()
    assert (me["user"]["kind"], me["user"]["scopes"], me["csrf_token"]) == ("token", ["read"], None)
    assert code(program.ask("GET", "/api/tokens", Authorization=f"Bearer {secret}")) == (403, "not_permitted")
    assert browser.ask("DELETE", f"/api/tokens/{row['token_id']}").status_code == 204
    assert code(program.ask("GET", "/api/me", Authorization=f"Bearer {secret}")) == (401, "unauthenticated")
    assert code(browser.ask("DELETE", f"/api/tokens/{row['token_id']}")) == (404, "not_found")


def test_a_token_makes_no_tokens(app: Flask) -> None:
    """It would outlive its own end; nor has the guest any; and only administrators make theirs."""
    browser = registered(app)
    secret = browser.ask("POST", "/api/tokens", {"name": "x", "scopes": ["read", "write"]}).get_json()["token"]
    program = Browser(app)
    for method, path in (("POST", "/api/tokens"), ("DELETE", "/api/sign-ins"), ("GET", "/api/sign-ins")):
        assert code(program.ask(method, path, {}, Authorization=f"Bearer {secret}")) == (403, "not_permitted")
        assert code(Browser(app).ask(method, path, {})) == (401, "unauthenticated")
    assert code(browser.ask("POST", "/api/tokens", {"name": "x", "scopes": ["admin"]})) == (403, "not_permitted")
    for body in ({"name": ""}, {"name": "x", "scopes": ["root"]}, {"name": "x", "expires_at": "2020-01-01T00:00:00Z"}):
        assert code(browser.ask("POST", "/api/tokens", body)) == (400, "invalid_payload")


def test_sign_ins_are_listed_and_ended(app: Flask) -> None:
    """One, or all others; the ids that are shown are of no use as a cookie."""
    one = registered(app)
    two, three = Browser(app), Browser(app)
    for browser in (two, three):
        browser.ask("POST", "/api/login", {"login": "ada@example.com", "password": PASSWORD}, User_Agent="Firefox")
    rows = one.ask("GET", "/api/sign-ins").get_json()["sign_ins"]
    assert [row["current"] for row in rows] == [True, False, False]
    assert {row["browser"] for row in rows[1:]} == {"Firefox"}
    with one.client.session_transaction(base_url=BASE) as session:
        assert session["_user_id"] not in str(rows)
    eve = registered(app, "eve@example.com")
    assert code(eve.ask("DELETE", f"/api/sign-ins/{rows[1]['sign_in_id']}")) == (404, "not_found")
    assert one.ask("DELETE", f"/api/sign-ins/{rows[1]['sign_in_id']}").status_code == 204
    assert sorted(browser.ask("GET", "/api/me").status_code for browser in (two, three)) == [200, 401]
    assert one.ask("DELETE", "/api/sign-ins").get_json() == {"ended": 1}
    assert [browser.ask("GET", "/api/me").status_code for browser in (one, two, three)] == [200, 401, 401]


# --- pages ------------------------------------------------------------------------------------------------------------


def test_the_forms_work(app: Flask) -> None:
    """Register, log out, log in, and on to where one wanted to go."""
    browser = Browser(app)
    short = browser.form("/register", {"login": "ada", "password": "short"})
    assert (
        short.status_code,
        "A password needs at least 8 characters" in short.text,
        'aria-invalid="true"' in short.text,
    ) == (
        400,
        True,
        True,
    )
    done = browser.form("/register", {"login": "ada", "password": PASSWORD, "next": "/c/abc"})
    assert (done.status_code, done.location) == (302, "/c/abc")
    assert browser.client.get("/login?next=/docs/http", base_url=BASE).location == "/docs/http"
    assert browser.form("/logout", {}).location == "/login"
    assert "You have been logged out" in browser.client.get("/login", base_url=BASE).text
    wrong = browser.form("/login", {"login": "ada", "password": "wrong one"})
    assert (wrong.status_code, "Login or password is wrong" in wrong.text) == (401, True)
    assert "wrong one" not in wrong.text
    assert browser.form("/login", {"login": "ada", "password": PASSWORD, "next": "//evil.example"}).location == "/"
    taken = Browser(app).form("/register", {"login": "ada", "password": PASSWORD})
    assert (taken.status_code, "This login is taken" in taken.text) == (409, True)


def test_an_account_is_deleted_by_its_page(app: Flask) -> None:
    """With the password alone; all browsers are out, and the login is free."""
    browser, other = registered(app), Browser(app)
    other.ask("POST", "/api/login", {"login": "ada@example.com", "password": PASSWORD})
    wrong = browser.form("/account/delete", {"deletion_password": "wrong one"}, page="/account")
    assert (wrong.status_code, "not your password" in wrong.text) == (400, True)
    assert (
        browser.client.post("/account/delete", data={"deletion_password": PASSWORD}, base_url=BASE).status_code == 403
    )
    assert browser.who()["user"]["name"] == "Ada"
    done = browser.form("/account/delete", {"deletion_password": PASSWORD}, page="/account")
    assert (done.status_code, done.location) == (302, "/login")
    assert "Your account was deleted" in browser.client.get("/login", base_url=BASE).text
    assert code(other.ask("GET", "/api/tokens")) == (401, "unauthenticated")
    again = {"login": "ada@example.com", "password": PASSWORD}
    assert Browser(app).ask("POST", "/api/login", again).status_code == 401
    assert Browser(app).ask("POST", "/api/register", again).status_code == 201


def test_the_audit_log_tells_whose_the_ids_are(app: Flask) -> None:
    """To administrators, as long as there is such an account; the log itself has ids only."""
    browser = Browser(app)
    me = browser.ask("POST", "/api/register", {"login": "ada@example.com", "password": PASSWORD}).get_json()["user"]
    log = app.extensions["colloquy"].audit

    def page() -> Any:
        assert log.flush()
        return Browser(app).ask("GET", "/api/audit").get_json()

    assert page()["entries"][0]["actor"] == me["id"]
    assert page()["logins"] == {me["id"]: "ada@example.com"}
    browser.form("/account/delete", {"deletion_password": PASSWORD}, page="/account")
    assert page()["entries"][0]["actor"] == me["id"]
    assert page()["logins"] == {}


def test_an_account_is_deleted_by_programs_too(app: Flask) -> None:
    """By a sign-in and the password, not by a token nor by the guest; what was opened with it ends, and it is noted."""
    browser, password = registered(app), {"password": PASSWORD}
    me = browser.who()["user"]["id"]
    token = browser.ask("POST", "/api/tokens", {"name": "ci"}).get_json()["token"]
    ended: list[str] = []
    app.extensions["colloquy"].gate.on_ended(ended.append)
    assert code(Browser(app).ask("POST", "/api/me/delete", password)) == (401, "unauthenticated")
    by_token = Browser(app).ask("POST", "/api/me/delete", password, Authorization=f"Bearer {token}")
    assert code(by_token) == (403, "not_permitted")
    assert code(browser.ask("POST", "/api/me/delete", password, csrf=False)) == (403, "csrf_failed")
    assert code(browser.ask("POST", "/api/me/delete", {"password": "wrong one"})) == (403, "not_permitted")
    assert browser.who()["user"]["id"] == me
    assert browser.ask("POST", "/api/me/delete", password).status_code == 204
    assert f"user:{me}" in ended
    assert browser.who()["guest"]
    assert Browser(app).ask("GET", "/api/me", Authorization=f"Bearer {token}").status_code == 401
    log = app.extensions["colloquy"].audit
    log.flush()
    noted = [(each.actor, each.target, each.outcome) for each in log.page(action="person_deleted").entries]
    assert noted == [(me, me, "ok"), (me, me, "refused")]


def test_the_account_page_works(app: Flask) -> None:
    """Name, token, sign-ins, password."""
    browser, other = registered(app), Browser(app)
    other.ask("POST", "/api/login", {"login": "ada@example.com", "password": PASSWORD})
    assert browser.form("/account/name", {"name": "Ada <b>L</b>"}, page="/account").location == "/account#profile"
    page = browser.client.get("/account", base_url=BASE)
    assert "Ada &lt;b&gt;L&lt;/b&gt;" in page.text
    assert page.headers["Cache-Control"] == "no-store"
    assert browser.who()["user"]["name"] == "Ada <b>L</b>"
    made = browser.form("/account/tokens", {"token_name": "ci", "read": "y", "days": "7"}, page="/account")
    found = re.search(r'value="(cq_\w{42})"', made.text)
    assert found is not None
    assert Browser(app).ask("GET", "/api/me", Authorization=f"Bearer {found.group(1)}").status_code == 200
    row = browser.ask("GET", "/api/tokens").get_json()["tokens"][0]
    assert (row["name"], row["scopes"]) == ("ci", ["read"])
    assert found.group(1) not in browser.client.get("/account", base_url=BASE).text
    assert browser.form(f"/account/tokens/{row['token_id']}/revoke", {}, page="/account").status_code == 302
    assert browser.ask("GET", "/api/tokens").get_json() == {"tokens": []}
    assert (
        "not your present password"
        in browser.form("/account/password", {"current": "wrong one", "password": PASSWORD}, page="/account").text
    )
    changed = browser.form("/account/password", {"current": PASSWORD, "password": "a new password"}, page="/account")
    assert changed.location == "/account#password"
    assert (other.ask("GET", "/api/me").status_code, browser.ask("GET", "/api/me").status_code) == (401, 200)
    assert (
        Browser(app).ask("POST", "/api/login", {"login": "ada@example.com", "password": "a new password"}).status_code
        == 200
    )
    assert browser.form("/account/tokens", {"token_name": "", "days": "7"}, page="/account").status_code == 400
    assert (
        browser.form("/account/tokens", {"token_name": "x", "admin": "y", "days": "7"}, page="/account").status_code
        == 403
    )


def test_pages_say_who_one_is(app: Flask) -> None:
    """The guest, with the way to log in; a person, with the way to their account."""
    browser = Browser(app)
    for path in ("/docs/http", "/websocket-test"):
        text = browser.client.get(path, base_url=BASE).text
        assert "You are the guest of this machine" in text
        assert f"/login?next={path}" in text
        assert 'name="csrf-token"' not in text
    signed_in = registered(app)
    assert 'href="/account">Ada' in signed_in.client.get("/docs/http", base_url=BASE).text
    assert "Ada" not in browser.client.get("/docs/http", base_url=BASE).text  # though the page itself is kept
    text = signed_in.client.get("/websocket-test", base_url=BASE).text
    assert "guest" not in text.lower()
    assert 'href="/account">Ada' in text
    found = re.search(r'name="csrf-token" content="([^"]+)"', text)
    assert found is not None
    assert signed_in.ask("POST", "/api/logout", csrf=False, X_CSRFToken=found.group(1)).status_code == 200


@pytest.mark.parametrize(
    ("wanted", "path"),
    [
        ("/c/abc?x=1#y", "/c/abc?x=1#y"),
        (None, "/"),
        ("", "/"),
        ("c/abc", "/"),
        ("//evil.example", "/"),
        ("///evil.example", "/"),
        ("/\\evil.example", "/"),
        ("\\\\evil.example", "/"),
        ("/\t/evil.example", "/"),
        ("/\n/evil.example", "/"),
        ("https://evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("http:evil", "/"),
        ("//[broken", "/"),
        ("/login?next=/login", "/"),
        ("/logout", "/"),
        ("/api/logout", "/"),
        ("/%2f/evil.example", "/%2f/evil.example"),
    ],
)
def test_next_stays_on_this_site(wanted: str | None, path: str) -> None:
    """Else a link to our form would lead people to somebody else's."""
    assert inner_path(wanted) == path


def test_what_people_do_is_noted(app: Flask) -> None:
    """In the audit log: who, what, and how it went; never a password or a token."""
    browser = registered(app)
    browser.ask("POST", "/api/login", {"login": "ada@example.com", "password": "a secret of mine"})
    made = browser.ask("POST", "/api/tokens", {"name": "x"}).get_json()
    browser.ask("DELETE", f"/api/tokens/{made['token_id']}")
    browser.form("/account/password", {"current": PASSWORD, "password": "a new secret"}, page="/account")
    browser.ask("POST", "/api/logout")
    log = app.extensions["colloquy"].audit
    log.flush()
    entries = log.page().entries[::-1]
    assert [(each.action, each.outcome) for each in entries] == [
        ("register", "ok"),
        ("sign_in", "refused"),
        ("token_made", "ok"),
        ("token_revoked", "ok"),
        ("password_changed", "ok"),
        ("sign_out", "ok"),
    ]
    assert {each.address for each in entries} == {"127.0.0.1"}
    for secret in (PASSWORD, "a secret of mine", "a new secret", made["token"]):
        assert secret not in str(entries)


def test_a_flood_of_attempts_is_no_flood_of_entries(make_app: MakeApp) -> None:
    """Each attempt is noted that is let through, to register a login that is kept, too; of the rest, one a minute."""
    app = make_app(max_sign_ins_per_minute=3, admin_users="root")
    browser = Browser(app)
    assert browser.ask("POST", "/api/register", {"login": "root", "password": PASSWORD}).status_code == 409
    for _ in range(20):
        browser.ask("POST", "/api/login", {"login": "root", "password": "a guess"})
    log = app.extensions["colloquy"].audit
    log.flush()
    noted = [(each.action, each.target, each.outcome, each.details["why"]) for each in log.page().entries[::-1]]
    refused = ("sign_in", "root", "refused")
    assert noted == [
        ("register", "root", "refused", "invalid_state"),
        (*refused, "unauthenticated"),
        (*refused, "unauthenticated"),
        (*refused, "limit_exceeded"),
    ]


# --- proxies ----------------------------------------------------------------------------------------------------------


def test_a_trusted_proxy_is_believed(make_app: MakeApp) -> None:
    """As many as were named, and no more: what a client writes before them is a claim."""
    app = make_app(trusted_proxies=1, allowed_hosts="colloquy.example", max_sign_ins_per_minute=2)
    forwarded = {
        "X_Forwarded_For": "203.0.113.66, 203.0.113.5",
        "X_Forwarded_Proto": "https",
        "X_Forwarded_Host": "colloquy.example",
    }
    browser = Browser(app)
    answer = browser.ask("POST", "/api/register", {"login": "ada", "password": PASSWORD}, **forwarded)
    assert answer.status_code == 201
    assert "Secure" in answer.headers["Set-Cookie"]
    assert "Strict-Transport-Security" in answer.headers
    people = app.extensions["colloquy"].people
    assert people.sign_ins.of(people.accounts.find("ada").user_id)[0].address == "203.0.113.5"
    assert code(Browser(app).ask("GET", "/api/me")) == (401, "unauthenticated")
    bad_host = {**forwarded, "X_Forwarded_Host": "evil.example"}
    assert code(Browser(app).ask("GET", "/api/me", **bad_host)) == (403, "not_permitted")


def test_other_proxies_are_not_believed(app: Flask) -> None:
    """Their headers change nothing but that nobody is the guest."""
    forwarded = {"X_Forwarded_For": "203.0.113.5", "X_Forwarded_Proto": "https", "X_Forwarded_Host": "evil.example"}
    browser = Browser(app)
    assert code(browser.ask("GET", "/api/me", **forwarded)) == (401, "unauthenticated")
    answer = browser.ask("POST", "/api/register", {"login": "ada", "password": PASSWORD}, **forwarded)
    assert "Secure" not in answer.headers["Set-Cookie"]
    people = app.extensions["colloquy"].people
    assert people.sign_ins.of(people.accounts.find("ada").user_id)[0].address == "127.0.0.1"


def test_answers_carry_the_security_headers(app: Flask) -> None:
    """Pages, JSON, and errors."""
    for path in ("/login", "/api/me", "/api/nothing", "/c/x"):
        headers = Browser(app).client.get(path, base_url=BASE).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["Cross-Origin-Opener-Policy"] == headers["Referrer-Policy"] == "same-origin"
        assert "camera=()" in headers["Permissions-Policy"]
        assert headers["Cache-Control"] == "no-store"
