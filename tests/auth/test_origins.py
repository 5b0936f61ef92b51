"""Pages of other origins."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from app.auth.origins import Origins, OtherOrigins

LISTED = "https://App.example"
ORIGINS = Origins(("https://app.example/",))


def ask(origin: str | None, method: str = "GET", path: str = "/api/teams", **more: str) -> tuple[str, dict[str, str]]:
    """Status and headers of an answer."""
    answers: list[tuple[str, dict[str, str]]] = []

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        headers = [("Access-Control-Allow-Origin", "engine")] if path.startswith("/socket.io") else []
        start_response("200 OK", headers)
        return [b"it"]

    environ = {"REQUEST_METHOD": method, "PATH_INFO": path, "HTTP_HOST": "127.0.0.1:5000", **more}
    if origin is not None:
        environ["HTTP_ORIGIN"] = origin
    OtherOrigins(app, ORIGINS)(environ, lambda status, headers: answers.append((status, dict(headers))))
    return answers[0]


def test_a_listed_origin_may_read_the_answer() -> None:
    """Its browser is told so, by the name that it gave; caches are told that this depends on who asks."""
    assert ask(LISTED) == ("200 OK", {"Access-Control-Allow-Origin": LISTED, "Vary": "Origin"})


@pytest.mark.parametrize("origin", [None, "http://127.0.0.1:5000", "https://evil.example"])
def test_others_are_told_nothing(origin: str | None) -> None:
    """The server's own pages need no word, and strangers get none."""
    assert ask(origin) == ("200 OK", {})
    assert ask(origin, "OPTIONS", HTTP_ACCESS_CONTROL_REQUEST_METHOD="POST") == ("200 OK", {})


@pytest.mark.parametrize(
    ("asked_by", "origin", "allowed"),
    [("https", "https", True), ("https", "http", False), ("wss", "http", False), ("http", "https", True)],
)
def test_a_page_without_tls_is_not_our_own(asked_by: str, origin: str, allowed: bool) -> None:
    """Where the server knows that it is asked by TLS; a proxy that it does not believe may have ended it."""
    environ = {"HTTP_HOST": "colloquy.example", "wsgi.url_scheme": asked_by}
    assert ORIGINS.allowed(f"{origin}://colloquy.example", environ) is allowed


def test_a_browser_asks_before_it_sends_json() -> None:
    """The preflight is answered for every address; without cookies."""
    status, headers = ask(LISTED, "OPTIONS", "/api/agui/debate", HTTP_ACCESS_CONTROL_REQUEST_METHOD="POST")
    assert status == "204 No Content"
    assert headers["Access-Control-Allow-Origin"] == LISTED
    assert {"content-type", "last-event-id", "x-csrftoken"} <= set(headers["Access-Control-Allow-Headers"].split(", "))
    assert {"PATCH", "PUT", "DELETE"} <= set(headers["Access-Control-Allow-Methods"].split(", "))
    assert "Access-Control-Allow-Credentials" not in headers


def test_engine_io_answers_for_itself() -> None:
    """Twice the same header would be refused by browsers."""
    preflight = {"HTTP_ACCESS_CONTROL_REQUEST_METHOD": "POST"}
    for method, more in (("GET", {}), ("OPTIONS", preflight)):
        assert ask(LISTED, method, "/socket.io/", **more) == ("200 OK", {"Access-Control-Allow-Origin": "engine"})
