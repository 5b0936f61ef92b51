"""A client in a few lines: the simplest possible fold, written apart from app/streaming/fold.py, to check it against.

It also insists on what every client relies on: each event begins where the last one ended.
"""

from __future__ import annotations

import copy
from typing import Any

from app.protocol.common import Position
from app.protocol.events import LOGGED_BY_NAME, Resync
from app.streaming.conversation import Conversation

Frame = tuple[str, dict[str, Any]]

_MESSAGE = {
    "role": "agent",
    "kind": "message",
    "content": "",
    "content_type": "markdown",
    "state": "open",
    "confidence": None,
    "usage": None,
    "model": None,
    "reason": None,
    "truncated": False,
    "cut_off": False,
    "feedback": None,
    "updated_at": None,
    "updated_by": None,
}
_ENVELOPE = {"conversation_id", "epoch", "prev_offset", "offset", "timestamp", "demo"}


def empty_state(conversation: Conversation) -> dict[str, Any]:
    """The snapshot of a conversation before its first event."""
    return {
        **conversation.snapshot(),
        "offset": 0,
        "team": "",
        "status": "idle",
        "session_id": None,
        "agents": [],
        "model": None,
        "demo": False,
        "speaking": None,
        "messages": [],
        "omitted_messages": 0,
        "progress": {"current_turn": 0, "max_turns": None, "percentage": None, "message": None},
        "outcome": None,
        "error": None,
        "fallback": None,
        "usage": {"prompt_tokens": 0, "completion_tokens": 0, "estimated": False, "cost_usd": None},
        "tool_calls": [],
        "charts": [],
        "pending_inputs": [],
        "queued": [],
    }


def fold_event(state: dict[str, Any], name: str, payload: dict[str, Any]) -> None:
    """Change a snapshot (as it travels, in JSON) by one event."""
    body = {key: value for key, value in payload.items() if key not in _ENVELOPE}
    state["offset"] = payload["offset"]
    match name:
        case "conversation_status":
            _fold_status(state, body)
        case "agent_step":
            state["speaking"] = body["agent"]
        case "message_start" | "message_delta" | "agent_message":
            _fold_message(state, name, body, payload)
        case "message_reset":
            state["messages"] = [each for each in state["messages"] if each["message_id"] != body["message_id"]]
        case "progress":
            state["progress"] = body
        case "conversation_complete":
            state["outcome"] = {key: body[key] for key in ("consensus", "summary", "reason")}
        case "conversation_error":
            state["error"] = body
        case "fallback_mode":
            state["fallback"] = body
            if body["mode"] == "demo":
                state["demo"] = True
            else:
                state["model"] = body["to"] or state["model"]
        case "message_updated":
            for message in state["messages"]:
                if message["message_id"] == body["message_id"]:
                    message.update(body["changes"], updated_at=payload["timestamp"])
                    if "content" in body["changes"]:
                        message["updated_by"] = body["updated_by"]
        case "tool_call":
            answer = {"success": None, "code": None, "preview": "", "length": 0, "artifact_id": None}
            state["tool_calls"].append({**body, "timestamp": payload["timestamp"], **answer})
        case "tool_result":
            known = [each for each in state["tool_calls"] if each["call_id"] == body["call_id"]]
            if not known:
                known = [{"arguments": "", "timestamp": payload["timestamp"]}]
                state["tool_calls"].append(known[0])
            known[0].update(body)
        case "chart_generated":
            state["charts"].append({**body, "timestamp": payload["timestamp"]})
        case "input_request":
            asked = [each["request_id"] for each in state["pending_inputs"]]
            if body["request_id"] in asked:
                state["pending_inputs"][asked.index(body["request_id"])] = body
            else:
                state["pending_inputs"].append(body)
        case "message_queued":
            state["queued"].append({**body, "timestamp": payload["timestamp"]})
        case "message_unqueued":
            state["queued"] = [each for each in state["queued"] if each["message_id"] != body["message_id"]]
        case "conversation_updated":
            state.update(body["changes"])
        case "input_resolved":
            waiting = state["pending_inputs"]
            state["pending_inputs"] = [each for each in waiting if each["request_id"] != body["request_id"]]


def _fold_status(state: dict[str, Any], body: dict[str, Any]) -> None:
    if body["status"] == "initializing":
        state.update(speaking=None, outcome=None, error=None, fallback=None, model=None, demo=False)
        state["progress"] = {"current_turn": 0, "max_turns": None, "percentage": None, "message": None}
    if body["status"] in ("completed", "stopped", "error"):
        state.update(speaking=None, pending_inputs=[])
    state.update(status=body["status"], session_id=body["session_id"], team=body["team"])
    state["agents"] = body["agents"] or state["agents"]
    state["model"] = body["model"] or state["model"]
    if body["usage"]:
        spent = state["usage"]
        state["usage"] = {
            "prompt_tokens": spent["prompt_tokens"] + body["usage"]["prompt_tokens"],
            "completion_tokens": spent["completion_tokens"] + body["usage"]["completion_tokens"],
            "estimated": spent["estimated"] or body["usage"]["estimated"],
            "cost_usd": _sum(spent["cost_usd"], body["usage"]["cost_usd"]),
        }


def _sum(*costs: float | None) -> float | None:
    known = [cost for cost in costs if cost is not None]
    return sum(known) if known else None


def _fold_message(state: dict[str, Any], name: str, body: dict[str, Any], payload: dict[str, Any]) -> None:
    found = [each for each in state["messages"] if each["message_id"] == body["message_id"]]
    if not found:
        found = [{**_MESSAGE, "demo": payload["demo"], "timestamp": payload["timestamp"]}]
        found[0].update({key: body[key] for key in ("message_id", "agent", "role", "kind") if key in body})
        state["messages"].append(found[0])
    message = found[0]
    if name == "message_delta":
        message["content"] += body["delta"]
    elif name == "agent_message":
        state["queued"] = [each for each in state["queued"] if each["message_id"] != body["message_id"]]
        for key in ("content", "content_type", "confidence", "usage", "model", "reason", "truncated", "cut_off"):
            message[key] = body[key]
        message.update(state="partial" if body["partial"] else "complete", demo=payload["demo"])


class Reader:
    """One connection and what it makes of what it is sent."""

    def __init__(self, sid: str, received: list[Frame]) -> None:
        self.sid = sid
        self.received = received
        self.state: dict[str, Any] | None = None
        self.resyncs = 0
        self._read = 0

    @property
    def position(self) -> Position:
        assert self.state is not None
        return Position(epoch=self.state["epoch"], offset=self.state["offset"])

    def join(self, conversation: Conversation, position: Position | None = None) -> bool:
        """Send the command and take its answer; whether the position was recovered. Attach afterwards."""
        self.received.clear()
        self._read = 0
        ack = conversation.join(self.sid, position)
        if ack.recovered:
            assert ack.snapshot is None
            assert self.state is not None
            assert (ack.epoch, ack.offset) == (self.state["epoch"], self.state["offset"])
        else:
            assert ack.snapshot is not None
            self.state = copy.deepcopy(ack.snapshot)
            assert ack.offset == self.state["offset"]
        return ack.recovered

    def follow(self, conversation: Conversation, position: Position | None = None) -> bool:
        """Join and attach."""
        recovered = self.join(conversation, position)
        conversation.attach(self.sid)
        return recovered

    def read(self) -> dict[str, Any]:
        """Fold what has arrived; the state that this client would show."""
        assert self.state is not None
        for name, payload in self.received[self._read :]:
            if name == Resync.name:
                self.state = copy.deepcopy(payload["snapshot"])
                self.resyncs += 1
            elif name in LOGGED_BY_NAME and "offset" in payload:
                assert payload["epoch"] == self.state["epoch"]
                assert payload["prev_offset"] == self.state["offset"], "a hole, or something twice"
                assert payload["offset"] > payload["prev_offset"]
                fold_event(self.state, name, payload)
        self._read = len(self.received)
        return self.state

    def text(self) -> dict[str, str]:
        """Message id → text, as this client shows it."""
        return {each["message_id"]: each["content"] for each in self.read()["messages"]}
