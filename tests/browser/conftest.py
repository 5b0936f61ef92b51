"""The real server and a real Chromium."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.conftest import TIMEOUT_SCALE
from tests.support.model_server import ModelServer
from tests.support.server import ColloquyServer

WAIT_MS = 20_000 * TIMEOUT_SCALE


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
    with ColloquyServer(model_url=model.url, env={"STREAM_TOKENS_PER_S": "0"}) as running:
        yield running


def _is_complaint(said: Any) -> bool:
    return said.type == "error" and "net::ERR_CONNECTION_" not in said.text  # a server that was ended on purpose


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens an address in a browser of its own; the test fails on a script error, a CSP violation or a foreign request.

    ``open_page(url, **context_options)`` returns Playwright's ``Page``.
    """
    contexts = []
    complaints: list[str] = []

    def opened(url: str, **options: Any) -> Any:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        host = url.split("/")[2]
        page.on("pageerror", lambda error: complaints.append(f"script error: {error}"))
        page.on("console", lambda said: complaints.append(said.text) if _is_complaint(said) else None)
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
