"""Slow readers: cut off, alone, in every mode and at every door."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.integration.doors.clients import Socket, Stalled, check_chain
from tests.integration.doors.test_bridge import logged
from tests.support.model_server import ModelServer
from tests.support.server import ColloquyServer
from tests.support.waiting import wait_until

Connect = Callable[..., Socket]
READERS = {
    "sse": ("/api/conversations/{}/stream", False),
    "bridge": ("/api/conversations/{}/stream", True),
    "messages": ("/v1/conversation/{}/stream?batch_ms=20", True),
}


def test_stalled_readers_are_cut_off_and_nobody_else_waits(
    server: ColloquyServer, socket: Connect, model: ModelServer, start: Callable[..., str]
) -> None:
    """One at each door that stops reading, and a healthy one beside them that sees everything meanwhile."""
    model.control(tokens=450, token_delay_ms=10, piece_bytes=200)
    conversation_id = start()
    healthy = socket(f"/api/conversations/{conversation_id}/stream")
    begin = healthy.wait_for("snapshot")["data"]["offset"]
    stalled = {
        door: Stalled(server.port, path.format(conversation_id), websocket=websocket)
        for door, (path, websocket) in READERS.items()
    }
    asking = Stalled(server.port, "/ws/stream", websocket=True)
    try:
        asking.flood_with_pings()
        healthy.wait_for("conversation_status", status="completed")
        check_chain([payload for _, payload in logged(healthy)], begin)
        for door, client in {**stalled, "tasks": asking}.items():
            assert client.read_all()[1], door
    finally:
        for client in (*stalled.values(), asking):
            client.close()

    def status() -> dict[str, Any]:
        found: dict[str, Any] = server.get("/api/websocket/status")
        return found

    wait_until(lambda: set(status()["connections"]) <= {"socketio", "bridge"}, "the end of their threads", 20)
    assert status()["doors"]["cut_off"] >= 4
