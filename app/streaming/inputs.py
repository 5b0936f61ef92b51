"""The questions of a session's agents: those that wait for a person, and how the last ones were resolved."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from app.errors import AnsweredAlready, InputUnknown, InvalidPayload
from app.protocol.events import InputRequest, InputResolved
from app.runner.wire import Answer
from app.streaming.conversation import Conversation, iso
from app.streaming.feed import Frame
from app.streaming.ports import Clock, Concurrency
from app.streaming.serial import Serial

Given = Literal["answered", "granted", "denied"]
Resolution = Literal["answered", "granted", "denied", "timeout", "cancelled"]

_MAX_RESOLVED = 100  # whose outcome is remembered, for who answers too late
_YES, _NO = frozenset({"yes", "y", "true"}), frozenset({"no", "n", "false"})
_TOO_LATE: dict[Resolution, str] = {
    "timeout": "nobody has answered in time; the agents go on without",
    "cancelled": "the agent no longer asks",
}


@dataclass(slots=True)
class _Pending:
    """A question that the room has been told.

    :param due: the clock's reading at its deadline; None: it has none.
    """

    request: InputRequest
    demo: bool
    due: float | None


@dataclass(frozen=True, slots=True)
class _Given:
    """Somebody's answer."""

    resolution: Given
    content: str
    by: str
    client_id: str | None


@dataclass(frozen=True, slots=True)
class _Resolved:
    """How a question was resolved; ``given``: by an answer."""

    resolution: Resolution
    given: _Given | None


class Inputs:
    """Belongs to its session. What changes here happens in its own :class:`Serial`, so the first answer wins.

    :param timeout_s: until the agents go on without an answer; 0: they wait as long as it takes.
    :param answer: hands an answer to the run; does not wait.
    """

    def __init__(
        self,
        conversation: Conversation,
        session_id: str,
        concurrency: Concurrency,
        clock: Clock,
        timeout_s: float,
        answer: Callable[[Answer], None],
    ) -> None:
        self._conversation = conversation
        self._session_id = session_id
        self._clock = clock
        self._timeout_s = timeout_s
        self._answer = answer
        self._steps = Serial(concurrency.condition)
        self._coming: set[str] = set()  # asked by the run, and not told yet
        self._void: set[str] = set()  # of those: nobody waits for an answer any more
        self._pending: dict[str, _Pending] = {}
        self._resolved: OrderedDict[str, _Resolved] = OrderedDict()
        self._held_at: float | None = None

    @property
    def waiting_for(self) -> tuple[str, ...]:
        """The agents that wait for a person."""
        return tuple(pending.request.agent for pending in list(self._pending.values()))

    # --- what the run asks --------------------------------------------------------------------------------------------

    def coming(self, request_id: str) -> None:
        """The run has asked. Does not wait."""
        self._coming.add(request_id)

    def pass_on(self, frames: list[Frame]) -> list[Frame]:
        """What the room may be told now: questions get their deadline, and those that nobody asks any more go."""
        if not any(name in (InputRequest.name, InputResolved.name) for name, _, _ in frames):
            return frames
        return self._steps.run(lambda: [passed for frame in frames if (passed := self._passed(frame)) is not None])

    def _passed(self, frame: Frame) -> Frame | None:
        name, payload, demo = frame
        if name == InputResolved.name:  # the run itself no longer asks
            self._pending.pop(payload["request_id"], None)
        if name != InputRequest.name:
            return frame
        request = InputRequest.model_validate(payload)
        self._coming.discard(request.request_id)
        if request.request_id in self._void:
            self._void.discard(request.request_id)
            return None
        request, due = self._dated(request, self._timeout_s)
        self._pending[request.request_id] = _Pending(request, demo, due)
        return name, request.to_wire(), demo

    def _dated(self, request: InputRequest, left_s: float) -> tuple[InputRequest, float | None]:
        """The question with its deadline, and the clock's reading then."""
        if not self._timeout_s:
            return request, None
        deadline = datetime.fromisoformat(self._clock.now_iso()) + timedelta(seconds=left_s)
        return request.model_copy(update={"deadline": iso(deadline)}), self._clock.monotonic() + left_s

    # --- how it ends --------------------------------------------------------------------------------------------------

    def provide(
        self, request_id: str, content: str | None, granted: bool | None, by: str, client_id: str | None = None
    ) -> Given:
        """Somebody answers; what the agent is told.

        :raises InputUnknown: nobody has asked.
        :raises AnsweredAlready: somebody else was quicker, or it is too late.
        :raises InvalidPayload: it is no answer to this question; it can still be answered.
        """

        def give() -> Given:
            resolved = self._resolved.get(request_id)
            if resolved is not None:
                given = resolved.given
                if given is not None and given.client_id is not None and given.client_id == client_id:
                    return given.resolution
                raise AnsweredAlready(_TOO_LATE.get(resolved.resolution, "somebody has answered already"))
            pending = self._pending.get(request_id)
            if pending is None:
                raise InputUnknown("no agent waits for this answer")
            resolution = _resolution(pending.request.kind, content, granted)
            self._resolve(pending, resolution, _Given(resolution, content or "", by, client_id))
            return resolution

        return self._steps.run(give)

    def decline(self, request_id: str, by: str) -> None:
        """Somebody will not answer: a permission is denied, a question for a text ends as `cancelled`.

        What nobody asks any more is no error.
        """

        def cancel() -> None:
            pending = self._pending.get(request_id)
            if pending is not None:
                resolution: Resolution = "denied" if pending.request.kind == "permission" else "cancelled"
                self._resolve(pending, resolution, by=by)

        self._steps.run(cancel)

    def look(self, now: float) -> None:
        """Resolve the questions whose time is over."""
        if any(pending.due is not None and pending.due <= now for pending in list(self._pending.values())):
            self._steps.run(lambda: self._expire(now))

    def _expire(self, now: float) -> None:
        if self._held_at is None:
            for pending in self._open(lambda each: each.due is not None and each.due <= now):
                self._resolve(pending, "timeout")

    def withdraw(self) -> None:
        """The run that asked is no more: nobody waits for an answer, neither to what was told nor to what was not."""

        def cancel() -> None:
            self._void |= self._coming
            self._coming.clear()
            for pending in self._open():
                self._resolve(pending, "cancelled")

        self._steps.run(cancel)

    def _open(self, wanted: Callable[[_Pending], bool] = lambda _: True) -> Iterable[_Pending]:
        return [pending for pending in self._pending.values() if wanted(pending)]

    def _resolve(
        self, pending: _Pending, resolution: Resolution, given: _Given | None = None, *, by: str | None = None
    ) -> None:
        request, content = pending.request, given.content if given else ""
        del self._pending[request.request_id]
        self._resolved[request.request_id] = _Resolved(resolution, given)
        if len(self._resolved) > _MAX_RESOLVED:
            self._resolved.popitem(last=False)
        resolved = InputResolved(
            request_id=request.request_id,
            resolution=resolution,
            by=given.by if given else by,
            content=content if given and not request.secret else None,
        )
        self._conversation.append_event(resolved, demo=pending.demo)
        self._answer(
            Answer(session=self._session_id, request_id=request.request_id, resolution=resolution, content=content)
        )

    # --- pauses -------------------------------------------------------------------------------------------------------

    def hold(self) -> None:
        """The session is paused: it may be answered, but no time runs out."""

        def stand_still() -> None:
            if self._held_at is None:
                self._held_at = self._clock.monotonic()

        self._steps.run(stand_still)

    def release(self) -> None:
        """It goes on: the room is told the new deadlines."""

        def go_on() -> None:
            held_at, self._held_at = self._held_at, None
            for pending in self._open(lambda each: each.due is not None):
                if held_at is None or pending.due is None:
                    continue
                left_s = max(0.0, pending.due - held_at)
                pending.request, pending.due = self._dated(pending.request, left_s)
                self._conversation.append_event(pending.request, demo=pending.demo)

        self._steps.run(go_on)


def _resolution(kind: str, content: str | None, granted: bool | None) -> Given:
    """:raises InvalidPayload: where this is no answer."""
    if kind == "permission":
        word = (content or "").strip().lower()
        if granted is None and word not in _YES | _NO:
            raise InvalidPayload("granted: a permission is answered by true or false, or by yes or no as the content")
        return "granted" if granted or (granted is None and word in _YES) else "denied"
    if granted is not None:
        raise InvalidPayload("granted: the agent asks for a text, not for a permission")
    if content is None:
        raise InvalidPayload("content: the agent waits for a text")
    return "answered"
