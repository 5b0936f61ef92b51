"""The one reducer: log entries in, the conversation as it stands out. Every door, recorder and test shares it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any, TypeVar

from app.protocol.common import ContentType, Status, Usage
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
from app.protocol.snapshot import (
    ChartView,
    ErrorView,
    FallbackView,
    InputView,
    MessageView,
    OutcomeView,
    ProgressView,
    QueuedView,
    Snapshot,
    ToolCallView,
)

_MAX_KEPT = 100  # tool calls, charts, requests for input
_WITH_THE_WHOLE = ("content_type", "confidence", "usage", "model", "reason", "truncated", "cut_off")


class _Message:
    """A message that is being folded; an open one keeps its pieces until somebody asks for the text."""

    __slots__ = ("began", "fields", "pieces")

    def __init__(self, fields: dict[str, Any], began: int, text: str = "") -> None:
        self.fields = fields
        self.began = began  # the offset before its first event
        self.pieces = [text] if text else []

    @property
    def text(self) -> str:
        if len(self.pieces) > 1:
            self.pieces = ["".join(self.pieces)]
        return self.pieces[0] if self.pieces else ""

    def view(self) -> MessageView:
        return MessageView(content=self.text, **self.fields)


class ConversationFold:
    """Folds log entries into a :class:`Snapshot`. Deterministic: no clock, no I/O.

    :param max_messages: messages kept; older finished ones are only counted (``omitted_messages``).
    :param max_chars: their text, likewise; the newest finished message is always kept.
    """

    def __init__(
        self,
        conversation_id: str,
        epoch: str,
        *,
        created_at: str,
        title: str = "",
        content_type: ContentType = ContentType.TEXT,
        max_messages: int = 500,
        max_chars: int = 8_000_000,
    ) -> None:
        self.conversation_id = conversation_id
        self.epoch = epoch
        self.created_at = created_at
        self.title = title
        self.content_type = content_type
        self.max_messages = max_messages
        self.max_chars = max_chars
        self._finished_chars = 0
        self.offset = 0
        self.status = Status.IDLE
        self.demo = False
        self.team = ""
        self.updated_at = created_at
        self._session_id: str | None = None
        self._agents: tuple[Any, ...] = ()
        self._model: str | None = None
        self._speaking: str | None = None
        self._messages: dict[str, _Message] = {}
        self._omitted = 0
        self._progress = ProgressView()
        self._outcome: OutcomeView | None = None
        self._error: ErrorView | None = None
        self._fallback: FallbackView | None = None
        self._usage = Usage()
        self._tool_calls: dict[str, ToolCallView] = {}
        self._charts: dict[str, ChartView] = {}
        self._inputs: dict[str, InputView] = {}
        self._queued: dict[str, QueuedView] = {}

    @classmethod
    def from_snapshot(
        cls,
        snapshot: Snapshot,
        *,
        max_messages: int = 500,
        max_chars: int = 8_000_000,
        updated_at: str | None = None,
    ) -> ConversationFold:
        """Go on from a snapshot: what follows it leads to what later snapshots say.

        :param updated_at: when it last changed, which a snapshot does not tell.
        """
        fold = cls(
            snapshot.conversation_id,
            snapshot.epoch,
            created_at=snapshot.created_at,
            title=snapshot.title,
            content_type=snapshot.content_type,
            max_messages=max_messages,
            max_chars=max_chars,
        )
        fold.offset, fold.status = snapshot.offset, snapshot.status
        fold.updated_at = updated_at or snapshot.created_at
        fold.demo, fold.team = snapshot.demo, snapshot.team
        fold._session_id, fold._agents, fold._model = snapshot.session_id, snapshot.agents, snapshot.model
        fold._speaking, fold._progress, fold._usage = snapshot.speaking, snapshot.progress, snapshot.usage
        fold._outcome, fold._error, fold._fallback = snapshot.outcome, snapshot.error, snapshot.fallback
        for view in snapshot.messages:
            fields = {name: getattr(view, name) for name in MessageView.model_fields if name != "content"}
            fold._messages[view.message_id] = _Message(fields, snapshot.offset, view.content)
        fold._finished_chars = sum(len(view.content) for view in snapshot.messages if view.state != "open")
        fold._omitted = snapshot.omitted_messages
        fold._tool_calls = {call.call_id: call for call in snapshot.tool_calls}
        fold._charts = {chart.chart_id: chart for chart in snapshot.charts}
        fold._inputs = {request.request_id: request for request in snapshot.pending_inputs}
        fold._queued = {message.message_id: message for message in snapshot.queued}
        return fold

    def apply(self, name: str, payload: dict[str, Any]) -> None:
        """Take one logged event, with its envelope. Unknown names only move the offset."""
        self.offset = payload["offset"]
        self.updated_at = payload["timestamp"]
        handler = _HANDLERS.get(name)
        if handler is None:
            return
        message_id = payload.get("message_id")
        if message_id is None:
            handler(self, payload)
            return
        before = self._finished_text(message_id)
        handler(self, payload)
        self._finished_chars += self._finished_text(message_id) - before
        if name == AgentMessage.name:  # only a finished message makes others go
            self._trim()

    def _finished_text(self, message_id: str) -> int:
        message = self._messages.get(message_id)
        return 0 if message is None or message.fields["state"] == "open" else len(message.text)

    @property
    def text_chars(self) -> int:
        """Characters of its finished messages."""
        return self._finished_chars

    def open_messages(self) -> list[MessageView]:
        """Messages whose deltas still come, oldest first."""
        return [message.view() for message in self._messages.values() if message.fields["state"] == "open"]

    def messages(self) -> list[MessageView]:
        """All that are kept, oldest first."""
        return [message.view() for message in self._messages.values()]

    def last_user_message(self) -> MessageView | None:
        """What a person has said last; None where that is no longer kept."""
        said = (message for message in reversed(self._messages.values()) if message.fields["role"] == "user")
        last = next(said, None)
        return last.view() if last is not None else None

    def last_message_id(self) -> str | None:
        """The newest message; None where there is none."""
        return next(reversed(self._messages), None)

    def message_count(self) -> int:
        """How many messages there ever were, the omitted ones included."""
        return len(self._messages) + self._omitted

    def confirms(self, payload: dict[str, Any]) -> int | None:
        """Where a whole message only repeats what its deltas have said: the offset before its first event."""
        message = self._messages.get(payload["message_id"])
        if message is None or message.fields["state"] != "open" or message.text != payload["content"]:
            return None
        return message.began

    def text(self, message_id: str) -> str | None:
        """The text of a message so far; None where there is none of that id."""
        message = self._messages.get(message_id)
        return message.text if message is not None else None

    def message(self, message_id: str) -> MessageView | None:
        """A message as it stands; None where there is none of that id, or it is no longer kept."""
        message = self._messages.get(message_id)
        return message.view() if message is not None else None

    def tool_call(self, call_id: str) -> ToolCallView | None:
        """A call of the latest session, while it is kept."""
        return self._tool_calls.get(call_id)

    @property
    def running_tool(self) -> ToolCallView | None:
        """The latest call, while its tool has not answered."""
        last = next(reversed(self._tool_calls.values()), None)
        return last if last is not None and last.success is None else None

    def chart(self, chart_id: str) -> ChartView | None:
        """A chart, while it is kept."""
        return self._charts.get(chart_id)

    def pending_inputs(self) -> tuple[InputView, ...]:
        """Whom the agents wait for, oldest first."""
        return tuple(self._inputs.values())

    def queued(self) -> tuple[QueuedView, ...]:
        """The messages that wait for their turn, oldest first."""
        return tuple(self._queued.values())

    def standing(self) -> dict[str, Any]:
        """How the latest session stands or ended, by the names of :class:`Snapshot`, JSON-ready.

        Of its tool calls only how many it has made: they are stored by themselves.
        """
        parts = {
            "progress": self._progress,
            "outcome": self._outcome,
            "error": self._error,
            "fallback": self._fallback,
        }
        return {
            "session_id": self._session_id,
            "agents": [agent if isinstance(agent, dict) else agent.model_dump() for agent in self._agents],
            "model": self._model,
            "pending_inputs": [request.model_dump(mode="json") for request in self._inputs.values()],
            "queued": [message.model_dump(mode="json") for message in self._queued.values()],
            **{name: part and part.model_dump(mode="json", by_alias=True) for name, part in parts.items()},
        }

    @property
    def session_id(self) -> str | None:
        """The latest session; None before the first."""
        return self._session_id

    @property
    def progress(self) -> ProgressView:
        return self._progress

    @property
    def usage(self) -> Usage:
        """Tokens spent in all ended sessions."""
        return self._usage

    def snapshot(self) -> Snapshot:
        """The conversation as it stands at (epoch, offset)."""
        return Snapshot(
            conversation_id=self.conversation_id,
            epoch=self.epoch,
            offset=self.offset,
            title=self.title,
            team=self.team,
            content_type=self.content_type,
            created_at=self.created_at,
            status=self.status,
            session_id=self._session_id,
            agents=self._agents,
            model=self._model,
            demo=self.demo,
            speaking=self._speaking,
            messages=tuple(message.view() for message in self._messages.values()),
            omitted_messages=self._omitted,
            progress=self._progress,
            outcome=self._outcome,
            error=self._error,
            fallback=self._fallback,
            usage=self._usage,
            tool_calls=tuple(self._tool_calls.values()),
            charts=tuple(self._charts.values()),
            pending_inputs=tuple(self._inputs.values()),
            queued=tuple(self._queued.values()),
        )

    # --- one method per event -----------------------------------------------------------------------------------------

    def _on_status(self, payload: dict[str, Any]) -> None:
        status = Status(payload["status"])
        if status is Status.INITIALIZING:  # a new session begins
            self._speaking = self._outcome = self._error = self._fallback = self._model = None
            self._progress = ProgressView()
            self.demo = False
        self.status = status
        self._session_id = payload["session_id"]
        self.team = payload["team"]
        self._agents = tuple(payload["agents"]) or self._agents
        self._model = payload["model"] or self._model
        if payload["usage"]:
            self._usage += Usage(**payload["usage"])
        if status in (Status.COMPLETED, Status.STOPPED, Status.ERROR):
            self._speaking = None
            self._inputs = {}

    def _on_step(self, payload: dict[str, Any]) -> None:
        self._speaking = payload["agent"]

    def _on_start(self, payload: dict[str, Any]) -> None:
        self._add(payload, state="open")

    def _on_delta(self, payload: dict[str, Any]) -> None:
        message = self._messages.get(payload["message_id"])
        if message is None:
            message = self._add({**payload, "role": "agent", "kind": "message"}, state="open")
        message.pieces.append(payload["delta"])

    def _on_message(self, payload: dict[str, Any]) -> None:
        self._queued.pop(payload["message_id"], None)  # its turn has come
        message = self._messages.get(payload["message_id"])
        if message is None:
            message = self._add(payload, state="open")
        message.pieces = [payload["content"]]
        message.fields.update(
            {name: payload[name] for name in _WITH_THE_WHOLE},
            state="partial" if payload["partial"] else "complete",
            demo=payload["demo"],
        )

    def _on_reset(self, payload: dict[str, Any]) -> None:
        self._messages.pop(payload["message_id"], None)

    def _on_progress(self, payload: dict[str, Any]) -> None:
        self._progress = ProgressView.model_validate({name: payload[name] for name in ProgressView.model_fields})

    def _on_complete(self, payload: dict[str, Any]) -> None:
        self._outcome = OutcomeView(**{name: payload[name] for name in OutcomeView.model_fields})

    def _on_error(self, payload: dict[str, Any]) -> None:
        self._error = ErrorView(**{name: payload[name] for name in ErrorView.model_fields})

    def _on_fallback(self, payload: dict[str, Any]) -> None:
        self._fallback = FallbackView.model_validate({name: payload[name] for name in ("mode", "reason", "from", "to")})
        if payload["mode"] == "demo":
            self.demo = True
        else:
            self._model = payload["to"] or self._model

    def _on_update(self, payload: dict[str, Any]) -> None:
        message = self._messages.get(payload["message_id"])
        if message is None:  # older than what is kept
            return
        changes = {name: value for name, value in payload["changes"].items() if name in MessageView.model_fields}
        if "content" in changes:
            message.pieces = [changes.pop("content")]
            message.fields["updated_by"] = payload["updated_by"]  # who has edited it; not who has rated it
        message.fields.update(changes, updated_at=payload["timestamp"])

    def _on_tool_call(self, payload: dict[str, Any]) -> None:
        call = ToolCallView(**{name: payload[name] for name in ("call_id", "agent", "tool", "arguments", "timestamp")})
        _keep_last(self._tool_calls, call.call_id, call)

    def _on_tool_result(self, payload: dict[str, Any]) -> None:
        answer = {name: payload[name] for name in ("success", "code", "preview", "length", "artifact_id")}
        known = self._tool_calls.get(payload["call_id"])
        began = {name: payload[name] for name in ("call_id", "agent", "tool", "timestamp")}
        call = began if known is None else known.model_dump()
        _keep_last(self._tool_calls, payload["call_id"], ToolCallView(**{**call, **answer}))

    def _on_chart(self, payload: dict[str, Any]) -> None:
        _keep_last(
            self._charts, payload["chart_id"], ChartView(**{name: payload[name] for name in ChartView.model_fields})
        )

    def _on_input_request(self, payload: dict[str, Any]) -> None:
        request = InputView(**{name: payload[name] for name in InputView.model_fields})
        _keep_last(self._inputs, request.request_id, request)

    def _on_input_resolved(self, payload: dict[str, Any]) -> None:
        self._inputs.pop(payload["request_id"], None)

    def _on_queued(self, payload: dict[str, Any]) -> None:
        message = QueuedView(**{name: payload[name] for name in QueuedView.model_fields})
        _keep_last(self._queued, message.message_id, message)

    def _on_unqueued(self, payload: dict[str, Any]) -> None:
        self._queued.pop(payload["message_id"], None)

    def _on_conversation_updated(self, payload: dict[str, Any]) -> None:
        self.title = str(payload["changes"].get("title", self.title))

    def _add(self, payload: dict[str, Any], *, state: str) -> _Message:
        message = _Message(
            {
                "message_id": payload["message_id"],
                "agent": payload["agent"],
                "role": payload["role"],
                "kind": payload["kind"],
                "state": state,
                "timestamp": payload["timestamp"],
                "demo": payload["demo"],
            },
            payload["prev_offset"],
        )
        self._messages[payload["message_id"]] = message
        return message

    def _trim(self) -> None:
        while len(self._messages) > self.max_messages or self._finished_chars > self.max_chars:
            finished = (key for key, message in self._messages.items() if message.fields["state"] != "open")
            oldest = list(islice(finished, 2))
            if len(oldest) < 2:  # the newest is kept, however long
                return
            self._finished_chars -= len(self._messages.pop(oldest[0]).text)
            self._omitted += 1


Kept = TypeVar("Kept")


def _keep_last(kept: dict[str, Kept], key: str, value: Kept) -> None:
    kept[key] = value
    if len(kept) > _MAX_KEPT:
        del kept[next(iter(kept))]


_HANDLERS: dict[str, Callable[[ConversationFold, dict[str, Any]], None]] = {
    ConversationStatus.name: ConversationFold._on_status,
    AgentStep.name: ConversationFold._on_step,
    MessageStart.name: ConversationFold._on_start,
    MessageDelta.name: ConversationFold._on_delta,
    AgentMessage.name: ConversationFold._on_message,
    MessageReset.name: ConversationFold._on_reset,
    Progress.name: ConversationFold._on_progress,
    ConversationComplete.name: ConversationFold._on_complete,
    ConversationError.name: ConversationFold._on_error,
    FallbackMode.name: ConversationFold._on_fallback,
    MessageUpdated.name: ConversationFold._on_update,
    ToolCall.name: ConversationFold._on_tool_call,
    ToolResult.name: ConversationFold._on_tool_result,
    ChartGenerated.name: ConversationFold._on_chart,
    InputRequest.name: ConversationFold._on_input_request,
    InputResolved.name: ConversationFold._on_input_resolved,
    MessageQueued.name: ConversationFold._on_queued,
    MessageUnqueued.name: ConversationFold._on_unqueued,
    ConversationUpdated.name: ConversationFold._on_conversation_updated,
}
