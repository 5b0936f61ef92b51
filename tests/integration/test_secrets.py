"""No secret comes out: not in what the server writes, answers, stores or shows to other users of the machine."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg2
import pytest
from psycopg2 import sql
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.conftest import TIMEOUT_SCALE
from tests.integration.conftest import MODES
from tests.integration.doors.clients import Socket
from tests.support.postgres import PostgresMissing, PostgresServer
from tests.support.processes import ROOT
from tests.support.server import ColloquyServer
from tests.support.tokens import SECRET, token
from tests.support.waiting import wait_until
from tests.support.watcher import Watcher


def _new(kind: str) -> str:
    return f"{kind}-{uuid.uuid4().hex}"


class _Repeats(BaseHTTPRequestHandler):
    """A provider that repeats the key it was shown, as some gateways do, and refuses it."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._refuse()

    def do_GET(self) -> None:
        self._refuse()

    def _refuse(self) -> None:
        shown = next(filter(None, map(self.headers.get, ("Authorization", "api-key", "x-api-key"))), "")
        body = json.dumps({"error": {"message": f"Incorrect API key provided: {shown}", "code": "invalid_api_key"}})
        self.send_response(401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture(scope="module")
def refusing() -> Iterator[str]:
    """The address of such a provider."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Repeats)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class World:
    """A server with known secrets, and all that it was heard to say."""

    server: ColloquyServer
    secrets: dict[str, str]
    env: dict[str, str]
    postgres: PostgresServer | None
    heard: list[tuple[str, bytes]] = field(default_factory=list)
    cookie: str = ""
    proof: str = ""

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        *,
        form: bool = False,
        tells: str | None = None,
    ) -> tuple[int, Any]:
        """Ask, and keep the answer: all of it but the one secret that it is made to tell, and the session's cookie."""
        content = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Content-Type": "application/x-www-form-urlencoded" if form else "application/json"} | (headers or {})
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=20 * TIMEOUT_SCALE)
        try:
            connection.request(method, path, content, sent)
            answer = connection.getresponse()
            found, told = answer.read(), str([each for each in answer.getheaders() if each[0] != "Set-Cookie"])
        finally:
            connection.close()
        for name, value in answer.getheaders():
            if name == "Set-Cookie" and (tells == "the proof" or "X-CSRFToken" in sent):
                self.cookie = value.partition(";")[0]
                self.secrets["session cookie"] = self.cookie.partition("=")[2]
        if tells is None:
            self.heard.append((f"{answer.status} {method} {path}", found + told.encode()))
        with contextlib.suppress(ValueError):
            return answer.status, json.loads(found)
        return answer.status, found

    def mine(self, method: str, path: str, body: Any = None, **more: Any) -> tuple[int, Any]:
        """Ask as the person who has signed in."""
        return self.ask(method, path, body, {"Cookie": self.cookie, "X-CSRFToken": self.proof}, **more)

    def leaks(self, where: str, content: bytes) -> list[str]:
        """Which secrets stand in it, as they are or in another writing."""
        found = []
        for name, secret in self.secrets.items():
            raw = secret.encode()
            writings = {raw, quote(secret, safe="").encode(), base64.b64encode(raw).rstrip(b"="), raw.hex().encode()}
            for each in writings:
                at = content.find(each)
                if at >= 0:
                    around = content[max(0, at - 150) : at + 20].decode(errors="replace")
                    found.append(f"{name} in {where}: {around}")
        return found


def stores() -> list[Any]:
    """PostgreSQL in the default mode in `make test`, all of them in the matrix."""
    found = []
    for mode in MODES:
        for store in ("sqlite", "postgresql"):
            marks = () if (mode, store) == (MODES[0], "postgresql") else (pytest.mark.matrix,)
            found.append(pytest.param((mode, store), marks=marks, id=f"{mode}-{store}"))
    return found


@pytest.fixture(params=stores())
def world(request: pytest.FixtureRequest, refusing: str) -> Iterator[World]:
    mode, store = request.param
    secrets = {name: _new(name.split()[0].lower()) for name in (
        "openai key", "azure key", "anthropic key", "signing key", "database password", "login password",
        "wrong password", "new password", "stored key", "stored claude key",
    )}  # fmt: skip
    secrets["jwt secret"] = SECRET
    env = {
        "ASYNC_MODE": mode,
        "LOG_LEVEL": "debug",
        "STREAM_TOKENS_PER_S": "0",
        "OPENAI_API_KEY": secrets["openai key"],
        "OPENAI_BASE_URL": f"{refusing}/v1",
        "AZURE_OPENAI_API_KEY": secrets["azure key"],
        "AZURE_OPENAI_ENDPOINT": refusing,
        "AZURE_OPENAI_DEPLOYMENT": "some",
        "ANTHROPIC_API_KEY": secrets["anthropic key"],
        "ANTHROPIC_BASE_URL": refusing,
        "SECRET_KEY": secrets["signing key"],
        "JWT_SECRET": SECRET,
        "ADMIN_USERS": "root",
        "MAX_BAD_TOKENS_PER_MINUTE": "100000",
        "MAX_SIGN_INS_PER_MINUTE": "100000",
    }
    with contextlib.ExitStack() as opened:
        postgres = None
        if store == "postgresql":
            try:
                postgres = opened.enter_context(PostgresServer())
            except PostgresMissing as missing:
                pytest.skip(str(missing))
            address = postgres.new_database().replace("colloquy@", f"colloquy:{secrets['database password']}@")
            env["DATABASE_URL"] = address
            migrated = command(env, "migrate")
            assert migrated.returncode == 0, migrated.stderr
        server = opened.enter_context(ColloquyServer(env=env))
        env["DATA_DIR"] = server.data_dir
        yield World(server, secrets, env, postgres)


def command(env: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    """``flask colloquy``, in the same environment."""
    return subprocess.run(
        [sys.executable, "-m", "flask", "colloquy", *words],
        cwd=ROOT, env=os.environ | env, capture_output=True, text=True, timeout=60 * TIMEOUT_SCALE, check=False,
    )  # fmt: skip


def test_no_secret_comes_out(world: World) -> None:
    """Of a server that writes all it can, whose model refuses the key and repeats it, and whose database goes away."""
    sign_in(world)
    conversation = talk(world)
    at_every_door(world, conversation)
    malformed(world, conversation)
    everything_there_is(world, conversation)
    if world.postgres is not None:
        without_a_database(world, world.postgres, conversation)
    doctor = command(world.env, "doctor", "--url", world.server.url)
    world.heard.append(("doctor", (doctor.stdout + doctor.stderr).encode()))
    for pid in (world.server.pid, *world.server.children()):
        world.heard.append((f"the command line of {pid}", Path(f"/proc/{pid}/cmdline").read_bytes()))
    world.heard.append(("what is stored", stored(world)))
    given = b"".join(Path(f"/proc/{pid}/environ").read_bytes() for pid in world.server.children())
    assert b"PATH=" in given
    own = ("signing key", "jwt secret", "database password")  # an agent with a shell may show its environment
    assert not [each for each in own if each in world.secrets and world.secrets[each].encode() in given]
    world.server.stop()
    output = world.server.output_path.read_bytes()
    world.heard.append(("the server's output", output))
    assert len(world.secrets) >= 16, sorted(world.secrets)
    leaks = [each for where, content in world.heard for each in world.leaks(where, content)]
    assert not leaks, "\n".join(leaks)
    at = output.find(b"Traceback")
    assert at < 0, output[max(0, at - 500) : at + 3000].decode()


def sign_in(world: World) -> None:
    """An account, its password changed, its tokens; and somebody who comes with a JWT."""
    secrets, login = world.secrets, "ada@example.com"
    body = {"login": login, "password": secrets["login password"]}
    status, me = world.ask("POST", "/api/register", body, tells="the proof")
    assert status == 201, me
    world.proof = me["csrf_token"]
    world.ask("POST", "/api/login", {"login": login, "password": secrets["wrong password"]})
    world.ask("POST", "/api/login", {"login": {"a": 1}, "password": secrets["wrong password"]})
    world.ask("POST", "/api/register", body)
    world.ask("POST", "/login", f"login={login}&password={secrets['wrong password']}".encode(), form=True)
    change = f"current={secrets['login password']}&password={secrets['new password']}"
    assert world.mine("POST", "/account/password", change.encode(), form=True)[0] == 302
    body["password"] = secrets["new password"]
    status, me = world.ask("POST", "/api/login", body, tells="the proof")
    assert status == 200, me
    world.proof = me["csrf_token"]
    for name, scopes in (("token", ["read", "write"]), ("revoked token", ["read"])):
        status, made = world.mine("POST", "/api/tokens", {"name": name, "scopes": scopes}, tells="the token")
        assert status == 201, made
        secrets[name] = made["token"]
    world.mine("DELETE", f"/api/tokens/{made['token_id']}")
    secrets["jwt"], secrets["expired jwt"] = token(600, "root"), token(-100, "root")
    secrets["forged jwt"] = token(600, "root")[:-6] + "AAAAAA"
    root = {"Authorization": f"Bearer {secrets['jwt']}"}
    for kind, name in (("openai", "stored key"), ("anthropic", "stored claude key")):
        entered = {"name": kind + " of mine", "kind": kind, "model": "m", "base_url": world.env["OPENAI_BASE_URL"]}
        status, made = world.ask("POST", "/api/providers", entered | {"api_key": secrets[name]}, root)
        assert status == 201, made
        world.ask("POST", f"/api/providers/{made['provider_id']}/test", {}, root)


def talk(world: World) -> str:
    """A conversation whose model refuses the key, and a link to it."""
    with Watcher(world.server.url, auth={"token": world.secrets["token"]}, timeout_s=20 * TIMEOUT_SCALE) as watcher:
        started = watcher.must("start_stream", {"content": "Should we?", "team": "chat"})
        watcher.wait_for_end()
        watcher.command(world.secrets["token"], {"token": world.secrets["token"]})
        watcher.command("authenticate", {"token": world.secrets["forged jwt"]})
        watcher.command("join", {"conversation_id": started["conversation_id"], "token": world.secrets["token"]})
        world.heard.append(("events", json.dumps(watcher.events()).encode()))
    name = str(started["conversation_id"])
    status, made = world.mine("POST", f"/api/conversations/{name}/links", {"role": "viewer"}, tells="the link")
    assert status == 201, made
    world.secrets["link"] = made["url"].rpartition("/")[2]
    world.ask("GET", f"/s/{world.secrets['link']}")
    world.ask("GET", f"/s/{world.secrets['link']}x")
    return name


def at_every_door(world: World, conversation: str) -> None:
    """Each token, good or bad, at each door; as people do who have not read the manual, too."""
    base = world.server.url.replace("http", "ws")
    for name in ("token", "revoked token", "jwt", "expired jwt", "forged jwt"):
        secret = world.secrets[name]
        headers = {"Authorization": f"Bearer {secret}"}
        for path in (
            "/api/me", f"/api/conversations/{conversation}", "/api/websocket/status", "/api/websocket/sessions",
            f"/api/conversations/{conversation}/stream?until=end", "/api/v1/health/ready", "/api/nothing", "/nothing",
        ):  # fmt: skip
            world.ask("GET", path, headers=headers)
        for header in ("X-Api-Key", "Cookie", "Last-Event-ID", "X-CSRFToken"):
            world.ask(
                "GET", "/api/me", headers={header: f"colloquy_session={secret}" if header == "Cookie" else secret}
            )
        world.ask("POST", "/api/conversations", {"content": "x", "token": secret, secret: 1}, headers)
        world.ask("GET", "/api/me", headers={"Authorization": f"Basic {secret}"})
        world.ask("GET", "/api/me", headers={"Authorization": secret})
        for path in (
            f"/v1/conversation/{conversation}/stream?authorization={secret}",
            f"/v1/conversation/{conversation}/stream?authorization=Bearer%20{secret}",
            f"/v1/conversation/nothing/stream?authorization={secret}",
            f"/api/conversations/{conversation}/stream",
            "/ws/stream",
        ):
            told = {} if "?" in path else {"additional_headers": headers}
            with contextlib.suppress(InvalidStatus, ConnectionClosed, TimeoutError):
                door = Socket(base + path, **told)
                with contextlib.closing(door):
                    door.send({"type": "authenticate", "token": secret, "data": {"token": secret}, "payload": {}})
                    door.send({"type": secret})
                    door.send(secret)
                    world.heard.append(
                        (f"the first word of {path.partition('?')[0]}", json.dumps(door.receive()).encode())
                    )
    link = world.secrets["link"]
    for path in (
        "/api/me",
        f"/api/conversations/{conversation}",
        f"/api/conversations/{conversation}/stream?until=end",
    ):
        world.ask("GET", f"{path}{'&' if '?' in path else '?'}share={link}")
    with contextlib.closing(Socket(f"{base}/api/conversations/{conversation}/stream?share={link}")) as door:
        door.receive()


def malformed(world: World, conversation: str) -> None:
    """What is no request, with a token in it."""
    secret, link = world.secrets["token"], world.secrets["link"]
    for line in (
        f"GET /v1/conversation/{conversation}/stream?authorization={secret} HTTP/9.9",
        f"GET /v1/conversation/{conversation}/stream?authorization={secret} HTTP/1.1\r\nUpgrade: websocket",
        f"GET /v1/conversation/{conversation}/stream?authorization={secret}",
        f"GET /s/{link} HTTP/7.7", f"G@T /s/{link} HTTP/1.1", f"GET http://[/s/{link} HTTP/1.1",
        f"GET /api/me HTTP/1.1\r\nAuthorization: Bearer {secret}\r\nContent-Length: many",
        f"GET /api/me HTTP/1.1\r\nAuthorization: Bearer {secret}\r\nAuthorization {secret}",
        f"POST /api/login HTTP/1.1\r\nTransfer-Encoding: chunked\r\nAuthorization: Bearer {secret}\r\n\r\nzz{secret}",
        f"{secret} {secret} {secret}", secret,
        f"GET /socket.io/?EIO=4&transport=polling&token={secret} HTTP/1.1\r\nContent-Length: x",
        f"GET /api/me HTTP/1.1\r\nHost: evil.example\r\nAuthorization: Bearer {secret}",
        f"GET /api/me HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://evil.example\r\nAuthorization: Bearer {secret}",
    ):  # fmt: skip
        with socket.create_connection(("127.0.0.1", world.server.port), timeout=5 * TIMEOUT_SCALE) as raw:
            raw.sendall(line.encode() + b"\r\n\r\n")
            raw.shutdown(socket.SHUT_WR)
            said = b""
            with contextlib.suppress(OSError):
                while piece := raw.recv(65_536):
                    said += piece
        world.heard.append((f"the answer to {line.split()[0][:4]}…", said))


def everything_there_is(world: World, conversation: str) -> None:
    """All that can be read, by its owner and by an administrator."""
    root = {"Authorization": f"Bearer {world.secrets['jwt']}"}
    for path in (
        f"/api/conversations/{conversation}", f"/api/conversations/{conversation}/messages",
        f"/api/conversations/{conversation}/shares", f"/api/conversations/{conversation}/export?format=json",
        f"/api/conversations/{conversation}/export?format=html", f"/c/{conversation}", "/account", "/api/tokens",
        "/api/sign-ins", "/api/me", "/api/conversations",
    ):  # fmt: skip
        status, _ = world.mine("GET", path)
        assert status == 200, path
    for path in (
        "/api/websocket/status", "/api/websocket/sessions", "/ws/status", "/api/audit?limit=200", "/api/providers",
        "/api/settings", "/api/v1/health/ready", "/api/teams", "/api/openapi.json", "/api/asyncapi.json",
    ):  # fmt: skip
        status, _ = world.ask("GET", path, headers=root)
        assert status in (200, 503), path


def without_a_database(world: World, postgres: PostgresServer, conversation: str) -> None:
    """Who asks while it is away."""
    postgres.stop()
    try:
        body = {"login": "ada@example.com", "password": world.secrets["new password"]}
        assert world.ask("POST", "/api/login", body)[0] == 503
        for name in ("token", "jwt", "revoked token"):
            headers = {"Authorization": f"Bearer {world.secrets[name]}"}
            for path in ("/api/me", "/api/conversations", "/api/v1/health/ready", "/account", "/api/providers"):
                world.ask("GET", path, headers=headers)
        world.ask("GET", f"/s/{world.secrets['link']}")
        world.mine("POST", "/api/tokens", {"name": "x"})
        failing = command(world.env, "migrate")
        world.heard.append(("migrate", (failing.stdout + failing.stderr).encode()))
    finally:
        postgres.start()
    headers = {"Authorization": f"Bearer {world.secrets['token']}"}
    wait_until(
        lambda: world.ask("GET", "/api/conversations", headers=headers)[0] == 200, "it is back", 30 * TIMEOUT_SCALE
    )


def stored(world: World) -> bytes:
    """All that is in the database."""
    if world.postgres is None:
        files = [each for each in Path(world.server.data_dir).rglob("*") if each.is_file()]
        assert any(each.suffix == ".sqlite3" for each in files)
        return b"".join(each.read_bytes() for each in files)
    found = []
    with contextlib.closing(psycopg2.connect(world.env["DATABASE_URL"])) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
        names = [row[0] for row in cursor.fetchall()]
        assert {"users", "api_tokens", "links", "sign_ins"} <= set(names)
        for name in names:
            cursor.execute(sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(name)))
            found += [str(row[0]) for row in cursor.fetchall()]
    return "\n".join(found).encode()
