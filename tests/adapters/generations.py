"""One behaviour after the other, for the teams of every generation: what they are, and a run to drive them with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from app.protocol.common import Payload
from app.protocol.events import FrameworkEvent
from app.providers.network import Network
from app.runner.run import Run
from app.runner.wire import Answer, Checkpoint, Ended, Limits, RunEvent, StartRun, TeamSpec
from tests.adapters.room import Room
from tests.conftest import TIMEOUT_SCALE
from tests.runner.harness import provider
from tests.support.model_server import ModelServer

WAIT_S = 20.0 * TIMEOUT_SCALE


@dataclass(frozen=True, slots=True)
class Generation:
    """Teams of one generation, as ``module:function``.

    :param solo: one agent, which speaks once.
    :param team: several that speak in turns: ``agents``, once each.
    :param asking: one agent with a tool or a stand-in that asks a person; the answer is in the model's next request.
    :param calls: the tool that the scripted model has to call for that; empty where the team asks by itself.
    :param prompt: what it asks.
    :param silence: what it hears of a person who does not answer; empty where that ends it.
    """

    name: str
    solo: str
    team: str
    agents: tuple[str, ...]
    asking: str
    calls: str = ""
    prompt: str = ""
    silence: str = "nobody has answered in time"


_ABC = ("a", "b", "c")
_AGENTCHAT, _CLASSIC, _AG2 = (f"tests.adapters.{name}" for name in ("own_teams", "classic_teams", "ag2_teams"))
GENERATIONS = {
    each.name: each
    for each in (
        Generation("agentchat", f"{_AGENTCHAT}:single", f"{_AGENTCHAT}:three", _ABC, f"{_AGENTCHAT}:asked"),
        Generation("classic", f"{_CLASSIC}:single", f"{_CLASSIC}:group", _ABC, f"{_CLASSIC}:always", silence=""),
        Generation(
            "ag2", f"{_AG2}:solo", f"{_AG2}:three", _ABC, f"{_AG2}:tools", calls="ask_back", prompt="Which colour?"
        ),
    )
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
            await asyncio.shield(self._living)
        last = self.room.heard[-1]
        assert isinstance(last, Ended), self.room.heard[-3:]
        return last

    async def stop(self) -> None:
        """Stop it as a user does."""
        self.run.stopping = True
        await self.run.stop()
        await self.run.put_down()

    async def answered(self, content: str, **fields: Any) -> Ended:
        """Its end, when the first question was answered with this; whatever else is asked is answered with `exit`."""
        living, known = asyncio.create_task(self.ended()), 0
        while not living.done():
            for asked in self.payloads("input_request")[known:]:
                values = {"resolution": "answered", "content": content, **fields}
                if known:
                    values = {"resolution": "answered", "content": "exit"}
                self.run.answer(Answer(session="s", request_id=asked["request_id"], **values))
                known += 1
            await asyncio.wait([living], timeout=0.005)
        return living.result()

    def payloads(self, name: str) -> list[dict[str, Any]]:
        return self.room.payloads(name)

    @property
    def names(self) -> list[str]:
        """The names of all events so far, but for those that classic AG2 tells beside."""
        names = [message.name for message in self.heard if isinstance(message, RunEvent)]
        return [name for name in names if name != FrameworkEvent.name]

    @property
    def heard(self) -> list[Payload]:
        return self.room.heard

    @property
    def checkpoints(self) -> list[dict[str, Any]]:
        """The states after turns."""
        return [each.state for each in self.heard if isinstance(each, Checkpoint) and each.state.get("turns")]

    @property
    def said(self) -> list[str]:
        """Who has said something whole."""
        return [message["agent"] for message in self.payloads("agent_message") if not message["partial"]]

    @property
    def texts(self) -> dict[str, str]:
        """What was streamed of each message that stands."""
        return self.room.texts

    def check(self) -> None:
        """What was streamed of each message is its content; what a person says comes whole."""
        for message in self.payloads("agent_message"):
            assert message["role"] == "user" or (self.texts.get(message["message_id"], "") == message["content"])
