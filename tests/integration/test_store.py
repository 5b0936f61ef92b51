"""The database behind a real server: PostgreSQL and SQLite, there, away, full, locked, gone."""

from __future__ import annotations

import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from websockets.sync.client import connect

from app.store import migration
from app.store.base import MessageQuery
from tests.conftest import TIMEOUT_SCALE
from tests.integration.conftest import MODES, TEXT
from tests.support.model_server import ModelServer
from tests.support.postgres import PostgresServer
from tests.support.processes import ROOT
from tests.support.server import ColloquyServer
from tests.support.stored import migrated, missing, store_at
from tests.support.waiting import wait_until
from tests.support.watcher import Watcher, check_chain, logged, tokens_of

LIVE = 20
TOKENS = 3 * 40  # of a debate


def watching(server: ColloquyServer) -> Watcher:
    return Watcher(server.url, timeout_s=40 * TIMEOUT_SCALE)


def storage(server: ColloquyServer) -> dict[str, Any]:
    found: dict[str, Any] = server.get("/api/websocket/status")["store"]
    return found


def first_storage(server: ColloquyServer, door: str) -> dict[str, Any]:
    """What a plain WebSocket is told of the store when it comes."""
    with connect(f"ws://127.0.0.1:{server.port}{door}", proxy=None) as websocket:
        while True:
            message = json.loads(websocket.recv(20 * TIMEOUT_SCALE))
            if message["type"] == "storage":
                found: dict[str, Any] = message.get("data", message)
                return found


def without_place(snapshot: dict[str, Any]) -> dict[str, Any]:
    """A restart begins a new log."""
    return {name: value for name, value in snapshot.items() if name not in ("epoch", "offset")}


@pytest.mark.parametrize("mode", MODES)
def test_a_conversation_outlives_the_server_in_postgresql(
    mode: str, model: ModelServer, postgres: PostgresServer
) -> None:
    """As it was, and found again by its words."""
    env = {"ASYNC_MODE": mode, "STREAM_TOKENS_PER_S": "0", "DATABASE_URL": migrated(postgres)}
    with ColloquyServer(model_url=model.url, env=env) as server:
        with watching(server) as watcher:
            ack = watcher.must("start_stream", {"content": TEXT})
            assert watcher.wait_for_end() == "completed"
        path = f"/api/conversations/{ack['conversation_id']}"
        before = server.get(path)
        assert "data: postgresql://colloquy@127.0.0.1" in server.output()
    with ColloquyServer(model_url=model.url, env=env) as server:
        assert without_place(server.get(path)) == without_place(before)
        found = server.get("/api/conversations?search=dividend")["conversations"]
        assert [row["conversation_id"] for row in found] == [ack["conversation_id"]]


@pytest.mark.parametrize("mode", MODES)
def test_an_outage_costs_neither_the_watchers_nor_the_store_anything(
    mode: str, model: ModelServer, postgres: PostgresServer
) -> None:
    """PostgreSQL dies under 20 live conversations, which end without it; 5 s after it is back all is there."""
    model.control(token_delay_ms=20)
    url = migrated(postgres)
    env = {"ASYNC_MODE": mode, "STREAM_TOKENS_PER_S": "0", "DATABASE_URL": url}
    with ColloquyServer(model_url=model.url, env=env) as server, watching(server) as watcher:
        acks = [watcher.must("start_stream", {"content": TEXT}) for _ in range(LIVE)]
        watcher.wait_for_tokens(LIVE * 10)
        postgres.stop()
        try:
            assert tokens_of(watcher.events()) < LIVE * TOKENS, "they have ended before the outage"
            for ack in acks:
                assert watcher.wait_for_end(ack["session_id"]) == "completed"
            told = watcher.wait_for_event("storage", state="unavailable")
            assert told["message"].startswith("the database failed: ")
            with watching(server) as late:
                assert late.wait_for_event("storage")["state"] == "unavailable"
            for door in ("/ws/stream", f"/v1/conversation/{acks[0]['conversation_id']}/stream"):
                assert first_storage(server, door)["state"] == "unavailable"
            ready = server.get("/api/v1/health/ready")
            assert (ready["status"], ready["checks"]["store"]["ok"]) == ("degraded", False)
            assert storage(server)["waiting"] == LIVE
        finally:
            postgres.start()
        store, back_at = store_at(url), time.monotonic()
        shown = [server.get(f"/api/conversations/{ack['conversation_id']}") for ack in acks]
        wait_until(lambda: not any(missing(store, each) for each in shown), "the last message", within_s=10)
        assert time.monotonic() - back_at < 5 * TIMEOUT_SCALE
        watcher.wait_for_event("storage", state="ok")
        for ack in acks:
            mine = [event for event in watcher.events() if event[1].get("conversation_id") == ack["conversation_id"]]
            # the library's client hands each packet to a thread of its own: at this rate some overtake others there
            check_chain(sorted(logged(mine), key=lambda event: event[1]["prev_offset"]), ack["offset"])
            assert tokens_of(mine) == TOKENS
        assert {name: storage(server)[name] for name in ("waiting", "lost", "refused")} == {
            "waiting": 0,
            "lost": 0,
            "refused": 0,
        }


def test_the_text_so_far_is_there_after_kill_9(model: ModelServer, tmp_path: Path) -> None:
    """All but the last second of a message that was being written."""
    model.control(token_delay_ms=20, tokens=1000)
    url = f"sqlite:///{tmp_path / 'store.sqlite3'}"
    with ColloquyServer(model_url=model.url, env={"STREAM_TOKENS_PER_S": "0", "DATABASE_URL": url}) as server:
        with watching(server) as watcher:
            ack = watcher.must("start_stream", {"content": TEXT})
            watcher.wait_for_tokens(100)
            server.kill()
            seen = watcher.events("message_delta")
        (message,) = (
            each.view
            for each in store_at(url).messages(ack["conversation_id"], MessageQuery()).messages
            if each.view.role == "agent"
        )
        assert message.state == "open"
        text = "".join(payload["delta"] for _, payload in seen)
        assert text.startswith(message.content) or message.content.startswith(text)
        assert len(message.content.split()) > 20


def test_a_locked_database_does_not_hold_up_the_end(model: ModelServer, tmp_path: Path) -> None:
    """The server ends in its three seconds, and leaves no process behind."""
    model.control(token_delay_ms=20)
    file = tmp_path / "store.sqlite3"
    env = {"STREAM_TOKENS_PER_S": "0", "DATABASE_URL": f"sqlite:///{file}"}
    with ColloquyServer(model_url=model.url, env=env) as server, watching(server) as watcher:
        watcher.must("start_stream", {"content": TEXT})
        watcher.wait_for_tokens(5)
        with locked(server, file):
            began = time.monotonic()
            server.signal(signal.SIGTERM)
            assert server.wait(10 * TIMEOUT_SCALE) == 0
            assert time.monotonic() - began < 3 * TIMEOUT_SCALE


@contextmanager
def locked(_: ColloquyServer, file: Path) -> Iterator[None]:
    """Another program writes, and does not come to an end."""
    connection = sqlite3.connect(file, isolation_level=None)
    try:
        connection.execute("BEGIN EXCLUSIVE")
        yield
    finally:
        connection.close()


@contextmanager
def full(server: ColloquyServer, _: Path) -> Iterator[None]:
    """The server's files may not grow any more."""
    _, hard = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (8192, hard))
    try:
        yield
    finally:
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, hard))


@contextmanager
def gone(_: ColloquyServer, file: Path) -> Iterator[None]:
    """The folder is gone, as with its mount."""
    aside = file.parent.with_name(f"{file.parent.name}-aside")
    file.parent.rename(aside)
    try:
        yield
    finally:
        aside.rename(file.parent)


@contextmanager
def read_only(_: ColloquyServer, file: Path) -> Iterator[None]:
    """Nobody may write the file, nor into its folder."""
    file.chmod(0o400)
    file.parent.chmod(0o500)
    try:
        yield
    finally:
        file.parent.chmod(0o700)
        file.chmod(0o600)


@pytest.mark.parametrize(
    ("trouble", "says"),
    [
        (locked, "locked"),
        (full, "full"),
        pytest.param(gone, "cannot be opened", marks=pytest.mark.matrix),
        pytest.param(read_only, "may only be read", marks=pytest.mark.matrix),
    ],
)
def test_streaming_goes_on_whatever_happens_to_the_file(
    trouble: Callable[[ColloquyServer, Path], Any], says: str, model: ModelServer, tmp_path: Path
) -> None:
    """Everybody is told in a clear sentence; when it is over, nothing is missing."""
    model.control(token_delay_ms=10)
    folder = tmp_path / "database"
    folder.mkdir()
    url = f"sqlite:///{folder / 'colloquy.sqlite3'}"
    # root is stopped by no permission, unless it gives that power away
    mortal = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.geteuid() == 0 else ()
    env = {"STREAM_TOKENS_PER_S": "0", "DATABASE_URL": url}
    with ColloquyServer(model_url=model.url, env=env, prefix=mortal) as server, watching(server) as watcher:
        ack = watcher.must("start_stream", {"content": TEXT})
        watcher.wait_for_tokens(5)
        with trouble(server, folder / "colloquy.sqlite3"):
            told = watcher.wait_for_event("storage", state="unavailable")
            assert says in told["message"]
            assert str(folder) not in told["message"]
            assert watcher.wait_for_end() == "completed"
            other = watcher.must("start_stream", {"content": TEXT})
            assert watcher.wait_for_end(other["session_id"]) == "completed"
        store = store_at(url)
        shown = [server.get(f"/api/conversations/{each['conversation_id']}") for each in (ack, other)]
        wait_until(lambda: not any(missing(store, each) for each in shown), "the last message")
        watcher.wait_for_event("storage", state="ok")


def test_a_server_starts_without_its_database_and_finds_it_later(model: ModelServer, postgres: PostgresServer) -> None:
    """The start-up lines say so; what was said meanwhile is there in the end."""
    url = migrated(postgres)
    env = {"STREAM_TOKENS_PER_S": "0", "DATABASE_URL": url}
    postgres.stop()
    try:
        with ColloquyServer(model_url=model.url, env=env) as server, watching(server) as watcher:
            assert "storage: unavailable, and tried again: " in server.output()
            ack = watcher.must("start_stream", {"content": TEXT})
            assert watcher.wait_for_end() == "completed"
            postgres.start()
            watcher.wait_for_event("storage", state="ok")
            shown = server.get(f"/api/conversations/{ack['conversation_id']}")
            store = store_at(url)
            wait_until(lambda: not missing(store, shown), "the conversation")
    finally:
        if not postgres.running:
            postgres.start()


def command(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=60 * TIMEOUT_SCALE,
        check=False,
    )


@pytest.mark.matrix
def test_postgresql_has_to_be_migrated_first(postgres: PostgresServer) -> None:
    """The server names the command and ends; the command says what it did; the doctor sees both."""
    url = postgres.new_database().replace("colloquy@", "colloquy:s3cret@")
    refused = command("run.py", "--port", "0", DATABASE_URL=url, LOCAL_MODEL="false")
    assert refused.returncode == 2
    assert "run `flask colloquy migrate` first" in refused.stderr
    flask = ("-m", "flask", "--app", "app", "colloquy")
    sick = command(*flask, "doctor", "--url", "http://127.0.0.1:9", DATABASE_URL=url)
    assert "fail  database: postgresql://colloquy:***@127.0.0.1" in sick.stdout
    assert "mend: flask colloquy migrate" in sick.stdout
    first = command(*flask, "migrate", DATABASE_URL=url)
    newest = ScriptDirectory.from_config(migration.config()).get_current_head()
    assert (first.returncode, f"from empty to {newest}" in first.stdout) == (0, True), first.stderr
    assert "nothing to do" in command(*flask, "migrate", DATABASE_URL=url).stdout
    healthy = command(*flask, "doctor", "--url", "http://127.0.0.1:9", DATABASE_URL=url)
    assert "  ok  database: postgresql://colloquy:***@127.0.0.1" in healthy.stdout
    for each in (refused, sick, first, healthy):
        assert "s3cret" not in each.stdout + each.stderr


def test_a_wrong_address_is_a_sentence(free_port: Callable[[], int]) -> None:
    """Without what was given: it may hold a password."""
    ended = command("run.py", "--port", "0", DATABASE_URL="mysql://me:s3cret@host/name")
    assert ended.returncode == 2
    assert ended.stderr.strip().startswith("colloquy: DATABASE_URL: only SQLite and PostgreSQL are supported")
    assert "s3cret" not in ended.stderr
