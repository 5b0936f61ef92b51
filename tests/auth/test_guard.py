"""The guard in front of a server without sign-in."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest

from app.auth.gatekeeper import Gatekeeper
from app.auth.guard import LocalGuard
from app.auth.identity import GUEST
from app.auth.origins import Origins
from app.errors import Unauthenticated
from app.settings import load_settings


def ask(
    host: str | None = "127.0.0.1:5000",
    origin: str | None = None,
    allowed_hosts: tuple[str, ...] = (),
    allowed_origins: tuple[str, ...] = (),
    **headers: str,
) -> tuple[bool, dict[str, Any]]:
    """Whether a request passes; else with the refusal's body."""
    reached: list[bool] = []
    statuses: list[str] = []

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        reached.append(True)
        return []

    environ = {"REMOTE_ADDR": "127.0.0.1", **headers}
    if host is not None:
        environ["HTTP_HOST"] = host
    if origin is not None:
        environ["HTTP_ORIGIN"] = origin
    guard = LocalGuard(app, allowed_hosts, Origins(allowed_origins))
    body = b"".join(guard(environ, lambda status, _: statuses.append(status)))
    if reached:
        return True, {}
    assert statuses == ["403 Forbidden"]
    return False, json.loads(body)["error"]


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:5000", "localhost:5000", "LOCALHOST", "[::1]", "[::1]:5000", "my.box:80"]
)
def test_known_hosts_pass(host: str) -> None:
    """Loopback's names and those of ALLOWED_HOSTS, in any case, with or without a port."""
    assert ask(host, allowed_hosts=("My.Box",)) == (True, {})


@pytest.mark.parametrize(
    "host",
    [
        None,
        "",
        "127.0.0.1:x@evil.example",
        "127.0.0.1:80:80",
        "[::1]evil.example",
        "[::1]:5@evil.example",
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example:5000",
        "my.box",
        "[::2]:5000",
    ],
)
def test_other_hosts_are_refused(host: str | None) -> None:
    """DNS can be made to point here (rebinding): a name that is not ours is somebody else's page."""
    passed, error = ask(host)
    assert not passed
    assert error["code"] == "not_permitted"
    assert "ALLOWED_HOSTS" in error["message"]


@pytest.mark.parametrize("origin", [None, "http://127.0.0.1:5000", "https://127.0.0.1:5000", "HTTP://127.0.0.1:5000"])
def test_the_own_origin_passes(origin: str | None) -> None:
    """And a request without one: no browser page sent it."""
    assert ask(origin=origin)[0]


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "http://127.0.0.1:8080",  # another server on this machine is another origin
        "http://localhost:5000",  # not under the name that was asked for
        "null",
        "file://",
        "ftp://127.0.0.1:5000",
        "http://127.0.0.1:5000.evil.example",
        "http://127.0.0.1:5000@evil.example",
        "http://[broken",
        "127.0.0.1:5000",
    ],
)
def test_other_origins_are_refused(origin: str) -> None:
    """Any page that this machine's browser shows could steer the server otherwise."""
    passed, error = ask(origin=origin)
    assert not passed
    assert "CORS_ALLOWED_ORIGINS" in error["message"]


def test_allowed_origins_pass() -> None:
    """By name, in any case, with or without a last slash; `*` lets all pass."""
    assert ask(origin="https://App.example", allowed_origins=("https://app.example/",))[0]
    assert not ask(origin="https://other.example", allowed_origins=("https://app.example",))[0]
    assert ask(origin="https://other.example", allowed_origins=("*",))[0]
    assert not ask("evil.example", origin="https://other.example", allowed_origins=("*",))[0]


@pytest.mark.parametrize(
    "header", ["HTTP_FORWARDED", "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_HOST", "HTTP_X_REAL_IP", "HTTP_VIA"]
)
@pytest.mark.parametrize("value", ["203.0.113.9", "127.0.0.1", ""])
def test_forwarded_requests_pass_but_never_as_the_guest(header: str, value: str) -> None:
    """Behind a proxy everybody comes from 127.0.0.1; what the header says does not matter, that it is there does."""
    assert ask(**{header: value})[0]
    environ = {"REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "127.0.0.1:5000"}
    assert Gatekeeper().identify(environ) is GUEST
    with pytest.raises(Unauthenticated):
        Gatekeeper().identify({**environ, header: value})


def test_the_guest_is_who_asked_for_this_machine() -> None:
    """Under another name, perhaps a proxy that does not say so has asked."""
    with pytest.raises(Unauthenticated):
        Gatekeeper().identify({"REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "colloquy.example"})


@pytest.mark.parametrize("host", ["192.0.2.1:5000", "[2001:db8::1]:5000", "10.0.0.7", "0.0.0.0:5000"])
def test_an_exposed_server_is_known_by_its_addresses(host: str) -> None:
    """No DNS can be made to point an address anywhere; on loopback, where there is a guest, only loopback's pass."""
    assert asked(host, host="0.0.0.0", secret_key="k" * 32)
    assert not asked(host)
    assert not asked("evil.example", host="0.0.0.0", secret_key="k" * 32)
    assert asked("my.example", host="0.0.0.0", secret_key="k" * 32, allowed_hosts="my.example")


def asked(name: str, **settings: Any) -> bool:
    """Whether a server with these settings answers under a name."""
    guard = LocalGuard.of(load_settings(None, **settings), lambda environ, start: [b"reached"], Origins(()))
    return b"".join(guard({"HTTP_HOST": name}, lambda *_: None)) == b"reached"
