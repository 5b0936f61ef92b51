"""A run of classic AG2 in one process, against the scripted model server: served, answered, stopped and looked at."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from typing import Any

from app.protocol.events import LOGGED_BY_NAME
from app.providers.network import Network
from app.runner.run import Run
from app.runner.wire import Answer, Checkpoint, Ended, Limits, ProviderSpec, RunEvent, StartRun, TeamSpec
from tests.adapters.room import Room
from tests.conftest import TIMEOUT_SCALE
from tests.support.waiting import wait_until

SHORT = "scripted?tokens=6&token_delay_ms=1"
WORDS = "word1 word2 word3 word4 word5 word6 "
OPENING = "A question."


class Stand:
    """A run of a team of ``classic_teams``, with a reader that takes everything and a person who answers."""

    def __init__(
        self, network: Network, factory: str, *providers: ProviderSpec, answers: Sequence[str] = (), **fields: Any
    ) -> None:
        self.room = Room()
        module = "" if ":" in factory else "tests.adapters.classic_teams:"
        team = TeamSpec(name="mine", factory=f"{module}{factory}")
        values: dict[str, Any] = {"content": OPENING, "content_type": "text", "limits": Limits(word_delay_ms=0)}
        order = StartRun(
            session="s", conversation="c", team=team, allowed=10_000, providers=providers, **{**values, **fields}
        )
        self.run = Run(order, self.room, network)  # type: ignore[arg-type]
        self._answers = list(answers)
        self._asked = 0
        self._task = asyncio.create_task(self.run.live())

    async def until(self, condition: Any) -> None:
        """Serve the run until something holds."""
        async with asyncio.timeout(10 * TIMEOUT_SCALE):
            while not condition():
                self._serve()
                await asyncio.sleep(0.005)

    async def ended(self) -> Ended:
        await self.until(self._task.done)
        for message in self.said():
            assert self.room.texts.get(message["message_id"], "") == message["content"] or message["role"] != "agent"
        for event in self.room.heard:
            if isinstance(event, RunEvent):
                LOGGED_BY_NAME[event.name].model_validate(event.payload)
        [ended] = [message for message in self.room.heard if isinstance(message, Ended)]
        return ended

    async def stop(self) -> float:
        """Stop it; returns when, by the monotonic clock."""
        clicked = time.monotonic()
        self.run.stopping = True
        await self.run.stop()
        await self.run.put_down()
        await asyncio.wait([self._task], timeout=TIMEOUT_SCALE)
        assert self._task.done()
        return clicked

    def said(self) -> list[dict[str, Any]]:
        return self.room.payloads("agent_message")

    def lines(self) -> list[tuple[str, str]]:
        return [(message["agent"], message["content"]) for message in self.said()]

    def checkpoint(self) -> dict[str, Any]:
        return [message.state for message in self.room.heard if isinstance(message, Checkpoint)][-1]

    def _serve(self) -> None:
        self.run.gate.grant(self.room.tokens + 10_000)
        for asked in self.room.payloads("input_request")[self._asked :]:
            if not self._answers:
                return
            self._asked += 1
            given = {"resolution": "answered", "content": self._answers.pop(0)}
            if given["content"] == "(timeout)":
                given = {"resolution": "timeout"}
            self.run.answer(Answer(session="s", request_id=asked["request_id"], **given))  # type: ignore[arg-type]


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("classic")]


async def until_no_thread() -> None:
    await asyncio.to_thread(wait_until, lambda: not threads(), "the end of the thread", 2.0)
