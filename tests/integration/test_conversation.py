"""A conversation from start to end, through every layer: model, runner, session, log, room, client."""

from __future__ import annotations

import pytest

from tests.conftest import TIMEOUT_SCALE
from tests.integration.conftest import TEXT
from tests.support.model_server import ModelServer
from tests.support.server import ColloquyServer
from tests.support.watcher import Watcher, check_chain, folded, server_texts, tokens_of

AGENTS = ["Financial Analyst", "Market Context", "Risk Challenger"]


def test_three_agents_debate_in_order_and_close_with_a_consensus(watcher: Watcher, server: ColloquyServer) -> None:
    """The whole debate arrives, token by token, and ends with consensus and summary."""
    ack = watcher.must("start_stream", {"content": TEXT, "team": "debate"})
    assert watcher.wait_for_end() == "completed"
    events = watcher.events()
    check_chain(events, ack["offset"])
    statuses = [payload["status"] for name, payload in events if name == "conversation_status"]
    assert statuses == ["initializing", "active", "completed"]
    assert [payload["agent"] for name, payload in events if name == "agent_step"] == AGENTS
    assert tokens_of(events) == 3 * 40
    texts = folded(ack, events)
    assert [each["agent"] for each in texts.values()] == ["user", *AGENTS]
    complete = watcher.events("conversation_complete")[0][1]
    assert complete["consensus"] == "They agree to disagree."
    assert complete["summary"] == "Three agents have argued."
    assert not any(payload.get("demo") for _, payload in events)
    final = server.get(f"/api/conversations/{ack['conversation_id']}")
    assert server_texts(final) == {message_id: each["content"] for message_id, each in texts.items()}
    assert final["usage"]["completion_tokens"] >= 3 * 40


def test_the_ack_of_a_start_precedes_its_events(watcher: Watcher) -> None:
    """The caller knows its conversation before the first event comes: its log begins after the ack's offset."""
    ack = watcher.must("start_stream", {"content": TEXT})
    assert (ack["status"], ack["offset"], ack["snapshot"]["status"]) == ("initializing", 0, "idle")
    first = watcher.wait_for_event("conversation_status")
    assert (first["prev_offset"], first["status"], first["session_id"]) == (0, "initializing", ack["session_id"])
    watcher.must("stop_stream", {"conversation_id": ack["conversation_id"]})


def test_a_late_watcher_sees_the_same_in_mid_sentence(
    watcher: Watcher, server: ColloquyServer, model: ModelServer
) -> None:
    """Snapshot and tail meet without a hole or a double."""
    model.control(token_delay_ms=10)
    ack = watcher.must("start_stream", {"content": TEXT})
    watcher.wait_for_tokens(15)
    with Watcher(server.url, timeout_s=20 * TIMEOUT_SCALE) as late:
        joined = late.must("join", {"conversation_id": ack["conversation_id"]})
        assert not joined["recovered"]
        assert any(message["state"] == "open" for message in joined["snapshot"]["messages"])
        assert late.wait_for_end() == watcher.wait_for_end() == "completed"
        check_chain(late.events(), joined["offset"])
        assert {key: each["content"] for key, each in folded(joined, late.events()).items()} == {
            key: each["content"] for key, each in folded(ack, watcher.events()).items()
        }


def test_a_reader_that_tells_its_position_gets_only_what_it_missed(watcher: Watcher, server: ColloquyServer) -> None:
    """With a position the missed part follows as events; a position of another log gets a snapshot."""
    ack = watcher.must("start_stream", {"content": TEXT})
    watcher.wait_for_end()
    with Watcher(server.url, timeout_s=20 * TIMEOUT_SCALE) as back:
        position = {"epoch": ack["epoch"], "offset": 5}
        joined = back.must("join", {"conversation_id": ack["conversation_id"], "position": position})
        assert (joined["recovered"], joined["snapshot"], joined["offset"]) == (True, None, 5)
        back.wait_for_end()
        check_chain(back.events(), 5)
        other = back.must(
            "join", {"conversation_id": ack["conversation_id"], "position": {"epoch": "another", "offset": 5}}
        )
        assert not other["recovered"]
        assert other["snapshot"]["status"] == "completed"


def test_a_run_outlives_its_sockets(watcher: Watcher, server: ColloquyServer, model: ModelServer) -> None:
    """Nobody watches, and the conversation is completed all the same."""
    model.control(token_delay_ms=10)
    with Watcher(server.url) as starter:
        ack = starter.must("start_stream", {"content": TEXT})
        starter.wait_for_tokens(5)
    joined = watcher.must("join", {"conversation_id": ack["conversation_id"]})
    assert joined["snapshot"]["status"] == "active"
    assert watcher.wait_for_end() == "completed"
    assert [each["agent"] for each in folded(joined, watcher.events()).values()] == ["user", *AGENTS]


def test_the_next_message_goes_on_with_the_history(watcher: Watcher, model: ModelServer) -> None:
    """A conversation that has ended takes the next user turn; the model is told what was said before."""
    ack = watcher.must("start_stream", {"content": "The first question is about blue whales."})
    watcher.wait_for_end()
    asked = len(model.stats()["requests"])
    again = watcher.must(
        "send_message", {"conversation_id": ack["conversation_id"], "content": "And what of the second quarter?"}
    )
    assert watcher.wait_for_end(again["session_id"]) == "completed"
    check_chain(watcher.events(), ack["offset"])
    first = model.stats()["requests"][asked]
    said = str(first["messages"])
    assert "blue whales" in said
    assert "second quarter" in said


def test_the_chat_team_answers(watcher: Watcher) -> None:
    """The second bundled team: one assistant."""
    ack = watcher.must("start_stream", {"content": TEXT, "team": "chat"})
    assert watcher.wait_for_end() == "completed"
    assert [each["agent"] for each in folded(ack, watcher.events()).values()] == ["user", "Assistant"]


def test_a_model_that_answers_whole_is_shown_word_by_word(watcher: Watcher, model: ModelServer) -> None:
    """B4: the words of a reply that came whole are paced, and are the reply."""
    model.control(stream=False, text="These are exactly seven words of text.")
    ack = watcher.must("start_stream", {"content": TEXT, "team": "chat", "options": {"word_delay_ms": 1}})
    assert watcher.wait_for_end() == "completed"
    assert tokens_of(watcher.events()) >= 7
    answer = list(folded(ack, watcher.events()).values())[1]
    assert answer["content"].strip() == "These are exactly seven words of text."


def test_pacing_slows_the_conversation_and_loses_nothing(watcher: Watcher, model: ModelServer) -> None:
    """A model that is faster than the pace waits behind the buffer's marks."""
    model.control(token_delay_ms=0, tokens=1500)
    ack = watcher.must("start_stream", {"content": TEXT, "team": "chat", "options": {"tokens_per_s": 1000}})
    assert watcher.wait_for_end() == "completed"
    assert tokens_of(watcher.events()) == 1500
    check_chain(watcher.events(), ack["offset"])
    folded(ack, watcher.events())


def test_long_polling_works_as_well(server: ColloquyServer) -> None:
    """A client without WebSocket sees the same."""
    with Watcher(server.url, transports=("polling",), timeout_s=20 * TIMEOUT_SCALE) as poller:
        ack = poller.must("start_stream", {"content": TEXT})
        assert poller.wait_for_end() == "completed"
        check_chain(poller.events(), ack["offset"])
        folded(ack, poller.events())


def test_the_sessions_figures_say_what_happened(watcher: Watcher, server: ColloquyServer) -> None:
    """B11: tokens delivered are tokens received, none dropped."""
    ack = watcher.must("start_stream", {"content": TEXT})
    watcher.wait_for_end()
    listed = server.get("/api/websocket/sessions")["sessions"]
    mine = next(each for each in listed if each["conversation_id"] == ack["conversation_id"])
    assert mine["state"] == "closed"
    figures = mine["metrics"]
    assert figures["tokens_received"] == figures["tokens_delivered"] == 120
    assert figures["tokens_dropped"] == 0
    assert figures["latency_ms_p50"] is not None


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ({"content": TEXT, "team": "nobody"}, "team_unknown"),
        ({"content": "   \n"}, "content_empty"),
        ({"content": "x" * 70_000}, "content_too_large"),
        ({"content": "é" * 40_000}, "content_too_large"),
        ({"content": 7}, "invalid_payload"),
        ({"content": TEXT, "content_type": "poem"}, "invalid_payload"),
        ({"content": TEXT, "tempo": 1}, "invalid_payload"),
        ({"content": TEXT, "options": {"tokens_per_s": -1}}, "invalid_payload"),
        ({"content": TEXT, "conversation_id": "none-such"}, "conversation_unknown"),
        ({}, "invalid_payload"),
        ("text", "invalid_payload"),
        (None, "invalid_payload"),
    ],
)
def test_a_bad_start_is_refused_and_changes_nothing(
    watcher: Watcher, server: ColloquyServer, payload: object, code: str
) -> None:
    """Each kind of bad input has its typed error."""
    before = server.get("/api/conversations")["total"]
    assert watcher.refused("start_stream", payload) == code
    assert server.get("/api/conversations")["total"] == before


@pytest.mark.parametrize("command", ["join", "leave", "pause_stream", "resume_stream", "stop_stream", "send_message"])
def test_an_unknown_conversation_is_refused_everywhere(watcher: Watcher, command: str) -> None:
    """No command says more of an unknown conversation than that."""
    payload = {"conversation_id": "none-such"} | ({"content": TEXT} if command == "send_message" else {})
    assert watcher.refused(command, payload) == "conversation_unknown"


def test_commands_in_the_wrong_state_are_refused(watcher: Watcher, model: ModelServer) -> None:
    """Resume of a running one, double start, and everything after the end."""
    model.control(token_delay_ms=20)
    ack = watcher.must("start_stream", {"content": TEXT})
    one = {"conversation_id": ack["conversation_id"]}
    assert watcher.refused("resume_stream", one) == "invalid_state"
    assert watcher.refused("start_stream", one | {"content": TEXT}) == "invalid_state"
    watcher.must("stop_stream", one)
    for command in ("pause_stream", "resume_stream", "stop_stream"):
        assert watcher.refused(command, one) == "invalid_state"


def test_an_unknown_command_is_answered(watcher: Watcher) -> None:
    """A typed error, not silence."""
    assert watcher.refused("make_coffee", {}) == "unknown_command"


def test_ping_echoes(watcher: Watcher) -> None:
    """The way can be measured."""
    assert watcher.must("ping", {"echo": 12.5})["echo"] == 12.5
    assert watcher.refused("ping", {"echo": "x" * 201}) == "invalid_payload"
