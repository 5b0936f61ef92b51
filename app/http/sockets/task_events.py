"""Log entries as the events of a task (FEATURES D3)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from app.protocol.common import Status
from app.protocol.dialects.tasks import (
    TaskChart,
    TaskError,
    TaskEvent,
    TaskInputRequest,
    TaskInputResolved,
    TaskProgress,
    TaskQueued,
    TaskResult,
    TaskStatus,
    TaskStatusEvent,
    TaskStep,
    TaskToolCall,
    TaskToolResult,
    TaskUnqueued,
)
from app.protocol.events import (
    AgentMessage,
    AgentStep,
    ChartGenerated,
    ConversationComplete,
    ConversationError,
    ConversationStatus,
    FallbackMode,
    InputRequest,
    InputResolved,
    MessageQueued,
    MessageUnqueued,
    Progress,
    ToolCall,
    ToolResult,
)
from app.protocol.snapshot import ErrorView, Snapshot
from app.streaming.states import RUNNING

_STATUS: dict[Status, tuple[TaskStatus, str]] = {
    Status.INITIALIZING: ("initializing", "The agents are being prepared."),
    Status.ACTIVE: ("processing", "The agents are working."),
    Status.PAUSED: ("paused", "The task is paused."),
    Status.COMPLETED: ("completed", "The task is done."),
    Status.STOPPED: ("cancelled", "The task was cancelled."),
    Status.ERROR: ("error", "The task failed."),
}


class TaskEvents:
    """Translates the entries of one conversation, in their order.

    :param last_reply: finds the last agent's words, where they were said before this reader came.
    """

    def __init__(self, last_reply: Callable[[], str]) -> None:
        self._last_reply = last_reply
        self._reply: str | None = None
        self._shown: TaskStatus | None = None
        self._progress: tuple[int, int | None, str | None] | None = None

    def of(self, name: str, payload: Mapping[str, Any]) -> Iterator[TaskEvent]:
        """What an entry is in this dialect: nothing, one event, or more."""
        if name == AgentMessage.name and payload["role"] == "agent":
            self._reply = payload["content"]
        translate = _TRANSLATE.get(name)
        if translate is not None:
            yield from translate(self, payload)

    def of_snapshot(self, snapshot: Mapping[str, Any]) -> Iterator[TaskEvent]:
        """Where a task stands, for a reader that begins here."""
        self._shown = self._reply = self._progress = None
        view = Snapshot.model_validate(snapshot)
        status = view.status
        if status is Status.IDLE:
            return
        self._reply = last_reply_of(snapshot)
        told = {"status": status, "reason": None}
        if status in RUNNING:
            yield from self._on_status(told)
        if view.progress.current_turn or view.progress.message:
            yield from self._on_progress(view.progress.model_dump())
        for request in view.pending_inputs:
            yield from self._on_input_request(request.model_dump())
        for waiting in view.queued:
            yield from self._on_queued(waiting.model_dump())
        if view.outcome is not None and status is Status.COMPLETED:
            yield from self._on_complete(view.outcome.model_dump())
        if view.error is not None:
            yield from self._on_error(view.error.model_dump())
        yield from self._on_status(told)

    def _on_status(self, payload: Mapping[str, Any]) -> Iterator[TaskEvent]:
        if payload["status"] not in _STATUS:
            return
        status, message = _STATUS[Status(payload["status"])]
        if status != self._shown:  # the model's name, for example, is told by the same status again
            self._shown = status
            if status == "initializing":
                self._progress = None
            yield TaskStatusEvent(status=status, message=payload["reason"] or message)

    def _on_step(self, payload: Mapping[str, Any]) -> Iterator[TaskEvent]:
        yield TaskStep(agent=payload["agent"], emoji=payload["emoji"])

    def _on_progress(self, payload: Mapping[str, Any]) -> Iterator[TaskEvent]:
        turn, most, percentage = payload["current_turn"], payload["max_turns"], payload["percentage"]
        message = payload["message"]
        if (turn, most, message) == self._progress:
            return
        self._progress = turn, most, message
        if percentage is None and most:
            percentage = 100 * turn / most
        yield TaskProgress(
            current_turn=turn,
            max_turns=most,
            percentage=None if percentage is None else round(percentage, 2),
            message=message,
        )

    def _on_tool_call(self, payload: Mapping[str, Any]) -> Iterator[TaskEvent]:
        yield TaskToolCall(**_these(payload, ("agent", "tool", "arguments", "call_id")))

    def _on_tool_result(self, payload: Mapping[str, Any]) -> Iterator[TaskEvent]:
        yield TaskToolResult(**_these(payload, ("agent", "tool", "success", "code", "preview", "call_id")))

    def _on_input_request(self, payload: Mapping[str, Any]) -> Iterator[TaskEvent]:
        yield TaskInputRequest(**_these(payload, TaskInputRequest.model_fields))

    def _on_input_resolved(self, payload: Mapping[str, Any]) -> Iterator[TaskEvent]:
        yield TaskInputResolved(**_these(payload, TaskInputResolved.model_fields))

    def _on_queued(self, payload: Mapping[str, Any]) -> Iterator[TaskEvent]:
        yield TaskQueued(**_these(payload, TaskQueued.model_fields))

    def _on_unqueued(self, payload: Mapping[str, Any]) -> Iterator[TaskEvent]:
        yield TaskUnqueued(**_these(payload, TaskUnqueued.model_fields))

    def _on_chart(self, payload: Mapping[str, Any]) -> Iterator[TaskEvent]:
        yield TaskChart(**_these(payload, ("chart_id", "url", "symbol")))

    def _on_complete(self, payload: Mapping[str, Any]) -> Iterator[TaskEvent]:
        parts = [payload["summary"], f"**Consensus:** {payload['consensus']}" if payload["consensus"] else None]
        told = "\n\n".join(part for part in parts if part)
        yield TaskResult(content=told or (self._reply if self._reply is not None else self._last_reply()))

    def _on_error(self, payload: Mapping[str, Any]) -> Iterator[TaskEvent]:
        view = ErrorView(**{name: payload[name] for name in ErrorView.model_fields})
        goes_on = view.retryable or view.fallback_mode or view.recovering
        yield TaskError(message=view.error, details=view.code, recoverable=goes_on)

    def _on_fallback(self, payload: Mapping[str, Any]) -> Iterator[TaskEvent]:
        who = "a prepared demo" if payload["mode"] == "demo" else payload["to"] or "another model"
        yield TaskStatusEvent(status="processing", message=f"From here on {who} answers.")


_TRANSLATE: dict[str, Callable[[TaskEvents, Mapping[str, Any]], Iterator[TaskEvent]]] = {
    ConversationStatus.name: TaskEvents._on_status,
    AgentStep.name: TaskEvents._on_step,
    Progress.name: TaskEvents._on_progress,
    ToolCall.name: TaskEvents._on_tool_call,
    ToolResult.name: TaskEvents._on_tool_result,
    InputRequest.name: TaskEvents._on_input_request,
    InputResolved.name: TaskEvents._on_input_resolved,
    MessageQueued.name: TaskEvents._on_queued,
    MessageUnqueued.name: TaskEvents._on_unqueued,
    ChartGenerated.name: TaskEvents._on_chart,
    ConversationComplete.name: TaskEvents._on_complete,
    ConversationError.name: TaskEvents._on_error,
    FallbackMode.name: TaskEvents._on_fallback,
}


def last_reply_of(snapshot: Mapping[str, Any]) -> str:
    """The last agent's last words; empty where none has spoken."""
    said = (view["content"] for view in reversed(snapshot["messages"]) if view["role"] == "agent")
    return str(next(said, ""))


def _these(payload: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: payload[name] for name in names}
