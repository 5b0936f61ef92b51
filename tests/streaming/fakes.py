"""Stand-ins for what surrounds the streaming core: agent processes, sockets, archive, teams, models. No I/O."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app.errors import RunnerLost, TeamUnknown
from app.protocol.common import AgentCard, ContentType, Status, Usage
from app.protocol.events import AgentMessage, ConversationComplete, ConversationError, MessageDelta, MessageStart
from app.protocol.snapshot import MessageView, Snapshot
from app.runner.wire import Answer, ProviderSpec, StartRun, TeamSpec
from app.streaming.access import Access
from app.streaming.bounds import Bounds
from app.streaming.conversation import DEFAULT_CATCH_UP, Conversation, Recorder
from app.streaming.ports import Kept, RunSink
from app.streaming.readers import CatchUp
from app.streaming.serial import Serial
from app.streaming.states import RUNNING
from app.streaming.surroundings import Surroundings
from tests.streaming.readers import Frame, Reader
from tests.streaming.simulation import Simulation

TEAM = TeamSpec(name="debate", factory="teams:debate", agents=(AgentCard(name="Ann"), AgentCard(name="Bob")))
PROVIDER = ProviderSpec(name="openai", kind="openai", model="m")


class FakeRun:
    """A stand-in for a run in an agent process. Speaks when the test says so; :meth:`deltas` keeps to its grants."""

    def __init__(self, runners: FakeRunners, request: StartRun, sink: RunSink) -> None:
        self.runners = runners
        self.request = request
        self.sink = sink
        self._link = Serial(runners.simulation.condition)  # its reader takes one line after the other
        self.allowed = request.allowed
        self.grants: list[int] = []
        self.allowed_to_spend: list[tuple[int, int]] = []
        self.sent = 0
        self.calls: list[str] = []
        self.answers: list[Answer] = []
        self.paused = False
        self.lost = False
        self.ended = False
        self.usage = Usage(prompt_tokens=7, completion_tokens=5)
        self.said: dict[str, str] = {}  # message id → what was said of it so far
        self.finished: dict[str, str] = {}  # message id → the whole text

    # --- RunHandle

    def pause(self) -> None:
        self._called("pause")
        self.paused = True

    def resume(self) -> None:
        self._called("resume")
        self.paused = False

    def stop(self) -> Usage:
        self._called("stop")
        self._link.run(lambda: setattr(self, "ended", True))
        return self.usage

    def grant(self, allowed: int) -> None:
        assert not self.grants or allowed >= self.grants[-1], "a grant never decreases"
        self.grants.append(allowed)
        self.allowed = max(self.allowed, allowed)

    def answer(self, answer: Answer) -> None:
        if not self.silent or self.paused:
            self.answers.append(answer)

    def allow(self, allowed: int, wanted: int) -> None:
        self.allowed_to_spend.append((allowed, wanted))

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if self.runners.answer_s:
            self.runners.simulation.sleep(self.runners.answer_s)
        else:
            self.runners.simulation.switch()
        if self.lost:
            raise RunnerLost("the agent process is gone")

    # --- for tests: what the run does

    @property
    def credit(self) -> int:
        """Tokens that it may still send."""
        return max(0, self.allowed - self.sent)

    @property
    def silent(self) -> bool:
        return self.paused or self.lost or self.ended

    def event(
        self, event: Any, tokens: int = 1, *, demo: bool = False, note: Callable[[], None] = lambda: None
    ) -> None:
        """Send any event; ``note`` is called if it is sent. The dead and the ended send nothing more."""

        def take() -> None:
            if self.lost or self.ended:
                return
            note()
            self.sent += tokens
            self.sink.on_event(event.name, event.to_wire(), tokens, demo)

        self._link.run(take)

    def start(self, message_id: str, agent: str = "Ann") -> None:
        def note() -> None:
            self.said[message_id] = ""

        self.event(MessageStart(message_id=message_id, agent=agent), note=note)

    def delta(self, message_id: str, text: str, tokens: int = 1, agent: str = "Ann") -> None:
        """Send a piece, granted or not."""

        def note() -> None:
            self.said[message_id] = self.said.get(message_id, "") + text

        self.event(MessageDelta(message_id=message_id, agent=agent, delta=text, tokens=tokens), tokens, note=note)

    def deltas(self, message_id: str, count: int, agent: str = "Ann") -> int:
        """Send at most so many tokens, as far as credit and pause allow; how many it were."""
        sent = 0
        while sent < count and self.credit and not self.silent:
            self.delta(message_id, f"{self.sent} ", agent=agent)
            sent += 1
        return sent

    def finish(self, message_id: str, agent: str = "Ann") -> None:
        """Send the whole message."""

        def note() -> None:
            self.finished[message_id] = self.said.pop(message_id)

        self.event(AgentMessage(message_id=message_id, agent=agent, content=self.said[message_id]), note=note)

    def complete(self) -> None:
        self.event(ConversationComplete(summary="done"))
        self.end()

    def fail(self, code: str = "team_failed") -> None:
        self.event(ConversationError(error="it failed", code=code))
        self.end("error", code)

    def end(self, outcome: str = "completed", code: str | None = None) -> None:
        def take() -> None:
            if not self.lost and not self.ended:
                self.ended = True
                self.sink.on_ended(outcome, code, "it failed" if code else None, False, self.usage)

        self._link.run(take)

    def checkpoint(self, state: dict[str, Any]) -> None:
        self.sink.on_checkpoint(state)

    def lose(self) -> None:
        """Its process dies."""
        self.lost = True
        self._link.run(self.sink.on_lost)


class FakeRunners:
    """A stand-in for the supervisor.

    :param answer_s: virtual time until a command is confirmed.
    """

    def __init__(self, simulation: Simulation, answer_s: float = 0.0) -> None:
        self.simulation = simulation
        self.answer_s = answer_s
        self.runs: list[FakeRun] = []
        self.failing: Exception | None = None
        self.on_start: Callable[[FakeRun], None] | None = None

    def start(self, run: StartRun, sink: RunSink) -> FakeRun:
        self.simulation.switch()
        if self.failing is not None:
            raise self.failing
        started = FakeRun(self, run, sink)
        self.runs.append(started)
        if self.on_start is not None:
            self.on_start(started)
        return started

    @property
    def last(self) -> FakeRun:
        return self.runs[-1]


class RecordingTransport:
    """A stand-in for the sockets: what each connection would have received, in order.

    A connection in ``clogged`` takes nothing more than what it was handed last, and falls behind; :meth:`unclog`
    lets it read on.
    """

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.received: dict[str, list[Frame]] = {}
        self.rooms: dict[str, set[str]] = {}
        self.sent: list[Frame] = []  # every room emit, once
        self.writes: dict[str, list[tuple[float, int]]] = {}  # when each connection was sent how many events by itself
        self.clogged: set[str] = set()
        self.pending: set[str] = set()  # clogged, and handed something since
        self.cut: list[str] = []
        self.failing: Exception | None = None

    def connect(self, sid: str) -> list[Frame]:
        return self.received.setdefault(sid, [])

    def disconnect(self, sid: str) -> None:
        del self.received[sid]
        self.clogged.discard(sid)
        self.pending.discard(sid)
        for members in self.rooms.values():
            members.discard(sid)

    def unclog(self, sid: str) -> None:
        """The connection has read everything that it was handed; whoever serves it must be told by the caller."""
        self.clogged.discard(sid)
        self.pending.discard(sid)

    def emit_to_room(self, conversation_id: str, name: str, payload: dict[str, Any]) -> list[str]:
        self.simulation.switch()
        if self.failing is not None:
            raise self.failing
        self.sent.append((name, payload))
        members = self.rooms.get(conversation_id, set())
        for sid in members:
            self.received[sid].append((name, payload))
        behind = sorted(members & self.clogged)
        self.pending.update(behind)
        members.difference_update(behind)
        return behind

    def emit_to_client(self, sid: str, *events: Frame) -> None:
        self.simulation.switch()
        if sid in self.received:
            assert sid not in self.pending, "sent to a connection that does not take what it was handed before"
            self.writes.setdefault(sid, []).append((self.simulation.monotonic(), len(events)))
            self.received[sid].extend(events)
            if sid in self.clogged:
                self.pending.add(sid)

    def writable(self, sid: str) -> bool:
        return sid in self.received and sid not in self.pending

    def cut_off(self, sid: str) -> None:
        self.cut.append(sid)

    def enter_room(self, sid: str, conversation_id: str) -> bool:
        self.simulation.switch()
        if sid not in self.received:
            return False
        self.rooms.setdefault(conversation_id, set()).add(sid)
        return True

    def leave_room(self, sid: str, conversation_id: str) -> None:
        self.rooms.get(conversation_id, set()).discard(sid)

    def names(self) -> list[str]:
        """Names of all room emits."""
        return [name for name, _ in self.sent]

    def statuses(self) -> list[str]:
        """The statuses that the room was told, in order."""
        return [payload["status"] for name, payload in self.sent if name == "conversation_status"]

    def payloads(self, kind: Any) -> list[dict[str, Any]]:
        """The payloads of one kind of event that the room was sent."""
        return [payload for name, payload in self.sent if name == kind.name]


class FakeArchive:
    """A stand-in for the store: keeps what each conversation's newest snapshot says, at once.

    ``error``: raised in the place of every answer. ``unwritten``: ids of which something waits to be written.
    """

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self.kept: dict[str, Kept] = {}
        self.states: dict[str, tuple[str, dict[str, Any]]] = {}
        self.old: dict[str, MessageView] = {}
        self.ratings: dict[tuple[str, str, str], str | None] = {}
        self.unwritten: set[str] = set()
        self.artifacts: dict[tuple[str, str], tuple[str, bytes]] = {}
        self.due: list[str] = []
        self.orphaned: list[str] = []
        self.error: Exception | None = None
        self.loads = 0
        self.waited_for: list[Snapshot] = []  # as they stood when somebody waited for them to be kept
        self.asked: list[tuple[str | None, int | None]] = []

    def record(self, conversation: Conversation, _: Any) -> None:
        fold = conversation.fold
        self.kept[conversation.id] = Kept(
            fold.snapshot(),
            fold.updated_at,
            conversation.access,
            conversation.recoveries,
            conversation.requests.to_json(),
        )

    def _answer(self) -> None:
        self._simulation.switch()
        if self.error is not None:
            raise self.error

    def load(self, conversation_id: str) -> Kept | None:
        self.loads += 1
        self._answer()
        return self.kept.get(conversation_id)

    def keep(self, conversation_id: str) -> None:
        self.waited_for.append(self.kept[conversation_id].snapshot)

    def settled(self, conversation_id: str) -> bool:
        return self.error is None and conversation_id not in self.unwritten

    def save_artifact(self, conversation_id: str, artifact_id: str, media_type: str, data: bytes) -> None:
        self.artifacts[conversation_id, artifact_id] = media_type, data

    def save_checkpoint(self, conversation_id: str, team: str, state: dict[str, Any]) -> None:
        self.states[conversation_id] = team, state

    def checkpoint(self, conversation_id: str, team: str) -> dict[str, Any] | None:
        self._answer()
        of_team, state = self.states.get(conversation_id, ("", {}))
        return state if of_team == team else None

    def message(self, conversation_id: str, message_id: str) -> MessageView | None:
        self._answer()
        return self.old.get(message_id)

    def rate(self, conversation_id: str, message_id: str, user_id: str, value: str | None, at: str) -> None:
        self._answer()
        self.ratings[conversation_id, message_id, user_id] = value

    def write(self, conversation_id: str) -> None:
        self._answer()

    def delete(self, conversation_id: str) -> None:
        self._answer()
        self.kept.pop(conversation_id, None)
        self.states.pop(conversation_id, None)

    def unfinished(self) -> dict[str, Status]:
        self._answer()
        kept = {conversation_id: kept.snapshot.status for conversation_id, kept in self.kept.items()}
        return {conversation_id: status for conversation_id, status in kept.items() if status in RUNNING}

    def expired(self, *, changed_before: str | None, keep_newest: int | None) -> list[str]:
        self._answer()
        self.asked.append((changed_before, keep_newest))
        return self.due

    def orphans(self) -> list[str]:
        self._answer()
        return self.orphaned


class FakeTeams:
    """A stand-in for the directory of teams, with one team."""

    def __init__(self, team: TeamSpec = TEAM) -> None:
        self._team = team

    def get(self, name: str) -> TeamSpec:
        if name != self._team.name:
            raise TeamUnknown(f"there is no team {name!r}")
        return self._team


@dataclass
class FakeModels:
    """A stand-in for the directory of models."""

    found: tuple[ProviderSpec, ...] = (PROVIDER,)
    error: Exception | None = None

    def providers(self) -> tuple[ProviderSpec, ...]:
        if self.error is not None:
            raise self.error
        return self.found


_sids = itertools.count(1)


def a_conversation(
    simulation: Simulation,
    transport: RecordingTransport,
    *,
    max_log_entries: int = 1000,
    max_log_bytes: int = 1_000_000,
    max_messages: int = 100,
    catch_up: CatchUp = DEFAULT_CATCH_UP,
    record: Recorder | None = None,
) -> Conversation:
    """A new conversation among stand-ins."""
    bounds = Bounds(
        max_log_entries=max_log_entries,
        max_log_bytes=max_log_bytes,
        max_messages_per_conversation=max_messages,
        catch_up_batch_bytes=catch_up.batch_bytes,
        catch_up_interval_s=catch_up.interval_s,
        unacked_window_bytes=catch_up.window_bytes,
        slow_client_timeout_s=catch_up.timeout_s,
    )
    surroundings = Surroundings(bounds, transport, simulation, simulation, record)
    return surroundings.new("c1", title="A question", content_type=ContentType.TEXT, access=Access("local"))


def a_reader(transport: RecordingTransport) -> Reader:
    """A new connection."""
    sid = f"sid{next(_sids)}"
    return Reader(sid, transport.connect(sid))
