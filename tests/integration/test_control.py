"""Pause, resume and stop, as seen by the watchers and by the model."""

from __future__ import annotations

import re
from typing import Any

from tests.conftest import TIMEOUT_SCALE
from tests.integration.conftest import TEXT
from tests.support.model_server import ModelServer
from tests.support.server import ColloquyServer
from tests.support.watcher import Watcher, check_chain, folded, tokens_of


def start(watcher: Watcher, **payload: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Start a conversation; its ack, and the payload that names it."""
    ack = watcher.must("start_stream", {"content": TEXT} | payload)
    return ack, {"conversation_id": ack["conversation_id"]}


def test_a_pause_halts_and_a_resume_goes_on_with_the_next_token(watcher: Watcher, model: ModelServer) -> None:
    """After the ack nothing is shown; nothing is lost or doubled over the pause."""
    model.control(markers=True, token_delay_ms=5)
    ack, one = start(watcher)
    watcher.wait_for_tokens(30)
    assert watcher.must("pause_stream", one)["status"] == "paused"
    shown = tokens_of(watcher.events())
    asked = model.stats()["total"]
    assert watcher.refused("pause_stream", one) == "invalid_state"
    watcher.must("ping", {})  # whatever was on its way has come by now
    assert tokens_of(watcher.events()) == shown
    assert model.stats()["total"] == asked
    assert watcher.must("resume_stream", one)["status"] == "active"
    assert watcher.wait_for_end() == "completed"
    check_chain(watcher.events(), ack["offset"])
    for each in folded(ack, watcher.events()).values():
        if each["agent"] != "user":
            numbers = [int(number) for number in re.findall(r"#(\d+)", each["content"])]
            assert numbers == list(range(40))


def test_a_pause_takes_nothing_more_from_the_model(watcher: Watcher, model: ModelServer) -> None:
    """A reply larger than the kernel's buffers stays with the model: the provider feels the pause."""
    model.control(tokens=12_500, token_delay_ms=0, piece_bytes=4000)
    _, one = start(watcher, team="chat")
    watcher.wait_for_tokens(50)
    watcher.must("pause_stream", one)

    at_pause = model.settled_bytes()
    for _ in range(20):
        watcher.must("ping", {})
    assert model.settled_bytes() == at_pause
    assert model.stats()["requests"][-1]["ended"] == "open"
    watcher.must("stop_stream", one)
    model.wait_for(lambda stats: stats["open"] == 0)


def test_no_new_request_starts_while_paused(watcher: Watcher, model: ModelServer) -> None:
    """A pause between two agents holds the next one."""
    model.control(token_delay_ms=2)
    _, one = start(watcher)
    watcher.wait_for_event("agent_step", agent="Market Context")
    watcher.must("pause_stream", one)
    asked = model.stats()["total"]
    model.control(token_delay_ms=0)
    for _ in range(20):
        watcher.must("ping", {})
    assert model.stats()["total"] == asked
    watcher.must("resume_stream", one)
    assert watcher.wait_for_end() == "completed"


def test_a_stop_closes_the_models_request_and_tells_the_tokens(watcher: Watcher, model: ModelServer) -> None:
    """The ack comes when the model has seen its request closed; the text so far is kept as a partial message."""
    model.control(token_delay_ms=20, tokens=500)
    ack, one = start(watcher)
    watcher.wait_for_tokens(10)
    stopped = watcher.must("stop_stream", one)
    assert stopped["status"] == "stopped"
    assert stopped["tokens"]["estimated"] is True  # the provider never came to its figures
    assert stopped["tokens"]["completion_tokens"] >= 10
    seen = model.wait_for(lambda stats: stats["open"] == 0)
    assert seen["requests"][-1]["ended"] == "client_closed"
    assert watcher.wait_for_end() == "stopped"
    broken = list(folded(ack, watcher.events()).values())[-1]
    assert broken["state"] == "partial"
    assert broken["content"]
    check_chain(watcher.events(), ack["offset"])
    assert not watcher.events("conversation_complete")


def test_a_stop_before_the_first_token(watcher: Watcher, model: ModelServer) -> None:
    """The model has not answered yet: its request is closed all the same."""
    model.control(first_token_delay_ms=30_000)
    _, one = start(watcher)
    model.wait_for(lambda stats: stats["open"] == 1)
    assert watcher.must("stop_stream", one)["status"] == "stopped"
    assert model.wait_for(lambda stats: stats["open"] == 0)["requests"][-1]["ended"] == "client_closed"


def test_a_stop_right_after_the_start(watcher: Watcher, model: ModelServer) -> None:
    """Stop is legal from initializing on; pause, too."""
    _, one = start(watcher)
    assert watcher.must("stop_stream", one)["status"] == "stopped"
    _, two = start(watcher)
    assert watcher.must("pause_stream", two)["status"] == "paused"
    assert watcher.must("stop_stream", two)["status"] == "stopped"
    model.wait_for(lambda stats: stats["open"] == 0)


def test_a_stop_while_paused(watcher: Watcher, model: ModelServer) -> None:
    """A paused run can be stopped; its held text is kept."""
    model.control(token_delay_ms=10, tokens=300)
    ack, one = start(watcher)
    watcher.wait_for_tokens(10)
    watcher.must("pause_stream", one)
    assert watcher.must("stop_stream", one)["status"] == "stopped"
    model.wait_for(lambda stats: stats["open"] == 0)
    check_chain(watcher.events(), ack["offset"])


def test_a_stop_of_a_paced_conversation_shows_what_was_buffered(watcher: Watcher, model: ModelServer) -> None:
    """Text that waited for its pace is logged at once."""
    model.control(token_delay_ms=0, tokens=400)
    ack, one = start(watcher, team="chat", options={"tokens_per_s": 20})
    watcher.wait_for_tokens(15)
    model.wait_for(lambda stats: stats["open"] == 0)
    watcher.must("stop_stream", one)
    assert watcher.wait_for_end() == "stopped"
    assert tokens_of(watcher.events()) == 400
    folded(ack, watcher.events())


def test_another_client_stops_what_one_has_started(
    watcher: Watcher, server: ColloquyServer, model: ModelServer
) -> None:
    """Whoever may, steers: everybody in the room hears it."""
    model.control(token_delay_ms=20, tokens=500)
    _, one = start(watcher)
    watcher.wait_for_tokens(3)
    with Watcher(server.url, timeout_s=20 * TIMEOUT_SCALE) as other:
        other.must("join", one)
        other.must("pause_stream", one)
        watcher.wait_for_event("conversation_status", status="paused")
        other.must("stop_stream", one)
    assert watcher.wait_for_end() == "stopped"


def test_the_commands_of_one_client_keep_their_order(watcher: Watcher, model: ModelServer) -> None:
    """Sent without waiting for their acks, pause and resume never overtake each other."""
    model.control(token_delay_ms=5, tokens=100)
    _, one = start(watcher)
    watcher.wait_for_tokens(3)
    for _ in range(5):
        watcher.send("pause_stream", one)
        watcher.send("resume_stream", one)
    watcher.wait_for_event("conversation_status", status="paused")
    assert watcher.must("ping", {})["ok"]
    assert watcher.wait_for_end() == "completed"
    statuses = [payload["status"] for _, payload in watcher.events("conversation_status")]
    assert statuses == ["initializing", "active", *["paused", "active"] * 5, "completed"]
