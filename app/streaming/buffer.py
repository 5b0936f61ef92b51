"""The bounded buffer between a run and its room."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")


Cut = Callable[[Item, int, int], tuple[Item, Item] | None]


class BufferFull(Exception):
    """An item did not fit, and the caller did not want to wait."""


class BufferClosed(Exception):
    """The buffer takes nothing any more."""


@dataclass(slots=True)
class BufferMetrics:
    """What a buffer has seen. Fills in tokens; ``waits``: how often the high-water mark was reached."""

    peak_tokens: int = 0
    put_tokens: int = 0
    got_tokens: int = 0
    waits: int = 0


class TokenBuffer(Generic[Item]):
    """A first-in-first-out buffer that counts tokens, with a high-water and a low-water mark.

    Reaching the high-water mark closes the inlet, draining to the low-water mark opens it again; each acts once per
    crossing. :meth:`put` waits while the inlet is closed. Safe to use from several threads or greenlets (one
    condition guards everything; nothing foreign runs while it is held).

    :param capacity: tokens that fit; a put beyond it is refused or waits even below the mark.
    :param high_water: fill, in tokens, at which the inlet closes.
    :param low_water: fill, in tokens, at which it opens again.
    :param condition: makes the condition variable of the async mode in use.
    """

    def __init__(
        self,
        capacity: int,
        high_water: int,
        low_water: int,
        condition: Callable[[], threading.Condition] = threading.Condition,
    ) -> None:
        if not 0 <= low_water < high_water <= capacity:
            raise ValueError("the marks must satisfy 0 <= low_water < high_water <= capacity")
        self.capacity = capacity
        self.high_water = high_water
        self.low_water = low_water
        self.metrics = BufferMetrics()
        self._items: deque[tuple[Item, int]] = deque()
        self._tokens = 0
        self._inlet_open = True
        self._closed = False
        self._changed = condition()  # guards all of the above

    def __len__(self) -> int:
        return len(self._items)

    @property
    def tokens(self) -> int:
        """The fill, in tokens."""
        return self._tokens

    @property
    def fill(self) -> float:
        """The fill as a part of the capacity, 0 to 1."""
        return self._tokens / self.capacity

    @property
    def inlet_open(self) -> bool:
        """False from the high-water mark until the low-water mark."""
        return self._inlet_open

    @property
    def closed(self) -> bool:
        return self._closed

    def put(self, item: Item, tokens: int = 1, *, block: bool = True, timeout_s: float | None = None) -> None:
        """Append an item that counts ``tokens`` (0 for one that is no token; it always fits).

        :param block: wait while the inlet is closed or the item does not fit; else an item that would exceed the
            capacity raises at once (the high-water mark alone does not refuse it: its sender was told to stop).
        :param timeout_s: how long to wait; None for ever.
        :raises BufferFull: when it does not fit and ``block`` is false or the time is up.
        :raises BufferClosed: when the buffer is closed, also while waiting.
        :raises ValueError: when the item alone exceeds the capacity.
        """
        if tokens > self.capacity:
            raise ValueError(f"an item of {tokens} tokens never fits into {self.capacity}")
        with self._changed:
            if block:
                self._wait_for_room(tokens, timeout_s)
            if self._closed:
                raise BufferClosed
            if self._tokens + tokens > self.capacity:
                raise BufferFull
            self._items.append((item, tokens))
            self._tokens += tokens
            self.metrics.put_tokens += tokens
            self.metrics.peak_tokens = max(self.metrics.peak_tokens, self._tokens)
            if self._inlet_open and self._tokens >= self.high_water:
                self._inlet_open = False
                self.metrics.waits += 1
            self._changed.notify_all()

    def _wait_for_room(self, tokens: int, timeout_s: float | None) -> None:
        def has_room() -> bool:
            fits = self._tokens + tokens <= self.capacity
            return self._closed or not tokens or (self._inlet_open and fits)

        if not self._changed.wait_for(has_room, timeout_s):
            raise BufferFull

    def get_chunk(
        self, max_tokens: int | None = None, *, timeout_s: float | None = 0, cut: Cut[Item] | None = None
    ) -> list[tuple[Item, int]]:
        """Take what has arrived, oldest first, as (item, tokens) pairs.

        :param max_tokens: stop before the sum exceeds it, but take at least one item; None for everything.
        :param timeout_s: wait so long for the first item; 0 not at all, None for ever.
        :param cut: ``cut(item, tokens, first)`` divides an item that does not fit as a whole into one of ``first``
            tokens and the rest, or returns None where it cannot be divided. It must not block.
        :returns: an empty list when nothing came in time, or the buffer is closed and empty.
        """
        with self._changed:
            if not self._items and timeout_s != 0:
                self._changed.wait_for(lambda: self._items or self._closed, timeout_s)
            chunk: list[tuple[Item, int]] = []
            taken = 0
            while self._items:
                item, tokens = self._items[0]
                room = None if max_tokens is None else max_tokens - taken
                parts = None
                if room is not None and tokens > room:
                    parts = cut(item, tokens, room) if cut is not None and room > 0 else None
                    if parts is None and chunk:
                        break
                self._items.popleft()
                if parts is not None and room is not None:
                    (item, rest), tokens, left = parts, room, tokens - room
                    self._items.appendleft((rest, left))
                chunk.append((item, tokens))
                taken += tokens
            if chunk:
                self._tokens -= taken
                self.metrics.got_tokens += taken
                if not self._inlet_open and self._tokens <= self.low_water:
                    self._inlet_open = True
                self._changed.notify_all()
            return chunk

    def close(self) -> None:
        """Take nothing more. What is inside may still be got; whoever waits is woken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
