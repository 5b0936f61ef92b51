"""Which conversation a thread is: per owner, and bounded."""

from __future__ import annotations

import pytest

from app.errors import InvalidPayload
from app.http.agui.threads import Threads


def test_a_thread_is_its_owners_alone() -> None:
    """The same id is another thread for somebody else."""
    threads = Threads(10)
    threads.of((None, "ann"), "t").conversation_id = "c1"
    assert threads.of((None, "ann"), "t").conversation_id == "c1"
    assert threads.of(("acme", "ann"), "t").conversation_id is None
    threads.of(None, "t").conversation_id = "c2"
    assert threads.of(None, "t").conversation_id is None, "who only holds a link is not known again"


def test_the_one_not_asked_for_longest_is_forgotten() -> None:
    """No more are kept than was said."""
    threads = Threads(2)
    for key in ("a", "b"):
        threads.of((None, "ann"), key).conversation_id = key
    threads.of((None, "ann"), "a")
    threads.of((None, "ann"), "c")
    assert len(threads) == 2
    assert threads.of((None, "ann"), "a").conversation_id == "a"
    assert threads.of((None, "ann"), "b").conversation_id is None


def test_the_messages_of_a_thread_are_bounded() -> None:
    """The oldest are forgotten; the others are known by the client's names."""
    thread = Threads(1).of((None, "ann"), "t")
    for number in range(250):
        thread.took(f"u{number}", f"s{number}-user")
    assert len(thread.sent) == 100
    assert thread.names()["s249-user"] == "u249"


@pytest.mark.parametrize("key", ["", "x" * 201])
def test_an_id_that_nobody_would_choose_is_refused(key: str) -> None:
    """Neither empty nor endless."""
    with pytest.raises(InvalidPayload):
        Threads(1).of((None, "ann"), key)
