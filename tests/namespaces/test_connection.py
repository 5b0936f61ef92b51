"""What waits for one client, in which order it leaves, and when it is too much."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.namespaces.delivery import Cut
from app.namespaces.frames import Bundle, Packet, text_frame
from tests.namespaces.fakes import QUEUE_BYTES, Kernel, Server, connected


def packet(number: int, size: int = 10) -> Packet:
    return Packet(f"4{number}:".encode().ljust(size, b"."))


def test_a_frame_that_is_taken_whole_leaves_nothing_behind() -> None:
    """No task is started for it."""
    server, kernel = Server(), Kernel()
    connection = connected(server, kernel)
    assert connection.hand(packet(1))
    assert kernel.taken == packet(1).frame
    assert not connection.waiting
    assert not connection.behind
    assert not server.tasks


def test_the_rest_of_a_frame_precedes_everything_else() -> None:
    """A ping, too; and of the recovery the server is told once."""
    server, kernel = Server(), Kernel(room=5)
    connection = connected(server, kernel)
    assert not connection.hand(packet(1))
    connection.ping(now=0.0)
    assert not connection.hand(packet(2))
    assert connection.behind
    server.run_tasks()
    assert kernel.taken == packet(1).frame + text_frame(b"2") + packet(2).frame
    assert server.drained == ["a"]
    assert not connection.behind
    assert connection.waiting_bytes == 0


@given(sizes=st.lists(st.integers(2, 120), max_size=12), rooms=st.lists(st.integers(0, 200), max_size=12))
def test_whatever_the_kernel_takes_the_bytes_are_whole_and_in_order(sizes: list[int], rooms: list[int]) -> None:
    """Frames of any size, a kernel that takes any part of them, the writer at work now and then."""
    server, kernel = Server(), Kernel(room=0)
    server.queue_bytes = 1_000_000
    connection = connected(server, kernel)
    said = b""
    for number, size in enumerate(sizes):
        kernel.room = rooms[number] if number < len(rooms) else 7
        sent = packet(number, size)
        said += sent.frame
        connection.hand(sent)
        if number % 3 == 2:
            server.run_tasks()
    server.run_tasks()
    assert kernel.taken == said
    assert connection.waiting_bytes == 0


def test_several_packets_leave_in_one_write() -> None:
    """As one piece, and in their order."""
    server, kernel = Server(), Kernel()
    connected(server, kernel).hand(Bundle([packet(1), packet(2)]))
    assert kernel.taken == packet(1).frame + packet(2).frame


def test_one_packet_of_any_size_may_wait_and_small_ones_behind_it() -> None:
    """An ack or a ping behind a long message once ended a good connection: its stop was never answered."""
    server, kernel = Server(), Kernel(room=0)
    connection = connected(server, kernel)
    connection.hand(packet(1))
    connection.hand(packet(2, QUEUE_BYTES * 5))
    for number in range(10):
        connection.hand(packet(number))
    assert not connection.closed
    assert server.delivery.cut_off == {}


def test_who_leaves_more_than_the_limit_beside_one_packet_is_cut_off() -> None:
    """Then what waits is dropped at once, and the session ends."""
    server, kernel = Server(), Kernel(room=0)
    connection = connected(server, kernel)
    for _ in range(2):
        connection.hand(packet(1, QUEUE_BYTES * 5))
    assert not connection.closed
    connection.hand(packet(2))
    assert connection.closed
    assert connection.waiting_bytes == 0
    assert kernel.ends == ["reset"]
    server.run_tasks()
    assert server.events == [("disconnect", "a", "error")]
    assert server.delivery.cut_off == {Cut.QUEUE_FULL: 1}
    assert not server.sockets


def test_nothing_is_sent_after_the_end() -> None:
    """Gone ones are no error."""
    server, kernel = Server(), Kernel()
    connection = connected(server, kernel)
    connection.cut_off(Cut.STALLED)
    assert connection.hand(packet(1))
    assert kernel.taken == b""


def test_a_closing_is_said_behind_what_waits() -> None:
    """Engine.IO's and the WebSocket's; then the socket is finished."""
    server, kernel = Server(), Kernel(room=3)
    connection = connected(server, kernel)
    connection.hand(packet(1))
    connection.close()
    assert kernel.ends == []
    server.run_tasks()
    assert kernel.taken.startswith(packet(1).frame + text_frame(b"1") + b"\x88")
    assert kernel.ends == ["finish"]


def test_a_long_poll_takes_sixteen_packets_at_most() -> None:
    """python-engineio's clients refuse more; and a polling client lags beyond 64 KiB only."""
    server = Server()
    server.queue_bytes = 1_000_000
    connection = connected(server, None)
    for number in range(20):
        assert connection.hand(packet(number))
    assert [each.text for each in connection.poll()] == [packet(number).text for number in range(16)]
    assert not connection.hand(packet(99, 70_000))
    assert len(connection.poll()) == 5
    assert server.drained == ["a"]


@pytest.mark.parametrize("message", ["", "x", "²", "٣", "7", "0{}", "2", "5", "6", "1x", b"\x00"])
def test_what_is_no_packet_is_refused(message: str | bytes) -> None:
    """Whatever it is, before anybody else sees it."""
    from app.namespaces.connection import Malformed

    server = Server()
    with pytest.raises(Malformed):
        connected(server, Kernel()).take(message)
    assert not server.events
