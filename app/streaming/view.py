"""What a reader wants to see of a log: filters, and updates that carry only what changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from app.protocol.common import Filter
from app.protocol.events import (
    AgentMessage,
    ConversationComplete,
    ConversationError,
    ConversationStatus,
    MessageDelta,
    MessageUpdated,
)
from app.streaming.entry import LogEntry

_ALWAYS = frozenset({ConversationStatus.name, ConversationError.name, ConversationComplete.name})
_ENVELOPE = ("conversation_id", "epoch", "prev_offset", "offset", "timestamp", "demo")
_SAID_BY_DELTAS = frozenset({"message_id", "agent", "role", "kind", "content", "partial", *_ENVELOPE})


@dataclass(frozen=True, slots=True)
class View:
    """What a reader wants to see.

    :param changes_only: ``agent_message`` comes as ``message_updated``, with only what its deltas did not say.
    """

    filter: Filter | None = None
    changes_only: bool = False

    @property
    def whole(self) -> bool:
        """Whether this reader sees the log as it is, so that it can share the room with others."""
        return self.filter is None and not self.changes_only

    def seen(self, entries: Iterable[LogEntry], *, knows_from: int, after: int) -> list[LogEntry]:
        """The entries as this reader sees them, in an unbroken chain of ``prev_offset``.

        :param knows_from: the reader has seen, in a snapshot or as events, everything after this offset.
        :param after: the offset up to which it has been told everything.
        """
        chained: list[LogEntry] = []
        for entry in entries:
            if not self._passes(entry):
                continue
            shown = self._shorten(entry, knows_from) if self.changes_only else entry
            if shown.prev_offset != after:
                shown = replace(shown, prev_offset=after, payload={**shown.payload, "prev_offset": after})
            chained.append(shown)
            after = shown.offset
        return chained

    def wants(self, name: str) -> bool:
        """Whether this reader is told of transient events of this name."""
        return self.filter is None or not self.filter.types or name in self.filter.types

    def _passes(self, entry: LogEntry) -> bool:
        wanted = self.filter
        if wanted is None or entry.name in _ALWAYS:
            return True
        if wanted.types and entry.name not in wanted.types:
            return False
        agent = entry.payload.get("agent")
        if agent is None:
            return True
        if wanted.agents and agent not in wanted.agents:
            return False
        return not wanted.roles or entry.payload.get("role", "agent") in wanted.roles

    def _shorten(self, entry: LogEntry, knows_from: int) -> LogEntry:
        if entry.confirms_from is None or entry.confirms_from < knows_from or not self._sees_deltas:
            return entry
        payload = entry.payload
        changes: dict[str, Any] = {"state": "partial" if payload["partial"] else "complete"}
        changes |= {
            name: value for name, value in payload.items() if name not in _SAID_BY_DELTAS and value not in (None, False)
        }
        envelope = {name: payload[name] for name in _ENVELOPE}
        event = MessageUpdated(message_id=payload["message_id"], agent=payload["agent"], changes=changes)
        return replace(entry, name=event.name, payload={**event.to_wire(), **envelope})

    @property
    def _sees_deltas(self) -> bool:
        return self.filter is None or not self.filter.types or MessageDelta.name in self.filter.types


ALL = View()
"""Everything, as it was logged."""


def may_confirm(name: str, payload: dict[str, Any]) -> bool:
    """Whether an event may repeat what its deltas have said."""
    return name == AgentMessage.name and payload.get("role", "agent") == "agent"
