"""What waits for one client: nothing is lost, reordered or miscounted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.namespaces.backlog import POLL_BYTES, POLL_PACKETS, WRITE_BYTES, Backlog
from app.namespaces.frames import Packet


@given(st.lists(st.binary(min_size=1, max_size=50)), st.lists(st.integers(1, 120)))
def test_bytes_leave_as_they_came(parts: list[bytes], writes: list[int]) -> None:
    """However much of them is written at once."""
    backlog = Backlog()
    for part in parts:
        backlog.put(part)
    written = b""
    for most in writes:
        taken = backlog.first_bytes()[:most]
        written += taken
        backlog.forget_first(len(taken))
        assert backlog.size_bytes == sum(len(part) for part in backlog)
    assert written + backlog.first_bytes() == b"".join(parts)


def test_one_write_is_joined_up_to_a_limit() -> None:
    """And a single large piece goes as it is."""
    backlog = Backlog()
    for _ in range(3):
        backlog.put(b"x" * (WRITE_BYTES - 1))
    assert len(backlog.first_bytes()) == 2 * (WRITE_BYTES - 1)


def test_a_poll_takes_its_share() -> None:
    """As many packets as clients accept, and not much more than fits into the kernel."""
    backlog = Backlog()
    for number in range(POLL_PACKETS + 1):
        backlog.put(Packet(str(number % 10).encode()))
    assert len(backlog.fetch()) == POLL_PACKETS
    assert (len(backlog), backlog.size_bytes) == (1, 1)
    backlog.drop()
    for _ in range(3):
        backlog.put(Packet(b"x" * POLL_BYTES))
    assert len(backlog.fetch()) == 1
    assert backlog.size_bytes == 2 * POLL_BYTES


def test_one_large_item_leaves_room_for_others() -> None:
    """Not two."""
    backlog = Backlog()
    backlog.put(b"x" * 1000)
    assert backlog.has_room(100)
    backlog.put(b"ack")
    assert backlog.has_room(100)
    backlog.put(b"y" * 900)
    assert not backlog.has_room(100)
