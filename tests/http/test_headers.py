"""What every answer says to browsers: of every route, to everybody, and of what is refused before there is a route."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from flask import Flask
from werkzeug.test import TestResponse

from app import create_app
from app.auth.passwords import Passwords
from app.settings import load_settings

BASE = "http://127.0.0.1:5000"
PASSWORD = "correct horse battery"
EVERYWHERE = {"Host": "127.0.0.1:5000"}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    quick, original = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1), Passwords.__init__
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Passwords, "__init__", lambda self, mode: original(self, mode, quick))
        folder = tmp_path_factory.mktemp("headers")
        made = create_app(load_settings(None, async_mode="threading", local_model=False, data_dir=folder))
        made.extensions["colloquy"].database.prepare()
        yield made


class Page(HTMLParser):
    """What a strict policy forbids, and would not even report where a browser does not know it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.bad: list[str] = []
        self._inside: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name.lower(): value or "" for name, value in attrs}
        self._inside = tag if tag in ("script", "style") and "src" not in given else None
        if self._inside == "script" and given.get("type") in ("application/json", "importmap"):
            self._inside = None
        self.bad += [f"<{tag} {name}=…>" for name in given if name.startswith("on") or name == "style"]
        for name in ("href", "src", "action", "formaction", "srcset", "poster", "data"):
            value = re.sub(r"\s", "", given.get(name, "")).lower()
            outside = value.startswith(("javascript:", "data:text", "vbscript:", "//"))
            loaded = tag in ("script", "img", "link", "iframe", "object", "embed", "source") and "://" in value
            if outside or loaded:
                self.bad.append(f"<{tag} {name}={value[:60]}>")
        if tag in ("base", "iframe", "object", "embed", "applet"):
            self.bad.append(f"<{tag}>")

    def handle_data(self, data: str) -> None:
        if self._inside is not None and data.strip():
            self.bad.append(f"text in <{self._inside}>")

    def handle_endtag(self, tag: str) -> None:
        self._inside = None


def problems(where: str, answer: TestResponse) -> list[str]:
    """What is missing, or should not be there."""
    found, headers = [], answer.headers
    policy = {}
    for part in headers.get("Content-Security-Policy", "").split(";"):
        name, _, words = part.strip().partition(" ")
        policy[name] = words
    wanted = {"default-src": "'none'", "base-uri": "'none'", "frame-ancestors": "'none'"}
    found += [f"{name} {words}" for name, words in wanted.items() if policy.get(name) != words]
    for name, words in policy.items():
        if any(bad in words for bad in ("unsafe", "*")):
            found.append(f"policy: {name} {words}")
        if name in ("default-src", "script-src", "style-src", "img-src", "object-src") and "http" in words:
            found.append(f"policy: {name} {words}")
    if headers.get("X-Content-Type-Options") != "nosniff":
        found.append("no nosniff")
    if "Referrer-Policy" not in headers:
        found.append("no Referrer-Policy")
    if ("/static/" not in where or answer.status_code >= 400) and "no-store" not in headers.get("Cache-Control", ""):
        found.append(f"Cache-Control: {headers.get('Cache-Control')}")
    if any(headers.get(name) for name in ("Server-Timing", "X-Powered-By")):
        found.append("says what it is made of")
    for cookie in headers.getlist("Set-Cookie"):
        attributes = {part.strip().partition("=")[0].lower() for part in cookie.split(";")[1:]}
        if not {"httponly", "samesite", "path"} <= attributes or "domain" in attributes:
            found.append(f"cookie: {cookie.partition(';')[2]}")
    if "text/html" in (headers.get("Content-Type") or ""):
        found += Page(answer.text).bad
    return [f"{where} [{answer.status_code}]: {each}" for each in found]


def addresses(app: Flask) -> Iterator[tuple[str, str]]:
    """Each route with each method; streams that do not end by themselves are refused at an unknown conversation."""
    for rule in app.url_map.iter_rules():
        path = rule.rule
        for name in rule.arguments:
            path = re.sub(rf"<(?:[^:<>]+:)?{name}>", "css/base.css" if rule.endpoint == "static" else "nothing", path)
        for method in sorted(rule.methods or ()):
            yield method, path
    yield from (("GET", "/nothing"), ("GET", "/api/nothing"), ("TRACE", "/"), ("PUT", "/api/me"), ("GET", "/static/no"))


def ask(client: Any, method: str, path: str, **more: Any) -> TestResponse:
    answer: TestResponse = client.open(path, method=method, base_url=BASE, **more)
    answer.close()
    return answer


def test_every_route_to_everybody(app: Flask) -> None:
    """The guest, somebody who has signed in, a token that is no good, a request that was forwarded."""
    signed_in = app.test_client()
    registered = signed_in.post("/api/register", json={"login": "ada", "password": PASSWORD}, base_url=BASE)
    proof = {"X-CSRFToken": registered.get_json()["csrf_token"]}
    found, asked = [], 0
    for client, headers in (
        (app.test_client(), {}),
        (signed_in, proof),
        (signed_in, {}),
        (app.test_client(), {"Authorization": "Bearer no.good.token"}),
        (app.test_client(), {"X-Forwarded-For": "10.0.0.1"}),
    ):
        for method, path in addresses(app):
            if path.endswith("/ready") and headers is not proof:  # waits for a runner that is not there
                continue
            if headers is proof and "logout" in path and method == "POST":
                continue
            answer = ask(client, method, path, headers=headers, json={} if method not in ("GET", "HEAD") else None)
            found += problems(f"{method} {path}", answer)
            asked += 1
    assert not found, "\n".join(sorted(set(found)))
    assert asked > 500
    assert signed_in.get("/api/me", base_url=BASE).get_json()["user"]["kind"] == "user"


def test_what_is_refused_before_there_is_a_route(app: Flask) -> None:
    """A foreign host or origin, a socket that is none."""
    client = app.test_client()
    refusals = [
        client.get("/", headers={"Host": "evil.example"}),
        client.get("/", headers={**EVERYWHERE, "Origin": "http://evil.example"}),
        client.get("/socket.io/?EIO=1", headers=EVERYWHERE),
        client.post("/socket.io/?EIO=4&transport=polling&sid=none", headers=EVERYWHERE),
        client.get("/ws/stream", headers=EVERYWHERE),
        client.get("/v1/conversation/nothing/stream", headers=EVERYWHERE),
    ]
    found = []
    for number, answer in enumerate(refusals):
        assert answer.status_code >= 400, number
        found += problems(f"refusal {number}", answer)
    assert not found, "\n".join(found)


def test_cookies_are_for_https_where_it_is(tmp_path: Path) -> None:
    """In production the session's cookie is `Secure`, and browsers are told to come by https."""
    settings = {"async_mode": "threading", "local_model": False, "data_dir": tmp_path, "trusted_proxies": 1}
    app = create_app(
        load_settings(None, colloquy_env="production", secret_key="sixteen characters and more", **settings)
    )
    client = app.test_client()
    plain = client.get("/login", headers=EVERYWHERE)
    assert "Secure" in plain.headers["Set-Cookie"]
    forwarded = {
        **EVERYWHERE,
        "X-Forwarded-Proto": "https",
        "X-Forwarded-For": "10.0.0.1",
        "X-Forwarded-Host": "127.0.0.1",
    }
    assert "max-age" in client.get("/login", headers=forwarded).headers["Strict-Transport-Security"]
