"""Which conversation an AG-UI thread is, and which of its messages were taken already."""

from __future__ import annotations

import threading
from collections import OrderedDict

from app.auth.identity import Person
from app.errors import InvalidPayload

_MAX_SENT = 100
_MAX_ID = 200


class Thread:
    """One thread of one owner.

    ``sent`` holds the messages that were taken: the client's id of each → ours; the last 100.
    """

    __slots__ = ("conversation_id", "lock", "sent")

    def __init__(self) -> None:
        self.conversation_id: str | None = None
        self.sent: OrderedDict[str, str] = OrderedDict()
        # held while a request finds or starts the thread's run, so that of two at once the second resumes it
        self.lock = threading.Lock()

    def took(self, message_id: str, own_id: str) -> None:
        """Note that a message of the client is one of ours now."""
        self.sent[message_id] = own_id
        if len(self.sent) > _MAX_SENT:
            self.sent.popitem(last=False)

    def names(self) -> dict[str, str]:
        """Our message id → the client's."""
        return {own: given for given, own in self.sent.items()}


class Threads:
    """The threads of everybody. Nobody finds somebody else's: an owner's ids are a world of their own.

    Safe to use from several threads or greenlets.

    :param most: how many are remembered; the one that was not asked for longest is forgotten first. A conversation of
        a forgotten thread goes on, and is found under its own id, which every run tells.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._threads: OrderedDict[tuple[Person, str], Thread] = OrderedDict()
        self._lock = threading.Lock()  # guards the dictionary

    def of(self, owner: Person | None, thread_id: str) -> Thread:
        """An owner's thread; a new one where the id is not known. Of who only holds a link, none is remembered.

        :raises InvalidPayload: for an id that nobody would choose.
        """
        if not 0 < len(thread_id) <= _MAX_ID:
            raise InvalidPayload(f"threadId: from 1 to {_MAX_ID} characters are needed")
        if owner is None:
            return Thread()
        with self._lock:
            thread = self._threads.setdefault((owner, thread_id), Thread())
            self._threads.move_to_end((owner, thread_id))
            if len(self._threads) > self._most:
                self._threads.popitem(last=False)
        return thread

    def forget(self, conversation_id: str) -> None:
        """The conversation is no more: nobody has a thread of it."""
        with self._lock:
            for key in [key for key, thread in self._threads.items() if thread.conversation_id == conversation_id]:
                del self._threads[key]

    def __len__(self) -> int:
        return len(self._threads)
