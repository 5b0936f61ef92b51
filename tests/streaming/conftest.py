"""A session among stand-ins, in virtual time."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.streaming.fakes import FakeRunners, RecordingTransport
from tests.streaming.simulation import Simulation
from tests.streaming.stage import Stage


@pytest.fixture
def simulation() -> Simulation:
    return Simulation()


@pytest.fixture
def transport(simulation: Simulation) -> RecordingTransport:
    return RecordingTransport(simulation)


@pytest.fixture
def runners(simulation: Simulation) -> FakeRunners:
    return FakeRunners(simulation)


@pytest.fixture
def make_stage() -> Iterator[Callable[..., Stage]]:
    """Makes sessions; at the end, no background task may have failed."""
    made: list[Stage] = []

    def make(**options: object) -> Stage:
        made.append(Stage(**options))  # type: ignore[arg-type]  # passed on as they are
        return made[-1]

    yield make
    for stage in made:
        stage.simulation.raise_errors()


@pytest.fixture
def stage(make_stage: Callable[..., Stage]) -> Stage:
    """A session of unlimited pace that has begun, with its run launched and one reader."""
    stage = make_stage(tokens_per_s=0)
    stage.begin()
    return stage
