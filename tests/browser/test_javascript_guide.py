"""docs/clients/javascript.md: its examples work, and it names all that there is."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import WAIT_MS
from tests.conftest import TIMEOUT_SCALE
from tests.support.processes import ROOT
from tests.support.server import ColloquyServer
from tests.support.tokens import token

GUIDE = (ROOT / "docs/clients/javascript.md").read_text()
EXAMPLES = dict(re.findall(r"<!-- example: (\S+) -->\n```\w+\n(.*?)```", GUIDE, re.DOTALL))
TYPES = (ROOT / "static/js/colloquy.d.ts").read_text()

expect.set_options(timeout=WAIT_MS)


def run_in_node(name: str, server: ColloquyServer) -> str:
    """What an example of the guide prints, run in the project's folder."""
    node = shutil.which("node")
    assert node, "Node.js is missing"
    ended = subprocess.run(
        [node, "--input-type=module", "-", server.url],
        input=EXAMPLES[name],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30 * TIMEOUT_SCALE,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.browser
def test_the_example_page_shows_a_conversation(open_page: Callable[..., Any], server: ColloquyServer) -> None:
    """Served by the real server's side, as a file of one's own would be."""
    page = open_page(f"{server.url}/websocket-test")
    page.route("**/example.html", lambda route: route.fulfill(content_type="text/html", body=EXAMPLES["page.html"]))
    page.goto(f"{server.url}/example.html")
    expect(page.locator("#status")).to_have_text("completed")
    expect(page.locator("#messages p")).to_have_count(4)
    expect(page.locator("#messages p").nth(1)).to_contain_text("Financial Analyst: ")


def test_the_example_in_node_follows_to_the_end(server: ColloquyServer) -> None:
    """All three agents, then the outcome."""
    printed = run_in_node("follow.mjs", server)
    assert re.findall(r"^— (.*)$", printed, re.MULTILINE)[1:] == [
        "Financial Analyst",
        "Market Context",
        "Risk Challenger",
    ]
    assert printed.endswith("completed They agree to disagree.\n")


def test_the_offline_example_queues_and_sends(server: ColloquyServer) -> None:
    """Typed before the connection stood, it waits in sight, and is sent."""
    printed = run_in_node("offline.mjs", server).splitlines()
    assert printed == ["waiting: [ 'Typed before the connection stood' ]", "waiting: []", "started: true"]


class TokenService(BaseHTTPRequestHandler):
    """Stands in for what the reader has: it knows that Anna has signed in."""

    def do_GET(self) -> None:
        body = json.dumps({"token": token(who="anna")}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


def test_the_token_example_connects(server: ColloquyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hook is asked, and its answer taken."""
    with HTTPServer(("127.0.0.1", 0), TokenService) as service:
        serving = threading.Thread(target=service.serve_forever)
        serving.start()
        monkeypatch.setenv("TOKEN_SERVICE", f"http://127.0.0.1:{service.server_port}")
        try:
            assert run_in_node("auth.mjs", server) == "open\n"
        finally:
            service.shutdown()
            serving.join()


def test_every_example_is_run() -> None:
    """One that nobody runs would rot."""
    assert set(EXAMPLES) == {"page.html", "follow.mjs", "offline.mjs", "auth.mjs"}


@pytest.mark.parametrize("interface", ["ClientOptions", "JoinOptions", "StreamHooks", "StreamMetrics"])
def test_the_guide_names_all_that_there_is(interface: str) -> None:
    """Each option, hook and figure of the types stands in a table."""
    (body,) = re.findall(rf"export interface {interface} \{{\n(.*?)^\}}", TYPES, re.DOTALL | re.MULTILINE)
    names = re.findall(r"^  (\w+)\??:", body, re.MULTILINE)
    assert len(names) > 3
    table_names = {
        name for row in re.findall(r"^\| ([^|]*) \|", GUIDE, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }
    assert not [name for name in names if name not in table_names]


def test_the_guide_names_every_code_of_the_client() -> None:
    """As static/js/errors.js lists them."""
    source = (ROOT / "static/js/errors.js").read_text()
    own = re.findall(r'"(\w+)"', source.split("// the client's own")[1].split("});")[0])
    assert len(own) > 5
    assert not [code for code in own if f"| `{code}` |" not in GUIDE]
