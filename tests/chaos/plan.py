"""What happens in one run, decided by its seed alone: which readers there are, and which faults hit whom and when."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.proxy import DOWN, UP, Faults

SPAN_S = 1.0  # of a run's faults; a conversation lasts about as long
STORM = -1  # instead of a reader's number: everybody
FAULTS = (
    *("faults", "faults", "hole", "hole", "reset", "reset", "pull_the_plug", "half_close", "refuse"),
    *("stall", "stall", "leave", "reload", "drop"),
)


@dataclass(frozen=True, slots=True)
class ReaderPlan:
    """One reader: how it connects and what it asks for."""

    transport: str
    options: dict[str, Any]
    late_s: float
    receive_buffer_bytes: int


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happens to a reader, or that it does.

    :param value: faults, seconds or a direction, as ``what`` needs it.
    """

    at_s: float
    what: str
    reader: int
    value: Any = None


@dataclass(frozen=True, slots=True)
class Plan:
    """One run. Made by :func:`plan`."""

    seed: int
    options: dict[str, Any]
    readers: tuple[ReaderPlan, ...]
    steps: tuple[Step, ...] = field(repr=False)
    kills_runner: bool = False

    @property
    def stops(self) -> bool:
        return any(step.what == "stop_stream" for step in self.steps)

    def __str__(self) -> str:
        lines = [f"run {self.seed}: {self.options}, kills a runner: {self.kills_runner}"]
        lines += [f"  reader {number}: {reader}" for number, reader in enumerate(self.readers)]
        lines += [f"  {step.at_s:.3f} s: {step.what} {step.reader} {step.value}" for step in self.steps]
        return "\n".join(lines)


def plan(seed: int, *, kill_chance: float = 0.04) -> Plan:
    """The same for the same seed."""
    rng = random.Random(seed)
    readers = tuple(_reader(rng) for _ in range(rng.choice((1, 2, 2, 3))))
    steps = [_fault(rng, rng.randrange(len(readers))) for _ in range(rng.randint(1, 6))]
    if rng.random() < 0.1:
        steps.append(Step(rng.uniform(0.1, SPAN_S), rng.choice(("reset", "pull_the_plug", "reload")), STORM))
    steps += _commands(rng, len(readers))
    return Plan(
        seed,
        options={"tokens_per_s": rng.choice((0, 0, 120, 400))},
        readers=readers,
        steps=tuple(sorted(steps, key=lambda step: step.at_s)),
        kills_runner=rng.random() < kill_chance,
    )


def _reader(rng: random.Random) -> ReaderPlan:
    options: dict[str, Any] = rng.choice(
        (
            {},
            {},
            {"acks": True},
            {"acks": True, "batch": True},
            {"batch": True},
            {"batch_ms": rng.choice((20, 100))},
            {"filter": {"types": ["agent_message"]}},
            {"filter": {"roles": ["agent"], "agents": ["Market Context"]}},
            {"changes_only": True},
        )
    )
    return ReaderPlan(
        transport=rng.choices(("websocket", "polling", "sse"), (70, 12, 18))[0],
        options=options,
        late_s=0.0 if rng.random() < 0.6 else rng.uniform(0.0, SPAN_S),
        receive_buffer_bytes=rng.choice((0, 0, 2_048)),
    )


def _fault(rng: random.Random, reader: int) -> Step:
    at_s = rng.uniform(0.0, SPAN_S)
    what = rng.choice(
        [
            "faults",
            "faults",
            "hole",
            "hole",
            "reset",
            "reset",
            "pull_the_plug",
            "half_close",
            "refuse",
            "stall",
            "stall",
            "leave",
            "reload",
            "drop",
        ]
    )
    if what == "faults":
        return Step(at_s, what, reader, _faults(rng))
    if what == "hole":
        way = rng.choice(((UP,), (DOWN,), (UP, DOWN)))
        return Step(at_s, "faults", reader, Faults(hole=way))
    if what == "half_close":
        return Step(at_s, what, reader, rng.choice((UP, DOWN)))
    if what in ("stall", "leave", "refuse"):
        return Step(at_s, what, reader, rng.uniform(0.02, 0.8))
    return Step(at_s, what, reader)


def _faults(rng: random.Random) -> Faults:
    return rng.choice(
        (
            Faults(),
            Faults(slice_bytes=rng.choice((1, 3, 20, 200))),
            Faults(latency_s=rng.uniform(0.005, 0.15), jitter_s=rng.uniform(0, 0.1)),
            Faults(bytes_per_s=rng.choice((3_000, 10_000, 50_000))),
            Faults(slice_bytes=rng.choice((5, 100)), latency_s=0.02, jitter_s=0.05),
        )
    )


def _commands(rng: random.Random, readers: int) -> list[Step]:
    """Pauses and resumes, from anybody, also before the first token; seldom a stop."""
    found = []
    at_s = 0.0
    for _ in range(rng.choice((0, 0, 1, 2, 3))):
        at_s += rng.choice((0.0, rng.uniform(0.0, 0.4)))
        found.append(Step(at_s, "pause_stream", rng.randrange(readers)))
        at_s += rng.uniform(0.0, 0.3)
        found.append(Step(at_s, "resume_stream", rng.randrange(readers)))
    if rng.random() < 0.12:
        found.append(Step(rng.choice((0.0, rng.uniform(0.0, SPAN_S))), "stop_stream", rng.randrange(readers)))
    return found
