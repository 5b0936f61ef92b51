"""What an address asks for."""

from __future__ import annotations

import pytest

from app.errors import InvalidPayload
from app.http.body import parse
from app.http.reading import wish_of
from app.http.websocket import BroadcastRequest
from app.protocol.commands import Join
from app.protocol.common import Position


def test_nothing_is_asked_for() -> None:
    """A snapshot, and everything that follows."""
    wish = wish_of({})
    assert (wish.position, wish.since, wish.view.whole, wish.batch_s) == (None, None, True, 0.0)


def test_a_position() -> None:
    """By its parts, by its id, by the header; the header wins over the address of the first connection."""
    place = Position(epoch="e1", offset=7)
    assert wish_of({"epoch": "e1", "offset": "7"}).position == place
    assert wish_of({"last_event_id": "e1:7"}).position == place
    assert wish_of({"epoch": "e0", "offset": "1"}, "e1:7").position == place


@pytest.mark.parametrize("given", ["7", ":7", "e1:", "e1:x", "e1:-7", "e1:٧", "x" * 65 + ":1", "e:" + "9" * 30])
def test_a_strange_event_id_is_no_position(given: str) -> None:
    """Whatever a client remembers from elsewhere: it gets a snapshot."""
    assert wish_of({}, given).position is None


def test_what_is_wanted() -> None:
    """Lists are separated by commas; a plus sign that an address has turned into a space is one again."""
    wish = wish_of(
        {
            "types": "message_delta, agent_message,",
            "roles": "user",
            "agents": "Risk Challenger",
            "changes_only": "true",
            "since": "2026-11-21T10:00:00 01:00",
            "batch_ms": "250",
        }
    )
    assert wish.view.filter is not None
    assert wish.view.filter.types == ("message_delta", "agent_message")
    assert wish.view.filter.roles == ("user",)
    assert wish.view.filter.agents == ("Risk Challenger",)
    assert wish.view.changes_only
    assert wish.since is not None
    assert wish.since.isoformat() == "2026-11-21T10:00:00+01:00"
    assert wish.batch_s == 0.25


@pytest.mark.parametrize(
    "query",
    [
        {"epoch": "e"},
        {"offset": "3"},
        {"epoch": "e", "offset": "-3"},
        {"since": "2026-11-21T10:00:00"},
        {"roles": "king"},
        {"batch_ms": "10001"},
        {"batch_ms": "1.5"},
        {"types": ",".join("x" * 60)},
    ],
)
def test_nonsense_is_refused(query: dict[str, str]) -> None:
    """With a sentence that names the field and does not repeat what was sent."""
    with pytest.raises(InvalidPayload):
        wish_of(query)


def test_what_is_wrong_is_named() -> None:
    """The sentence is for whoever wrote the request: it names the parameter, and speaks of no class of ours."""
    with pytest.raises(InvalidPayload, match=r"^since: "):
        wish_of({"since": "2026-11-21T10:00:00"})
    with pytest.raises(InvalidPayload, match=r"^an object is needed$"):
        parse(BroadcastRequest, [])
    with pytest.raises(InvalidPayload, match=r"^position: an object is needed$"):
        parse(Join, {"conversation_id": "x", "position": 5})
