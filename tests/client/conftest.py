"""A real server with a scripted model, and a forwarder in front of it that can be cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from app.client import Client, ConversationStream, Happening, Replaced
from tests.client.forwarder import Forwarder
from tests.conftest import TIMEOUT_SCALE
from tests.support.model_server import ModelServer
from tests.support.server import ColloquyServer
from tests.support.tokens import SECRET

TIMEOUT_S = 20 * TIMEOUT_SCALE


@pytest.fixture(scope="package")
def model() -> Iterator[ModelServer]:
    """The scripted model, as an outside provider."""
    with ModelServer() as server:
        yield server


@pytest.fixture(scope="package")
def server(model: ModelServer) -> Iterator[ColloquyServer]:
    """The real server, not paced."""
    with ColloquyServer(model_url=model.url, env={"STREAM_TOKENS_PER_S": "0", "JWT_SECRET": SECRET}) as running:
        yield running


@pytest.fixture(autouse=True)
def fresh_model(request: pytest.FixtureRequest) -> None:
    """Each test begins with the model's defaults: 40 tokens a reply, 2 ms apart."""
    if "model" in request.fixturenames:
        request.getfixturevalue("model").control(reset=True, token_delay_ms=2)


@pytest.fixture
def forwarder(server: ColloquyServer) -> Iterator[Forwarder]:
    """The way to the server, which can be cut."""
    with Forwarder(server.port) as way:
        yield way


@pytest.fixture
def connect() -> Iterator[Callable[..., Client]]:
    """Makes connected clients that come back quickly, and closes them."""
    with ExitStack() as stack:

        def make(url: str, **options: Any) -> Client:
            quick = {"reconnection_delay_s": 0.02, "reconnection_delay_max_s": 0.2, "timeout_s": TIMEOUT_S}
            return stack.enter_context(Client(url, **{**quick, **options}))

        yield make


def read(stream: ConversationStream) -> list[Happening]:
    """Everything up to the end of the run."""
    return list(stream.events(TIMEOUT_S))


def check_story(happenings: list[Happening]) -> None:
    """Fail where what a reader was told has a hole, a double or a wrong order."""
    assert happenings
    assert isinstance(happenings[0].body, Replaced)
    at = happenings[0].body.state.offset
    for happening in happenings[1:]:
        if isinstance(happening.body, Replaced):
            at = happening.body.state.offset
        elif happening.offset is not None:
            assert happening.payload["prev_offset"] == at, f"{happening.name} does not follow on {at}"
            at = happening.offset


def same_as_server(stream: ConversationStream, server: ColloquyServer) -> None:
    """Fail where the stream holds something else than the server."""
    held = stream.state.model_dump(mode="json", by_alias=True)
    assert held == server.get(f"/api/conversations/{stream.conversation_id}")
