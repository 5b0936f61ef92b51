"""What a reader of messages has been told of each, so that it can be told what has changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from app.http.message_view import shape
from app.protocol.dialects.messages import Message
from app.protocol.events import AgentMessage, MessageDelta, MessageReset, MessageStart, MessageUpdated
from app.streaming.log import LogEntry

_UNFINISHED = ("open", "withdrawn")
_MAX_KNOWN = 2000  # messages; of older ones nothing is told any more


@dataclass(frozen=True, slots=True)
class Change:
    """A message as it stands at ``offset``.

    :param about: what filters look at: ``agent`` and ``role``.
    :param appended: what was added to its text; None: it was replaced.
    :param edited: more than its text may have changed.
    """

    message: Message
    about: Mapping[str, Any]
    offset: int
    added: bool
    appended: str | None
    edited: bool = False


class _Open:
    """A message whose deltas still come."""

    __slots__ = ("told", "view")

    def __init__(self, view: dict[str, Any]) -> None:
        self.view = view
        self.told: str = view["content"]


class Texts:
    """Follows the log's entries. Keeps the text of unfinished messages, and of no others.

    :param snapshot: what the reader has been told already.
    """

    def __init__(self, snapshot: Mapping[str, Any]) -> None:
        views = snapshot["messages"]
        self._open = {view["message_id"]: _Open(dict(view)) for view in views if view["state"] == "open"}
        self._known = dict.fromkeys(view["message_id"] for view in views)  # in order; bounded

    def changes(self, entries: Iterable[LogEntry], look_up: Callable[[str], Message | None]) -> Iterator[Change]:
        """What these entries change; neighbouring entries of one message make one change.

        :param look_up: finds a message that is no longer open.
        """
        group: list[LogEntry] = []
        for entry in entries:
            message_id = entry.payload.get("message_id")
            if group and message_id != group[0].payload["message_id"]:
                yield from self._change(group, look_up)
                group = []
            if message_id is not None:
                group.append(entry)
        if group:
            yield from self._change(group, look_up)

    def _change(self, group: list[LogEntry], look_up: Callable[[str], Message | None]) -> Iterator[Change]:
        message_id, last = group[0].payload["message_id"], group[-1]
        if all(entry.name == MessageUpdated.name for entry in group) and message_id not in self._open:
            if (message := look_up(message_id)) is not None:
                about = {"agent": last.payload["agent"], "role": "user" if message.role == "user" else "agent"}
                yield Change(message, about, last.offset, added=False, appended=None, edited=True)
            return
        for entry in group:
            self._apply(entry)
        state = self._open[message_id]
        text, told = state.view["content"], state.told
        if state.view["state"] in _UNFINISHED:
            state.told = text
        else:
            del self._open[message_id]
        yield Change(
            shape({**state.view, "updated_at": last.payload["timestamp"]}),
            state.view,
            last.offset,
            added=self._is_new(message_id),
            appended=text[len(told) :] if text.startswith(told) else None,
            edited=any(entry.name == MessageUpdated.name for entry in group),
        )

    def _is_new(self, message_id: str) -> bool:
        if message_id in self._known:
            return False
        self._known[message_id] = None
        if len(self._known) > _MAX_KNOWN:
            del self._known[next(iter(self._known))]
        return True

    def _apply(self, entry: LogEntry) -> None:
        payload = entry.payload
        message_id = payload["message_id"]
        state = self._open.get(message_id)
        if state is None:
            view = {name: payload[name] for name in ("message_id", "agent", "timestamp")}
            view |= {"role": payload.get("role", "agent"), "content": "", "state": "open"}
            state = self._open[message_id] = _Open(view)
        view = state.view
        if entry.name == MessageStart.name:
            view |= {"content": "", "state": "open"}
        elif entry.name == MessageDelta.name:
            view["content"] += payload["delta"]
        elif entry.name == AgentMessage.name:
            view |= {"content": payload["content"], "state": "complete"}
        elif entry.name == MessageReset.name:  # withdrawn: its agent begins again, perhaps as another message
            view |= {"content": "", "state": "withdrawn"}
        elif entry.name == MessageUpdated.name:
            view |= payload["changes"]
            view |= {"updated_by": payload["updated_by"]}


def changed_in(entries: Iterable[LogEntry], seen: dict[str, LogEntry], withdrawn: dict[str, dict[str, Any]]) -> None:
    """Note which messages these entries concern: the first entry of each, and those that were withdrawn."""
    for entry in entries:
        message_id = entry.payload.get("message_id")
        if message_id is None:
            continue
        seen.setdefault(message_id, entry)
        if entry.name == MessageReset.name:
            fields = {name: entry.payload[name] for name in ("message_id", "agent", "timestamp")}
            withdrawn[message_id] = {**fields, "role": "agent", "content": "", "state": "withdrawn"}
        else:
            withdrawn.pop(message_id, None)


def begins(entry: LogEntry, view: Mapping[str, Any]) -> bool:
    """Whether a message began with this entry."""
    if entry.name == MessageUpdated.name:
        return False
    return entry.name == MessageStart.name or bool(entry.payload["timestamp"] == view["timestamp"])
