"""`flask colloquy user | token`, beside a server that runs. In this process: a program of its own takes seconds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from app.cli import colloquy
from app.cli import people as commands
from tests.client.test_command_line import run
from tests.support.http import HttpError, http_json
from tests.support.server import ColloquyServer
from tests.support.waiting import wait_until


@pytest.fixture(autouse=True)
def no_settings_of_a_developer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No `.env` file, and nothing of the models."""
    monkeypatch.setattr(commands, "_PROJECT", tmp_path)


@pytest.fixture(scope="module")
def server() -> Iterator[ColloquyServer]:
    with ColloquyServer() as running:
        yield running


def status(server: ColloquyServer, token: str) -> int:
    """What the server answers to this token."""
    try:
        http_json("GET", f"{server.url}/api/websocket/status", headers={"Authorization": f"Bearer {token}"})
    except HttpError as error:
        return error.status
    return 200


def test_people_and_tokens_by_command(server: ColloquyServer) -> None:
    """Made, listed and ended in the database; the server follows."""

    def command(*arguments: str, given: str | None = None, code: int = 0) -> str:
        done = CliRunner().invoke(colloquy, arguments, input=given, env={"DATA_DIR": server.data_dir})
        assert done.exit_code == code, done.output
        if code == 0:
            assert f"database: SQLite, {server.data_dir}" in done.stderr
        return done.stdout if code == 0 else done.stderr

    assert "administrator" in command("user", "add", "Ada@example.com", "--admin", given="correct horse battery\n")
    assert "taken" in command("user", "add", "ada@example.com", given="correct horse battery\n", code=1)
    assert "at least 8" in command("user", "add", "eve@example.com", given="short\n", code=1)
    listed = json.loads(command("user", "list", "--json"))
    assert (listed["login"], listed["admin"]) == ("ada@example.com", True)
    assert "password" not in json.dumps(listed)
    token = command("token", "create", "ada@example.com", "--admin", "--days", "1").strip()
    assert status(server, token) == 200
    row = json.loads(command("token", "list", "ada@example.com", "--json"))
    assert (row["scopes"], row["hint"]) == (["read", "write", "admin"], token[-4:])
    assert token not in json.dumps(row)
    command("token", "revoke", row["token_id"])
    wait_until(lambda: status(server, token) == 401, "the token has ended", within_s=5)
    second = command("token", "create", "ada@example.com", "--scope", "read").strip()
    assert status(server, second) == 403
    command("user", "disable", "ada@example.com")
    wait_until(lambda: status(server, second) == 401, "the person is kept out", within_s=5)
    assert "aborted" in command("user", "delete", "ada@example.com", given="n\n", code=1).lower()
    assert "deleted" in command("user", "delete", "ada@example.com", "--yes")
    assert command("user", "list") == command("token", "list") == ""
    assert "no account" in command("user", "password", "eve@example.com", given="x" * 9, code=1)
    assert "no administrator" in command("token", "create", "user_2abc", "--user-id", "--admin", code=1)


def test_a_wrong_database_is_told() -> None:
    """With a status of its own, and without the address's password."""
    env = {"DATABASE_URL": "postgresql://ada:geheim@127.0.0.1:1/none"}
    done = CliRunner().invoke(colloquy, ["user", "list"], env=env)
    assert done.exit_code == 3
    assert "geheim" not in done.output
    assert run("user", "list", DATABASE_URL="mysql://x").returncode == 2
