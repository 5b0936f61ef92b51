"""``GET /api/conversations/<id>/stream`` as Server-Sent Events."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import requests
import sseclient

from tests.integration.doors.clients import (
    TERMINAL,
    TIMEOUT_S,
    Events,
    check_chain,
    is_logged,
    payload_of,
    texts_of,
    until_end,
)
from tests.support.model_server import ModelServer
from tests.support.server import ColloquyServer
from tests.support.waiting import wait_until

Look = Callable[[str], dict[str, Any]]
Start = Callable[..., str]


def url_of(server: ColloquyServer, conversation_id: str) -> str:
    return f"{server.url}/api/conversations/{conversation_id}/stream"


def test_a_snapshot_and_then_the_tail(server: ColloquyServer, model: ModelServer, start: Start, snapshot: Look) -> None:
    """A reader in mid-sentence gets the text so far, then every event after it: together, the server's text."""
    model.control(tokens=150, token_delay_ms=4)
    conversation_id = start()
    wait_until(lambda: snapshot(conversation_id)["offset"] > 20, "some tokens", 20)
    with Events(url_of(server, conversation_id)) as events:
        first = next(events)
        assert first.event == "snapshot"
        begin = payload_of(first)
        assert first.id == f"{begin['epoch']}:{begin['offset']}"
        came = [event for event in until_end(events) if is_logged(event)]
    payloads = [payload_of(event) for event in came]
    assert [event.id for event in came] == [f"{begin['epoch']}:{each['offset']}" for each in payloads]
    check_chain(payloads, begin["offset"])
    texts = texts_of(
        [(event.event, payload_of(event)) for event in came],
        {each["message_id"]: each["content"] for each in begin["messages"]},
    )
    assert texts == {each["message_id"]: each["content"] for each in snapshot(conversation_id)["messages"]}


def test_resume_while_tokens_arrive(server: ColloquyServer, model: ModelServer, start: Start, snapshot: Look) -> None:
    """A reader that loses its connection every few events misses nothing and sees nothing twice."""
    model.control(tokens=200, token_delay_ms=3)
    conversation_id = start()
    position, seen = f"{snapshot(conversation_id)['epoch']}:0", []
    connections = 0
    while not (seen and seen[-1][0] == "conversation_status" and seen[-1][1]["status"] in TERMINAL):
        connections += 1
        with Events(url_of(server, conversation_id), last_event_id=position) as events:
            for _, event in zip(range(15), events, strict=False):
                assert event.event not in ("snapshot", "resync")
                if not is_logged(event):
                    continue
                seen.append((event.event, payload_of(event)))
                position = event.id
                if payload_of(event).get("status") in TERMINAL:
                    break
    assert connections > 1
    end = snapshot(conversation_id)
    assert check_chain([payload for _, payload in seen], 0) == end["offset"]
    assert texts_of(seen) == {each["message_id"]: each["content"] for each in end["messages"]}


def test_a_lost_position_is_told(server: ColloquyServer, start: Start, snapshot: Look) -> None:
    """Another epoch: `resync` with a snapshot, as the first event; so with a position that makes no sense."""
    conversation_id = start()
    wait_until(lambda: snapshot(conversation_id)["status"] in TERMINAL, "the end", 20)
    for header in ("feedbeef:3", f"{snapshot(conversation_id)['epoch']}:999999"):
        with Events(url_of(server, conversation_id), last_event_id=header) as events:
            first = next(events)
            assert first.event == "resync"
            assert payload_of(first)["snapshot"]["status"] == "completed"
    with Events(url_of(server, conversation_id), last_event_id="nonsense") as events:
        assert next(events).event == "snapshot"


def test_until_end(server: ColloquyServer, start: Start, snapshot: Look) -> None:
    """The response ends with the run, at once where the run is over; and curl shows it as it comes."""
    conversation_id = start()
    url = url_of(server, conversation_id) + "?until=end&epoch=" + snapshot(conversation_id)["epoch"] + "&offset=0"
    shown = subprocess.run(
        ["curl", "-sSN", "--max-time", str(TIMEOUT_S), url], capture_output=True, text=True, check=True
    ).stdout
    assert shown.startswith(":\n\nretry: ")
    assert "event: message_delta" in shown
    assert json.loads(shown.strip().rpartition("data: ")[2])["status"] == "completed"
    response = httpx.get(url_of(server, conversation_id), params={"until": "end"}, trust_env=False)
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["x-accel-buffering"] == "no"
    assert "no-cache" in response.headers["cache-control"]
    assert response.text.count("event: ") == 1


def test_another_client(server: ColloquyServer, start: Start) -> None:
    """`sseclient` on `requests` reads the same."""
    with requests.get(url_of(server, start()), params={"until": "end"}, stream=True, timeout=TIMEOUT_S) as response:
        names = [event.event for event in sseclient.SSEClient(response).events()]
    assert names[0] == "snapshot"
    assert names[-1] == "conversation_status"


def test_heartbeats(server: ColloquyServer, start: Start, snapshot: Look) -> None:
    """A silent conversation shows that it lives; a heartbeat moves no position."""
    conversation_id = start()
    wait_until(lambda: snapshot(conversation_id)["status"] in TERMINAL, "the end", 20)
    with Events(url_of(server, conversation_id)) as events:
        first, beat, again = next(events), next(events), next(events)
    assert (beat.event, again.event) == ("heartbeat", "heartbeat")
    assert beat.id == first.id
    assert payload_of(beat)["offset"] == payload_of(first)["offset"]


def test_filters_and_changes_only(server: ColloquyServer, start: Start, snapshot: Look) -> None:
    """E7 on this door: by type, by role, and only what changed; the chain of positions has no hole all the same."""
    conversation_id = start()
    wait_until(lambda: snapshot(conversation_id)["status"] in TERMINAL, "the end", 20)
    begin = {"epoch": snapshot(conversation_id)["epoch"], "offset": 0, "until": "end"}
    with Events(url_of(server, conversation_id), types="agent_message", roles="user", **begin) as events:
        came = list(events)
    names = [event.event for event in came]
    assert names.count("agent_message") == 1
    assert set(names) == {"agent_message", "conversation_status", "conversation_complete"}
    check_chain([payload_of(event) for event in came], 0)
    with Events(url_of(server, conversation_id), changes_only="true", **begin) as events:
        names = [event.event for event in events]
    assert "message_updated" in names
    assert names.count("agent_message") == 1  # the user's own words had no deltas


@pytest.mark.parametrize(
    "query",
    ["?epoch=abc", "?offset=4", "?epoch=a&offset=-1", "?since=yesterday", "?batch_ms=-1", "?roles=nobody"],
)
def test_nonsense_is_refused(server: ColloquyServer, start: Start, query: str) -> None:
    """In the one JSON shape, before anything is streamed."""
    response = httpx.get(url_of(server, start()) + query, trust_env=False)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_payload")


def test_an_unknown_conversation(server: ColloquyServer) -> None:
    """404 and no stream: an `EventSource` does not come back."""
    response = httpx.get(url_of(server, "none-such"), trust_env=False)
    assert (response.status_code, response.json()["error"]["code"]) == (404, "conversation_unknown")


def test_a_reader_that_leaves_is_noticed(server: ColloquyServer, model: ModelServer, start: Start) -> None:
    """It counts as a watcher as long as it is there, and its connection is released though nothing is sent to it."""
    model.control(silent_after_tokens=3)
    conversation_id = start()

    def watchers() -> int:
        listed = server.get("/api/conversations?limit=200")["conversations"]
        return int(next(each["watchers"] for each in listed if each["conversation_id"] == conversation_id))

    wait_until(lambda: watchers() == 0, "the starter's leaving", 20)
    with Events(url_of(server, conversation_id)) as events:
        next(events)
        assert watchers() == 1
        assert server.get("/api/websocket/status")["connections"]["sse"] >= 1
    wait_until(lambda: watchers() == 0, "the reader's leaving", 20)
    httpx.head(url_of(server, conversation_id), trust_env=False)
    assert watchers() == 0
