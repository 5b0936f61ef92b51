"""The states of a conversation's session: one table, and nothing else decides.

::

    idle ─► initializing ─► active ◄─► paused
                 │  └──────────┼─────────┤       (pause is legal from initializing on)
                 ▼             ▼         ▼
              stopped · error · completed         (terminal: a session never reopens)
"""

from __future__ import annotations

from app.errors import InvalidState
from app.protocol.common import Status

TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.IDLE: frozenset({Status.INITIALIZING}),
    Status.INITIALIZING: frozenset({Status.ACTIVE, Status.PAUSED, Status.STOPPED, Status.ERROR}),
    Status.ACTIVE: frozenset({Status.PAUSED, Status.COMPLETED, Status.STOPPED, Status.ERROR}),
    Status.PAUSED: frozenset({Status.ACTIVE, Status.STOPPED, Status.ERROR}),
    Status.COMPLETED: frozenset(),
    Status.STOPPED: frozenset(),
    Status.ERROR: frozenset(),
}
TERMINAL: frozenset[Status] = frozenset(status for status, following in TRANSITIONS.items() if not following)
RUNNING: frozenset[Status] = frozenset({Status.INITIALIZING, Status.ACTIVE, Status.PAUSED})

SESSION_VIEW: dict[Status, str] = {
    Status.IDLE: "idle",
    Status.INITIALIZING: "streaming",
    Status.ACTIVE: "streaming",
    Status.PAUSED: "paused",
    Status.ERROR: "error",
    Status.COMPLETED: "closed",
    Status.STOPPED: "closed",
}
"""The session states of FEATURES B3 as a view of the table."""


def check_transition(current: Status, wanted: Status) -> None:
    """Refuse an illegal change.

    :raises InvalidState: when the table has no way from ``current`` to ``wanted``.
    """
    if wanted not in TRANSITIONS[current]:
        raise InvalidState(f"a conversation that is {current} cannot become {wanted}")
