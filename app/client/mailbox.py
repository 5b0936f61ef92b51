"""Between the thread that receives and whoever reads at his own pace: bounded, and never waited for."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

from app.client.errors import TIMEOUT, ClientError
from app.client.happenings import Happening

MAX_WAITING = 10_000
"""Happenings that may wait for a reader; beyond, it is given the conversation as it stands instead."""

Item = tuple[Happening, bool]


class Mailbox:
    """Happenings for one reader, in order, each with whether it ends the run.

    :param changed: the client's condition, which guards everything here.
    :param replacement: called, with the lock held, when a reader that was too slow has read what was left: what it gets
        in the place of what it missed; None where that has no replacement.
    """

    def __init__(
        self, changed: threading.Condition, replacement: Callable[[], Item | None], most: int = MAX_WAITING
    ) -> None:
        self._changed = changed
        self._replacement = replacement
        self._most = most
        self._waiting: deque[Item] = deque()
        self._missed = False
        self._closed = False
        self._error: ClientError | None = None

    def put(self, happening: Happening, *, ends: bool = False) -> None:
        """Add one; the lock is held. Does not block."""
        if self._closed or self._missed:
            return
        if len(self._waiting) >= self._most:
            self._missed = True
        else:
            self._waiting.append((happening, ends))
        self._changed.notify_all()

    def close(self, error: ClientError | None = None) -> None:
        """Nothing more comes; the lock is held. What waits can still be read; then the error, where there is one."""
        if not self._closed:
            self._closed = True
            self._error = error
            self._changed.notify_all()

    def get(self, timeout_s: float | None = None) -> Item | None:
        """The next one; None when nothing more comes.

        :raises ClientError: ``timeout`` when nothing came for so long; else why it was closed.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._waiting or self._missed or self._closed, timeout_s):
                raise ClientError(TIMEOUT, f"nothing came for {timeout_s} s", retryable=True)
            if self._waiting:
                return self._waiting.popleft()
            if self._missed:
                self._missed = False
                item = self._replacement()
                if item is not None:
                    return item
            if not self._closed:
                return self.get(timeout_s)
            if self._error is not None:
                raise self._error
            return None


class Events(Iterator[Happening]):
    """A mailbox as an iterator. It hears from the moment when it is made until it is closed, or forgotten.

    :raises ClientError: see :meth:`Mailbox.get`.
    """

    def __init__(
        self, mailbox: Mailbox, close: Callable[[Mailbox], None], timeout_s: float | None, *, until_end: bool
    ) -> None:
        self._mailbox = mailbox
        self._close = close
        self._timeout_s = timeout_s
        self._until_end = until_end
        self._over = False

    def __next__(self) -> Happening:
        item = None if self._over else self._mailbox.get(self._timeout_s)
        if item is None:
            self.close()
            raise StopIteration
        happening, ends = item
        if ends and self._until_end:
            self.close()
        return happening

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Hear nothing more; more than once is no error."""
        if not self._over:
            self._over = True
            self._close(self._mailbox)
