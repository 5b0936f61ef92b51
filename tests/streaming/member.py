"""A connection of the delivery machine: what it is sent, checked against the whole log, which nobody bounds here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from app.protocol.common import Filter, Position
from app.protocol.events import Batch, MessageDelta, Resync
from app.streaming.conversation import Conversation
from app.streaming.log import LogEntry
from app.streaming.readers import ReaderOptions
from tests.chaos.invariant import History
from tests.streaming.fakes import RecordingTransport
from tests.streaming.readers import Frame

_ENVELOPE = {"conversation_id", "epoch", "prev_offset", "offset", "timestamp"}
_ALWAYS = ("conversation_status", "conversation_error", "conversation_complete")
_CONFIRMED = ("agent_message", "message_updated")


class Member:
    """One client with its wishes, over all its connections.

    :param log: every entry that was ever logged, by the machine's own notes.
    """

    def __init__(self, sid: str, transport: RecordingTransport, options: ReaderOptions, log: list[LogEntry]) -> None:
        self.sid = sid
        self.options = options
        self.following = False
        self.attached = False
        self.acked = 0
        self.acked_at = 0.0  # when it last acknowledged anything new, or had nothing to acknowledge
        self.history = History(sid, "c1", whole=options.view.whole)
        self.seen: list[Frame] = []  # since the last snapshot
        self._from = 0
        self._log = log
        self._received = transport.connect(sid)
        self._read = 0

    @property
    def position(self) -> Position | None:
        return None if self.history.state is None else Position(**(self.history.position or {}))

    def join(self, conversation: Conversation, *, anew: bool = False) -> None:
        """Join, with the position if there is one."""
        self.read()
        if anew:
            self.history.forget()
        asked = self.history.position
        ack = conversation.join(self.sid, self.position, options=self.options)
        self._read = len(self._received)  # what came before the answer was of the last join
        self.history.joined(asked, ack.model_dump(mode="json"))
        if not ack.recovered:
            self._begin(ack.offset)
        self.following, self.attached = True, False

    def left(self) -> None:
        """It has left, or its connection is gone; what was on its way may still have come."""
        self.read()
        self.following = self.attached = False
        self.history.lost()

    def reconnected(self, sid: str, transport: RecordingTransport) -> None:
        """A new connection of the same client."""
        self.sid = sid
        self._received, self._read = transport.connect(sid), 0

    def read(self) -> None:
        """Take what has arrived."""
        arrived = self._received[self._read :]
        self._read = len(self._received)
        for name, payload in arrived:
            self.take(name, payload)

    def take(self, name: str, payload: dict[str, Any]) -> None:
        """Take one event."""
        self.history.take(name, payload)
        if name == Resync.name:
            self._begin(payload["snapshot"]["offset"])
        elif name == Batch.name:
            self.seen += [(each["name"], each["payload"]) for each in payload["entries"]]
        elif "prev_offset" in payload:
            self.seen.append((name, payload))

    def check(self) -> None:
        """All that it has seen is what the log has for it: nothing else, nothing more, in this order."""
        assert not self.history.violations, [str(each) for each in self.history.violations]
        if self.seen:
            upto = self.seen[-1][1]["offset"]
            wanted = [
                (entry.name, entry.payload)
                for entry in self._log[self._from : upto]
                if passes(self.options.view.filter, entry)
            ]
            assert canonical(self.seen) == canonical(wanted)

    def check_whole(self, truth: dict[str, Any]) -> None:
        """At the end: nothing of what it wants is missing, and its picture is the server's."""
        rest = [entry for entry in self._log[self.history.offset :] if passes(self.options.view.filter, entry)]
        assert not rest, f"{self.sid} never got {rest}"
        if self.options.view.whole:
            assert self.history.state == truth

    def _begin(self, offset: int) -> None:
        self._from = offset
        self.seen.clear()


def passes(wanted: Filter | None, entry: LogEntry) -> bool:
    """Whether a reader with this filter is to see an entry."""
    if wanted is None or entry.name in _ALWAYS:
        return True
    agent = entry.payload.get("agent")
    return (
        (not wanted.types or entry.name in wanted.types)
        and (agent is None or not wanted.agents or agent in wanted.agents)
        and (agent is None or not wanted.roles or entry.payload.get("role", "agent") in wanted.roles)
    )


def canonical(events: Iterable[Frame]) -> list[tuple[str, dict[str, Any]]]:
    """Without what may differ: how deltas are merged, and whether a message comes whole or as its changes."""
    shown: list[tuple[str, dict[str, Any]]] = []
    for name, payload in events:
        body = {key: value for key, value in payload.items() if key not in _ENVELOPE}
        if name in _CONFIRMED:
            shown.append(("message", {"message_id": body["message_id"]}))
        elif (
            name == MessageDelta.name
            and shown
            and shown[-1][0] == name
            and all(shown[-1][1][key] == body[key] for key in ("message_id", "demo"))
        ):
            last = shown[-1][1]
            last["delta"] += body["delta"]
            last["tokens"] += body["tokens"]
        else:
            shown.append((name, body))
    return shown
