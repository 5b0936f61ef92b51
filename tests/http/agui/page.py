"""A page that reads AG-UI events as ``@ag-ui/client`` does: it refuses what the protocol forbids."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from ag_ui.core import BaseEvent

from app.http.agui.pictures import KEY


class Forbidden(AssertionError):
    """The sequence of events is not one that AG-UI allows."""


class Page:
    """Messages, state and place of one page, over all its requests."""

    def __init__(self) -> None:
        self.messages: dict[str, dict[str, Any]] = {}
        self.state: dict[str, Any] = {}
        self.place: dict[str, Any] | None = None
        self.types: list[str] = []
        self.custom: list[tuple[str, Any]] = []
        self.result: Any = None
        self.error: tuple[str, str | None] | None = None
        self._texts: set[str] = set()
        self._calls: set[str] = set()
        self._steps: set[str] = set()
        self.running = False

    @property
    def texts(self) -> dict[str, str]:
        """What it sends along when it comes back: message id → text."""
        return {key: message["content"] or "" for key, message in self.messages.items()}

    def cut(self) -> None:
        """The connection is gone; what was received stays."""
        self._texts.clear()
        self._calls.clear()
        self._steps.clear()
        self.running = False
        self.types = []

    def read(self, events: Iterable[BaseEvent]) -> None:
        """Take events in turn."""
        for event in events:
            self._take(json.loads(event.model_dump_json(by_alias=True)))

    def _take(self, event: dict[str, Any]) -> None:
        kind = event["type"]
        if self.running == (kind == "RUN_STARTED"):
            raise Forbidden(f"{kind} while {'a' if self.running else 'no'} run is open")
        self.types.append(kind)
        getattr(self, "_" + kind.lower())(event)
        told = event.get("metadata", {}).get(KEY, {})
        if "offset" in told:
            place = {"epoch": told["epoch"], "offset": told["offset"]}
            if self.place and self.place["epoch"] == place["epoch"] and place["offset"] < self.place["offset"]:
                raise Forbidden(f"{kind} goes back from {self.place} to {place}")
            self.place = place

    def _run_started(self, event: dict[str, Any]) -> None:
        self.running = True

    def _run_finished(self, event: dict[str, Any]) -> None:
        if left := self._texts | self._calls | self._steps:
            raise Forbidden(f"the run ends while {left} are open")
        self.running, self.result = False, event

    def _run_error(self, event: dict[str, Any]) -> None:
        self.running, self.error = False, (event["message"], event.get("code"))

    def _step_started(self, event: dict[str, Any]) -> None:
        self._open(self._steps, event["stepName"])

    def _step_finished(self, event: dict[str, Any]) -> None:
        self._close(self._steps, event["stepName"])

    def _text_message_start(self, event: dict[str, Any]) -> None:
        key = event["messageId"]
        self._open(self._texts, key)
        self.messages.setdefault(
            key, {"role": event.get("role", "assistant"), "name": event.get("name"), "content": ""}
        )

    def _text_message_content(self, event: dict[str, Any]) -> None:
        if event["messageId"] not in self._texts:
            raise Forbidden("text outside of a message")
        self.messages[event["messageId"]]["content"] += event["delta"]

    def _text_message_end(self, event: dict[str, Any]) -> None:
        self._close(self._texts, event["messageId"])
        self.messages[event["messageId"]]["facts"] = event.get("metadata", {}).get(KEY)

    def _tool_call_start(self, event: dict[str, Any]) -> None:
        key = event["toolCallId"]
        self._open(self._calls, key)
        self.messages.setdefault(key, {"role": "assistant", "name": event["toolCallName"], "content": ""})

    def _tool_call_args(self, event: dict[str, Any]) -> None:
        if event["toolCallId"] not in self._calls:
            raise Forbidden("arguments outside of a call")
        self.messages[event["toolCallId"]]["content"] += event["delta"]

    def _tool_call_end(self, event: dict[str, Any]) -> None:
        self._close(self._calls, event["toolCallId"])

    def _tool_call_result(self, event: dict[str, Any]) -> None:
        self.messages[event["messageId"]] = {"role": "tool", "name": None, "content": event["content"]}

    def _state_snapshot(self, event: dict[str, Any]) -> None:
        self.state = event["snapshot"]

    def _state_delta(self, event: dict[str, Any]) -> None:
        for operation in event["delta"]:
            *way, last = operation["path"].split("/")[1:]
            target = self.state
            for step in way:
                target = target[step]
            assert operation["op"] == "add"
            target[last] = operation["value"]

    def _messages_snapshot(self, event: dict[str, Any]) -> None:
        self.messages = {
            each["id"]: {
                "role": each["role"],
                "name": each.get("name"),
                "content": each.get("content")
                or "".join(c["function"]["arguments"] for c in each.get("toolCalls", ())),
            }
            for each in event["messages"]
        }

    def _custom(self, event: dict[str, Any]) -> None:
        self.custom.append((event["name"], event["value"]))

    @staticmethod
    def _open(brackets: set[str], key: str) -> None:
        if key in brackets:
            raise Forbidden(f"{key} is open already")
        brackets.add(key)

    @staticmethod
    def _close(brackets: set[str], key: str) -> None:
        if key not in brackets:
            raise Forbidden(f"{key} is not open")
        brackets.remove(key)
