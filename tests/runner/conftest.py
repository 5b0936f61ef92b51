"""The scripted model server and a runner process for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.runner.harness import RunnerProcess
from tests.support.model_server import ModelServer


@pytest.fixture(scope="module")
def model_process() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture
def model(model_process: ModelServer) -> ModelServer:
    """The model server, with no behaviour left over from another test."""
    model_process.control(reset=True)
    return model_process


@pytest.fixture
async def runner() -> AsyncIterator[RunnerProcess]:
    async with RunnerProcess() as process:
        yield process
