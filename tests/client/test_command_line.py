"""`flask colloquy tail | start | doctor`, as programs of their own against a real server."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from app.cli import colloquy
from app.cli.screen import harmless
from app.client import Client
from tests.conftest import TIMEOUT_SCALE
from tests.support import tokens
from tests.support.model_server import ModelServer
from tests.support.processes import ROOT
from tests.support.server import UNSET, ColloquyServer

TIMEOUT_S = 30 * TIMEOUT_SCALE
COMMAND = [sys.executable, "-m", "flask", "--app", "app", "colloquy"]


def environment(more: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in UNSET} | dict(more)


def run(*arguments: str, url: str = "", given: str | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    if url:
        env["COLLOQUY_URL"] = url
    return subprocess.run(
        [*COMMAND, *arguments],
        env=environment(env),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        input=given,
        check=False,
    )


def lines(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def conversation_of(server: ColloquyServer) -> str:
    return str(server.get("/api/conversations")["conversations"][0]["conversation_id"])


@contextmanager
def running(*arguments: str, url: str, terminal: int | None = None) -> Iterator[subprocess.Popen[str]]:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # else a child of a background job ignores Ctrl-C
    with subprocess.Popen(
        [*COMMAND, *arguments],
        env=environment({"COLLOQUY_URL": url}),
        cwd=ROOT,
        stdin=subprocess.DEVNULL if terminal is None else terminal,
        stdout=subprocess.PIPE if terminal is None else terminal,
        stderr=subprocess.PIPE if terminal is None else terminal,
        text=True,
    ) as child:
        try:
            yield child
        finally:
            if child.poll() is None:
                child.kill()


def status_of(server: ColloquyServer, conversation_id: str, *, stop: bool = True) -> str:
    """What the run is doing; one that still runs is stopped after that, so that no other test waits for it."""
    status = str(server.get(f"/api/conversations/{conversation_id}")["status"])
    if stop and status == "active":
        with Client(server.url) as client:
            client.join(conversation_id).stop()
    return status


def read_until(child: subprocess.Popen[str], name: str) -> dict[str, Any]:
    assert child.stdout is not None
    for line in child.stdout:
        event: dict[str, Any] = json.loads(line)
        if event["name"] == name:
            return event
    raise AssertionError(f"{name} did not come")


# --- start and tail ---------------------------------------------------------------------------------------------------


def test_start_streams_text_under_each_agents_name(server: ColloquyServer, model: ModelServer) -> None:
    """Text on standard output, in colours when asked; everything about it on standard error; tail shows the same."""
    model.control(tokens=5)
    started = run("start", "Are bank shares cheap?", "--color", url=server.url)
    assert started.returncode == 0, started.stderr
    assert "\x1b[1mFinancial Analyst" in started.stdout
    assert "33 %" in started.stderr
    assert "completed" in started.stderr
    conversation_id = conversation_of(server)
    followed = run("tail", conversation_id, url=server.url)
    assert followed.returncode == 0, followed.stderr
    assert "\x1b" not in followed.stdout
    said = "word1 word2 word3 word4 word5 \n"
    assert followed.stdout.startswith(f"user\nAre bank shares cheap?\nFinancial Analyst\n{said}Market Context\n{said}")
    assert followed.stdout.endswith("Summary\nThree agents have argued.\n")
    for figure in ("messages 4", "errors 0", "connection open", "reconnects 0", "position "):
        assert figure in followed.stderr


def test_json_lines_and_the_way_back_by_position(server: ColloquyServer, model: ModelServer) -> None:
    """Each line is an event as it came; the last one says where to go on."""
    model.control(tokens=5)
    told = lines(run("start", "-", "--json", url=server.url, given="Are bank shares cheap?").stdout)
    assert told[0]["name"] == "client:replaced"
    assert [each["payload"]["delta"] for each in told if each["name"] == "message_delta"]
    assert told[-1]["name"] == "client:summary"
    summary = told[-1]["payload"]
    assert (summary["status"], summary["messages"], summary["errors"]) == ("completed", 4, 0)
    epoch, _, last = summary["position"].rpartition(":")
    conversation_id = summary["conversation_id"]

    rest = lines(
        run("tail", conversation_id, "--json", "--position", f"{epoch}:{int(last) - 2}", url=server.url).stdout
    )
    assert [each["payload"]["offset"] for each in rest if "offset" in each["payload"]] == [int(last) - 1, int(last)]
    nothing = lines(run("tail", conversation_id, "--json", "--since", "0s", url=server.url).stdout)
    assert [each["name"] for each in nothing] == ["client:summary"]
    only = run("tail", conversation_id, "--json", "--since", "1h", "--type", "agent_message", url=server.url)
    assert {each["name"] for each in lines(only.stdout) if "offset" in each["payload"]} == {
        "agent_message",
        "conversation_status",
        "conversation_complete",
    }
    status = run("tail", conversation_id, "--status", url=server.url)
    assert status.returncode == 0
    assert "Risk Challenger: " in status.stdout
    assert "messages 4" in status.stderr


@pytest.mark.parametrize(("choice", "code", "status"), [("stop", 5, "stopped"), ("detach", 130, "active")])
def test_ctrl_c_stops_or_leaves(
    server: ColloquyServer, model: ModelServer, choice: str, code: int, status: str
) -> None:
    """As it was told: the run ends with us, or goes on without us."""
    model.control(tokens=2000, token_delay_ms=20)
    with running("start", "x", "--json", "--on-interrupt", choice, url=server.url) as child:
        conversation_id = read_until(child, "message_delta")["payload"]["conversation_id"]
        child.send_signal(signal.SIGINT)
        _, said = child.communicate(timeout=TIMEOUT_S)
    assert child.returncode == code, said
    assert status_of(server, conversation_id, stop=False) == status
    with running("tail", conversation_id, "--json", "--follow", url=server.url) as child:
        read_until(child, "client:replaced")
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=TIMEOUT_S)
    assert child.returncode == 130
    status_of(server, conversation_id)


@pytest.mark.parametrize(("answer", "code", "status"), [(b"y\n", 5, "stopped"), (b"n\n", 130, "active")])
def test_in_a_terminal_ctrl_c_asks(
    server: ColloquyServer, model: ModelServer, answer: bytes, code: int, status: str
) -> None:
    """And does what it is told."""
    model.control(tokens=2000, token_delay_ms=20)
    ours, theirs = pty.openpty()
    shown = b""

    def see(text: bytes) -> None:
        nonlocal shown
        while text not in shown:
            assert select.select([ours], [], [], TIMEOUT_S)[0], shown
            shown += os.read(ours, 65_536)

    with running("start", "x", url=server.url, terminal=theirs) as child:
        see(b"word5")
        child.send_signal(signal.SIGINT)
        see(b"Stop the run?")
        os.write(ours, answer)
        see(b"position ")
        assert child.wait(TIMEOUT_S) == code
    os.close(theirs)
    os.close(ours)
    assert b"\x1b[1m" in shown
    found = re.search(rb"conversation (\S+) ", shown)
    assert found is not None
    assert status_of(server, found[1].decode()) == status


def test_what_goes_wrong_has_its_exit_code(server: ColloquyServer) -> None:
    """Wrong usage 2, no server 3, refused 4; a sentence each, and never a stack trace."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nobody = f"http://127.0.0.1:{listener.getsockname()[1]}"
    failures = {
        2: run("tail", "x", "--since", "yesterday", url=server.url),
        3: run("tail", "x", url=nobody),
        4: run("tail", "nobody-knows-it", url=server.url),
    }
    for code, failed in failures.items():
        assert failed.returncode == code, failed
        assert "Traceback" not in failed.stderr
        assert failed.stdout == ""
    assert "conversation_unknown" in failures[4].stderr
    assert "doctor" in failures[3].stderr
    assert run("start", "x", "--team", "no-such-team", url=server.url).returncode == 4


def test_text_cannot_command_the_terminal() -> None:
    """Escapes and changes of direction become visible; lines, tabs and other scripts stay."""
    assert harmless("a\x1b[31mb\x07\u202ec\x9b") == "a�[31mb�� c�".replace(" ", "")
    assert harmless("Zeile\r\n\tübrigens – 日本語 🙂\n") == "Zeile\n\tübrigens – 日本語 🙂\n"


# --- doctor -----------------------------------------------------------------------------------------------------------


def diagnosis(*arguments: str, **env: str) -> tuple[int, dict[str, dict[str, str]]]:
    done = run("doctor", "--json", *arguments, **env)
    return done.returncode, {each["name"]: each for each in json.loads(done.stdout)["checks"]}


def test_doctor_of_a_running_server(server: ColloquyServer) -> None:
    """Server, readiness and sockets are looked at."""
    code, found = diagnosis(url=server.url)
    for name in ("Python", "settings", "server", "readiness", "sockets", "teams"):
        assert found[name]["verdict"] == "ok", found[name]
    assert "websocket, ping" in found["sockets"]["found"]
    assert code == (1 if any(each["verdict"] == "fail" for each in found.values()) else 0)
    shown = run("doctor", url=server.url).stdout
    assert f"  ok  server: answers at {server.url}" in shown


def test_doctor_says_what_is_wrong_and_what_mends_it() -> None:
    """Also where the settings are so wrong that no server would start."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    code, found = diagnosis(
        url=f"http://127.0.0.1:{port}", COLLOQUY_ENV="production", REDIS_URL=f"redis://127.0.0.1:{port}"
    )
    assert code == 1
    assert found["settings"]["verdict"] == "fail"
    assert "SECRET_KEY" in found["settings"]["found"]
    assert (found["server"]["verdict"], found["server"]["mend"]) == ("warn", "make run")
    assert f"port {port} is free" in found["server"]["found"]
    assert found["Redis"]["verdict"] == "fail"
    assert all(each["mend"] for each in found.values() if each["verdict"] != "ok")


def test_doctor_names_broken_teams(tmp_path: Path) -> None:
    """Without a server it builds them itself; each with its file, and none keeps it from the others."""
    (tmp_path / "typo.yaml").write_text("agents: [{name: A}]", encoding="utf-8")
    (tmp_path / "good.yaml").write_text("agents: [{name: A, prompt: b}]", encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    env = {"TEAMS_DIR": str(tmp_path), "TEAMS": "wrong=json:loads,lost=no_such_module:team", "LOCAL_MODEL": "false"}
    code, found = diagnosis(url=f"http://127.0.0.1:{port}", **env)
    assert code == 1
    assert found["teams"]["found"].endswith(", good")
    assert found["team typo"]["found"] == f"{tmp_path.name}/typo.yaml: line 1, agents[0].prompt: it is missing"
    assert "there is no module no_such_module" in found["team lost"]["found"]
    assert "cannot be built" in found["team wrong"]["found"]
    assert found["team typo"]["mend"] == f"correct {tmp_path.name}/typo.yaml"


def test_doctor_knows_a_stranger_on_the_port() -> None:
    """Something answers, and it is no Colloquy; a Redis that answers is one."""
    with answering(b"+PONG\r\n") as port:
        env = {"REDIS_URL": f"redis://127.0.0.1:{port}", "LOCAL_MODEL": "false"}
        code, found = diagnosis(url=f"http://127.0.0.1:{port}", **env)
    assert code == 1
    assert found["server"]["verdict"] == "fail"
    assert "--url" in found["server"]["mend"]
    assert found["Redis"]["verdict"] == "ok"
    assert found["model"]["verdict"] == "warn"


@contextmanager
def answering(reply: bytes) -> Iterator[int]:
    """Somebody who says the same to everybody."""

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                if connection.recv(4096):
                    connection.sendall(reply)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            thread.join()


# --- list, export, delete ---------------------------------------------------------------------------------------------


def test_what_is_stored_is_listed_exported_and_deleted(
    server: ColloquyServer, model: ModelServer, tmp_path: Any
) -> None:
    """By the words of its title; as a file; and then it is gone."""
    model.control(token_delay_ms=1, tokens=5)
    url = server.url
    assert run("start", "A zebra crossing", "--team", "chat", url=url).returncode == 0
    listed = run("list", "--search", "zebra cross", "--status", "completed", "--json", url=url)
    (row,) = lines(listed.stdout)
    assert (row["title"], row["team"], row["role"]) == ("A zebra crossing", "chat", "owner")
    assert "A zebra crossing" in run("list", "--limit", "1", url=url).stdout
    conversation_id, file = row["conversation_id"], tmp_path / "page.html"
    assert run("export", conversation_id, "--format", "html", "-o", str(file), url=url).returncode == 0
    assert "A zebra crossing" in file.read_text()
    assert run("export", conversation_id, url=url).stdout.startswith("# A zebra crossing")
    assert run("delete", conversation_id, url=url, given="n\n").returncode == 1
    assert run("delete", conversation_id, "--yes", url=url).returncode == 0
    gone = run("export", conversation_id, url=url)
    assert (gone.returncode, "conversation_unknown" in gone.stderr) == (4, True)
    assert run("list", url="http://127.0.0.1:1").returncode == 3


def test_a_token_says_who_asks(server: ColloquyServer, model: ModelServer) -> None:
    """By every command that talks to a server: what Anna starts is hers, and the guest does not find it."""
    model.control(tokens=3)

    def command(*arguments: str, code: int = 0, token: str = "") -> str:
        env = {"COLLOQUY_URL": server.url, "COLLOQUY_TOKEN": token}
        done = CliRunner().invoke(colloquy, arguments, env=env)
        assert done.exit_code == code, done.output
        return done.stdout if code == 0 else done.stderr

    annas = tokens.token()
    command("start", "A giraffe crossing", "--team", "chat", token=annas)
    (row,) = lines(command("list", "--search", "giraffe", "--json", token=annas))
    talk = row["conversation_id"]
    assert "giraffe" in command("tail", talk, "--token", annas)
    assert "giraffe" in command("export", talk, "--token", annas)
    assert command("list", "--search", "giraffe") == ""
    for refused in (("tail", talk), ("export", talk), ("delete", talk, "--yes")):
        command(*refused, code=4)
    for command_of_each_kind in (("list",), ("tail", talk)):
        assert "COLLOQUY_TOKEN" in command(*command_of_each_kind, token="nonsense", code=4), "what mends it is said"
    command("delete", talk, "--yes", token=annas)
    assert command("list", "--search", "giraffe", token=annas) == ""
