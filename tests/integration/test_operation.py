"""Providers and settings that administrators change while the server runs, in each async mode."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import TIMEOUT_SCALE
from tests.integration.conftest import MODES, TEXT, shared_runner
from tests.support.http import HttpError, http_json
from tests.support.model_server import ModelServer
from tests.support.server import ColloquyServer
from tests.support.watcher import Watcher

KEY = "sk-planted-in-the-tests-9876"


class Admin:
    """An administrator: on this machine, in development, the guest is one."""

    def __init__(self, server: ColloquyServer) -> None:
        self.server = server

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        return http_json(method, self.server.url + path, body, timeout_s=20 * TIMEOUT_SCALE)

    def refused(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        with pytest.raises(HttpError) as refusal:
            self.ask(method, path, body)
        return refusal.value.status, refusal.value.body["error"]

    def add(self, name: str, url: str, **more: Any) -> str:
        made = self.ask("POST", "/api/providers", {"name": name, "model": "scripted", "base_url": url, **more})
        return str(made["provider_id"])

    def test(self, provider_id: str) -> dict[str, Any]:
        shared_runner(self.server)  # a busy machine takes its time to start one
        answer: dict[str, Any] = self.ask("POST", f"/api/providers/{provider_id}/test")
        return answer


def asked(model: ModelServer, since: int = 0) -> list[dict[str, Any]]:
    """What the model was asked, after so many requests."""
    found: list[dict[str, Any]] = model.stats()["requests"]
    return found[since:]


@pytest.fixture(scope="module", params=MODES)
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Path]]:
    """A server without any model, and its data."""
    folder = tmp_path_factory.mktemp("data")
    env = {"ASYNC_MODE": request.param, "STREAM_TOKENS_PER_S": "0", "DEMO_TOKENS_PER_S": "2000"}
    with ColloquyServer(env={**env, "DATA_DIR": str(folder), "LOG_LEVEL": "debug"}) as running:
        yield running, folder


@pytest.fixture
def admin(house: tuple[ColloquyServer, Path]) -> Iterator[Admin]:
    """Whatever a test has stored is taken back."""
    made = Admin(house[0])
    yield made
    for each in made.ask("GET", "/api/providers")["providers"]:
        if each["source"] == "stored":
            made.ask("DELETE", f"/api/providers/{each['provider_id']}")
    names = [each["name"] for each in made.ask("GET", "/api/settings")["settings"]]
    made.ask("PUT", "/api/settings", {"settings": dict.fromkeys(names)})


def test_a_stored_provider_answers_the_next_conversation(admin: Admin, model: ModelServer) -> None:
    """Without a restart, with its key; and when it is switched off, the next one is a demo again."""
    before = len(asked(model))
    with Watcher(admin.server.url, timeout_s=20 * TIMEOUT_SCALE) as viewer:
        viewer.must("start_stream", {"content": TEXT})
        assert viewer.wait_for_end() == "completed"
        assert len(asked(model)) == before
        provider_id = admin.add("Scripted", model.url, api_key=KEY)
        assert "scripted at" in admin.ask("GET", "/api/providers")["label"]
    with Watcher(admin.server.url, timeout_s=20 * TIMEOUT_SCALE) as viewer:
        viewer.must("start_stream", {"content": TEXT})
        assert viewer.wait_for_end() == "completed"
        assert not viewer.events("fallback_mode")
        assert asked(model, before)
    admin.ask("PATCH", f"/api/providers/{provider_id}", {"enabled": False})
    assert "demo" in admin.ask("GET", "/api/providers")["label"]


def test_the_order_is_that_in_which_they_are_asked(admin: Admin, model: ModelServer) -> None:
    """The first one that is put first answers; the others wait for their turn."""
    before = len(asked(model))
    first = admin.add("First", model.url, model="one")
    second = admin.add("Second", model.url, model="two")
    shown = admin.ask("PUT", "/api/providers/order", {"provider_ids": [second, first]})
    assert [each["name"] for each in shown["providers"]] == ["Second", "First"]
    with Watcher(admin.server.url, timeout_s=20 * TIMEOUT_SCALE) as viewer:
        viewer.must("start_stream", {"content": TEXT})
        assert viewer.wait_for_end() == "completed"
    assert {each["model"] for each in asked(model, before)} == {"two"}
    status, error = admin.refused("PUT", "/api/providers/order", {"provider_ids": [first]})
    assert (status, list(error["fields"])) == (400, ["provider_ids"])


def test_the_test_button(admin: Admin, model: ModelServer, free_port: Any) -> None:
    """A sentence for each end, and nothing of what the provider has said."""
    provider_id = admin.add("Scripted", model.url, api_key=KEY)
    good = admin.test(provider_id)
    assert good["outcome"] == "ok", good
    admin.ask("PATCH", f"/api/providers/{provider_id}", {"model": "no-such-model"})
    unknown = admin.test(provider_id)
    assert (unknown["code"], "does not know the model" in unknown["message"]) == ("model_not_found", True)
    model.control(models_status=401)
    refused = admin.test(provider_id)
    assert (refused["code"], "refuses the key" in refused["message"]) == ("model_unauthorized", True)
    model.control(models_status=404)
    assert admin.test(provider_id)["outcome"] == "uncertain"
    gone = admin.add("Gone", f"http://127.0.0.1:{free_port()}/v1")
    unreachable = admin.test(gone)
    assert (unreachable["code"], "connection refused" in unreachable["message"]) == ("model_unreachable", True)
    assert admin.refused("POST", "/api/providers/prv_0/test")[0] == 404


def test_settings_take_effect_at_once(admin: Admin) -> None:
    """The pace of what begins from now on; wrong values are told by field, and change nothing."""
    by_name = {each["name"]: each for each in admin.ask("GET", "/api/settings")["settings"]}
    assert by_name["STREAM_TOKENS_PER_S"]["source"] == "environment"
    assert by_name["MAX_RUNNING_SESSIONS"]["source"] == "default"
    status, error = admin.refused(
        "PUT", "/api/settings", {"settings": {"MAX_RUNNING_SESSIONS": 0, "STREAM_TOKENS_PER_S": 5, "PORT": 1}}
    )
    assert (status, sorted(error["fields"])) == (400, ["MAX_RUNNING_SESSIONS", "PORT"])
    with Watcher(admin.server.url, timeout_s=20 * TIMEOUT_SCALE) as viewer:
        admin.ask("PUT", "/api/settings", {"settings": {"STREAM_TOKENS_PER_S": 5, "MAX_RUNNING_SESSIONS": 1}})
        running = viewer.must("start_stream", {"content": TEXT})  # at 5 tokens/s it takes a minute
        assert viewer.refused("start_stream", {"content": TEXT}) == "limit_exceeded"
        changed = admin.ask("PUT", "/api/settings", {"settings": {"MAX_RUNNING_SESSIONS": None}})["settings"]
        back = next(each for each in changed if each["name"] == "MAX_RUNNING_SESSIONS")
        assert (back["value"], back["source"]) == (200, "default")
        other = viewer.must("start_stream", {"content": TEXT})
        for each in (running, other):
            viewer.must("stop_stream", {"conversation_id": each["conversation_id"]})


def test_what_the_environment_brings_cannot_be_changed_here(model: ModelServer) -> None:
    """It is shown, after what is stored, and may be tested."""
    with ColloquyServer(model_url=model.url) as server:
        admin = Admin(server)
        (shown,) = admin.ask("GET", "/api/providers")["providers"]
        assert (shown["source"], shown["key"], shown["key_hint"]) == ("environment", "kept", None)
        assert admin.test(shown["provider_id"])["outcome"] == "ok"
        for method, body in (("PATCH", {"model": "x"}), ("DELETE", None)):
            assert admin.refused(method, f"/api/providers/{shown['provider_id']}", body)[1]["code"] == "invalid_state"


def test_a_key_is_nowhere_to_be_read(house: tuple[ColloquyServer, Path], admin: Admin, model: ModelServer) -> None:
    """Not in the database's files, the log, the answers, the pages, the documents, or a command line."""
    provider_id = admin.add("Scripted", model.url, api_key=KEY)
    answers = [admin.ask("PATCH", f"/api/providers/{provider_id}", {"api_key": KEY, "context_tokens": 4096})]
    answers.append(admin.test(provider_id))
    answers += [admin.refused("POST", "/api/providers", {"name": "x", "model": "y", "api_key": [KEY]})]
    answers += [admin.refused("POST", "/api/providers", {"name": "x", "model": "y", "api_key": f"{KEY} two"})]
    answers += [admin.refused("POST", "/api/providers", {"name": "x", "model": KEY * 99, "api_key": KEY})]
    with Watcher(admin.server.url, timeout_s=20 * TIMEOUT_SCALE) as viewer:
        ack = viewer.must("start_stream", {"content": TEXT})
        assert viewer.wait_for_end() == "completed"
        answers.append(viewer.events())
    paths = ["/api/providers", "/api/settings", "/api/audit", "/api/openapi.json", "/api/v1/health/ready"]
    paths += ["/api/websocket/status", "/api/websocket/sessions", "/", f"/c/{ack['conversation_id']}"]
    paths += [f"/api/conversations/{ack['conversation_id']}"]
    answers += [admin.ask("GET", path) for path in paths]
    told = repr(answers) + house[0].output()
    assert KEY not in told
    assert answers[0]["key_hint"] == KEY[-4:]
    files = [each for each in house[1].rglob("*") if each.is_file()]
    assert any(each.name == "colloquy.sqlite3" for each in files)
    assert not [each for each in files if KEY.encode() in each.read_bytes()]
    if sys.platform == "linux":
        lines = [each.read_bytes() for each in Path("/proc").glob("[0-9]*/cmdline") if each.exists()]
        assert not [line for line in lines if KEY.encode() in line]
