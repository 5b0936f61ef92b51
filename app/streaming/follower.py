"""Reads one conversation's log at its own pace: the log is its queue. Every door but Socket.IO reads so."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from app.protocol.events import Event
from app.streaming.cursor import Cursor, Portion
from app.streaming.view import View

__all__ = ["Follower", "Portion", "View"]


class Follower:
    """A place in a conversation's log. Made by :meth:`Conversation.follow`; counts as a watcher until it is closed.

    :meth:`read`, :meth:`aside` and :meth:`wait` belong to one task; :meth:`tell`, :meth:`wake` and :meth:`close` may be
    called from anywhere.
    """

    def __init__(
        self,
        cursor: Cursor,
        *,
        read: Callable[[Cursor, int], Portion | None],
        leave: Callable[[Follower], None],
        condition: threading.Condition,
    ) -> None:
        self._cursor = cursor
        self._read = read
        self._leave = leave
        self._changed = condition  # guards the three below
        self._woken = True  # there may be something to read already
        self._closed = False
        self._aside: tuple[str, dict[str, Any]] | None = None
        self.parting: Event | None = None
        """With :attr:`closed`: the last word on why, where there is one (a transient event)."""

    @property
    def offset(self) -> int:
        """Everything up to here has been read."""
        return self._cursor.offset

    @property
    def closed(self) -> bool:
        """Nothing more is given: the reader has left, the conversation was forgotten, or the server ends."""
        return self._closed

    def read(self, max_bytes: int = 65_536) -> Portion | None:
        """What follows, at most about so many bytes of it; None at the log's head. Does not wait for more."""
        if self._closed:
            return None
        portion = self._read(self._cursor, max_bytes)
        if portion is not None:
            self._aside = None  # it was said before this, and is over
        return portion

    def tell(self, name: str, payload: dict[str, Any]) -> None:
        """Have a transient event told to a reader at the log's head; of several that wait, the newest."""
        if not self._cursor.view.wants(name):
            return
        with self._changed:
            self._aside = name, payload
        self.wake()

    def aside(self) -> tuple[str, dict[str, Any]] | None:
        """The transient event that waits, once: its name and payload."""
        with self._changed:
            told, self._aside = self._aside, None
        return told

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until there may be something to read, or for so many seconds.

        :returns: False when the time was up, or the follower is closed.
        """
        with self._changed:
            if not self._woken and not self._closed:
                self._changed.wait(timeout_s)
            woken, self._woken = self._woken, False
            return woken and not self._closed

    def wake(self) -> None:
        """Let :meth:`wait` return."""
        with self._changed:
            if not self._woken:
                self._woken = True
                self._changed.notify_all()

    def close(self, parting: Event | None = None) -> None:
        """Stop following; more than once is no error.

        :param parting: what the reader is to be told, where it is not its own wish.
        """
        with self._changed:
            if self._closed:
                return
            self._closed, self.parting = True, parting
            self._changed.notify_all()
        self._leave(self)
