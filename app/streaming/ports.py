"""What the streaming core needs from outside, as protocols. Whoever wires the application passes them in."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from app.protocol.common import Status, Usage
from app.protocol.snapshot import MessageView, Snapshot
from app.runner.wire import Answer, ProviderSpec, StartRun, TeamSpec
from app.streaming.access import Access, Person

Rating = Literal["up", "down"]


class Clock(Protocol):
    """Time, for the core."""

    def monotonic(self) -> float:
        """Seconds of a clock that never goes back."""

    def now_iso(self) -> str:
        """Wall-clock time: UTC, ISO 8601, milliseconds, ``Z``."""


class Task(Protocol):
    """Something that runs in the background."""

    def join(self) -> None:
        """Wait for its end."""


class Concurrency(Protocol):
    """The async mode in use: the core spawns and sleeps through it only."""

    def spawn(self, function: Callable[..., Any], *args: Any) -> Task:
        """Run ``function(*args)`` in a background greenlet (or thread)."""

    def sleep(self, seconds: float) -> None:
        """Let others run for so long."""

    def condition(self) -> threading.Condition:
        """A condition variable of this mode."""


class Transport(Protocol):
    """The way to the clients. Nothing here blocks.

    The rule: whoever is writable is written to; whoever is not, lags, and the log is the queue. A connection that lags
    is told of by :meth:`emit_to_room`, and of its recovery the transport tells by calling ``manager.drained(sid)``.
    """

    def emit_to_room(self, conversation_id: str, name: str, payload: dict[str, Any]) -> Collection[str]:
        """Send one event to everybody in the conversation's room.

        :returns: the sids of those who did not take all of it. They have left the room; this event is the last one that
            they were handed, and its rest is written before anything else that they are sent.
        """

    def emit_to_client(self, sid: str, *events: tuple[str, dict[str, Any]]) -> None:
        """Send (name, payload) pairs to one connection, in one write where that is possible; gone ones are no error."""

    def writable(self, sid: str) -> bool:
        """Whether everything that this connection was handed has been written. False for one that is gone."""

    def enter_room(self, sid: str, conversation_id: str) -> bool:
        """Put a connection into the conversation's room; False if it is gone."""

    def leave_room(self, sid: str, conversation_id: str) -> None:
        """Take a connection out of the conversation's room; gone ones are no error."""

    def cut_off(self, sid: str) -> None:
        """Close a connection that takes nothing, at once, and free what waits for it. It may come back and resume."""


class RunSink(Protocol):
    """Where a run's news go. Called from the runner link's reader; must not block."""

    def on_event(self, name: str, payload: dict[str, Any], tokens: int, demo: bool) -> None: ...

    def on_artifact(self, artifact_id: str, media_type: str, data: bytes) -> None: ...

    def on_spent(self, tokens: int, wanted: int) -> None:
        """Of a metered run: tokens spent so far, and those of a prompt that waits to be allowed."""

    def on_checkpoint(self, state: dict[str, Any]) -> None: ...

    def on_ended(self, outcome: str, code: str | None, message: str | None, retryable: bool, usage: Usage) -> None: ...

    def on_lost(self) -> None:
        """The runner died. Nothing more comes from this handle."""


class RunHandle(Protocol):
    """A run in a runner. The commands block their caller until the runner has confirmed."""

    def pause(self) -> None:
        """Return when nothing more is taken from the model. :raises RunnerLost: when the runner is gone."""

    def resume(self) -> None:
        """Open the gate again. :raises RunnerLost: when the runner is gone."""

    def stop(self) -> Usage:
        """Return, with the tokens spent, when the model's HTTP requests are closed. :raises RunnerLost:"""

    def grant(self, allowed: int) -> None:
        """Raise the number of tokens that may be sent in all. Does not block."""

    def answer(self, answer: Answer) -> None:
        """Hand on what a person has answered, or why nobody has. Does not block; nothing happens if it is gone."""

    def allow(self, allowed: int, wanted: int) -> None:
        """Answer a metered run: so many tokens may it spend in all. Does not block."""


class Runners(Protocol):
    """The agent processes."""

    def start(self, run: StartRun, sink: RunSink) -> RunHandle:
        """Begin a run. :raises RunnerLost: when no runner can be started."""


class Models(Protocol):
    """Which models may answer, now."""

    def providers(self) -> tuple[ProviderSpec, ...]:
        """In order of preference; empty when there is none. May wait for the bundled model to load."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A conversation as the store has it.

    :param snapshot: with the newest messages; its epoch and offset mean nothing.
    :param updated_at: when it last changed.
    :param recoveries: how often its run went on by itself after a crash, since somebody has last asked for one.
    :param requests: those that it has taken, as :class:`app.streaming.taken.Requests` writes them.
    """

    snapshot: Snapshot
    updated_at: str
    access: Access
    recoveries: int = 0
    requests: Mapping[str, Any] = field(default_factory=dict)


class Allowance(Protocol):
    """How many runs there may be, and what one person's may spend."""

    def most_running(self) -> int:
        """Of all. Does not wait."""

    def most_running_of(self, owner: str) -> int:
        """Of one person; 0: unlimited. Does not wait."""

    def most_tokens_of_conversation(self) -> int:
        """That all its runs may spend together; 0: unlimited. Does not wait."""

    def tokens_left(self, person: Person, ended: Iterable[str]) -> int | None:
        """Of this day, for this person; None: unlimited. What runs at present is not subtracted. Else as below."""

    def check_tokens(self, person: Person, received: int, ended: Iterable[str]) -> None:
        """May wait for the store.

        :param received: tokens that their present runs have received until now.
        :param ended: their conversations in memory whose last run has ended, perhaps just now.
        :raises LimitExceeded: when they have spent what they may spend on a day.
        :raises StoreUnavailable: when nobody can say.
        """


class Archive(Protocol):
    """What outlives memory.

    But for :meth:`settled`, :meth:`save_artifact` and :meth:`save_checkpoint` everything waits for the database: it is
    never called while a lock is held, and raises :class:`~app.errors.StoreUnavailable` when the database does not
    answer.
    """

    def load(self, conversation_id: str) -> Kept | None:
        """A conversation, when everything of it has been written; None: there is none."""

    def settled(self, conversation_id: str) -> bool:
        """Whether everything that was logged of a conversation has been written. Does not wait."""

    def save_artifact(self, conversation_id: str, artifact_id: str, media_type: str, data: bytes) -> None:
        """Have something written that an event is going to name. Does not wait."""

    def save_checkpoint(self, conversation_id: str, team: str, state: dict[str, Any]) -> None:
        """Have a team's state written, after what was logged before; an empty one drops it. Does not wait."""

    def checkpoint(self, conversation_id: str, team: str) -> dict[str, Any] | None:
        """The state that was written last, if it is this team's."""

    def message(self, conversation_id: str, message_id: str) -> MessageView | None:
        """One message, however old."""

    def rate(self, conversation_id: str, message_id: str, user_id: str, value: Rating | None, at: str) -> None:
        """Keep what somebody thinks of a message; None takes it back."""

    def write(self, conversation_id: str) -> None:
        """Return when everything that was logged of a conversation has been written."""

    def keep(self, conversation_id: str) -> None:
        """Wait a moment for what was done just now to be written, before somebody is told that it is done: a crash must
        not undo it. Where the database is away or slow, it returns all the same; it raises nothing.
        """

    def delete(self, conversation_id: str) -> None:
        """Remove a conversation for good. Nothing of it is logged any more."""

    def unfinished(self) -> Mapping[str, Status]:
        """The conversations that are running, as far as the store knows: id → status."""

    def expired(self, *, changed_before: str | None, keep_newest: int | None) -> Sequence[str]:
        """Ids of ended conversations that retention lets go, by age and beyond so many of each owner."""

    def orphans(self) -> Sequence[str]:
        """Ids of conversations whose owner has deleted their account, also of those that run."""


class Teams(Protocol):
    """The known teams."""

    def get(self, name: str) -> TeamSpec:
        """:raises TeamUnknown: when there is no such team."""
