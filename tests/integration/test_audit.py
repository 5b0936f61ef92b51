"""The audit log of a running server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import TIMEOUT_SCALE
from tests.integration.conftest import TEXT
from tests.integration.test_http import ask
from tests.support.model_server import ModelServer
from tests.support.server import ColloquyServer
from tests.support.tokens import SECRET, bearer, token
from tests.support.waiting import wait_until
from tests.support.watcher import Watcher

WAIT_S = 10 * TIMEOUT_SCALE


@pytest.mark.parametrize("mode", ["eventlet", pytest.param("gevent", marks=pytest.mark.matrix)])
def test_what_was_done_is_there_also_after_the_end(mode: str, model: ModelServer, tmp_path: Path) -> None:
    """Who, from where, what; for administrators alone. What was noted last is written before the server ends."""
    env = {"ASYNC_MODE": mode, "JWT_SECRET": SECRET, "ADMIN_USERS": "root", "DATA_DIR": str(tmp_path)}
    anna, root = bearer(token(who="anna")), bearer(token(who="root"))
    with ColloquyServer(model_url=model.url, env=env) as server:
        with Watcher(server.url, auth={"token": token(who="anna")}) as watcher:
            model.control(tokens=5)
            started = watcher.must("start_stream", {"content": TEXT, "team": "chat"})
            watcher.wait_for_end(started["session_id"])
        place = f"/api/conversations/{started['conversation_id']}"
        assert ask(server, "GET", f"{place}/export?format=json", headers=anna)[0] == 200
        assert ask(server, "DELETE", place, headers=anna)[0] == 204
        assert ask(server, "GET", "/api/audit", headers=anna)[0] == 403

        def entries() -> list[tuple[str, str, str, str]]:
            _, page, _ = ask(server, "GET", "/api/audit?actor=anna", headers=root)
            return [(each["action"], each["target"], each["address"], each["outcome"]) for each in page["entries"]]

        wait_until(lambda: len(entries()) == 2, "both are written", WAIT_S)
        about = (started["conversation_id"], "127.0.0.1", "ok")
        assert entries() == [("conversation_deleted", *about), ("conversation_exported", *about)]
        body = {"message": "the last word"}
        assert ask(server, "POST", "/api/websocket/broadcast", body, headers=root)[0] == 200
    with ColloquyServer(model_url=model.url, env=env) as server:
        _, page, _ = ask(server, "GET", "/api/audit?limit=1", headers=root)
        assert page["entries"][0]["details"]["message"] == "the last word"
        assert TEXT not in json.dumps(ask(server, "GET", "/api/audit", headers=root)[1])
        _, rest, _ = ask(server, "GET", f"/api/audit?limit=1&cursor={page['next_cursor']}", headers=root)
        assert rest["entries"][0]["action"] == "conversation_deleted"
