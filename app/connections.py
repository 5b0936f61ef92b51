"""The connections of all doors beside Socket.IO: counted, told of a broadcast, and cut off when they take nothing."""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from app.auth.identity import Person
from app.auth.seats import Seat
from app.errors import LimitExceeded
from app.namespaces.stream import Progress, Stream
from app.streaming.ports import Clock, Concurrency

logger = logging.getLogger(__name__)

_SWEEP_S = 1.0
_AT_A_TIME = 200  # connections looked at before others get their turn


class Outlet:
    """A connection on which somebody is sent things, and whether it takes them.

    The kernel takes a lot for a client that takes nothing; what counts is what the client's side has acknowledged.
    """

    def __init__(self, stream: Stream, clock: Clock) -> None:
        self.stream = stream
        self.seat: Seat | None = None
        self.aborted = False
        self.writing = False
        """Somebody waits for the kernel to take something."""
        self._clock = clock
        self._progress = Progress(stream.acknowledged_bytes(), clock.monotonic())

    def stalled_s(self) -> float:
        """For how long the client has taken nothing although something was waiting, in seconds.

        Asked from time to time: what has changed since it was last asked is taken to have changed now.
        """
        now, taken = self._clock.monotonic(), self.stream.acknowledged_bytes()
        self._progress.saw(taken, now)
        if not (self.writing or self.stream.unsent_bytes()):
            self._progress.since = now
        return now - self._progress.since

    def wrote(self) -> None:
        """The kernel has taken all that somebody was waiting for."""
        self.writing = False
        if not self._progress.mark:  # this system does not tell what the client acknowledges
            self._progress.since = self._clock.monotonic()

    def give_back(self) -> None:
        """Release its seat, if it has one."""
        if self.seat is not None:
            self.seat.release()

    def abort(self) -> None:
        """End the connection at once and free what waits in the kernel; whoever reads or writes on it finds out."""
        self.aborted = True
        self.stream.reset()


class Connection(ABC):
    """What the registry holds: one client of one door."""

    def __init__(self, door: str, outlet: Outlet) -> None:
        self.door = door
        self.outlet = outlet

    @abstractmethod
    def tell(self, name: str, payload: dict[str, Any]) -> bool:
        """Pass a transient event on, without waiting; False if this door has no way to say it."""

    def gone(self) -> None:  # noqa: B027  # most doors need not be told: their reader finds out
        """The client has left, as the kernel knows: end what works for it."""

    def close(self) -> None:
        """The server ends: say goodbye, without waiting."""
        self.outlet.abort()

    def abort(self) -> None:
        """It was told that it ends, and had its time."""
        self.outlet.abort()


class Connections:
    """All of them. Safe to use from several threads or greenlets.

    :param elsewhere: how many connections there are beside these; all together they are bounded.
    """

    def __init__(
        self,
        concurrency: Concurrency,
        *,
        max_connections: int,
        slow_client_timeout_s: float,
        elsewhere: Callable[[], int] = lambda: 0,
    ) -> None:
        self._concurrency = concurrency
        self._max_connections = max_connections
        self._timeout_s = slow_client_timeout_s
        self._elsewhere = elsewhere
        self.greet_with: Callable[[], tuple[str, dict[str, Any]] | None] = lambda: None
        """The transient event that somebody who comes now is told, where their door has a word for it."""
        self._all: set[Connection] = set()
        self._lock = threading.Lock()  # guards the set
        self._sweeping = False
        self.cut_off = 0
        self.refused = 0

    def __len__(self) -> int:
        return len(self._all)

    def by_door(self) -> dict[str, int]:
        """How many connections each door has."""
        found: dict[str, int] = {}
        for connection in self._list():
            found[connection.door] = found.get(connection.door, 0) + 1
        return found

    def check_room(self) -> None:
        """:raises LimitExceeded: when there is no room for one more."""
        if len(self._all) + self._elsewhere() >= self._max_connections:
            self.refused += 1
            raise LimitExceeded(f"{self._max_connections} connections are open; try again later")

    def enter(self, connection: Connection) -> None:
        """Take one in. :raises LimitExceeded: when there are too many."""
        self.check_room()
        with self._lock:
            self._all.add(connection)
            begin, self._sweeping = not self._sweeping, True
        if begin:
            self._concurrency.spawn(self._sweep_while_needed)
        if (news := self.greet_with()) is not None:
            connection.tell(*news)

    def leave(self, connection: Connection) -> None:
        """Let one go; more than once is no error."""
        with self._lock:
            self._all.discard(connection)
        connection.outlet.give_back()

    def broadcast(self, name: str, payload: dict[str, Any]) -> int:
        """Pass a transient event to everybody; how many were told."""
        return sum(connection.tell(name, payload) for connection in self._list())

    def close_all(self) -> None:
        """Say goodbye to everybody."""
        for connection in self._list():
            try:
                connection.close()
            except Exception:
                logger.exception("a connection of %s could not be closed", connection.door)

    def _sweep_while_needed(self) -> None:
        while True:
            self._concurrency.sleep(_SWEEP_S)
            try:
                self.sweep()
            except Exception:
                logger.exception("looking after connections failed")
            with self._lock:
                if not self._all:
                    self._sweeping = False
                    return

    def sweep(self) -> None:
        """Cut off who takes nothing, and notice who has left."""
        for number, connection in enumerate(self._list()):
            if number % _AT_A_TIME == _AT_A_TIME - 1:
                self._concurrency.sleep(0)
            if connection.outlet.stalled_s() > self._timeout_s:
                self.cut_off += 1
                logger.info("a client of %s took nothing for %g s and was cut off", connection.door, self._timeout_s)
                connection.outlet.abort()
                connection.gone()
            elif connection.outlet.stream.peer_has_left():
                connection.gone()

    def _list(self) -> list[Connection]:
        with self._lock:
            return list(self._all)


class ClientTasks:
    """Which conversation a client of the task door works on, by the id that the client has given itself.

    Safe to use from several threads or greenlets.

    :param most: clients remembered; the one that has started nothing for longest is forgotten first.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._conversations: dict[tuple[Person, str], str] = {}
        self._lock = threading.Lock()  # guards the dict

    def remember(self, owner: Person | None, client_id: str, conversation_id: str) -> None:
        """Note what a client works on; of who only holds a link, nothing is noted."""
        if owner is None:
            return
        with self._lock:
            self._conversations.pop((owner, client_id), None)
            self._conversations[owner, client_id] = conversation_id
            if len(self._conversations) > self._most:
                del self._conversations[next(iter(self._conversations))]

    def forget(self, conversation_id: str) -> None:
        """The conversation is no more: nobody works on it."""
        with self._lock:
            for key in [key for key, found in self._conversations.items() if found == conversation_id]:
                del self._conversations[key]

    def conversation_of(self, owner: Person | None, client_id: str) -> str | None:
        """What a client works on, or worked on last."""
        if owner is None:
            return None
        with self._lock:
            return self._conversations.get((owner, client_id))
