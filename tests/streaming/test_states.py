"""The table of states, every pair of it."""

from __future__ import annotations

import itertools

import pytest

from app.errors import InvalidState
from app.protocol.common import Status
from app.streaming.states import RUNNING, SESSION_VIEW, TERMINAL, TRANSITIONS, check_transition

LEGAL = {
    ("idle", "initializing"),
    ("initializing", "active"),
    ("initializing", "paused"),
    ("initializing", "stopped"),
    ("initializing", "error"),
    ("active", "paused"),
    ("active", "completed"),
    ("active", "stopped"),
    ("active", "error"),
    ("paused", "active"),
    ("paused", "stopped"),
    ("paused", "error"),
}


@pytest.mark.parametrize(("current", "wanted"), list(itertools.product(Status, Status)))
def test_every_pair(current: Status, wanted: Status) -> None:
    """What DESIGN.md allows passes, everything else raises and names both states."""
    if (current, wanted) in LEGAL:
        check_transition(current, wanted)
    else:
        with pytest.raises(InvalidState, match=rf"{current}.*{wanted}") as caught:
            check_transition(current, wanted)
        assert caught.value.error_code == "invalid_state"


def test_the_table_knows_every_status() -> None:
    """Also the view of FEATURES B3."""
    assert set(TRANSITIONS) == set(SESSION_VIEW) == set(Status)
    assert set(SESSION_VIEW.values()) == {"idle", "streaming", "paused", "error", "closed"}


def test_terminal_sessions_never_reopen() -> None:
    """Completed, stopped and error are the ends; whatever is neither an end nor idle runs."""
    assert {Status.COMPLETED, Status.STOPPED, Status.ERROR} == TERMINAL
    assert set(Status) - TERMINAL - {Status.IDLE} == RUNNING


def test_every_status_can_be_reached_and_left_to_an_end() -> None:
    """No state is a trap, none is out of reach."""
    reached = {Status.IDLE}
    for _ in Status:
        reached |= {following for status in reached for following in TRANSITIONS[status]}
    assert reached == set(Status)
    for status in RUNNING:
        assert {Status.STOPPED, Status.ERROR} <= TRANSITIONS[status]
