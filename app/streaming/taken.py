"""Requests that were taken already, so that one that is sent again is not carried out twice."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from app.protocol.commands import RunOptions

Result = TypeVar("Result")

NO_WISHES = RunOptions()
_MOST_REQUESTS = 32  # of one conversation


def options_from(kept: Any) -> RunOptions:
    """Wishes as they were kept; none for what another version has kept otherwise."""
    try:
        return RunOptions.model_validate(kept or {})
    except ValidationError:
        return NO_WISHES


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


class Requests:
    """The last requests that one conversation has taken, by the client's own ids. Not safe for use from threads.

    :param began_as: the start that has made it; None: it had no id, or an older version has kept it.
    :param sessions: client's id → the session that was promised for it, the newest last.
    :param options: what the caller of the latest run has wished for.
    """

    def __init__(
        self,
        began_as: str | None = None,
        sessions: Mapping[str, str] | None = None,
        options: RunOptions = NO_WISHES,
    ) -> None:
        self.began_as = began_as
        self.options = options
        self._sessions = dict(sessions or {})

    def get(self, client_id: str | None) -> str | None:
        """The session of a request that was taken before; None for a new one, or one without an id."""
        return self._sessions.get(client_id) if client_id else None

    def put(self, client_id: str | None, session_id: str) -> None:
        """Remember a request; the oldest of too many is forgotten."""
        if client_id:
            self._sessions.pop(client_id, None)
            self._sessions[client_id] = session_id
            if len(self._sessions) > _MOST_REQUESTS:
                del self._sessions[next(iter(self._sessions))]

    def to_json(self) -> dict[str, Any]:
        """As the store keeps them."""
        options = self.options.model_dump(exclude_unset=True)
        return {"began_as": self.began_as, "sessions": dict(self._sessions), "options": options}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Requests:
        """What :meth:`to_json` has made; none of what an older version has not kept."""
        return cls(kept.get("began_as"), kept.get("sessions"), options_from(kept.get("options")))
