"""Lets go of what was kept for long enough."""

from __future__ import annotations

from app.errors import StoreUnavailable
from app.protocol.common import Status
from app.streaming.retention import ROUND_S, Retention
from tests.streaming.fakes import a_reader
from tests.streaming.house import House


def retention(house: House, *, days: float = 0, most: int = 0) -> Retention:
    return Retention(house.manager.editing, house.archive, house.simulation, house.simulation, days=days, most=most)


def test_what_is_due_is_deleted_but_what_runs_or_is_watched() -> None:
    """Also what is in memory, and idle there."""
    house = House()
    running, watched, idle = house.run(), house.run(), house.run()
    house.complete(watched)
    house.complete(idle)
    house.manager.join(a_reader(house.transport).sid, watched.conversation.id)
    ids = [each.conversation.id for each in (running, watched, idle)]
    house.archive.due = [*ids, "gone"]
    assert retention(house, days=1, most=5).round() == 2
    assert set(house.archive.kept) == set(ids[:2])
    assert house.archive.asked[-1][1] == 5


def test_the_age_is_a_time_of_the_calendar() -> None:
    """However long somebody wants to keep things."""
    house = House()
    for days, expected in ((1, True), (36_500_000, True), (0, False)):
        retention(house, days=days, most=1).round()
        before, _ = house.archive.asked[-1]
        assert (before is not None) is expected
        assert before is None or before.endswith("Z")


def test_it_goes_round_until_it_is_stopped() -> None:
    """At once, and each minute; a database that is away is tried again."""
    house = House()
    round_about = retention(house, most=1)
    task = house.simulation.spawn(round_about.run)
    house.simulation.settle()
    house.archive.error = StoreUnavailable("away")
    house.simulation.advance(ROUND_S)
    house.archive.error = None
    house.simulation.advance(ROUND_S)
    assert len(house.archive.asked) == 2
    round_about.stop()
    house.simulation.advance(ROUND_S)
    assert task.done


def test_what_belongs_to_nobody_is_deleted() -> None:
    """Whether it runs, is watched, is idle, or lies in the store alone; without any bound of age or number."""
    house = House()
    running, watched, kept = house.run(), house.run(), house.run()
    house.complete(watched)
    reader = a_reader(house.transport)
    house.manager.join(reader.sid, watched.conversation.id)
    house.archive.orphaned = [running.conversation.id, watched.conversation.id, "stored"]
    assert retention(house).round() == 3
    assert set(house.archive.kept) == {kept.conversation.id}
    assert running.status is Status.STOPPED
    assert "conversation_deleted" in [name for name, *_ in reader.received]
    assert house.archive.asked == []
