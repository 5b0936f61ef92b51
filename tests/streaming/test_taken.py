"""Requests that are sent again are not carried out twice."""

from __future__ import annotations

from app.protocol.commands import RunOptions
from app.streaming.taken import Requests, TakenRequests


def test_a_request_is_known_by_owner_conversation_and_its_own_id() -> None:
    """Without an id of its own every request is a new one."""
    taken: TakenRequests[str] = TakenRequests()
    taken.put("local", "c1", "a", "first")
    taken.put("local", "c1", None, "nameless")
    assert taken.get("local", "c1", "a") == "first"
    assert [taken.get("other", "c1", "a"), taken.get("local", None, "a"), taken.get("local", "c1", None)] == [None] * 3


def test_it_is_bounded_and_forgets() -> None:
    """The oldest goes first; what no longer exists goes at once."""
    taken: TakenRequests[str] = TakenRequests(most=2)
    for name in "abc":
        taken.put("local", None, name, name)
    assert [taken.get("local", None, name) for name in "abc"] == [None, "b", "c"]
    taken.forget(lambda result: result == "b")
    assert [taken.get("local", None, name) for name in "bc"] == [None, "c"]


def test_the_requests_of_a_conversation_are_kept_as_json() -> None:
    """The newest of them; a request without an id is none, and an older version has kept nothing."""
    requests = Requests(began_as="start", options=RunOptions(max_turns=2))
    requests.put(None, "s0")
    for number in range(100):
        requests.put(f"c{number}", f"s{number}")
    requests.put("c99", "s100")
    kept = Requests.from_json(requests.to_json())
    assert (kept.began_as, kept.options) == ("start", RunOptions(max_turns=2))
    assert (kept.get("c99"), kept.get("c98"), kept.get("c0"), kept.get(None)) == ("s100", "s98", None, None)
    for odd in ({}, {"options": {"max_turns": "many"}}):
        assert Requests.from_json(odd).to_json() == {"began_as": None, "sessions": {}, "options": {}}
