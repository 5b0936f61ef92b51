"""What the adapters of all three generations have in common: what they show, they show by a stage."""

from __future__ import annotations

from app.adapters.base import RunPort
from app.adapters.stage import Stage


class StagedAdapter:
    """The part of :class:`app.adapters.base.Adapter` that the stage answers for."""

    def __init__(self, port: RunPort) -> None:
        self._port = port
        self._stage = Stage(port)

    @property
    def turns(self) -> int:
        """Turns finished so far, those before the checkpoint included."""
        return self._stage.turns

    @property
    def active(self) -> bool:
        """Whether the conversation has become active."""
        return self._stage.is_active

    def flush(self) -> None:
        """Send the text that was taken from the model and not yet sent. Never waits."""
        self._stage.flush()

    async def withdraw(self, reason: str) -> None:
        """Take back the messages that broke off."""
        await self._stage.withdraw(reason)
