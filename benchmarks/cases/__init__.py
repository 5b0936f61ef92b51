"""One module per measurement: ``NAME``, ``TITLE``, ``FIGURES`` and ``measure(target_name, options)``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Options:
    """Sizes of all measurements. ``quick()`` gives the small ones."""

    conversations: int = 50  # streams
    tokens_per_s: float = 50.0  # streams
    seconds: float = 8.0  # length of the measured part of streams and fanout
    runs: int = 10  # runners: at once
    stops: int = 24
    starts: int = 20  # fallback: of a model that answers at once
    pause_s: float = 1.0
    idle_connections: int = 500
    fanout_tokens_per_s: float = 10_000.0  # delivered in all rooms together
    readers: int = 200  # stalled: in one room; half of them stop to read
    missed_tokens: int = 10_000  # resume
    resumes: int = 50
    storm_clients: int = 1_000
    stored_conversations: int = 1_000  # pages: of 200 messages each
    outage_s: float = 60.0

    @classmethod
    def quick(cls) -> Options:
        """A look in a minute or so; not for figures that are quoted."""
        return cls(
            seconds=3.0,
            runs=4,
            stops=8,
            starts=10,
            pause_s=0.5,
            idle_connections=200,
            resumes=20,
            stored_conversations=100,
            outage_s=5.0,
        )


class Measured(dict[str, "float | None"]):
    """Figure name → value of one round, None where it could not be measured; ``notes`` for the reader."""

    def __init__(self, values: dict[str, float | None], notes: tuple[str, ...] = ()) -> None:
        super().__init__(values)
        self.notes = notes
