"""How many connections one person, and one address, has at all doors together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from app.auth.identity import Principal
from app.auth.in_force import LimitsInForce
from app.auth.request_rate import source_in
from app.errors import LimitExceeded

RETRY_S = 10.0
_SPARE = 16  # connections of one address beyond its limit that may stay long enough to be refused with a clear error


class Seat:
    """A connection's place among those of its person and its address, until it is released.

    :param alive: whether its connection still is: whoever forgets to release it takes nobody's place for ever.
    """

    def __init__(self, seats: Seats, keys: tuple[str, ...], alive: Callable[[], bool]) -> None:
        self.keys = keys
        self.alive = alive
        self._seats = seats

    def release(self) -> None:
        """Give it back; more than once is no error."""
        self._seats.drop(self)


class Seats:
    """All of them. Safe to use from several threads or greenlets.

    :ivar refused: connections that were refused, since their person or address had enough of them.
    """

    def __init__(self, limits: LimitsInForce) -> None:
        self._limits = limits
        self._taken: dict[str, set[Seat]] = {}
        self._lock = threading.Lock()  # guards the dict, its sets and the figure; nothing foreign is called under it
        self.refused = 0

    def of(self, principal: Principal) -> int:
        """How many connections somebody has."""
        return len(self._taken.get(f"person {principal.person}", ()))

    def check(self, environ: Mapping[str, Any], principal: Principal | None = None) -> None:
        """:raises LimitExceeded: when there is no room for one more connection of this address, or this person."""
        self._enter(self._wanted(environ, principal), None)

    def take(self, environ: Mapping[str, Any], principal: Principal, alive: Callable[[], bool] = lambda: True) -> Seat:
        """One more connection. :raises LimitExceeded: as :meth:`check` does; nothing is taken then."""
        return self._take(self._wanted(environ, principal), alive)

    def take_transport(self, environ: Mapping[str, Any], alive: Callable[[], bool]) -> Seat:
        """One more connection that has not said what it wants; a few more than of those that have.

        :raises LimitExceeded:
        """
        source, most = source_in(environ), self._limits.value("max_connections_per_address")
        wanted = [(f"transport {source}", most + _SPARE, "this address")] if source is not None and most else []
        return self._take(wanted, alive)

    def _wanted(self, environ: Mapping[str, Any], principal: Principal | None) -> list[tuple[str, int, str]]:
        """(key, limit, who) each; who is excepted has none."""
        found = []
        if (source := source_in(environ)) is not None:
            found.append((f"address {source}", self._limits.value("max_connections_per_address"), "this address"))
        if principal is not None and principal.id and principal.kind != "guest":
            found.append((f"person {principal.person}", self._limits.value("max_connections_per_user"), "one person"))
        return found

    def _take(self, wanted: list[tuple[str, int, str]], alive: Callable[[], bool]) -> Seat:
        seat = Seat(self, tuple(key for key, _, _ in wanted), alive)
        self._enter(wanted, seat)
        return seat

    def _enter(self, wanted: list[tuple[str, int, str]], seat: Seat | None) -> None:
        full = self._try(wanted, seat)
        if full is not None:  # perhaps of some that are no more
            for each in tuple(self._taken.get(full[0], ())):
                if not each.alive():
                    each.release()
            full = self._try(wanted, seat)
        if full is not None:
            self.refused += 1
            _, most, who = full
            raise LimitExceeded(f"{who} may have {most} connections at once; close one first", retry_after_s=RETRY_S)

    def _try(self, wanted: list[tuple[str, int, str]], seat: Seat | None) -> tuple[str, int, str] | None:
        """What is full; None: it is in."""
        with self._lock:
            for each in wanted:
                if 0 < each[1] <= len(self._taken.get(each[0], ())):
                    return each
            if seat is not None:
                for key in seat.keys:
                    self._taken.setdefault(key, set()).add(seat)
        return None

    def drop(self, seat: Seat) -> None:
        """See :meth:`Seat.release`."""
        with self._lock:
            for key in seat.keys:
                taken = self._taken.get(key)
                if taken is not None:
                    taken.discard(seat)
                    if not taken:
                        del self._taken[key]
