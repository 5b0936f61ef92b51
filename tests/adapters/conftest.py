"""What the adapters' tests share: one scripted model per module, one network per test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from app.providers.network import Network
from tests.support.model_server import ModelServer


@pytest.fixture(scope="module")
def model_process() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture
def model(model_process: ModelServer) -> ModelServer:
    """As new for each test."""
    model_process.control(reset=True)
    return model_process


@pytest.fixture
async def network() -> AsyncIterator[Network]:
    network = Network()
    yield network
    await network.aclose()
