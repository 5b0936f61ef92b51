"""One behaviour after the other, for the teams of every generation: what they are, and a run to drive them with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from app.protocol.common import Payload
from app.providers.network import Network
from app.runner.run import Run
from app.runner.wire import Answer, Checkpoint, Ended, Limits, RunEvent, StartRun, TeamSpec
from tests.adapters.room import Room
from tests.conftest import TIMEOUT_SCALE
from tests.runner.harness import provider
from tests.support.model_server import ModelServer

WAIT_S = 10.0 * TIMEOUT_SCALE


@dataclass(frozen=True, slots=True)
class Generation:
    """Teams of one generation, as ``module:function``.

    :param solo: one agent, which speaks once.
    :param team: several that speak in turns: ``agents``, once each.
    :param asking: one agent with a tool or a stand-in that asks a person; the answer is in the model's next request.
    :param prompt: what it asks.
    :param calls: the tool that the scripted model has to call for that; empty where the team asks by itself.
    """

    name: str
    solo: str
    team: str
    agents: tuple[str, ...]
    asking: str
    calls: str = ""
    prompt: str = "Which colour?"


_AG2 = "tests.adapters.ag2_teams"
_OWN = "tests.adapters.own_teams"
GENERATIONS = {
    "agentchat": Generation(
        "agentchat",
        f"{_OWN}:single",
        f"{_OWN}:three",
        ("a", "b", "c"),
        f"{_OWN}:asked",
        prompt="Enter your response:",
    ),
    "ag2": Generation("ag2", f"{_AG2}:solo", f"{_AG2}:three", ("a", "b", "c"), f"{_AG2}:tools", calls="ask_back"),
}


class Play:
    """A run in this process, against the scripted model server. An async context: it is stopped at its end."""

    def __init__(self, network: Network, model: ModelServer, factory: str, *models: str, **fields: Any) -> None:
        values: dict[str, Any] = {
            "content": "A question.",
            "content_type": "text",
            "providers": tuple(
                provider(model.url, name, name=f"p{place}") for place, name in enumerate(models or ("scripted",))
            ),
            "limits": Limits(word_delay_ms=0, demo_tokens_per_s=5000),
            "allowed": 100_000,
        }
        team = TeamSpec(name="mine", factory=factory)
        start = StartRun(session="s", conversation="c", team=team, **{**values, **fields})
        self.room = Room()
        self.run = Run(start, self.room, network)  # type: ignore[arg-type]

    async def __aenter__(self) -> Self:
        self._living = asyncio.create_task(self.run.live())
        return self

    async def __aexit__(self, *_: object) -> None:
        if not self._living.done():
            await self.run.stop()
            await self.run.put_down()
        await asyncio.wait([self._living], timeout=WAIT_S)

    async def until(self, condition: Callable[[], Any]) -> Any:
        """Let the run go on until the condition holds; returns its value."""
        async with asyncio.timeout(WAIT_S):
            while not (found := condition()):
                assert not self._living.done(), f"the run has ended: {self.room.heard[-3:]}"
                await asyncio.sleep(0.002)
        return found

    async def ended(self) -> Ended:
        """Its end."""
        async with asyncio.timeout(WAIT_S):
            await self._living
        last = self.room.heard[-1]
        assert isinstance(last, Ended)
        return last

    async def stop(self) -> None:
        """Stop it as a user does."""
        self.run.stopping = True
        await self.run.stop()
        await self.run.put_down()

    def answer(self, content: str, **fields: Any) -> None:
        """Answer the open question."""
        [asked] = self.room.payloads("input_request")
        values = {"resolution": "answered", "content": content, **fields}
        self.run.answer(Answer(session="s", request_id=asked["request_id"], **values))

    def payloads(self, name: str) -> list[dict[str, Any]]:
        return self.room.payloads(name)

    @property
    def names(self) -> list[str]:
        """The names of all events so far."""
        return [message.name for message in self.heard if isinstance(message, RunEvent)]

    @property
    def heard(self) -> list[Payload]:
        return self.room.heard

    @property
    def checkpoints(self) -> list[dict[str, Any]]:
        return [message.state for message in self.heard if isinstance(message, Checkpoint)]

    @property
    def said(self) -> list[str]:
        """Who has said something whole."""
        return [message["agent"] for message in self.payloads("agent_message") if not message["partial"]]

    @property
    def texts(self) -> dict[str, str]:
        """What was streamed of each message that stands."""
        return self.room.texts

    def check(self) -> None:
        """What was streamed of each message is its content."""
        for message in self.payloads("agent_message"):
            assert self.texts.get(message["message_id"], "") == message["content"]
