"""Log entries → AG-UI events. Pure: no I/O, no clock, no Flask.

Every event carries the reader's new place in ``metadata.colloquy`` = ``{epoch, offset}``. Where one entry becomes
several events, those before the one that brings its text still carry the place before it: whoever is cut off in between
and comes back with the last place that it has seen is given the whole entry again, and never a text twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ag_ui.core import (
    PROTOCOL_VERSION,
    BaseEvent,
    CustomEvent,
    MessagesSnapshotEvent,
    RunErrorEvent,
    RunFinishedCancelledOutcome,
    RunFinishedEvent,
    RunFinishedInterruptOutcome,
    RunFinishedSuccessOutcome,
    RunStartedEvent,
    StateSnapshotEvent,
    StepFinishedEvent,
    StepStartedEvent,
    TextMessageContentEvent,
    TextMessageEndEvent,
    ToolCallArgsEvent,
    ToolCallEndEvent,
    ToolCallResultEvent,
    ToolCallStartEvent,
)

from app.errors import ColloquyError
from app.http.agui.pictures import MESSAGE_FACTS, STATE_KEY, messages_of, result_id, state_of, text_of
from app.http.agui.pieces import (
    Place,
    Told,
    custom,
    interrupt_of,
    metadata_of,
    milliseconds,
    patch,
    start_of,
    token_usage,
)
from app.protocol.commands import JoinAck
from app.protocol.common import Status, Usage
from app.protocol.events import (
    AgentMessage,
    AgentStep,
    ChartGenerated,
    ConversationComplete,
    ConversationError,
    ConversationStatus,
    ConversationUpdated,
    FallbackMode,
    InputRequest,
    InputResolved,
    MessageDelta,
    MessageQueued,
    MessageReset,
    MessageStart,
    MessageUnqueued,
    MessageUpdated,
    Progress,
    ToolCall,
    ToolResult,
)
from app.protocol.snapshot import InputView
from app.streaming.log import LogEntry
from app.streaming.states import TERMINAL

_NEW_SESSION: dict[str, Any] = {"speaking": None, "outcome": None, "error": None, "fallback": None, "demo": False}


@dataclass(frozen=True, slots=True)
class Request:
    """What is known of the AG-UI request that is answered.

    :param session_id: the stream ends when this session has ended.
    :param messages: what the client holds: message id → text.
    :param names: our message id → the id under which the client has sent this message.
    :param state: the page's own state, as it was sent.
    """

    thread_id: str
    run_id: str
    conversation_id: str
    session_id: str
    messages: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    state: Any = None


@dataclass(slots=True)
class _Open:
    """A message that was opened in this stream; ``text`` is what the client holds of it, None where we cannot know."""

    text: str | None


class RunTranslator:
    """One AG-UI run: what a conversation's log says from a place on, until its session has ended.

    Belongs to one task. Begin with :meth:`begin`, then give it entry after entry.
    """

    def __init__(self, request: Request) -> None:
        self.finished = False
        """True: the run is over, and nothing may follow."""
        self.stale = False
        """True: what the client holds cannot be mended by events; only :meth:`resync` may follow."""
        self._request = request
        self._session_id = request.session_id
        self._known = dict(request.messages)
        self._recovered = True
        self._open: dict[str, _Open] = {}
        self._closed: set[str] = set()
        self._step: str | None = None
        self._result: Any = None
        self._usage: Usage | None = None
        self._model: str | None = None
        self._place: Place | None = None

    # --- the run's frame ----------------------------------------------------------------------------------------------

    def begin(self, ack: JoinAck) -> list[BaseEvent]:
        """The run's opening. With a snapshot, that; with a position that is still covered, entries follow."""
        place = None if ack.snapshot else (ack.epoch, ack.offset)
        self._place = place
        facts = {"conversation_id": ack.conversation_id, "session_id": self._session_id}
        started = RunStartedEvent(
            thread_id=self._request.thread_id,
            run_id=self._request.run_id,
            protocol_version=PROTOCOL_VERSION,
            metadata=metadata_of(place, facts),
        )
        if ack.snapshot is not None:
            return [started, *self._picture(ack.snapshot)]
        held = self._state()
        if STATE_KEY in held:
            return [started]
        return [started, self._state_snapshot({"conversation_id": ack.conversation_id})]

    def resync(self, snapshot: Mapping[str, Any]) -> list[BaseEvent]:
        """Replace everything that the client holds: open brackets are closed, then comes the snapshot."""
        self.stale = False
        return [*self._close_all(None), *self._picture(snapshot)]

    def finish(self, snapshot: Mapping[str, Any]) -> list[BaseEvent]:
        """The end of a run whose session had ended before this request, and of which everything is told."""
        place = (str(snapshot["epoch"]), int(snapshot["offset"]))
        self._result = snapshot["outcome"]
        error = snapshot["error"] or {}
        return self._end(Status(snapshot["status"]), place, error.get("code"), error.get("error"))

    def interrupt(self, pending: Sequence[InputView]) -> list[BaseEvent]:
        """The end of this AG-UI run, whose agents wait for a person: the next request answers, and reads on from here.

        :param pending: at least one; everything that was logged until now is told.
        """
        self.finished = True
        metadata = metadata_of(self._place)
        finished = RunFinishedEvent(
            thread_id=self._request.thread_id,
            run_id=self._request.run_id,
            outcome=RunFinishedInterruptOutcome(interrupts=[interrupt_of(request) for request in pending]),
            metadata=metadata,
        )
        return [*self._close_all(metadata), finished]

    def fail(self, error: ColloquyError) -> list[BaseEvent]:
        """The end of a stream that cannot go on, whatever its run does."""
        self.finished = True
        return [*self._close_all(None), RunErrorEvent(message=error.message, code=error.error_code)]

    def _picture(self, snapshot: Mapping[str, Any]) -> list[BaseEvent]:
        place = self._place = (str(snapshot["epoch"]), int(snapshot["offset"]))
        messages = messages_of(snapshot, self._request.names)
        self._known = {message.id: text_of(message) or "" for message in messages}
        self._closed.clear()
        self._session_id = snapshot["session_id"] or self._session_id
        self._result, self._model = snapshot["outcome"], snapshot["model"]
        self._recovered = False
        events: list[BaseEvent] = [self._state_snapshot(state_of(snapshot))]
        for name, kept in (
            (ChartGenerated.name, "charts"),
            (InputRequest.name, "pending_inputs"),
            (MessageQueued.name, "queued"),
        ):
            events += [CustomEvent(name=name, value=each) for each in snapshot[kept]]
        events.append(MessagesSnapshotEvent(messages=messages, metadata=metadata_of(place)))
        self._step = None
        if snapshot["speaking"]:
            events.append(self._begin_step(snapshot["speaking"], metadata_of(place)))
        return events

    def _state(self) -> dict[str, Any]:
        return dict(self._request.state) if isinstance(self._request.state, dict) else {}

    def _state_snapshot(self, conversation: dict[str, Any]) -> BaseEvent:
        return StateSnapshotEvent(snapshot={**self._state(), STATE_KEY: conversation})

    def _close_all(self, metadata: dict[str, Any] | None) -> list[BaseEvent]:
        events: list[BaseEvent] = [TextMessageEndEvent(message_id=key, metadata=metadata) for key in self._open]
        self._open.clear()
        return [*events, *self._end_step(metadata)]

    def _end(self, status: Status, place: Place, code: str | None, reason: str | None) -> list[BaseEvent]:
        self.finished = True
        metadata, usage = metadata_of(place), token_usage(self._usage, self._model)
        events = self._close_all(metadata)
        if status is Status.ERROR:
            events.append(RunErrorEvent(message=reason or "the run failed", code=code, usage=usage, metadata=metadata))
            return events
        cancelled = status is Status.STOPPED
        events.append(
            RunFinishedEvent(
                thread_id=self._request.thread_id,
                run_id=self._request.run_id,
                result=None if cancelled else self._result,
                outcome=RunFinishedCancelledOutcome() if cancelled else RunFinishedSuccessOutcome(),
                usage=usage,
                metadata=metadata,
            )
        )
        return events

    # --- one method per event -----------------------------------------------------------------------------------------

    def take(self, entry: LogEntry) -> list[BaseEvent]:
        """What one log entry is to the client; nothing, for what it has no use for."""
        handler = _HANDLERS.get(entry.name)
        if handler is None or self.finished or self.stale:
            return []
        told = Told(entry)
        events, self._place = handler(self, told), told.place
        at = milliseconds(entry.payload["timestamp"])
        for event in events:
            event.timestamp = at
        return events

    def _on_status(self, told: Told) -> list[BaseEvent]:
        payload, status = told.payload, Status(told.payload["status"])
        changes = {name: payload[name] for name in ("status", "session_id", "team")}
        changes |= {name: payload[name] for name in ("agents", "model") if payload[name]}
        if status is Status.INITIALIZING:
            changes = {**_NEW_SESSION, "model": None, **changes}
        self._model = payload["model"] or self._model
        if status not in TERMINAL:
            return [patch(changes, told.after)]
        changes["speaking"] = None
        over = payload["session_id"] == self._session_id
        events = [patch(changes, told.before if over else told.after)]
        if not over:  # of an earlier session, in what was missed
            return [*self._close_all(told.after), *events]
        self._usage = Usage(**payload["usage"]) if payload["usage"] else None
        return events + self._end(status, told.place, payload["code"], payload["reason"])

    def _on_step(self, told: Told) -> list[BaseEvent]:
        agent = told.payload["agent"]
        return [
            *self._end_step(told.before),
            patch({"speaking": agent}, told.before),
            self._begin_step(agent, told.after),
        ]

    def _begin_step(self, agent: str, metadata: dict[str, Any]) -> BaseEvent:
        self._step = agent
        return StepStartedEvent(step_name=agent, metadata=metadata)

    def _end_step(self, metadata: dict[str, Any] | None) -> list[BaseEvent]:
        step, self._step = self._step, None
        return [] if step is None else [StepFinishedEvent(step_name=step, metadata=metadata)]

    def _on_start(self, told: Told) -> list[BaseEvent]:
        key = told.payload["message_id"]
        if key in self._open:
            return []
        self._open[key] = _Open(self._known.get(key, ""))
        return [start_of(key, told, told.after)]

    def _on_delta(self, told: Told) -> list[BaseEvent]:
        key, delta = told.payload["message_id"], told.payload["delta"]
        events: list[BaseEvent] = []
        message = self._open.get(key)
        if message is None:  # it began before the place from which this stream reads
            message = self._open[key] = _Open(self._known.get(key, None if self._recovered else ""))
            events.append(start_of(key, told, told.before))
        if message.text is not None:
            message.text += delta
        return [*events, TextMessageContentEvent(message_id=key, delta=delta, metadata=told.after)]

    def _on_message(self, told: Told) -> list[BaseEvent]:
        payload = told.payload
        key = payload["message_id"]
        if payload["role"] == "user":
            key = self._request.names.get(key, key)
            if key in self._known:
                return []
        facts = {name: payload[name] for name in MESSAGE_FACTS if payload[name] not in (None, False)}
        facts["state"] = "partial" if payload["partial"] else "complete"
        before, after = metadata_of(told.place_before, facts), metadata_of(told.place, facts)
        if key in self._closed:  # a text that was told as whole has changed
            self.stale = True
            return []
        message = self._open.pop(key, None)
        events: list[BaseEvent] = []
        if message is None:
            message = _Open(self._known.get(key, ""))
            events.append(start_of(key, told, before))
        text, content = message.text, payload["content"]
        if text is not None and content.startswith(text):
            if content != text:
                events.append(TextMessageContentEvent(message_id=key, delta=content[len(text) :], metadata=after))
        elif text is not None:
            self.stale = True
            return [*events, TextMessageEndEvent(message_id=key, metadata=before)]
        self._known.pop(key, None)
        self._closed.add(key)
        return [*events, TextMessageEndEvent(message_id=key, metadata=after)]

    def _on_reset(self, told: Told) -> list[BaseEvent]:
        key = told.payload["message_id"]
        if self._open.pop(key, None) is not None:
            self.stale = True
            return [TextMessageEndEvent(message_id=key, metadata=told.before)]
        self.stale = self._recovered or key in self._known or key in self._closed
        return []

    def _on_updated(self, told: Told) -> list[BaseEvent]:
        if "content" in told.payload["changes"]:
            self.stale = True
            return []
        return [custom(told)]

    def _on_conversation_updated(self, told: Told) -> list[BaseEvent]:
        return [patch(told.payload["changes"], told.after)]

    def _on_progress(self, told: Told) -> list[BaseEvent]:
        return [patch({Progress.name: told.own}, told.after)]

    def _on_complete(self, told: Told) -> list[BaseEvent]:
        self._result = {name: told.payload[name] for name in ("consensus", "summary", "reason")}
        return [patch({"outcome": self._result}, told.after)]

    def _on_error(self, told: Told) -> list[BaseEvent]:
        return [patch({"error": told.own}, told.before), custom(told)]

    def _on_fallback(self, told: Told) -> list[BaseEvent]:
        demo = told.payload["mode"] == "demo"
        changes: dict[str, Any] = {"fallback": told.own}
        changes |= {"demo": True} if demo else {"model": told.payload["to"] or self._model}
        return [patch(changes, told.before), custom(told)]

    def _on_tool_call(self, told: Told) -> list[BaseEvent]:
        payload = told.payload
        key, arguments = payload["call_id"], payload["arguments"]
        before = metadata_of(told.place_before, {"agent": payload["agent"]})
        after = metadata_of(told.place, {"agent": payload["agent"]})
        events: list[BaseEvent] = [
            ToolCallStartEvent(tool_call_id=key, tool_call_name=payload["tool"], metadata=before)
        ]
        if arguments:
            events.append(ToolCallArgsEvent(tool_call_id=key, delta=arguments, metadata=after))
        return [*events, ToolCallEndEvent(tool_call_id=key, metadata=after)]

    def _on_tool_result(self, told: Told) -> list[BaseEvent]:
        payload = told.payload
        return [
            ToolCallResultEvent(
                message_id=result_id(payload["call_id"]),
                tool_call_id=payload["call_id"],
                content=payload["preview"],
                role="tool",
                metadata=metadata_of(told.place, {name: payload[name] for name in ("agent", "success", "code")}),
            )
        ]

    def _on_other(self, told: Told) -> list[BaseEvent]:
        return [custom(told)]


_Handler = Callable[[RunTranslator, Told], list[BaseEvent]]
_HANDLERS: dict[str, _Handler] = {
    ConversationStatus.name: RunTranslator._on_status,
    AgentStep.name: RunTranslator._on_step,
    MessageStart.name: RunTranslator._on_start,
    MessageDelta.name: RunTranslator._on_delta,
    AgentMessage.name: RunTranslator._on_message,
    MessageReset.name: RunTranslator._on_reset,
    MessageUpdated.name: RunTranslator._on_updated,
    ConversationUpdated.name: RunTranslator._on_conversation_updated,
    Progress.name: RunTranslator._on_progress,
    ConversationComplete.name: RunTranslator._on_complete,
    ConversationError.name: RunTranslator._on_error,
    FallbackMode.name: RunTranslator._on_fallback,
    ToolCall.name: RunTranslator._on_tool_call,
    ToolResult.name: RunTranslator._on_tool_result,
    ChartGenerated.name: RunTranslator._on_other,
    InputRequest.name: RunTranslator._on_other,
    InputResolved.name: RunTranslator._on_other,
    MessageQueued.name: RunTranslator._on_other,
    MessageUnqueued.name: RunTranslator._on_other,
}
