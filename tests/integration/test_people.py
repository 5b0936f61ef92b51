"""A server as in production: who is let in through which door, by what they bring."""

from __future__ import annotations

import http.client
import json
import secrets
import time
from collections.abc import Iterator
from typing import Any

import pytest
import socketio

from app.protocol import NAMESPACE
from tests.conftest import TIMEOUT_SCALE
from tests.integration.conftest import MODES
from tests.integration.test_http import ask
from tests.support.issuer import Issuer
from tests.support.server import ColloquyServer
from tests.support.tokens import bearer
from tests.support.waiting import wait_until
from tests.support.watcher import Watcher

ISSUER = "https://clerk.example.com"
SITE = "https://app.example.com"
PASSWORD = "correct horse battery"
PROXIED = {"X-Forwarded-For": "203.0.113.5", "X-Forwarded-Proto": "https"}


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with Issuer() as running:
        running.publish("rsa1")
        yield running


@pytest.fixture(scope="module", params=MODES)
def production(request: pytest.FixtureRequest, issuer: Issuer) -> Iterator[ColloquyServer]:
    """Behind one trusted proxy, with Clerk-like tokens; people may register."""
    env = {
        "ASYNC_MODE": request.param,
        "COLLOQUY_ENV": "production",
        "SECRET_KEY": secrets.token_urlsafe(32),
        "REGISTRATION": "open",
        "TRUSTED_PROXIES": "1",
        "JWT_JWKS_URL": issuer.url,
        "JWT_ISSUER": ISSUER,
        "JWT_AUTHORIZED_PARTIES": SITE,
        "JWT_TENANT_CLAIM": "o.id",
        "ADMIN_USERS": "user_admin",
        "MAX_SIGN_INS_PER_MINUTE": "20",
        "MAX_BAD_TOKENS_PER_MINUTE": "30",
    }
    issuer.publish("rsa1")
    with ColloquyServer(env=env) as running:
        yield running


def made(issuer: Issuer, kid: str = "rsa1", who: str = "user_2abc", **more: Any) -> str:
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "sub": who,
        "azp": SITE,
        "iat": now,
        "nbf": now - 5,
        "exp": now + 60,
        "v": 2,
        "sts": "active",
    }
    return issuer.token({**claims, **more}, kid)


def status(server: ColloquyServer, token: str, path: str = "/api/me", **headers: str) -> int:
    return ask(server, "GET", path, headers={**PROXIED, **headers, **bearer(token)})[0]


def refused(server: ColloquyServer, headers: dict[str, str], auth: Any = None) -> str:
    """The code with which a Socket.IO connection is refused."""
    client = socketio.Client(reconnection=False)
    said: list[Any] = []
    client.on("connect_error", lambda why: said.append(why), namespace=NAMESPACE)
    with pytest.raises(socketio.exceptions.ConnectionError):
        client.connect(server.url, headers=headers, namespaces=[NAMESPACE], transports=["websocket"], auth=auth)
    client.disconnect()
    return str(said[0]["data"]["code"]) if said and "data" in said[0] else str(said)


def test_nobody_is_the_guest(production: ColloquyServer) -> None:
    """Not even on this machine: pages lead to the form, doors answer 401."""
    got, _, headers = ask(production, "GET", "/c/abc")
    assert (got, headers["Location"]) == (302, "/login?next=/c/abc")
    for path in ("/api/me", "/api/conversations", "/api/conversations/x/stream", "/api/websocket/status"):
        assert ask(production, "GET", path)[0] == 401
    assert "unauthenticated" in refused(production, {})
    assert ask(production, "GET", "/login")[0] == 200


def test_a_person_comes_by_cookie(production: ColloquyServer) -> None:
    """By HTTP and by Socket.IO; a log-out ends the connection."""
    body = {"login": f"{secrets.token_hex(4)}@example.com", "password": PASSWORD, "name": "Ada"}
    got, me, headers = ask(production, "POST", "/api/register", body, PROXIED)
    assert got == 201
    cookie, _, attributes = headers["Set-Cookie"].partition(";")
    assert {"Secure", "HttpOnly", "SameSite=Lax"} <= {each.strip() for each in attributes.split(";")}
    assert "max-age=31536000" in headers["Strict-Transport-Security"]
    mine = {"Cookie": cookie, **PROXIED}
    assert ask(production, "GET", "/api/me", headers=mine)[1]["user"] == me["user"]
    assert ask(production, "GET", "/api/sign-ins", headers=mine)[1]["sign_ins"][0]["address"] == "203.0.113.5"
    own = production.url.replace("http:", "https:")  # as a client that speaks TLS with the proxy says
    client = socketio.Client(reconnection=False, websocket_extra_options={"origin": own})
    client.connect(production.url, headers=mine, namespaces=[NAMESPACE], transports=["websocket"])
    try:
        ack = client.call("start_stream", {"content": "Hello"}, namespace=NAMESPACE, timeout=20 * TIMEOUT_SCALE)
        assert ack["ok"], ack
        rows = wait_until(
            lambda: ask(production, "GET", "/api/conversations", headers=mine)[1]["conversations"], "a row"
        )
        assert [row["conversation_id"] for row in rows] == [ack["conversation_id"]]
        assert ask(production, "POST", "/api/logout", {}, mine)[1]["error"]["code"] == "csrf_failed"
        proof = {"X-CSRFToken": me["csrf_token"]}
        assert ask(production, "POST", "/api/logout", {}, {**mine, **proof})[0] == 200
        assert ask(production, "GET", "/api/me", headers=mine)[0] == 401
        wait_until(lambda: not client.connected, "the connection has ended", within_s=5)
    finally:
        client.disconnect()
        client.eio.wait()


def test_a_person_comes_by_token(production: ColloquyServer, issuer: Issuer) -> None:
    """Clerk's, with a tenant; by HTTP and by Socket.IO."""
    token = made(issuer, o={"id": "org_7", "rol": "admin"})
    _, me, _ = ask(production, "GET", "/api/me", headers=bearer(token))
    assert (me["user"]["id"], me["user"]["kind"], me["user"]["tenant"]) == ("user_2abc", "jwt", "org_7")
    with Watcher(production.url, timeout_s=20 * TIMEOUT_SCALE, auth={"token": token}) as watcher:
        assert watcher.wait_for_event("connected")["user"] == "user_2abc"
    assert status(production, token, "/api/websocket/status") == 403
    assert status(production, made(issuer, who="user_admin"), "/api/websocket/status") == 200
    for bad in ({"azp": "https://evil.example"}, {"sts": "pending"}, {"iss": "x"}, {"exp": 1}):
        token = made(issuer, **bad)
        assert status(production, token) == 401
        assert refused(production, {}, {"token": token}) in ("unauthenticated", "token_expired")


def test_a_new_key_is_taken_without_a_restart(production: ColloquyServer, issuer: Issuer) -> None:
    """And while the issuer's address is away, the keys that were there stay."""
    assert status(production, made(issuer)) == 200
    issuer.publish("rsa1", "ec2")
    try:
        assert status(production, made(issuer, "ec2")) == 200
        issuer.document = None
        assert status(production, made(issuer, "ec2")) == 200
        assert status(production, made(issuer, "rsa1", "user_3")) == 200
    finally:
        issuer.publish("rsa1", "ec2")


def test_a_flood_of_bad_tokens_is_not_looked_at(production: ColloquyServer, issuer: Issuer) -> None:
    """500 of one address, of all kinds: none is admitted, none breaks anything, and a token that was good still is."""
    good = made(issuer, who="user_flooded")
    flooded = {"X-Forwarded-For": "203.0.113.99"}
    assert status(production, good, **flooded) == 200
    head, body, _ = good.split(".")
    kinds = (
        lambda: secrets.token_urlsafe(40),
        lambda: "cq_" + secrets.token_urlsafe(31)[:42],
        lambda: f"{head}.{body}.{secrets.token_urlsafe(64)}",
        lambda: f"{secrets.token_urlsafe(20)}.{secrets.token_urlsafe(20)}.x",
        lambda: "a" * 5000,
    )
    connection = http.client.HTTPConnection("127.0.0.1", production.port, timeout=20 * TIMEOUT_SCALE)
    answers: dict[int, int] = {}
    try:
        for number in range(500):
            connection.request("GET", "/api/me", headers={**flooded, **bearer(kinds[number % len(kinds)]())})
            answer = connection.getresponse()
            error = json.loads(answer.read())["error"]
            answers[answer.status] = answers.get(answer.status, 0) + 1
            if answer.status == 429:
                assert 0 < error["retry_after_s"] <= 60
    finally:
        connection.close()
    assert answers == {401: 30, 429: 470}
    assert status(production, good, **flooded) == 200
    assert status(production, made(issuer, who="user_new"), **flooded) == 429
    assert status(production, made(issuer, who="user_new")) == 200
    assert "Traceback" not in production.output()
