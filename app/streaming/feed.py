"""What passes from a run to its session: items in the buffer, the sink that takes the news, and the end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from app.errors import ColloquyError, RunError
from app.protocol.common import Status, Usage
from app.protocol.events import ConversationComplete, MessageDelta

NO_USAGE = Usage()

Frame = tuple[str, dict[str, Any], bool]
"""An event on its way to the log: name, payload without envelope, demo."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a session ends.

    :param said: the run has already told the room of its error.
    :param reason: a sentence for a person, where there is no error.
    """

    status: Status
    usage: Usage = NO_USAGE
    error: ColloquyError | None = None
    said: bool = False
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """What waits in the buffer: an event, the run's state at the end of a turn, or the run's end."""

    frame: Frame | None
    came_at: float
    ending: Ending | None = None
    checkpoint: dict[str, Any] | None = None


def join_frames(items: Iterable[Item], *, cut_short: bool) -> tuple[list[Frame], Ending | None]:
    """Join neighbouring deltas of one message.

    :param cut_short: the session was told to end: the run's own ``conversation_complete`` is no longer true.
    :returns: the events in order, and the end if it was among the items.
    """
    frames: list[Frame] = []
    for item in items:
        if item.checkpoint is not None:
            continue
        if item.frame is None:
            return frames, item.ending
        name, payload, demo = item.frame
        if cut_short and name == ConversationComplete.name:
            continue
        if frames and name == MessageDelta.name:
            last_name, last, last_demo = frames[-1]
            if last_name == name and last["message_id"] == payload["message_id"] and last_demo == demo:
                joined = {
                    **last,
                    "delta": last["delta"] + payload["delta"],
                    "tokens": last["tokens"] + payload["tokens"],
                }
                frames[-1] = (name, joined, demo)
                continue
        frames.append((name, payload, demo))
    return frames, None


def cut_item(item: Item, tokens: int, first: int) -> tuple[Item, Item] | None:
    """Divide a delta that was merged of ``tokens`` tokens after about ``first`` of them, between words if it can be.

    :returns: two items that are together the same; None for anything but a delta with text to divide.
    """
    if item.frame is None or item.frame[0] != MessageDelta.name:
        return None
    name, payload, demo = item.frame
    text = payload["delta"]
    place = max(1, len(text) * first // tokens)
    place = text.rfind(" ", 0, place) + 1 or place
    if place >= len(text):
        return None
    head = {**payload, "delta": text[:place], "tokens": first}
    tail = {**payload, "delta": text[place:], "tokens": tokens - first}
    return Item((name, head, demo), item.came_at), Item((name, tail, demo), item.came_at)


class Hearer(Protocol):
    """The session's side of a sink."""

    def feed(self, name: str, payload: dict[str, Any], tokens: int, demo: bool) -> None: ...

    def hand_over(self, artifact_id: str, media_type: str, data: bytes) -> None: ...

    def count_spending(self, tokens: int, wanted: int) -> None: ...

    def keep(self, checkpoint: dict[str, Any]) -> None: ...

    def ran_out(self, ending: Ending) -> None: ...

    def runner_lost(self) -> None: ...


class SessionSink:
    """Takes the news of one run. Once cut, nothing is heard any more: the session has a newer run, or has ended."""

    def __init__(self, session: Hearer) -> None:
        self._session: Hearer | None = session

    def cut(self) -> None:
        """Hear nothing more of this run."""
        self._session = None

    def on_event(self, name: str, payload: dict[str, Any], tokens: int, demo: bool) -> None:
        if self._session is not None:
            self._session.feed(name, payload, tokens, demo)

    def on_artifact(self, artifact_id: str, media_type: str, data: bytes) -> None:
        if self._session is not None:
            self._session.hand_over(artifact_id, media_type, data)

    def on_spent(self, tokens: int, wanted: int) -> None:
        if self._session is not None:
            self._session.count_spending(tokens, wanted)

    def on_checkpoint(self, state: dict[str, Any]) -> None:
        if self._session is not None:
            self._session.keep(state)

    def on_ended(self, outcome: str, code: str | None, message: str | None, retryable: bool, usage: Usage) -> None:
        if self._session is not None:
            error = RunError(message or "the run failed", code=code) if outcome == "error" else None
            self._session.ran_out(Ending(Status(outcome), usage, error, said=error is not None))

    def on_lost(self) -> None:
        if self._session is not None:
            session, self._session = self._session, None
            session.runner_lost()
