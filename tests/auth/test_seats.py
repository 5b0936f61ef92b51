"""Connections of persons and addresses, counted."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from app.auth.identity import GUEST, NOBODY, Principal
from app.auth.in_force import LIMITS, LimitsInForce
from app.auth.seats import _SPARE, Seat, Seats
from app.errors import LimitExceeded

ADA, BOB = Principal("ada", "user"), Principal("bob", "jwt")
HERE = {"REMOTE_ADDR": "127.0.0.1"}
THERE = {"REMOTE_ADDR": "203.0.113.7"}


def seats_with(person: int = 0, address: int = 0) -> tuple[Seats, LimitsInForce]:
    limits = LimitsInForce(dict.fromkeys(LIMITS, 1))
    limits.set("max_connections_per_user", person)
    limits.set("max_connections_per_address", address)
    return Seats(limits), limits


def full(seats: Seats, environ: dict[str, Any], principal: Principal) -> bool:
    """Whether one more is refused; it takes no place."""
    try:
        seats.take(environ, principal).release()
    except LimitExceeded as error:
        return bool(error.retry_after_s)
    return False


def test_one_person_has_so_many_wherever_they_come_from() -> None:
    """The guest, and who only holds a link, are not counted as persons."""
    seats, _ = seats_with(person=2)
    taken = [seats.take(HERE, ADA), seats.take(THERE, ADA)]
    assert full(seats, HERE, ADA)
    assert seats.refused == 1
    assert not full(seats, HERE, BOB)
    for excepted in (GUEST, NOBODY):
        for _ in range(5):
            seats.take(HERE, excepted)
    taken[0].release()
    taken[0].release()  # no error, and no second place
    assert seats.of(ADA) == 1
    seats.take(HERE, ADA)
    assert full(seats, HERE, ADA)


def test_one_address_has_so_many_whoever_comes() -> None:
    """Of an IPv6 address, its network; also those who only hold a link."""
    seats, _ = seats_with(address=2)
    taken = [seats.take({"REMOTE_ADDR": "2001:db8::1"}, ADA), seats.take({"REMOTE_ADDR": "2001:db8::2"}, NOBODY)]
    assert full(seats, {"REMOTE_ADDR": "2001:db8::3"}, BOB)
    with pytest.raises(LimitExceeded):
        seats.check({"REMOTE_ADDR": "2001:db8::3"})
    assert not full(seats, {"REMOTE_ADDR": "2001:db8:0:1::3"}, BOB)
    taken[0].release()
    assert not full(seats, {"REMOTE_ADDR": "2001:db8::3"}, BOB)


@pytest.mark.parametrize(
    ("environ", "counted"),
    [
        ({"REMOTE_ADDR": "127.0.0.1"}, False),
        ({"REMOTE_ADDR": "::1"}, False),
        ({"REMOTE_ADDR": "::ffff:127.0.0.1"}, False),
        ({"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": "10.0.0.1"}, False),  # by nobody who is trusted
        ({"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": "127.0.0.1", "werkzeug.proxy_fix.orig": {}}, True),
        ({"REMOTE_ADDR": "10.0.0.1"}, True),
        ({"REMOTE_ADDR": ""}, True),
        ({}, True),
    ],
)
def test_this_machine_is_excepted_unless_a_trusted_proxy_says_so(environ: dict[str, Any], counted: bool) -> None:
    """A proxy that is not trusted cannot be told from a client that lies."""
    seats, _ = seats_with(address=1)
    seats.take(environ, ADA)
    assert full(seats, environ, ADA) == counted


def test_a_refused_one_takes_no_place_of_the_other_kind() -> None:
    """All or nothing."""
    seats, _ = seats_with(person=1, address=5)
    held = seats.take(THERE, ADA)
    for _ in range(10):
        assert full(seats, THERE, ADA)
    held.release()
    assert [bool(seats.take(THERE, Principal(f"p{number}", "user"))) for number in range(5)] == [True] * 5


def test_the_dead_make_room() -> None:
    """Whoever forgot to release a place holds it only until somebody needs it."""
    seats, _ = seats_with(person=2)
    alive = True
    seats.take(HERE, ADA, lambda: alive)
    seats.take(HERE, ADA)
    assert full(seats, HERE, ADA)
    alive = False
    assert not full(seats, HERE, ADA)


def test_limits_change_while_it_runs() -> None:
    """What has a place keeps it."""
    seats, limits = seats_with(person=2)
    taken = [seats.take(HERE, ADA), seats.take(HERE, ADA)]
    limits.set("max_connections_per_user", 1)
    assert full(seats, HERE, ADA)
    taken[0].release()
    assert full(seats, HERE, ADA)
    limits.set("max_connections_per_user", 0)
    assert not full(seats, HERE, ADA)


def test_transports_have_a_few_more_than_connections() -> None:
    """So that one too many can be told why; and no more than that."""
    seats, _ = seats_with(address=3)
    transports = [seats.take_transport(THERE, lambda: True) for _ in range(3 + _SPARE)]
    with pytest.raises(LimitExceeded):
        seats.take_transport(THERE, lambda: True)
    seats.take_transport(HERE, lambda: True)
    transports[0].release()
    seats.take_transport(THERE, lambda: True)


def test_nobody_gets_in_twice_at_once() -> None:
    """Many threads, ten places: exactly ten are taken, and none is left when all have gone."""
    seats, _ = seats_with(person=10)
    taken: list[Seat] = []
    together = threading.Barrier(8)

    def come() -> None:
        together.wait()
        for _ in range(50):
            try:
                taken.append(seats.take(HERE, ADA))
            except LimitExceeded:
                pass

    threads = [threading.Thread(target=come) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == seats.of(ADA) == 10
    for seat in taken:
        seat.release()
    assert seats.of(ADA) == 0
    assert seats._taken == {}
