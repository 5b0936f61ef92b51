"""Sharing, seen from outside: who is let in, and how it ends for who is watching; at every door."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.integration.conftest import MODES
from tests.integration.doors.clients import Events, Socket, last_of_run
from tests.support.model_server import ModelServer
from tests.support.server import ColloquyServer
from tests.support.tokens import SECRET, bearer, token
from tests.support.watcher import Watcher, logged

ENDS_S = 5.0
"""Within this after a share was withdrawn, nothing more flows."""


@pytest.fixture(scope="module", params=MODES)
def server(request: pytest.FixtureRequest, model: ModelServer) -> Iterator[ColloquyServer]:
    """A server without guests: who brings nothing is nobody."""
    env = {"ASYNC_MODE": request.param, "JWT_SECRET": SECRET, "GUEST_ACCESS": "false"}
    with ColloquyServer(model_url=model.url, env=env) as running:
        yield running
        said = running.output()
    assert "Traceback" not in said, said


@pytest.fixture
def anna(server: ColloquyServer) -> Iterator[httpx.Client]:
    """The owner."""
    with httpx.Client(base_url=server.url, headers=bearer(token()), trust_env=False) as client:
        yield client


@pytest.fixture
def talk(server: ColloquyServer, model: ModelServer) -> Iterator[str]:
    """A conversation of Anna's in which words flow for half a minute."""
    model.control(tokens=1_000, token_delay_ms=30)
    with Watcher(server.url, auth={"token": token()}) as owner:
        started = owner.must("start_stream", {"content": "Should the bank keep its dividend?", "team": "chat"})
        yield started["conversation_id"]
        owner.command("stop_stream", {"conversation_id": started["conversation_id"]})  # unless it was deleted


def new_link(anna: httpx.Client, talk: str, **wanted: Any) -> dict[str, Any]:
    made = anna.post(f"/api/conversations/{talk}/links", json={"role": "viewer", **wanted})
    assert made.status_code == 201, made.text
    link: dict[str, Any] = made.json()
    link["secret"] = link["url"].removeprefix("/s/")
    return link


def test_a_link_is_followed_without_signing_in(server: ColloquyServer, anna: httpx.Client, talk: str) -> None:
    """In a browser it leads to the conversation; whoever holds it may do what its role says, and nothing else."""
    link = new_link(anna, talk)
    with httpx.Client(base_url=server.url, trust_env=False) as visitor:
        assert visitor.get(f"/api/conversations/{talk}").status_code == 401
        answer = visitor.get(link["url"])
        assert (answer.status_code, answer.headers["Location"]) == (302, f"/c/{talk}")
        assert visitor.get(f"/api/conversations/{talk}").json()["conversation_id"] == talk
        assert visitor.get(f"/api/conversations/{talk}/shares").status_code == 403
        assert visitor.get("/api/conversations").status_code == 401
    by_address = f"/api/conversations/{talk}?share={link['secret']}"
    assert httpx.get(server.url + by_address, trust_env=False).json()["conversation_id"] == talk
    with Watcher(server.url, auth={"link": link["secret"]}) as viewer:
        hello = viewer.wait_for_event("connected")
        assert (hello["user"], hello["kind"], hello["expires_at"]) == ("", "link", None)
        viewer.must("join", {"conversation_id": talk})
        assert viewer.refused("pause_stream", {"conversation_id": talk}) == "not_permitted"
        assert viewer.refused("start_stream", {"content": "mine", "team": "chat"}) == "unauthenticated"
    editor_link = new_link(anna, talk, role="editor")
    with Watcher(server.url, auth={"link": editor_link["secret"]}) as editor:
        editor.must("pause_stream", {"conversation_id": talk})
        editor.must("resume_stream", {"conversation_id": talk})
    assert anna.delete(f"/api/conversations/{talk}/links/{editor_link['link_id']}").status_code == 204
    dead, unknown = (httpx.get(f"{server.url}/s/{secret}", trust_env=False) for secret in (editor_link["secret"], "x"))
    assert (dead.status_code, dead.text) == (unknown.status_code, unknown.text) == (404, unknown.text)
    refused = httpx.get(f"{server.url}/api/conversations/{talk}?share={editor_link['secret']}", trust_env=False)
    assert refused.status_code == 401
    assert link["secret"] not in server.output()


def test_a_share_is_withdrawn_while_they_watch(server: ColloquyServer, anna: httpx.Client, talk: str) -> None:
    """At every door: they are told, get nothing more, and may not come back. Who keeps a link keeps watching."""
    people = f"/api/conversations/{talk}/shares"
    assert anna.put(f"{people}/bert", json={"role": "viewer"}).json()["role"] == "viewer"
    link, bert = new_link(anna, talk), bearer(token(who="bert"))
    ways = (
        f"/api/conversations/{talk}/stream",
        f"/ws/stream?conversation_id={talk}",
        f"/v1/conversation/{talk}/stream",
    )
    sockets = [Socket(f"ws://127.0.0.1:{server.port}{way}", additional_headers=bert) for way in ways]
    with (
        Watcher(server.url, auth={"token": token(who="bert")}) as watcher,
        Watcher(server.url, auth={"token": token(who="bert"), "link": link["secret"]}) as keeps,
        Events(f"{server.url}/api/conversations/{talk}/stream", headers=bert) as events,
        Events.of_run(server.url, talk, bert) as run,
    ):
        for each in (watcher, keeps):
            each.must("join", {"conversation_id": talk})
            each.wait_for_event("message_delta")
        next(events)
        next(run)
        assert anna.delete(f"{people}/bert").status_code == 204
        began = time.monotonic()
        watcher.wait_for_event("access_ended", conversation_id=talk)
        after = len(watcher.events())
        *_, last = events
        assert last.event == "access_ended"
        assert last_of_run(run) == ("access_ended", "not_permitted")
        assert [each.wait_for_close() for each in sockets] == [4503] * 3
        assert [each.came[-1]["type"] for each in sockets] == ["access_ended", "error", "error"]
        assert time.monotonic() - began < ENDS_S
        flowed = len(keeps.events())
        keeps.wait_for(lambda events: len(events) > flowed + 5, "five more for who keeps a link")
        assert watcher.refused("join", {"conversation_id": talk}) == "conversation_unknown"
        assert not logged(watcher.events()[after:])
        assert anna.delete(f"/api/conversations/{talk}/links/{link['link_id']}").status_code == 204
        keeps.wait_for_event("access_ended")
    for socket in sockets:
        socket.close()


def test_a_link_runs_out_while_they_watch(server: ColloquyServer, anna: httpx.Client, talk: str) -> None:
    """Nobody has revoked it."""
    link = new_link(anna, talk, expires_in_s=1.5)
    with Watcher(server.url, auth={"link": link["secret"]}) as visitor:
        visitor.must("join", {"conversation_id": talk})
        began = time.monotonic()
        visitor.wait_for_event("access_ended")
        assert time.monotonic() - began < 1.5 + ENDS_S


def test_people_of_another_tenant_are_not_found(server: ColloquyServer, anna: httpx.Client, talk: str) -> None:
    """The same name in another tenant is somebody else; shares are for the owner alone."""
    people = f"/api/conversations/{talk}/shares"
    assert anna.put(f"{people}/bert", json={"role": "editor"}).status_code == 200
    url = f"{server.url}/api/conversations/{talk}"
    assert httpx.get(url, headers=bearer(token(who="bert")), trust_env=False).status_code == 200
    for elsewhere in (token(who="bert", enterprise_id="acme"), token(who="anna", enterprise_id="acme")):
        assert httpx.get(url, headers=bearer(elsewhere), trust_env=False).status_code == 404
    theirs = httpx.get(server.url + people, headers=bearer(token(who="bert")), trust_env=False)
    assert theirs.status_code == 403
    assert anna.put(f"{people}/anna", json={"role": "viewer"}).status_code == 400
    assert anna.put(f"{people}/usr_nobody", json={"role": "viewer"}).status_code == 404
    assert anna.put(f"{people}/bert", json={"role": "owner"}).status_code == 400
    assert [each["user_id"] for each in anna.get(people).json()["shares"]] == ["bert"]


def test_who_registers_anothers_id_gets_nothing_of_it(server: ColloquyServer, anna: httpx.Client, talk: str) -> None:
    """A login that is spelled as somebody's `sub`: what Anna, who has a JWT, shares with `carl` is for that one."""
    with httpx.Client(base_url=server.url, trust_env=False) as imposter:
        made = imposter.post("/api/register", json={"login": "carl", "password": "correct horse battery"})
        assert made.status_code == 201
        account = made.json()["user"]["id"]
        shared = anna.put(f"/api/conversations/{talk}/shares/carl", json={"role": "editor"})
        assert shared.json()["user_id"] == "carl"
        url = f"{server.url}/api/conversations/{talk}"
        assert imposter.get(url).status_code == 404
        assert httpx.get(url, headers=bearer(token(who="carl")), trust_env=False).status_code == 200
        assert anna.put(f"/api/conversations/{talk}/shares/{account}", json={"role": "viewer"}).status_code == 200
        assert imposter.get(url).status_code == 200
        assert anna.delete(f"/api/conversations/{talk}/shares/carl").status_code == 204
        assert imposter.get(url).status_code == 200
        assert httpx.get(url, headers=bearer(token(who="carl")), trust_env=False).status_code == 404


def test_a_conversation_is_deleted_while_they_watch(server: ColloquyServer, anna: httpx.Client, talk: str) -> None:
    """At every door: they are told, and their streams end; Socket.IO's connection goes on."""
    assert anna.put(f"/api/conversations/{talk}/shares/bert", json={"role": "viewer"}).status_code == 200
    bert = bearer(token(who="bert"))
    ways = (
        f"/api/conversations/{talk}/stream",
        f"/ws/stream?conversation_id={talk}",
        f"/v1/conversation/{talk}/stream",
    )
    sockets = [Socket(f"ws://127.0.0.1:{server.port}{way}", additional_headers=bert) for way in ways]
    with (
        Watcher(server.url, auth={"token": token(who="bert")}) as watcher,
        Events(f"{server.url}/api/conversations/{talk}/stream", headers=bert) as events,
        Events.of_run(server.url, talk, bert) as run,
    ):
        watcher.must("join", {"conversation_id": talk})
        watcher.wait_for_event("message_delta")
        next(events)
        next(run)
        assert anna.delete(f"/api/conversations/{talk}").status_code == 204
        began = time.monotonic()
        watcher.wait_for_event("conversation_deleted", conversation_id=talk)
        *_, last = events
        assert last.event == "conversation_deleted"
        assert last_of_run(run)[1] == "cancelled"
        assert [each.wait_for_close() for each in sockets] == [4504] * 3
        assert [each.came[-1]["type"] for each in sockets] == ["conversation_deleted", "error", "error"]
        assert time.monotonic() - began < ENDS_S
        assert watcher.command("ping")["ok"]
        assert watcher.refused("join", {"conversation_id": talk}) == "conversation_unknown"
    for socket in sockets:
        socket.close()
