"""Requests that were taken already, so that one that is sent again is not carried out twice."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Result = TypeVar("Result")


class TakenRequests(Generic[Result]):
    """Remembers the last requests by their owner, conversation and the client's own id. Not safe for use from threads.

    An owner's name is unique within a tenant alone: give both.

    :param most: how many; the oldest is forgotten first.
    """

    def __init__(self, most: int = 1000) -> None:
        self._most = most
        self._results: OrderedDict[tuple[Hashable, str | None, str], Result] = OrderedDict()

    def get(self, owner: Hashable, conversation_id: str | None, client_id: str | None) -> Result | None:
        """What the request led to when it was first taken; None for a new one, or one without an id."""
        return self._results.get((owner, conversation_id, client_id)) if client_id else None

    def put(self, owner: Hashable, conversation_id: str | None, client_id: str | None, result: Result) -> None:
        """Remember what a request has led to."""
        if client_id:
            self._results[owner, conversation_id, client_id] = result
            if len(self._results) > self._most:
                self._results.popitem(last=False)

    def forget(self, gone: Callable[[Result], bool]) -> None:
        """Remember nothing that led to what is gone."""
        for key in [key for key, result in self._results.items() if gone(result)]:
            del self._results[key]
