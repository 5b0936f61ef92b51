"""Between the receiving thread and a reader: bounded, never waited for, and honest about what was missed."""

from __future__ import annotations

import threading

import pytest

from app.client.errors import ClientError
from app.client.handlers import Handlers
from app.client.happenings import Happening
from app.client.mailbox import Events, Item, Mailbox


def happening(number: int) -> Happening:
    return Happening("x", None, {"offset": number})


REPLACEMENT = Happening("client:replaced", None, {"offset": -1})


def mailbox(most: int = 3) -> Mailbox:
    def replacement() -> Item:
        return REPLACEMENT, False

    return Mailbox(threading.Condition(), replacement, most)


def filled(box: Mailbox, numbers: range) -> Mailbox:
    with box._changed:
        for number in numbers:
            box.put(happening(number), ends=number == 99)
    return box


def test_a_reader_that_is_too_slow_gets_the_state_in_the_place_of_what_it_missed() -> None:
    """First what had found room, then the replacement, then what comes after that."""
    box = filled(mailbox(), range(10))
    got = [box.get(1) for _ in range(4)]
    assert [item[0].offset for item in got if item] == [0, 1, 2, -1]
    filled(box, range(20, 22))
    assert [item[0].offset for item in (box.get(1), box.get(1)) if item] == [20, 21]


def test_silence_has_its_limit() -> None:
    """And can be waited out again."""
    box = mailbox()
    with pytest.raises(ClientError) as silent:
        box.get(0.01)
    assert silent.value.code == "timeout"
    filled(box, range(1))
    item = box.get(0.01)
    assert item is not None


def test_a_closed_one_is_read_to_its_end() -> None:
    """Then it says why it was closed."""
    box = filled(mailbox(), range(2))
    with box._changed:
        box.close(ClientError("not_permitted", "no"))
        box.put(happening(5))
    assert [item[0].offset for item in (box.get(1), box.get(1)) if item] == [0, 1]
    with pytest.raises(ClientError, match="no"):
        box.get(1)


@pytest.mark.parametrize("until_end", [True, False])
def test_an_iterator_ends_with_the_run_or_goes_on(until_end: bool) -> None:
    """And lets go of its mailbox once, however it ends."""
    box = filled(mailbox(10), range(98, 101))
    with box._changed:
        box.close()
    closed: list[Mailbox] = []
    events = Events(box, closed.append, 1, until_end=until_end)
    assert [each.offset for each in events] == ([98, 99] if until_end else [98, 99, 100])
    assert list(events) == []
    events.close()
    del events
    assert closed == [box]


def test_handlers_that_raise_harm_no_other() -> None:
    """They are called in order, until the mailbox is closed."""
    changed = threading.Condition()
    box = Mailbox(changed, lambda: None)
    handlers = Handlers("handlers-under-test", changed, lambda: box)
    heard: list[int | None] = []
    handlers.on("x", lambda _: 1 / 0)
    off = handlers.on("x", lambda each: heard.append(each.offset))
    with changed:
        box.put(happening(1))
        box.put(Happening("y", None, {"offset": 2}))
        box.put(happening(3))
        box.close()
    handlers.join()
    assert heard == [1, 3]
    off()
    off()
