"""``/api/conversations/<id>/stream`` as a WebSocket (FEATURES A6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.doors.clients import TERMINAL, Socket, check_chain, texts_of
from tests.support.model_server import ModelServer
from tests.support.server import ColloquyServer
from tests.support.waiting import wait_until

Connect = Callable[..., Socket]
Look = Callable[[str], dict[str, Any]]
NEW = "/api/conversations/new/stream"


def logged(socket: Socket) -> list[tuple[str, dict[str, Any]]]:
    """The logged events that have come, as (name, payload)."""
    return [(each["type"], each["data"]) for each in socket.came if "prev_offset" in each.get("data", {})]


def path_of(conversation_id: str) -> str:
    return f"/api/conversations/{conversation_id}/stream"


def test_a_debate_from_its_start_to_its_end(socket: Connect, model: ModelServer, snapshot: Look) -> None:
    """The ack first, then every event of the protocol as `{type, data}`, up to the end."""
    model.control(tokens=5)
    bridge = socket(NEW)
    bridge.send({"type": "start_conversation", "data": {"content": "Should the bank?", "contentType": "text"}})
    assert bridge.receive()["type"] == "ack"
    bridge.wait_for("conversation_status", status="completed")
    events = logged(bridge)
    assert [name for name, _ in events[:3]] == ["conversation_status", "agent_message", "conversation_status"]
    assert len([name for name, _ in events if name == "agent_step"]) == 3  # the debate is the team by default
    assert [name for name, _ in events[-2:]] == ["conversation_complete", "conversation_status"]
    check_chain([payload for _, payload in events], 0)
    view = snapshot(events[0][1]["conversation_id"])
    assert texts_of(events) == {each["message_id"]: each["content"] for each in view["messages"]}


@pytest.mark.parametrize("place", ["data", "payload", None])
def test_pause_resume_stop(socket: Connect, model: ModelServer, place: str | None) -> None:
    """Wherever the fields stand; each is acked, and nothing comes in a pause."""

    def message(kind: str, **fields: Any) -> dict[str, Any]:
        return {"type": kind, **(fields if place is None else {place: fields})}

    model.control(tokens=2000, token_delay_ms=5)
    bridge = socket(NEW)
    bridge.send(message("start_conversation", content="Talk", contentType="text", team="chat"))
    bridge.wait_for("message_delta")
    bridge.send(message("control", action="pause"))
    assert bridge.wait_for("ack", command="control")["data"]["status"] == "paused"
    bridge.send(message("control", action="pause"))
    assert bridge.wait_for("error")["data"]["code"] == "invalid_state"
    bridge.send(message("control", action="resume"))
    bridge.wait_for("conversation_status", status="active")
    bridge.wait_for("message_delta")
    bridge.send(message("control", action="stop"))
    bridge.wait_for("ack", command="control", status="stopped")
    assert "tokens" in bridge.came[-1]["data"]


def test_watch_steer_and_come_back(socket: Connect, model: ModelServer, start: Callable[..., str]) -> None:
    """Two watchers of one conversation: a snapshot, then the tail; who loses its socket comes back by its position."""
    model.control(tokens=300, token_delay_ms=4)
    conversation_id = start()
    one, two = socket(path_of(conversation_id)), socket(path_of(conversation_id))
    assert [one.receive()["type"], two.receive()["type"]] == ["snapshot", "snapshot"]
    one.wait_for("message_delta")
    one.wait_for("message_delta")
    one.abort()
    begin = one.came[0]["data"]
    last = logged(one)[-1][1]
    back = socket(f"{path_of(conversation_id)}?epoch={last['epoch']}&offset={last['offset']}")
    back.wait_for("message_delta")
    two.send({"type": "control", "data": {"action": "stop"}})
    back.wait_for("conversation_status", status="stopped")
    two.wait_for("conversation_status", status="stopped")
    for seen in ([*logged(one), *logged(back)], logged(two)):
        first = begin if seen[0] == logged(one)[0] else two.came[0]["data"]
        check_chain([payload for _, payload in seen], first["offset"])


def test_the_next_turn(socket: Connect, model: ModelServer) -> None:
    """A second start on the same connection is the next session of the same conversation: the offsets go on."""
    model.control(tokens=3)
    bridge = socket(NEW)
    for content in ("first", "second"):
        bridge.send({"type": "start_conversation", "data": {"content": content, "team": "chat"}})
        bridge.wait_for("ack")
        bridge.wait_for("conversation_status", status="completed")
    events = logged(bridge)
    assert len({payload["conversation_id"] for _, payload in events}) == 1
    check_chain([payload for _, payload in events], 0)


def test_a_lost_position(socket: Connect, start: Callable[..., str]) -> None:
    """`resync`, as everywhere."""
    bridge = socket(path_of(start()) + "?epoch=feedbeef&offset=2")
    assert bridge.receive()["type"] == "resync"


def test_mistakes_are_answered(socket: Connect) -> None:
    """Each by an error in shape; the connection goes on."""
    bridge = socket(NEW)
    for sent, code in (
        ("{", "invalid_payload"),
        ("[]", "invalid_payload"),
        ("[" * 5000, "invalid_payload"),
        ({"type": "dance"}, "unknown_command"),
        ({"type": ["control"]}, "unknown_command"),
        ({"type": "control", "data": {"action": "explode"}}, "invalid_payload"),
        ({"type": "control", "data": {"action": "stop"}}, "invalid_state"),
        ({"type": "start_conversation", "data": {"content": " "}}, "content_empty"),
        ({"type": "start_conversation", "data": {"content": "x", "team": "nobody"}}, "team_unknown"),
        ({"type": "start_conversation", "data": {"content": "x" * 70_000}}, "content_too_large"),
        ({"type": "start_conversation", "data": {"content": 7}}, "invalid_payload"),
    ):
        bridge.send(sent)
        answer = bridge.wait_for("error")["data"]
        assert (sent, answer["code"]) == (sent, code)
        assert {"message", "retryable"} <= set(answer)


def test_an_unknown_conversation(socket: Connect) -> None:
    """Told, and closed with a code that says: do not come back."""
    bridge = socket(path_of("none-such"))
    assert bridge.receive()["data"]["code"] == "conversation_unknown"
    assert bridge.wait_for_close() == 4504


def test_a_lost_socket_ends_nothing(
    server: ColloquyServer, socket: Connect, model: ModelServer, snapshot: Look
) -> None:
    """The run outlives the connection that started it."""
    model.control(tokens=60, token_delay_ms=5)
    bridge = socket(NEW)
    bridge.send({"type": "start_conversation", "data": {"content": "Talk", "team": "chat"}})
    conversation_id = bridge.wait_for("message_delta")["data"]["conversation_id"]
    bridge.abort()
    wait_until(lambda: snapshot(conversation_id)["status"] in TERMINAL, "the end", 20)
    assert snapshot(conversation_id)["status"] == "completed"
