"""The token buffer: marks, blocking, chunks, metrics, threads."""

from __future__ import annotations

import random
import threading

import pytest

from app.streaming.buffer import BufferClosed, BufferFull, BufferMetrics, TokenBuffer
from tests.streaming.simulation import Simulation


def a_buffer(simulation: Simulation | None = None, capacity: int = 10, high: int = 8, low: int = 3) -> TokenBuffer[str]:
    return TokenBuffer(capacity, high, low, (simulation or Simulation()).condition)


@pytest.mark.parametrize(("capacity", "high", "low"), [(10, 3, 3), (10, 11, 3), (10, 5, -1), (10, 3, 5), (0, 0, 0)])
def test_marks_out_of_order_are_refused(capacity: int, high: int, low: int) -> None:
    """0 <= low < high <= capacity."""
    with pytest.raises(ValueError, match="marks"):
        TokenBuffer(capacity, high, low)


def test_first_in_first_out() -> None:
    """Items come out in order, with what they count."""
    buffer = a_buffer()
    buffer.put("a")
    buffer.put("b", 0)
    buffer.put("c", 2)
    assert len(buffer) == 3
    assert buffer.tokens == 3
    assert buffer.fill == 0.3
    assert buffer.get_chunk() == [("a", 1), ("b", 0), ("c", 2)]
    assert buffer.get_chunk() == []


@pytest.mark.parametrize(
    ("max_tokens", "expected"),
    [(None, ["a", "b", "c", "d"]), (0, ["a"]), (1, ["a"]), (2, ["a"]), (3, ["a", "b"]), (4, ["a", "b", "c", "d"])],
)
def test_a_chunk_stops_before_its_sum_exceeds_the_wanted(max_tokens: int | None, expected: list[str]) -> None:
    """But it holds at least one item, and what is no token comes along."""
    buffer = a_buffer()
    for item, tokens in (("a", 1), ("b", 2), ("c", 1), ("d", 0)):
        buffer.put(item, tokens)
    assert [item for item, _ in buffer.get_chunk(max_tokens)] == expected


def test_an_item_larger_than_the_wanted_chunk_comes_alone() -> None:
    """Merged pieces cannot be cut; nobody waits for ever for a smaller one."""
    buffer = a_buffer()
    buffer.put("long", 7)
    buffer.put("next")
    assert buffer.get_chunk(2) == [("long", 7)]


def test_the_inlet_closes_at_the_high_and_opens_at_the_low_water_mark() -> None:
    """Once per crossing: in between it stays as it was."""
    buffer = a_buffer()
    for number in range(7):
        buffer.put(str(number))
        assert buffer.inlet_open
    buffer.put("7")
    assert not buffer.inlet_open
    buffer.get_chunk(4)
    assert (buffer.tokens, buffer.inlet_open) == (4, False)
    buffer.get_chunk(1)
    assert (buffer.tokens, buffer.inlet_open) == (3, True)
    buffer.put("8", 4)
    assert (buffer.tokens, buffer.inlet_open) == (7, True)
    assert buffer.metrics.waits == 1


def test_put_blocks_at_the_high_water_mark_until_the_low_one() -> None:
    """Not at the capacity, and not until there is room for one: until the buffer has drained."""
    simulation = Simulation()
    buffer = a_buffer(simulation)
    for number in range(8):
        buffer.put(str(number))
    waiting = simulation.spawn(buffer.put, "8")
    simulation.settle()
    assert not waiting.done
    buffer.get_chunk(4)
    simulation.settle()
    assert (waiting.done, buffer.tokens) == (False, 4)
    buffer.get_chunk(1)
    simulation.settle()
    assert (waiting.done, buffer.tokens) == (True, 4)


def test_a_blocked_large_item_waits_until_it_fits() -> None:
    """An open inlet is not enough."""
    simulation = Simulation()
    buffer = a_buffer(simulation)
    buffer.put("a", 7)
    waiting = simulation.spawn(buffer.put, "large", 9)
    simulation.settle()
    assert not waiting.done
    buffer.get_chunk()
    simulation.settle()
    assert waiting.done
    assert buffer.get_chunk() == [("large", 9)]


def test_without_blocking_only_the_capacity_refuses() -> None:
    """The high-water mark alone does not: its sender was told to stop, and what is on its way must find room."""
    buffer = a_buffer()
    for number in range(10):
        buffer.put(str(number), block=False)
    with pytest.raises(BufferFull):
        buffer.put("11", block=False)
    buffer.put("no token", 0, block=False)
    assert buffer.tokens == 10


def test_what_is_no_token_always_fits() -> None:
    """Also into a closed inlet, while others wait."""
    buffer = a_buffer()
    buffer.put("a", 10, block=False)
    buffer.put("status", 0)
    assert len(buffer) == 2


def test_an_item_that_never_fits_is_a_mistake() -> None:
    """Waiting for it would never end."""
    with pytest.raises(ValueError, match="never fits"):
        a_buffer().put("huge", 11)


def test_put_gives_up_after_its_timeout() -> None:
    """Nothing was added."""
    simulation = Simulation()
    buffer = a_buffer(simulation)
    buffer.put("a", 8)
    with pytest.raises(BufferFull):
        buffer.put("b", timeout_s=2.5)
    assert (simulation.now, buffer.tokens) == (2.5, 8)


def test_get_waits_for_the_first_item() -> None:
    """Not at all, so long, or for ever."""
    simulation = Simulation()
    buffer = a_buffer(simulation)
    assert buffer.get_chunk() == []
    assert simulation.now == 0
    assert buffer.get_chunk(timeout_s=3) == []
    assert simulation.now == 3
    simulation.spawn(lambda: (simulation.sleep(1), buffer.put("a")))
    assert buffer.get_chunk(timeout_s=None) == [("a", 1)]
    assert simulation.now == 4


def test_close_wakes_everybody() -> None:
    """Who puts is refused; who gets takes what is left, then nothing."""
    simulation = Simulation()
    buffer = a_buffer(simulation)
    buffer.put("a", 8)
    putting = simulation.spawn(buffer.put, "b")
    simulation.settle()
    buffer.close()
    simulation.settle()
    assert isinstance(putting.error, BufferClosed)
    with pytest.raises(BufferClosed):
        buffer.put("c", 0, block=False)
    assert buffer.closed
    assert buffer.get_chunk(timeout_s=None) == [("a", 8)]
    assert buffer.get_chunk(timeout_s=None) == []


def test_closing_wakes_a_getter() -> None:
    """It learns that nothing will come."""
    simulation = Simulation()
    buffer = a_buffer(simulation)
    getting = simulation.spawn(lambda: buffer.get_chunk(timeout_s=None))
    simulation.settle()
    buffer.close()
    simulation.settle()
    assert getting.result == []


def test_metrics() -> None:
    """Peak fill, waits, and what went through."""
    buffer = a_buffer()
    for _ in range(3):
        buffer.put("a", 8, block=False)
        buffer.put("b", 1, block=False)
        buffer.get_chunk()
    assert buffer.metrics == BufferMetrics(peak_tokens=9, put_tokens=27, got_tokens=27, waits=3)


@pytest.mark.parametrize("seed", range(25))
def test_several_producers_and_consumers_in_every_order(seed: int) -> None:
    """Nothing is lost or doubled, each producer's items stay in order, and nobody waits for ever."""
    choices = random.Random(seed)
    simulation = Simulation(choices)
    buffer: TokenBuffer[tuple[int, int]] = TokenBuffer(10, 8, 3, simulation.condition)
    got: list[tuple[int, int]] = []

    def produce(who: int) -> None:
        for number in range(40):
            buffer.put((who, number), choices.randint(0, 5))

    def consume() -> None:
        while chunk := buffer.get_chunk(choices.choice([None, 1, 3, 20]), timeout_s=None):
            assert buffer.tokens <= buffer.capacity
            got.extend(item for item, _ in chunk)

    producers = [simulation.spawn(produce, who) for who in range(3)]
    consumers = [simulation.spawn(consume) for _ in range(2)]
    simulation.settle()
    assert all(each.done for each in producers)
    buffer.close()
    simulation.settle()
    simulation.raise_errors()
    assert all(each.done for each in consumers)
    assert sorted(got) == [(who, number) for who in range(3) for number in range(40)]


def test_threads() -> None:
    """Real ones, with real conditions: what was put is got, in each producer's order, and the marks hold."""
    buffer: TokenBuffer[tuple[int, int]] = TokenBuffer(50, 40, 15)
    got: list[tuple[int, int]] = []

    def produce(who: int) -> None:
        for number in range(2000):
            buffer.put((who, number))

    def consume() -> None:
        while chunk := buffer.get_chunk(7, timeout_s=None):
            got.extend(item for item, _ in chunk)

    consumer = threading.Thread(target=consume)
    producers = [threading.Thread(target=produce, args=(who,)) for who in range(4)]
    for thread in (consumer, *producers):
        thread.start()
    for thread in producers:
        thread.join()
    buffer.close()
    consumer.join()
    for who in range(4):
        assert [number for each, number in got if each == who] == list(range(2000))
    assert buffer.metrics.put_tokens == buffer.metrics.got_tokens == 8000
    assert buffer.metrics.peak_tokens <= 40


def test_an_item_that_does_not_fit_is_divided_where_it_can_be() -> None:
    """The chunk takes exactly what was asked for; the rest stays in front."""
    buffer: TokenBuffer[str] = TokenBuffer(10, 8, 3)
    buffer.put("abcdef", 6)
    buffer.put("gh", 2)

    def cut(item: str, tokens: int, first: int) -> tuple[str, str] | None:
        return item[:first], item[first:]

    assert buffer.get_chunk(4, cut=cut) == [("abcd", 4)]
    assert buffer.tokens == 4
    assert buffer.get_chunk(3, cut=cut) == [("ef", 2), ("g", 1)]
    assert buffer.get_chunk(3, cut=lambda item, tokens, first: None) == [("h", 1)]
