"""A provider that fails again and again is left alone for a while, by all runs of a process."""

from __future__ import annotations

import pytest
from autogen_core.models import UserMessage

from app.errors import BackendUnavailable
from app.providers.calls import Switch
from app.providers.circuits import Circuit, Circuits
from app.providers.client import GatedModelClient
from app.runner.wire import Limits, ProviderSpec
from tests.providers.scripted import Body, Script, ScriptedRun, sse

LIMITS = Limits(circuit_failures=3, circuit_window_s=10, circuit_open_s=30)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def failing(clock: Clock, times: int, every_s: float = 1.0) -> Circuit:
    circuit = Circuit(clock)
    for _ in range(times):
        circuit.failed(LIMITS)
        clock.now += every_s
    return circuit


def test_it_opens_after_so_many_failures_in_the_window() -> None:
    """Not after fewer, nor slower ones, nor where an answer came in between, nor where nobody wants it."""
    clock = Clock()
    assert failing(clock, 2).state == "closed"
    assert failing(clock, 3).state == "open"
    assert not failing(clock, 3).admits
    assert failing(clock, 9, every_s=5.1).state == "closed"
    circuit = failing(clock, 2)
    circuit.succeeded()
    circuit.failed(LIMITS)
    assert circuit.state == "closed"
    for _ in range(9):
        circuit.failed(Limits(circuit_failures=0))
    assert circuit.state == "closed"


def test_half_open_it_lets_one_request_through() -> None:
    """Whose end decides; one that was broken off decides nothing, and one without an end is not waited for."""
    clock = Clock()
    circuit = failing(clock, 3)
    clock.now += 30
    assert circuit.state == "half_open"
    assert circuit.admits
    circuit.enter()
    assert not circuit.admits
    circuit.undecided()
    assert circuit.admits
    circuit.enter()
    circuit.failed(LIMITS)
    assert circuit.state == "open"
    clock.now += 30
    circuit.enter()
    clock.now += 30
    assert circuit.admits
    circuit.succeeded()
    assert circuit.state == "closed"


def test_a_provider_that_was_changed_begins_anew() -> None:
    """An administrator has entered another key; what nobody uses any more is forgotten."""
    circuits, spec = Circuits(Clock()), ProviderSpec(name="a", kind="openai", model="m", api_key="old")
    for _ in range(5):
        circuits.of(spec).failed(LIMITS)
    assert circuits.of(spec).state == "open"
    assert circuits.of(spec.model_copy(update={"api_key": "new"})).state == "closed"
    for number in range(300):
        circuits.of(spec.model_copy(update={"model": str(number)}))
    assert circuits.of(spec).state == "closed"


async def ask(caller: ScriptedRun) -> None:
    client = GatedModelClient(caller.run)
    async for _ in client.create_stream([UserMessage(content="Question?", source="user")]):
        pass


def reasons(caller: ScriptedRun) -> list[str]:
    return [each.reason for each in caller.entries if isinstance(each, Switch)]


async def test_runs_pass_over_it_and_say_so() -> None:
    """A further run of the process does not even ask it; when it is let through again, it answers."""
    clock, script = Clock(), Script()
    first = ScriptedRun(script, "ab")
    network = first.run.network
    network.circuits = Circuits(clock)
    for _ in range(5):
        each = ScriptedRun(script, "ab")
        each.run.network = network
        script.answers = [500, Body(sse("b answers"))]
        await ask(each)
        assert reasons(each) == ["model_server_error"]
    later = ScriptedRun(script, "ab")
    later.run.network = network
    script.answers, script.requests = [Body(sse("b answers"))], []
    await ask(later)
    assert reasons(later) == ["circuit_open"]
    assert len(script.requests) == 1
    assert network.circuits.of(later.run.providers[0]).state == "open"
    clock.now += 30
    tried = ScriptedRun(script, "ab")
    tried.run.network = network
    script.answers = [Body(sse("a answers"))]
    await ask(tried)
    assert reasons(tried) == []
    assert network.circuits.of(tried.run.providers[0]).state == "closed"


async def test_the_last_one_is_asked_all_the_same() -> None:
    """Passing it over would help nobody: it may have come back."""
    caller = ScriptedRun(Script(*[500] * 6, Body(sse("Back"))), "a")
    for _ in range(6):
        with pytest.raises(BackendUnavailable):
            await ask(caller)
    assert caller.run.network.circuits.of(caller.run.spec).state == "open"
    await ask(caller)
    assert caller.run.network.circuits.of(caller.run.spec).state == "closed"


async def test_what_is_the_requests_fault_opens_nothing() -> None:
    """A prompt that is refused says that the provider is well."""
    caller = ScriptedRun(Script(*[400] * 6, Body(sse("Fine"))), "ab")
    for _ in range(6):
        with pytest.raises(Exception, match="rejected"):
            await ask(caller)
    assert caller.run.network.circuits.of(caller.run.providers[0]).state == "closed"
