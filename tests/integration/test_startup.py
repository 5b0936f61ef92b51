"""How the server starts, and what it says where it cannot."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import TIMEOUT_SCALE
from tests.support.http import http_json
from tests.support.model_server import ModelServer
from tests.support.processes import ROOT
from tests.support.server import ColloquyServer
from tests.support.waiting import wait_until
from tests.support.watcher import Watcher


def run(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    """``python run.py`` that is expected to end by itself."""
    return subprocess.run(
        [sys.executable, "run.py", *args],
        cwd=ROOT,
        env=dict(os.environ) | {"LOCAL_MODEL": "false"} | env,
        capture_output=True,
        text=True,
        timeout=30 * TIMEOUT_SCALE,
        check=False,
    )


@pytest.mark.matrix
def test_a_database_has_one_server(tmp_path: Path) -> None:
    """In production: a second one would take what runs in the first for what a dead one has left."""
    env = {"DATA_DIR": str(tmp_path), "COLLOQUY_ENV": "production", "SECRET_KEY": "0123456789abcdef" * 4}
    with ColloquyServer(env=env) as server:
        ended = run("--port", "0", **env)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert f"colloquy: another server, process {server.pid}, uses the database {tmp_path}" in ended.stderr


@pytest.mark.matrix
def test_a_second_server_leaves_alone_what_runs_in_the_first(tmp_path: Path, model: ModelServer) -> None:
    """In development it starts, and says so; when both are gone, the next one goes on with what they had."""
    model.control(reset=True, silent_after_tokens=1)
    env = {"DATA_DIR": str(tmp_path)}
    first = ColloquyServer(model_url=model.url, env=env)
    with first, Watcher(first.url) as watcher:
        started = watcher.must("start_stream", {"content": "Why?", "team": "chat"})
        watcher.wait_for_event("message_delta")
        with ColloquyServer(model_url=model.url, env=env) as second:
            assert f"another server, process {first.pid}, uses the database {tmp_path}" in second.output()
            assert "goes on where the server died" not in second.output()
        assert http_json("GET", f"{first.url}/api/conversations/{started['conversation_id']}")["status"] == "active"
        first.kill()
    model.control(reset=True)
    with ColloquyServer(model_url=model.url, env=env) as third:
        address = f"{third.url}/api/conversations/{started['conversation_id']}"
        wait_until(lambda: http_json("GET", address)["status"] == "completed", "its end", 20)


def test_a_taken_port_is_told_with_the_way_out() -> None:
    """One sentence, no stack trace."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ended = run("--port", str(taken.getsockname()[1]))
    assert ended.returncode == 1
    assert "is taken" in ended.stderr
    assert "--port" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"STREAM_LOW_WATER": "0.9"}, "STREAM_LOW_WATER"),
        ({"STREAM_TOKENS_PER_S": "fast"}, "STREAM_TOKENS_PER_S"),
        ({"COLLOQUY_COLOUR": "red"}, "COLLOQUY_COLOUR"),
        ({"COLLOQUY_ENV": "production"}, "SECRET_KEY"),
        ({"HOST": "0.0.0.0"}, "SECRET_KEY"),
        ({"TEAMS": "nonsense"}, "name=module:function"),
    ],
)
def test_a_wrong_setting_is_named(env: dict[str, str], said: str) -> None:
    """The name of the setting, in one sentence; status 2."""
    ended = run("--port", "0", **env)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def test_help_lists_every_setting() -> None:
    """With meaning and default."""
    ended = run("--help")
    assert ended.returncode == 0
    for name in ("STREAM_TOKENS_PER_S", "OPENAI_BASE_URL", "ASYNC_MODE", "--host", "--port"):
        assert name in ended.stdout


def test_no_key_is_ever_printed() -> None:
    """Neither at the start nor in an error."""
    key = "sk-this-must-stay-secret-0123456789"
    with ColloquyServer(model_url="http://127.0.0.1:9/v1", env={"OPENAI_API_KEY": key, "LOG_LEVEL": "debug"}) as server:
        with Watcher(server.url, timeout_s=20 * TIMEOUT_SCALE) as watcher:
            ack = watcher.must("start_stream", {"content": "hello", "options": {"tokens_per_s": 0}})
            watcher.wait_for_event("fallback_mode")
            assert key not in str(watcher.events())
            watcher.must("stop_stream", {"conversation_id": ack["conversation_id"]})
        assert key not in json.dumps(server.get("/api/websocket/status"))
        assert key not in server.output()


@pytest.mark.parametrize("mode", ["eventlet", "gevent"])
def test_http_is_served_where_the_socket_layer_cannot_start(tmp_path: Path, mode: str) -> None:
    """B9: the async library is broken; pages and API answer, and say so."""
    broken = tmp_path / mode
    broken.mkdir()
    (broken / "__init__.py").write_text("raise ImportError('broken on purpose')\n", encoding="utf-8")
    env = {"PYTHONPATH": str(tmp_path), "ASYNC_MODE": mode}
    with ColloquyServer(env=env) as server:
        status = server.get("/api/websocket/status")
        assert status["status"] == "unavailable"
        assert "broken on purpose" in status["error"]
        assert server.get("/api/v1/health")["status"] == "healthy"
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10 * TIMEOUT_SCALE)
        connection.request("GET", "/")
        page = connection.getresponse().read().decode()
        connection.request(
            "POST", "/api/websocket/broadcast", b'{"message": "x"}', {"Content-Type": "application/json"}
        )
        refused = connection.getresponse()
        assert refused.status == 503
        connection.close()
        assert "broken on purpose" in page
