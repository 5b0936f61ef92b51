"""Requests that nobody sends by mistake: what they did once, and do no more."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from flask import Flask

from app import create_app
from app.auth.passwords import Passwords
from app.http.body import parse_optional_body
from app.http.conversation_shapes import Wish
from app.http.openapi import documented_rules
from app.settings import load_settings
from tests.support.postgres import PostgresServer

BASE = "http://127.0.0.1:5000"
PASSWORD = "correct horse battery"


@pytest.fixture(params=["sqlite", "postgresql"])
def app(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Flask:
    """An application with an empty database, and quick password hashes."""
    quick, original = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1), Passwords.__init__
    monkeypatch.setattr(Passwords, "__init__", lambda self, mode: original(self, mode, quick))
    settings: dict[str, Any] = {"async_mode": "threading", "local_model": False, "data_dir": tmp_path}
    settings["admin_users"] = "root,\uff42oss"
    if request.param == "postgresql":
        postgres: PostgresServer = request.getfixturevalue("postgres")
        settings["database_url"] = postgres.new_database()
    made = create_app(load_settings(None, **settings))
    made.extensions["colloquy"].database.migrate()
    return made


class Person:
    """Somebody who has signed in."""

    def __init__(self, app: Flask, login: str = "ada@example.com") -> None:
        self.client = app.test_client()
        self.proof = {}
        answer = self.ask("POST", "/api/register", {"login": login, "password": PASSWORD})
        assert answer.status_code == 201, answer.text
        self.proof = {"X-CSRFToken": answer.get_json()["csrf_token"]}

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        return self.client.open(path, method=method, json=body, base_url=BASE, headers=self.proof | headers)


def test_a_nul_in_an_address_leads_nowhere(app: Flask) -> None:
    """`DELETE /api/tokens/%00` was a 500 on PostgreSQL, whose driver refuses it."""
    person, asked = Person(app), 0
    for rule in documented_rules(app):
        if not rule.arguments:
            continue
        for odd in ("\0", "a\0b"):
            path = rule.rule
            for name in rule.arguments:
                path = path.replace(f"<{name}>", odd)
            for method in (rule.methods or set()) - {"OPTIONS", "HEAD"}:
                assert person.ask(method, path, {}).status_code == 404, (method, path)
                asked += 1
    assert asked > 20


def test_odd_times(app: Flask) -> None:
    """Both ends of the calendar, in other zones, are times (a token that ends then was a 500); numbers are none."""
    person = Person(app)
    made = person.ask("POST", "/api/tokens", {"name": "x", "expires_at": "9999-12-31T23:59:59-14:00"})
    assert made.status_code == 201, made.text
    assert made.get_json()["expires_at"] == "9999-12-31T23:59:59.000Z"
    for path in ("/api/conversations?since=", "/api/conversations?until="):
        assert person.ask("GET", path + "0001-01-01T00:00:00%2B14:00").status_code == 200
        assert person.ask("GET", path + "9999-12-31T23:59:59-14:00").status_code == 200
        for number in ("0.5", "1763726400", "1e3"):
            assert person.ask("GET", path + number).status_code == 400
    assert person.ask("POST", "/api/tokens", {"name": "x", "expires_at": 4102444800}).status_code == 400


def test_an_empty_token_does_not_stand_in_for_the_proof(app: Flask) -> None:
    """A request with an empty `Authorization` is recognised by its cookie: it needs the proof like any other."""
    person = Person(app)
    for empty in ("", " ", "  "):
        person.proof = {}
        assert person.ask("DELETE", "/api/sign-ins", Authorization=empty).status_code == 403
        assert person.ask("POST", "/api/logout", Authorization=empty).status_code == 403
    assert person.ask("GET", "/api/me").get_json()["user"]["kind"] == "user"


def test_a_login_is_tried_so_often_however_it_is_typed(app: Flask) -> None:
    """Letters that are the same ones to us do not begin the count anew."""
    Person(app, "ada@example.com")
    answers = []
    for number, login in enumerate(["ada@example.com", "ADA@EXAMPLE.COM", "\uff41da@example.com"] * 35):
        client = app.test_client()
        body = {"login": login, "password": "wrong"}
        address = {"REMOTE_ADDR": f"127.0.1.{number}"}
        answers.append(client.post("/api/login", json=body, base_url=BASE, environ_base=address).status_code)
    assert answers == [401] * 100 + [429] * 5


def test_nobody_becomes_an_administrator_by_other_letters(app: Flask) -> None:
    """ADMIN_USERS keeps a login however it is typed: with a full-width `r`, who came first was the administrator."""
    for login in ("root", "ROOT", " root ", "\uff52oot", "boss", "\uff22OSS"):
        body = {"login": login, "password": PASSWORD}
        answer = app.test_client().post("/api/register", json=body, base_url=BASE)
        assert answer.status_code == 409, (login, answer.text)
    assert Person(app, "roots").ask("GET", "/api/me").get_json()["user"]["admin"] is False


@pytest.mark.parametrize(
    ("body", "kind", "says"),
    [
        (b'{"title": "x"}', "application/x-www-form-urlencoded", "Content-Type: application/json"),
        (b"{", "application/json", "the body is no JSON"),
        (b"\xff\xfe", "application/json", "the body is no JSON"),
        (b"[]", "application/json", "an object is needed"),
    ],
)
def test_what_is_wrong_with_a_body_is_said(app: Flask, body: bytes, kind: str, says: str) -> None:
    """`curl -d` without the header was told that an object is needed, which it had sent."""
    answer = app.test_client().post("/api/conversations", data=body, content_type=kind, base_url=BASE)
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (400, "invalid_payload")
    assert says in answer.get_json()["error"]["message"]


def test_a_body_in_chunks_is_read_whole_or_not_at_all(app: Flask) -> None:
    """Beyond MAX_FRAME_BYTES, its beginning was taken for all of it; where it is optional, it was taken for none."""

    def in_chunks(body: bytes) -> dict[str, Any]:
        environ = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
        return {"input_stream": BytesIO(body), "content_type": "application/json", "environ_overrides": environ}

    padded = b'{"message": 1}'.ljust(app.config["MAX_CONTENT_LENGTH"] - 1)
    for body, status in ((padded, 400), (padded + b"  ", 413)):
        answer = app.test_client().post("/api/websocket/broadcast", base_url=BASE, **in_chunks(body))
        assert answer.status_code == status, answer.text
    with app.test_request_context(method="POST", **in_chunks(b'{"client_id": "mine"}')):
        assert parse_optional_body(Wish).client_id == "mine"
    with app.test_request_context(method="POST", **in_chunks(b"")):
        assert parse_optional_body(Wish).client_id is None
