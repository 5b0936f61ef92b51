"""Reads one conversation's log at its own pace: the log is its queue. Every door but the Socket.IO room reads so."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app.protocol.common import Filter
from app.streaming.log import LogEntry


@dataclass(frozen=True, slots=True)
class View:
    """What a reader wants to see.

    :param changes_only: ``agent_message`` comes as ``message_updated``, with only what its deltas did not say.
    """

    filter: Filter | None = None
    changes_only: bool = False


@dataclass(frozen=True, slots=True)
class Portion:
    """What a reader is given next: everything after ``prev_offset`` up to ``offset``.

    :param entries: what it wants to see of that, neighbouring deltas of one message merged, in an unbroken chain of
        ``prev_offset``; may be empty when all of it is filtered out.
    :param snapshot: not None: what followed is no longer kept, and this replaces everything; ``entries`` is empty.
    """

    epoch: str
    prev_offset: int
    offset: int
    entries: tuple[LogEntry, ...] = ()
    snapshot: dict[str, Any] | None = None


class Follower:
    """A place in a conversation's log. Made by :meth:`Conversation.follow`; counts as a watcher until it is closed.

    Belongs to one task; :meth:`wake` and :meth:`close` may be called from anywhere.
    """

    def __init__(
        self,
        read: Callable[[Follower, int], Portion | None],
        leave: Callable[[Follower], None],
        condition: threading.Condition,
        offset: int,
        view: View,
    ) -> None:
        self.offset = offset
        self.view = view
        self._read = read
        self._leave = leave
        self._changed = condition  # guards the two below
        self._woken = False
        self._closed = False

    @property
    def closed(self) -> bool:
        """Nothing more is given: its reader has left, or the conversation was forgotten."""
        return self._closed

    def read(self, max_bytes: int = 65_536) -> Portion | None:
        """What follows, at most about so many bytes of it; None at the log's head. Does not block."""
        return None if self._closed else self._read(self, max_bytes)

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
            self._woken = True
            self._changed.notify_all()

    def close(self) -> None:
        """Stop following; more than once is no error."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._changed.notify_all()
        self._leave(self)
