"""A bounded memory of what was found a moment ago."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Recent(Generic[Value]):
    """Values by key; the longest unused goes when it is full. Never lets others run, so it needs no lock in the
    greenlet modes; with threads, single operations of a dictionary are safe, and a lost entry is looked up again.

    :param most: entries at most.
    :param clock: monotonic seconds.
    """

    def __init__(self, most: int, clock: Callable[[], float]) -> None:
        self._most = most
        self._clock = clock
        self._kept: OrderedDict[str, tuple[float, Value]] = OrderedDict()

    def get(self, key: str) -> Value | None:
        """The value, while it is fresh."""
        found = self._kept.get(key)
        return found[1] if found is not None and self._clock() < found[0] else None

    def known(self, key: str) -> bool:
        """Whether there is a value, be it fresh or not."""
        return key in self._kept

    def put(self, key: str, value: Value, for_s: float) -> None:
        """Keep a value, fresh for so long."""
        self._kept.pop(key, None)
        self._kept[key] = (self._clock() + for_s, value)
        while len(self._kept) > self._most:
            try:
                self._kept.popitem(last=False)
            except KeyError:  # another thread was quicker
                break

    def drop(self, key: str) -> None:
        self._kept.pop(key, None)

    def drop_where(self, condition: Callable[[Value], bool]) -> None:
        for key, (_, value) in list(self._kept.items()):
            if condition(value):
                self._kept.pop(key, None)

    def clear(self) -> None:
        self._kept.clear()

    def __len__(self) -> int:
        return len(self._kept)
