"""One connection on python-socketio: order, its end, and the thread for what is due later."""

from __future__ import annotations

import threading
from typing import Any

import engineio
import pytest

from app.client.wire import Wire, _Outgoing, is_loopback
from app.client.worker import Worker


def test_packets_are_handled_in_order_by_the_thread_that_reads_them() -> None:
    """The library would start a thread for each, and the threads overtake each other."""
    heard: list[tuple[str, Any, threading.Thread]] = []
    wire = Wire(
        on_event=lambda name, payload, size: heard.append((name, payload["n"] + size, threading.current_thread())),
        on_end=lambda _: None,
        timeout_s=1,
        loopback=True,
    )
    texts = [f'2/conversations,["e{number}",{{"n":{number}}}]' for number in range(50)]
    for text in texts:
        wire.eio._receive_packet(engineio.packet.Packet(engineio.packet.MESSAGE, text))
    assert [(name, number) for name, number, _ in heard] == [(f"e{n}", n + len(texts[n])) for n in range(50)]
    assert {thread for _, _, thread in heard} == {threading.current_thread()}
    wire.close()


def test_the_end_is_seen_behind_a_packet() -> None:
    """The library's writing thread takes a None that follows a packet for the end of a batch, and waited for 25 s."""
    outgoing = _Outgoing()
    outgoing.put("packet")
    outgoing.put(None)
    batch = [outgoing.get(), outgoing.get()]
    assert batch == ["packet", None]
    assert outgoing.get(timeout=1) is None


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("http://127.0.0.1:5000", True),
        ("http://localhost", True),
        ("http://[::1]:5000/x", True),
        ("https://127.0.0.1.example.test", False),
        ("http://10.0.0.1", False),
    ],
)
def test_no_proxy_is_between_us_and_this_machine(url: str, loopback: bool) -> None:
    """By what the address says, without asking a name server."""
    assert is_loopback(url) is loopback


def test_the_worker_keeps_the_order_of_what_is_due() -> None:
    """A call that fails harms no other; what is not due is dropped at the end."""
    worker = Worker("worker-under-test")
    done: list[int] = []
    worker.call(lambda: done.append(99), after_s=60)
    worker.call(lambda: done.append(0)).cancel()
    for number in range(1, 4):
        worker.call(lambda number=number: done.append(number))
    worker.call(lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    worker.call(lambda: done.append(4))
    worker.start()
    worker.start()
    worker.stop()
    assert done == [1, 2, 3, 4]
