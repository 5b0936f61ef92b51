"""One HTTP request to a model: where it stands, what it cost, why it failed."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

from app.errors import ModelError
from app.protocol.common import Usage
from app.runner.wire import ProviderSpec

CHARS_PER_PROMPT_TOKEN = 4


@dataclass(slots=True, eq=False)
class Exchange:
    """The record of one request. Times are monotonic seconds."""

    spec: ProviderSpec
    prompt_chars: int
    whole: bool = False
    status: int | None = None
    deltas: int = 0
    finish_reason: str | None = None
    done: bool = False
    provider_usage: tuple[int, int] | None = None
    error: ModelError | None = None
    aborted: bool = False
    task: asyncio.Task[Any] | None = None
    closing: bool = False  # its task is on the way out, and must come to its end
    heard_at: float = field(default_factory=time.monotonic)
    progressed_at: float = field(default_factory=time.monotonic)
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def complete(self) -> bool:
        """Whether the model said that its reply is at its end."""
        return self.done or self.finish_reason is not None

    def heard(self) -> None:
        """Bytes came."""
        self.heard_at = time.monotonic()

    def progressed(self, deltas: int) -> None:
        """Something that the model made came."""
        self.progressed_at = self.heard_at = time.monotonic()
        self.deltas += deltas

    def fail(self, error: ModelError) -> None:
        """Keep the first error; a later one is its consequence."""
        if self.error is None:
            self.error = error

    def kill(self, error: ModelError) -> None:
        """End the request from outside: its connection is closed."""
        self.fail(error)
        self._cancel()

    def abort(self) -> None:
        """End the request because its run ends."""
        self.aborted = True
        self._cancel()

    def usage(self) -> Usage:
        """The provider's figures, else an estimate from what was sent and received; nothing for a refused request."""
        if self.provider_usage is not None:
            return Usage(prompt_tokens=self.provider_usage[0], completion_tokens=self.provider_usage[1])
        refused = self.status is None and self.error is not None
        if refused or (self.status is not None and self.status != 200):
            return Usage()
        prompt = -(-self.prompt_chars // CHARS_PER_PROMPT_TOKEN)
        return Usage(prompt_tokens=prompt, completion_tokens=self.deltas, estimated=True)

    def _cancel(self) -> None:
        if self.task is not None and not self.task.done():
            # Not at once: a task that is cancelled before its first step never comes to its own clean-up.
            self.task.get_loop().call_soon(self._cancel_task, self.task)

    def _cancel_task(self, task: asyncio.Task[Any]) -> None:
        if not self.closing:  # else the connection would stay open, and nobody would hear of its end
            task.cancel()
