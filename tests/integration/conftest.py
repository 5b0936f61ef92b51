"""A real server in each async mode, and a scripted model behind it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import TIMEOUT_SCALE
from tests.support.model_server import ModelServer
from tests.support.server import ColloquyServer
from tests.support.watcher import Watcher

MODES = ("eventlet", "gevent", "threading")

EVERY_MODE = {"test_control", "test_hostile_frames"}
"""Modules and tests of which `make test` runs every mode; of the others it runs the default one, and the matrix the
rest.
"""

TEXT = "Should the bank keep its dividend after this quarter?"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave to the matrix what would take `make test` too long."""
    for item in items:
        callspec = getattr(item, "callspec", None)
        if callspec is None or Path(__file__).parent not in item.path.parents:
            continue
        names = {item.path.stem, item.originalname}  # type: ignore[attr-defined]
        if not names & EVERY_MODE and any(mode in callspec.params.values() for mode in MODES[1:]):
            item.add_marker(pytest.mark.matrix)


@pytest.fixture(scope="package")
def model() -> Iterator[ModelServer]:
    """The scripted model, as an outside provider."""
    with ModelServer() as server:
        yield server


@pytest.fixture(autouse=True)
def fresh_model(request: pytest.FixtureRequest) -> None:
    """Each test begins with the model's defaults: 40 tokens a reply, 5 ms apart."""
    if "model" in request.fixturenames:
        request.getfixturevalue("model").control(reset=True, token_delay_ms=5)


@pytest.fixture(scope="package", params=MODES)
def server(request: pytest.FixtureRequest, model: ModelServer) -> Iterator[ColloquyServer]:
    """The real server, in each async mode; not paced."""
    env = {"ASYNC_MODE": request.param, "STREAM_TOKENS_PER_S": "0"}
    with ColloquyServer(model_url=model.url, env=env) as running:
        yield running


@pytest.fixture
def watcher(server: ColloquyServer) -> Iterator[Watcher]:
    """A connected client."""
    with Watcher(server.url, timeout_s=20 * TIMEOUT_SCALE) as client:
        yield client


def shared_runner(server: ColloquyServer) -> int:
    """The pid of the runner that carries the bundled teams."""
    deadline = time.monotonic() + 10 * TIMEOUT_SCALE
    while time.monotonic() < deadline:
        runners = server.get("/api/websocket/status")["runners"]
        if runners and runners[0]["ready"]:
            return int(runners[0]["pid"])
    raise TimeoutError("no runner became ready")
