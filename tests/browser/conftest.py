"""The real server and a real Chromium."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any, Self

import pytest

from tests.chaos.proxy import FaultProxy
from tests.conftest import TIMEOUT_SCALE
from tests.support.model_server import ModelServer
from tests.support.server import ROOT, ColloquyServer
from tests.support.tokens import SECRET
from tests.support.workshop import HOSTILE

WAIT_MS = 20_000 * TIMEOUT_SCALE


class Wire:
    """A way to the server that can be cut, for a browser. A context manager; safe to use from any thread."""

    def __init__(self, server: ColloquyServer) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._proxy = FaultProxy(server.port)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._proxy.__aenter__(), self._loop).result(10)
        return self

    def __exit__(self, *exception: Any) -> None:
        asyncio.run_coroutine_threadsafe(self._proxy.__aexit__(None, None, None), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    @property
    def url(self) -> str:
        """The server's address, by this way."""
        return self._proxy.url

    def cut(self) -> None:
        """No connection stands, and none can be made."""
        self._run(self._proxy.refuse)
        self._run(self._proxy.reset)

    def mend(self) -> None:
        """Connections can be made again."""
        self._run(self._proxy.accept)

    def _run(self, act: Callable[[], None]) -> None:
        async def acted() -> None:
            act()

        asyncio.run_coroutine_threadsafe(acted(), self._loop).result(10)


@pytest.fixture
def wire(server: ColloquyServer) -> Iterator[Wire]:
    """A way to the package's server."""
    with Wire(server) as way:
        yield way


@pytest.fixture(scope="package")
def model() -> Iterator[ModelServer]:
    """The scripted model, as an outside provider."""
    with ModelServer() as server:
        yield server


@pytest.fixture(autouse=True)
def fresh_model(model: ModelServer) -> None:
    """Each test begins with the model's defaults."""
    model.control(reset=True, token_delay_ms=5)


@pytest.fixture(scope="package")
def server(model: ModelServer) -> Iterator[ColloquyServer]:
    """The real server in its default mode, with a scripted model; not paced."""
    with ColloquyServer(model_url=model.url, env={"STREAM_TOKENS_PER_S": "0", "JWT_SECRET": SECRET}) as running:
        yield running


@pytest.fixture(scope="package")
def shop(model: ModelServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ColloquyServer]:
    """A server with the team of tests/support/workshop.py and teams from files, where people may register."""
    files = tmp_path_factory.mktemp("teams")
    agents = [{"name": "Pro <b>", "emoji": "👍", "description": HOSTILE, "prompt": "Be for it."}]
    hostile = {"name": "A <i>round</i>", "description": HOSTILE, "agents": agents}
    (files / "hostile.json").write_text(json.dumps(hostile))
    (files / "broken.yaml").write_text("name: Broken\nagents:\n  - name: Nobody\n")
    env = {"TEAMS": "workshop=tests.support.workshop:team", "PYTHONPATH": str(ROOT), "REGISTRATION": "open"}
    env |= {"TEAMS_DIR": str(files), "STREAM_TOKENS_PER_S": "0", "MODEL_PRICES": "openai=3/15"}
    with ColloquyServer(model_url=model.url, env=env) as running:
        yield running


def play(page: Any, scenes: str) -> None:
    """Ask the workshop's team for scenes, on the page."""
    page.locator('[data-team="workshop"]').click()
    page.get_by_test_id("content-input").fill(scenes)
    page.get_by_test_id("start-conversation").click()


def _is_complaint(said: Any, refusals: bool) -> bool:
    if refusals and "responded with a status of" in said.text:
        return False  # the browser's own words on what was refused on purpose
    return said.type == "error" and "net::ERR_" not in said.text  # a server that was ended, or cut off, on purpose


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens an address in a browser of its own; the test fails on a script error, a CSP violation or a foreign request.

    ``open_page(url, **context_options)`` returns Playwright's ``Page``. With ``refusals``, requests may be refused.
    """
    contexts = []
    complaints: list[str] = []

    def opened(url: str, *, refusals: bool = False, **options: Any) -> Any:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        host = url.split("/")[2]
        page.on("pageerror", lambda error: complaints.append(f"script error: {error}"))
        page.on(
            "console",
            lambda said: complaints.append(f"{said.text} {said.location}") if _is_complaint(said, refusals) else None,
        )
        page.on(
            "request",
            lambda request: (
                complaints.append(f"foreign request: {request.url}")
                if host not in request.url and not request.url.startswith(("data:", "blob:"))
                else None
            ),
        )
        page.goto(url)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not complaints, complaints
