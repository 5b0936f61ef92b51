"""Log entries as the events of classic AG2's ``IOWebsockets``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from app.protocol import events
from app.protocol.dialects import ag2

Sent = dict[str, Any] | str
"""An event; or a question, which is plain text."""

_PERSON = "user"


class Ag2Events:
    """Translates the entries of one conversation, in their order.

    A team of classic AG2 tells of itself, in `framework_event`: that is passed on as it is, with the streamed text
    between. For every other team the events are made of what the log says.

    :param new_uuid: makes an event's id.
    """

    def __init__(self, team: str, new_uuid: Callable[[], str]) -> None:
        self._team = team
        self._new_uuid = new_uuid
        self._tells_itself = False
        self._said = ""
        self._opening: str | None = None  # what a person has written, while it is not clear who is to tell of it
        self._calls: dict[str, dict[str, Any] | None] = {}
        self._several = False

    def of(self, name: str, payload: Mapping[str, Any]) -> Iterator[Sent]:
        """What an entry is in this dialect: nothing, one message, or more."""
        translate = _TRANSLATE.get(name)
        if translate is not None:
            yield from translate(self, payload)

    def _event(self, event: ag2.Ag2Event) -> dict[str, Any]:
        return event.to_wire(self._new_uuid())

    def _opened(self) -> Iterator[Sent]:
        """What the person has written, where the team does not repeat it."""
        opening, self._opening = self._opening, None
        if opening is not None:
            yield self._event(ag2.Text(content=opening, sender=_PERSON, recipient=self._team))

    def _on_status(self, payload: Mapping[str, Any]) -> Iterator[Sent]:
        self._several = len(payload["agents"]) > 1
        if payload["status"] == "initializing":
            self._tells_itself = False
        return iter(())

    def _on_framework(self, payload: Mapping[str, Any]) -> Iterator[Sent]:
        self._tells_itself, self._opening = True, None
        event = payload["event"]
        if event["type"] == "input_request":  # AG2's own server asks in plain text, too
            yield event["content"]["prompt"]
            return
        if payload["said"]:
            content = event["content"]
            event = {**event, "content": {"uuid": content.get("uuid"), "content": self._said, **content}}
        yield event

    def _on_step(self, payload: Mapping[str, Any]) -> Iterator[Sent]:
        if self._several and not self._tells_itself:
            yield from self._opened()
            yield self._event(ag2.GroupChatRunChat(speaker=payload["agent"]))

    def _on_delta(self, payload: Mapping[str, Any]) -> Iterator[Sent]:
        yield from self._opened()
        yield self._event(ag2.Stream(content=payload["delta"]))

    def _on_message(self, payload: Mapping[str, Any]) -> Iterator[Sent]:
        text, role = payload["content"], payload["role"]
        if self._tells_itself or role == "system":
            self._said = text
        elif role == "user":
            self._opening = text
        else:
            yield from self._opened()
            yield self._event(ag2.Text(content=text, sender=payload["agent"], recipient=_PERSON))

    def _on_reset(self, payload: Mapping[str, Any]) -> Iterator[Sent]:
        yield self._event(ag2.Print(objects=(f"{payload['agent']} begins again.",)))

    def _on_tool_call(self, payload: Mapping[str, Any]) -> Iterator[Sent]:
        if self._tells_itself:
            return
        yield from self._opened()
        try:
            arguments = json.loads(payload["arguments"])
        except ValueError:  # cut off, or no JSON
            arguments = None
        self._calls[payload["call_id"]] = arguments if isinstance(arguments, dict) else None
        function = {"name": payload["tool"], "arguments": payload["arguments"]}
        call = {"id": payload["call_id"], "function": function, "type": "function"}
        yield self._event(ag2.ToolCall(tool_calls=(call,), sender=payload["agent"], recipient=_PERSON))

    def _on_tool_result(self, payload: Mapping[str, Any]) -> Iterator[Sent]:
        if not self._tells_itself:
            yield self._event(
                ag2.ExecutedFunction(
                    func_name=payload["tool"],
                    call_id=payload["call_id"],
                    arguments=self._calls.pop(payload["call_id"], None),
                    content=payload["preview"],
                    recipient=payload["agent"],
                    is_exec_success=payload["success"],
                )
            )

    def _on_question(self, payload: Mapping[str, Any]) -> Iterator[Sent]:
        yield from self._opened()
        if payload["prompt"]:
            yield payload["prompt"]

    def _on_error(self, payload: Mapping[str, Any]) -> Iterator[Sent]:
        yield self._event(ag2.Error(error=payload["error"], code=payload["code"]))

    def _on_complete(self, payload: Mapping[str, Any]) -> Iterator[Sent]:
        if not self._tells_itself:
            yield from self._opened()
            reason = payload["reason"] or payload["consensus"] or "the team has finished"
            yield self._event(ag2.Termination(termination_reason=reason, sender=self._team))


_TRANSLATE: dict[str, Callable[[Ag2Events, Mapping[str, Any]], Iterator[Sent]]] = {
    events.ConversationStatus.name: Ag2Events._on_status,
    events.FrameworkEvent.name: Ag2Events._on_framework,
    events.AgentStep.name: Ag2Events._on_step,
    events.MessageDelta.name: Ag2Events._on_delta,
    events.AgentMessage.name: Ag2Events._on_message,
    events.MessageReset.name: Ag2Events._on_reset,
    events.ToolCall.name: Ag2Events._on_tool_call,
    events.ToolResult.name: Ag2Events._on_tool_result,
    events.InputRequest.name: Ag2Events._on_question,
    events.ConversationError.name: Ag2Events._on_error,
    events.ConversationComplete.name: Ag2Events._on_complete,
}
