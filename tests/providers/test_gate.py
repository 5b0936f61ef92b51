"""The gate: credit, pause, priority of events, and the end."""

from __future__ import annotations

import asyncio

import pytest

from app.providers.gate import Gate, RunAborted


async def pending(task: asyncio.Task[object]) -> bool:
    """Whether a task still waits after everything that could run has run."""
    for _ in range(5):
        await asyncio.sleep(0)
    return not task.done()


async def test_no_more_than_the_credit_is_admitted() -> None:
    """A wish for more gets what is left; the next one waits for a grant."""
    gate = Gate(10)
    assert await gate.admit(7) == 7
    assert await gate.admit(7) == 3
    waiting = asyncio.create_task(gate.admit(7))
    assert await pending(waiting)
    gate.grant(12)
    assert await waiting == 2


async def test_a_grant_never_takes_back() -> None:
    """An older, smaller figure that comes late changes nothing."""
    gate = Gate(10)
    gate.grant(5)
    assert gate.credit == 10


async def test_refunded_tokens_can_be_used_again() -> None:
    """What was reserved and not sent is credit again."""
    gate = Gate(5)
    await gate.admit(5)
    gate.refund(2)
    assert await gate.admit(5) == 2


async def test_half_of_the_credit_is_never_reserved() -> None:
    """What several calls have reserved may wait behind what still needs credit; once nothing moved any more."""
    gate = Gate(10)
    assert await gate.reserve(10) == 5
    waiting = asyncio.create_task(gate.reserve(1))
    assert await pending(waiting)
    assert await gate.admit(10) == 5
    gate.sent(5, reserved=True)  # what was admitted
    assert await pending(waiting)  # no credit
    gate.grant(20)
    assert await waiting == 1


async def test_what_was_reserved_and_sent_may_be_reserved_again() -> None:
    """Whoever waits for it is woken."""
    gate = Gate(10)
    await gate.reserve(5)
    waiting = asyncio.create_task(gate.reserve(9))
    assert await pending(waiting)
    gate.sent(3, reserved=True)
    assert await waiting == 3


async def test_an_event_overtakes_unsent_tokens() -> None:
    """All credit is reserved by pieces that wait behind the event: it must not wait for them."""
    gate = Gate(5)
    await gate.admit(5)
    await asyncio.wait_for(gate.admit_event(), 1)
    gate.sent(5, reserved=True)
    waiting = asyncio.create_task(gate.admit_event())
    assert await pending(waiting)
    gate.grant(10)
    await waiting


@pytest.mark.parametrize("close", ["pause", "writable"])
async def test_closed_by_a_pause_or_a_full_link(close: str) -> None:
    """Both stop tokens and events; reopening lets both through."""
    gate = Gate(5)
    if close == "pause":
        gate.pause()
    else:
        gate.set_writable(False)
    admitted, event = asyncio.create_task(gate.admit(1)), asyncio.create_task(gate.admit_event())
    assert await pending(admitted)
    assert await pending(event)
    if close == "pause":
        gate.resume()
    else:
        gate.set_writable(True)
    await asyncio.gather(admitted, event)


async def test_an_abort_wakes_everything() -> None:
    """Whoever waits, and whoever comes later, is told."""
    gate = Gate(1)
    gate.pause()
    waiting = [asyncio.create_task(wait()) for wait in (gate.opened, gate.admit_event)]
    await pending(waiting[0])
    gate.abort()
    for task in waiting:
        with pytest.raises(RunAborted):
            await task
    with pytest.raises(RunAborted):
        await gate.admit(1)


async def test_nothing_opens_it_after_an_abort() -> None:
    """Whoever only looks must not go on reading either: a grant, a resume or a socket that takes bytes comes late."""
    gate = Gate(10)
    assert gate.is_open
    gate.abort()
    assert not gate.is_open
    gate.grant(100)
    gate.resume()
    gate.set_writable(True)
    gate.refund(5)
    assert not gate.is_open
    for wait in (gate.opened(), gate.admit(1), gate.reserve(1), gate.admit_event()):
        with pytest.raises(RunAborted):
            await wait


async def test_a_pause_is_settled_when_reads_have_ended() -> None:
    """The read is told, and the pause waits for it."""
    gate = Gate(1)
    told = asyncio.Event()
    with gate.reading(told.set):
        gate.pause()
        assert told.is_set()
        settled = asyncio.create_task(gate.settled())
        assert await pending(settled)
    await settled
