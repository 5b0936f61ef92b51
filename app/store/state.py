"""How the store is doing."""

from __future__ import annotations

from dataclasses import dataclass

from app.protocol.events import Storage


@dataclass(frozen=True, slots=True)
class StoreState:
    """Whether the store takes what it is given.

    :param message: why not, for a person; ``since``: when that began (UTC, ISO 8601, milliseconds, ``Z``).
    :param waiting: conversations with something that is not written yet; ``waiting_bytes``: what that is, roughly.
    :param lost: changes that were given up, because too much waited; ``refused``: that the database did not take.
    """

    ok: bool
    message: str | None
    since: str | None
    waiting: int
    waiting_bytes: int
    lost: int
    refused: int

    def event(self) -> Storage:
        """What everybody is told when it changes."""
        return Storage(state="ok" if self.ok else "unavailable", message=self.message, waiting=self.waiting)
