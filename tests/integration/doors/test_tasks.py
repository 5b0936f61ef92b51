"""``/ws/stream`` (FEATURES D2 to D4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.doors.clients import TERMINAL, Socket
from tests.support.http import http_json
from tests.support.model_server import ModelServer
from tests.support.server import ColloquyServer
from tests.support.waiting import wait_until

Connect = Callable[..., Socket]
Look = Callable[[str], dict[str, Any]]
PLACE = {"conversation_id", "epoch", "offset", "client_id"}


def chat(message: str = "What will the market do?", **more: Any) -> dict[str, Any]:
    return {"type": "chat", "payload": {"message": message, "team": "chat", **more}}


def closed(stats: dict[str, Any], request: int) -> bool:
    """Whether the model's side has seen the end of a request."""
    return any(each["id"] == request and each["ended"] != "open" for each in stats["requests"])


def own(event: dict[str, Any]) -> dict[str, Any]:
    """An event's own fields."""
    return {name: value for name, value in event.items() if name not in PLACE | {"timestamp"}}


def turns(came: list[dict[str, Any]]) -> list[str]:
    """The types of a task's events, without the progress that only says what goes on."""
    return [each["type"] for each in came if not (each["type"] == "progress" and "message" in each)]


def test_the_order_and_the_fields(socket: Connect, model: ModelServer) -> None:
    """D3, word by word: status, steps and progress, result, status; each event with its position."""
    model.control(tokens=4)
    task = socket("/ws/stream")
    task.send(chat(team="debate"))
    task.wait_for("status", status="completed")
    came = [each for each in task.came if "still being prepared" not in each.get("message", "")]
    assert turns(came) == [
        "status", "status", *["agent_step", "progress"] * 3, "result", "status",
    ]  # fmt: skip
    assert [each["status"] for each in came if each["type"] == "status"] == ["initializing", "processing", "completed"]
    status, step, progress = came[0], came[2], came[3]
    assert set(own(status)) == {"type", "status", "message"}
    assert set(own(step)) == {"type", "agent", "emoji"}
    assert step["agent"] == "Financial Analyst"
    assert step["emoji"]
    assert own(progress) == {"type": "progress", "current_turn": 1, "max_turns": 3, "percentage": 33.33}
    assert (came[-3]["percentage"], came[-3]["message"]) == (100.0, "Drawing the conclusion")
    result = came[-2]
    assert set(own(result)) == {"type", "content", "format"}
    assert result["format"] == "markdown"
    assert "Three agents have argued." in result["content"]
    assert all(set(each) >= PLACE | {"timestamp"} for each in came)
    offsets = [each["offset"] for each in came]
    assert offsets == sorted(offsets)


def test_the_result_without_a_summary(socket: Connect, model: ModelServer) -> None:
    """It is the last reply."""
    model.control(text="Nobody knows.")
    task = socket("/ws/stream")
    task.send(chat())
    assert task.wait_for("result")["content"].strip() == "Nobody knows."


def test_cancel(socket: Connect, model: ModelServer) -> None:
    """The model's request is closed, and the status says so; nothing is left to cancel after it."""
    model.control(tokens=5000, token_delay_ms=5)
    task = socket("/ws/stream")
    task.send(chat())
    task.wait_for("agent_step")
    request = model.wait_for(lambda stats: bool(stats["requests"]) and stats["requests"][-1]["ended"] == "open")
    task.send({"type": "cancel", "payload": {}})
    task.wait_for("status", status="cancelled")
    last = request["requests"][-1]["id"]
    model.wait_for(lambda stats: closed(stats, last))
    task.send({"type": "cancel", "payload": {}})
    assert task.wait_for("error")["details"] == "invalid_state"
    task.send(chat())  # the next turn of the same conversation
    task.wait_for("status", status="processing")
    assert len({each["conversation_id"] for each in task.came if "conversation_id" in each}) == 1
    task.send({"type": "cancel", "payload": {}})
    task.wait_for("status", status="cancelled")


def test_a_task_that_is_given_while_agents_talk_waits(socket: Connect, model: ModelServer) -> None:
    """For all to see, also for who comes later; it can be taken back, else its turn comes. It was refused."""
    model.control(tokens=5000, token_delay_ms=5)
    task = socket("/ws/stream?client_id=desk")
    task.send(chat("The first."))
    task.wait_for("agent_step")
    task.send(chat("And the dividend?"))
    waits = task.wait_for("message_queued")
    assert (waits["content"], set(own(waits))) == ("And the dividend?", {"type", "message_id", "content", "by"})
    task.send(chat("Forget this."))
    forgotten = task.wait_for("message_queued", content="Forget this.")
    back = socket("/ws/stream?client_id=desk")
    assert own(back.wait_for("message_queued")) == own(waits)
    back.send({"type": "unqueue_message", "payload": {"message_id": forgotten["message_id"]}})
    assert task.wait_for("message_unqueued")["message_id"] == forgotten["message_id"]
    task.send(chat("For others.", team="debate"))
    refused = task.wait_for("error")
    assert refused["details"] == "invalid_state"
    assert "send_message" in refused["message"]
    model.control(tokens=2, open=True)
    task.wait_for("result")
    task.wait_for("status", status="initializing")
    task.wait_for("result")
    since = [message["content"] for message in model.stats()["requests"][-1]["messages"]]
    assert since[-1] == "And the dividend?"


def test_a_lost_socket_does_not_cancel(socket: Connect, model: ModelServer, snapshot: Look) -> None:
    """Its client comes back under its id, sees where the task stands, and can still cancel it."""
    model.control(tokens=5000, token_delay_ms=5)
    task = socket("/ws/stream?client_id=me")
    task.send(chat())
    conversation_id = task.wait_for("agent_step")["conversation_id"]
    task.abort()
    back = socket("/ws/stream?client_id=me")
    assert back.receive()["status"] == "processing"
    assert snapshot(conversation_id)["status"] == "active"
    back.send({"type": "cancel", "payload": {}})
    assert back.wait_for("status", status="cancelled")["conversation_id"] == conversation_id
    stranger = socket("/ws/stream?client_id=somebody-else")
    stranger.send({"type": "cancel", "payload": {}})
    assert stranger.receive()["details"] == "invalid_state"


@pytest.mark.parametrize("by", ["address", "message"])
def test_resume_by_position(socket: Connect, model: ModelServer, snapshot: Look, by: str) -> None:
    """What was missed comes, nothing comes twice: together it is one task, in order."""
    model.control(tokens=30, token_delay_ms=3)
    task = socket("/ws/stream")
    task.send(chat(team="debate"))
    last = task.wait_for("agent_step")
    task.abort()
    wait_until(lambda: snapshot(last["conversation_id"])["status"] in TERMINAL, "the end", 20)
    if by == "address":
        place = "&".join(f"{name}={last[name]}" for name in ("conversation_id", "epoch", "offset"))
        back = socket(f"/ws/stream?{place}")
    else:
        back = socket("/ws/stream")
        payload = {name: last[name] for name in ("conversation_id", "epoch", "offset")}
        back.send({"type": "resume", "payload": payload})
    back.wait_for("status", status="completed")
    assert turns([*task.came, *back.came]) == ["status", "status", *["agent_step", "progress"] * 3, "result", "status"]


def test_resume_without_a_position(
    socket: Connect, model: ModelServer, start: Callable[..., str], snapshot: Look
) -> None:
    """An ended task: its result and its end."""
    model.control(tokens=3)
    conversation_id = start()
    wait_until(lambda: snapshot(conversation_id)["status"] in TERMINAL, "the end", 20)
    back = socket(f"/ws/stream?conversation_id={conversation_id}")
    back.wait_for("status", status="completed")
    assert [each["type"] for each in back.came] == ["progress", "result", "status"]


def test_a_failing_model(socket: Connect, model: ModelServer) -> None:
    """The error says that the task goes on, since a demo stands in; an error that ends it comes before the status."""
    model.control(status=500)
    task = socket("/ws/stream")
    task.send(chat())
    error = task.wait_for("error")
    assert set(own(error)) == {"type", "message", "details", "recoverable"}
    assert (error["details"], error["recoverable"]) == ("model_server_error", True)
    task.send({"type": "cancel", "payload": {}})
    task.wait_for("status", status="cancelled")
    model.control(reset=True, refusal="content_policy")
    task.send(chat())
    error = task.wait_for("error")
    assert (error["details"], error["recoverable"]) == ("content_refused", False)
    task.wait_for("status", status="error")


def test_mistakes_are_answered(socket: Connect) -> None:
    """In the dialect's own shape; the connection goes on."""
    task = socket("/ws/stream")
    for sent, code in (
        ("nonsense", "invalid_payload"),
        ({"type": "chat"}, "invalid_payload"),
        ({"type": "chat", "payload": "text"}, "invalid_payload"),
        ({"type": "chat", "payload": {"message": ""}}, "content_empty"),
        ({"type": "sing", "payload": {}}, "unknown_command"),
        ({"type": "resume", "payload": {"conversation_id": "none-such"}}, "conversation_unknown"),
        ({"type": "resume", "payload": {"conversation_id": "x", "epoch": "y"}}, "invalid_payload"),
    ):
        task.send(sent)
        error = task.receive()
        assert (error["type"], sent, error["details"]) == ("error", sent, code)
    task.send({"type": "ping", "payload": {}})
    assert set(task.receive()) == {"type", "timestamp"}
    assert task.came[-1]["type"] == "pong"


def test_a_broadcast_reaches_the_doors(server: ColloquyServer, socket: Connect) -> None:
    """Those who follow nothing, too."""
    task, bridge = socket("/ws/stream"), socket("/api/conversations/new/stream")
    for each in (task, bridge):
        each.send({"type": "ping"})  # it is there when it has answered
        each.receive()
    answer = http_json("POST", f"{server.url}/api/websocket/broadcast", {"message": "maintenance at noon"})
    assert answer["recipients"] >= 2
    assert task.wait_for("broadcast")["message"] == "maintenance at noon"
    assert bridge.wait_for("broadcast")["data"]["message"] == "maintenance at noon"
    assert server.get("/ws/status")["active_connections"] >= 2
