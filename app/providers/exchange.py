"""One HTTP request to a model: where it stands, what it cost, why it failed."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

from app.errors import ColloquyError
from app.protocol.common import Usage
from app.providers import prices
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
    chars: int = 0
    finish_reason: str | None = None
    done: bool = False
    provider_usage: tuple[int, int] | None = None
    stated_prompt: int | None = None  # what the provider said of the prompt at the beginning
    error: ColloquyError | None = None
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

    def progressed(self, deltas: int, chars: int = 0) -> None:
        """Something that the model made came."""
        self.progressed_at = self.heard_at = time.monotonic()
        self.deltas += deltas
        self.chars += chars

    def hear_prompt(self, tokens: int) -> None:
        """The provider says how long the prompt was, ahead of everything else."""
        self.stated_prompt = tokens

    def fail(self, error: ColloquyError) -> None:
        """Keep the first error; a later one is its consequence."""
        if self.error is None:
            self.error = error

    def kill(self, error: ColloquyError) -> None:
        """End the request from outside: its connection is closed."""
        self.fail(error)
        self._cancel()

    def abort(self) -> None:
        """End the request because its run ends."""
        self.aborted = True
        self._cancel()

    @property
    def estimated_prompt(self) -> int:
        """Tokens of what was sent, counted from its length."""
        return -(-self.prompt_chars // CHARS_PER_PROMPT_TOKEN)

    def tokens(self) -> tuple[int, int]:
        """(prompt, reply): the provider's figures, else estimates from what was sent and received.

        Nothing for a refused request.
        """
        if self.provider_usage is not None:
            return self.provider_usage
        refused = self.status is None and self.error is not None
        if refused or (self.status is not None and self.status != 200):
            return 0, 0
        reply = self.deltas
        if self.spec.kind == "anthropic":  # whose deltas are not tokens but pieces
            reply = max(reply, self.chars // CHARS_PER_PROMPT_TOKEN)
        return self.stated_prompt or self.estimated_prompt, reply

    def usage(self) -> Usage:
        """The same, with what it costs."""
        prompt, reply = self.tokens()
        if not prompt and not reply:
            return Usage()
        return Usage(
            prompt_tokens=prompt,
            completion_tokens=reply,
            estimated=self.provider_usage is None,
            cost_usd=prices.cost_usd(self.spec, prompt, reply),
        )

    def _cancel(self) -> None:
        if self.task is not None and not self.task.done():
            # Not at once: a task that is cancelled before its first step never comes to its own clean-up.
            self.task.get_loop().call_soon(self._cancel_task, self.task)

    def _cancel_task(self, task: asyncio.Task[Any]) -> None:
        if not self.closing:  # else the connection would stay open, and nobody would hear of its end
            task.cancel()
