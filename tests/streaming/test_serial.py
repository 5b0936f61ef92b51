"""One thing after the other."""

from __future__ import annotations

import random
import threading

import pytest
from greenlet import GreenletExit

from app.streaming.serial import Serial
from tests.streaming.simulation import Simulation


def test_results_and_exceptions_come_back_to_the_caller() -> None:
    """As if the function had been called directly."""
    serial = Serial()
    assert serial.run(lambda: 42) == 42
    with pytest.raises(ZeroDivisionError):
        serial.run(lambda: 1 / 0)  # type: ignore[arg-type,return-value]  # it raises
    assert serial.run(lambda: "still works") == "still works"


@pytest.mark.parametrize("seed", range(20))
def test_calls_run_one_after_the_other_in_their_order(seed: int) -> None:
    """Also while one of them waits: the others neither overlap nor overtake."""
    simulation = Simulation(random.Random(seed))
    serial = Serial(simulation.condition)
    asked: list[int] = []
    done: list[int] = []
    inside: list[int] = []

    def call(number: int) -> None:
        def work() -> None:
            assert not inside
            inside.append(number)
            simulation.sleep(0.01)
            inside.remove(number)
            done.append(number)

        asked.append(number)
        serial.run(work)
        assert number in done

    for number in range(8):
        simulation.spawn(call, number)
    simulation.advance(1)
    simulation.raise_errors()
    assert len(done) == 8
    assert not simulation.waiting()


def test_first_come_first_served() -> None:
    """Without preemption, the order of the calls is the order of the work."""
    simulation = Simulation()
    serial = Serial(simulation.condition)
    done: list[int] = []

    def call(number: int) -> None:
        serial.run(lambda: (simulation.sleep(0.01), done.append(number)))

    for number in range(10):
        simulation.spawn(call, number)
    simulation.advance(1)
    assert done == list(range(10))


def test_one_callers_exception_is_not_anothers() -> None:
    """The caller that carries out the others' calls does not get their exceptions."""
    simulation = Simulation()
    serial = Serial(simulation.condition)
    first = simulation.spawn(serial.run, lambda: simulation.sleep(1))
    second = simulation.spawn(serial.run, lambda: 1 / 0)
    third = simulation.spawn(serial.run, lambda: "fine")
    simulation.advance(2)
    assert (first.error, third.error, third.result) == (None, None, "fine")
    assert isinstance(second.error, ZeroDivisionError)


@pytest.mark.parametrize("death", [GreenletExit, KeyboardInterrupt, SystemExit])
def test_a_caller_that_is_killed_at_work_does_not_block_the_others(death: type[BaseException]) -> None:
    """The object used to be left "at work" for ever, and with it the whole conversation."""
    serial = Serial()

    def die() -> None:
        raise death

    with pytest.raises(death):
        serial.run(die)
    assert serial.run(lambda: "alive") == "alive"


def test_an_attempt_does_not_wait(simulation: Simulation) -> None:
    """Where something is at work, nothing is done; else what others ask for meanwhile is carried out behind it."""
    serial = Serial(simulation.condition)
    done: list[str] = []

    def work() -> bool:
        assert not serial.attempt(lambda: bool(done.append("never")))
        simulation.sleep(1)
        done.append("first")
        return True

    simulation.spawn(lambda: done.append(f"told {serial.attempt(work)}"))
    simulation.spawn(serial.run, lambda: done.append("second"))
    simulation.advance(2)
    simulation.raise_errors()
    assert done == ["first", "second", "told True"]
    assert not serial.attempt(lambda: False)


def test_threads() -> None:
    """Real ones: no call is lost, none overlap."""
    serial = Serial()
    total = [0]

    def add() -> None:
        for _ in range(300):
            serial.run(lambda: total.__setitem__(0, total[0] + 1))

    threads = [threading.Thread(target=add) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert total == [1800]


def test_post_from_inside_comes_later_and_is_not_waited_for(simulation: Simulation) -> None:
    """So that whoever finds a dead connection while something is sent to it can say so."""
    serial, order = Serial(simulation.condition), []

    def outer() -> None:
        serial.post(lambda: order.append("inner"))
        order.append("outer")

    serial.run(outer)
    assert order == ["outer", "inner"]


def test_a_posted_failure_is_logged_and_harms_nobody(simulation: Simulation, caplog: pytest.LogCaptureFixture) -> None:
    """The next call is carried out."""
    serial = Serial(simulation.condition)

    def fail() -> None:
        raise OSError("broken")

    serial.post(fail)
    assert "broken" in caplog.text
    assert serial.run(lambda: 7) == 7
