"""The one invariant of delivery: what every reader has seen is the log, in order, without a hole or a double.

:class:`History` takes what one reader is sent, notes where it is not so, and folds it with a reducer of its own, that
of ``tests/streaming/readers.py``. :meth:`History.check` compares the result with what the server holds at the end.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from app.protocol.events import LOGGED_BY_NAME, Batch, Resync
from tests.streaming.readers import fold_event

Payload = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that must not be.

    :param kind: hole, double, reordering, early, late, epoch, ack, text, script, stuck, hung, status, dropped …
    :param where: the reader's or the conversation's name.
    """

    kind: str
    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.kind} ({self.where}): {self.what}"


class History:
    """One reader's view of one conversation, over all its connections.

    :param whole: it asked for everything (no filter, no changes alone), so that its fold must equal the server's.
    """

    def __init__(self, name: str, conversation_id: str, *, whole: bool = True) -> None:
        self.name = name
        self.conversation_id = conversation_id
        self.violations: list[Violation] = []
        self.state: Payload | None = None
        self.events = 0
        self.recovered = 0
        self.snapshots = 0
        self.resyncs = 0
        self._whole = whole
        self._following = False
        self._missing: list[tuple[int, int]] = []  # holes that were found

    @property
    def position(self) -> Payload | None:
        """Where it stands, to join with."""
        return None if self.state is None else {"epoch": self.state["epoch"], "offset": self.state["offset"]}

    @property
    def offset(self) -> int:
        return -1 if self.state is None else int(self.state["offset"])

    def forget(self) -> None:
        """The page was reloaded: nothing is known any more."""
        self.lost()
        self.state = None

    def lost(self) -> None:
        """The connection is gone, or was left: nothing counts until the next answer to a join."""
        self._following = False
        self._missing.clear()

    def joined(self, asked: Payload | None, ack: Payload) -> None:
        """Take the answer to a join with this position."""
        if ack["recovered"]:
            self.recovered += 1
            answered = {"epoch": ack["epoch"], "offset": ack["offset"]}
            if ack["snapshot"] is not None or answered != asked or asked != self.position:
                self.note("ack", f"recovered {answered} for {asked}, with snapshot: {ack['snapshot'] is not None}")
        else:
            self.snapshots += 1
            self._replace(ack["snapshot"])
            if self.offset != ack["offset"]:
                self.note("ack", f"the snapshot is of {self.offset}, the answer of {ack['offset']}")
        self._following = True

    def take(self, name: str, payload: Payload) -> None:
        """Take an event, as it came."""
        if payload.get("conversation_id") != self.conversation_id:
            return
        if name == Resync.name:
            self.resyncs += 1
            if self._follows(name, payload):
                self._replace(payload["snapshot"])
        elif name == Batch.name:
            self._take_batch(payload)
        elif name in LOGGED_BY_NAME and "prev_offset" in payload:
            self._take_logged(name, payload)

    def check(self, truth: Payload, script: str) -> None:
        """Compare with the server's snapshot at the end, and its texts with what the model has said."""
        if self.state is None or self.offset != truth["offset"]:
            self.note("stuck", f"at {self.offset} of {truth['offset']}")
            return
        if not self._whole:
            return
        wrong = {key: (self.state.get(key), truth[key]) for key in truth if self.state.get(key) != truth[key]}
        for key, (mine, theirs) in wrong.items():
            self.note("text", f"{key}: {mine!r} instead of {theirs!r}"[:2_000])
        for message in self.state["messages"]:
            said = message["content"]
            if message["role"] == "agent" and not (
                said == script if message["state"] == "complete" else script.startswith(said)
            ):
                self.note("script", f"{message['message_id']} ({message['state']}): {said!r}"[:2_000])

    # --- inside

    def note(self, kind: str, what: str) -> None:
        """Something is not as it must be."""
        self.violations.append(Violation(kind, self.name, what))

    def _replace(self, snapshot: Payload) -> None:
        self.state = copy.deepcopy(snapshot)
        self._missing.clear()

    def _follows(self, name: str, payload: Payload) -> bool:
        if not self._following:
            self.note("early", f"{name} {payload.get('offset')} while it did not follow")
        return self._following

    def _take_batch(self, payload: Payload) -> None:
        if not self._follows("batch", payload) or not self._continues("batch", payload):
            return
        for entry in payload["entries"]:
            self._take_logged(entry["name"], entry["payload"])
        assert self.state is not None
        if self.offset > payload["offset"]:
            self.note("batch", f"its entries reach {self.offset}, and it covers up to {payload['offset']}")
        self.state["offset"] = payload["offset"]

    def _take_logged(self, name: str, payload: Payload) -> None:
        if not self._follows(name, payload):
            return
        self.events += 1
        if self._continues(name, payload):
            assert self.state is not None
            fold_event(self.state, name, payload)

    def _continues(self, name: str, payload: Payload) -> bool:
        assert self.state is not None
        at, before, after = self.offset, payload["prev_offset"], payload["offset"]
        if payload["epoch"] != self.state["epoch"]:
            self.note("epoch", f"{name} of {payload['epoch']}, while {self.state['epoch']} is followed")
            return False
        if before == at and after > at:
            return True
        if before > at:
            self.note("hole", f"{name} covers {before}…{after} and comes after {at}")
            self._missing.append((at, before))
            self.state["offset"] = after
        elif any(first <= before and after <= last for first, last in self._missing):
            self.note("reordering", f"{name} covers {before}…{after} and comes after {at}")
        else:
            self.note("double", f"{name} covers {before}…{after} and comes after {at}")
            self.state["offset"] = max(at, after)
        return False
