"""Every kind of team of every generation, with odd words, odd credit and odd moments: nothing is lost on the way.

What was streamed of each message is its content; the messages are the replies that the model has made, each once; and
the last one is what the framework itself has kept. Each run follows from its seed: ``DELTAS_SEED=17`` is another one.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest

from app.protocol.common import whole_characters
from app.providers.network import Network
from tests.adapters.room import Room, a_run, play
from tests.adapters.test_kinds import HANDOFFS, orchestrated
from tests.runner.harness import provider
from tests.support.model_server import ModelServer
from tests.support.odd_text import WHOLE

SEED = os.environ.get("DELTAS_SEED", "1")
ORCHESTRATED = [{key: value for key, value in rule.items() if key != "text"} for rule in json.loads(orchestrated())]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of team.

    :param model: how the model behaves, beside its odd words.
    :param unsaid: how many of its replies are nobody's words: choices of speakers, a summary.
    :param kept: whether the framework's own state has what was said last.
    :param own: the team has brought the model: it is not known which message is which call's, and AG2 itself takes
        neither a whole reply in the place of a stream nor characters that are cut in two.
    :param answer: what a person answers.
    """

    model: dict[str, Any]
    unsaid: int = 0
    kept: bool = True
    own: bool = False
    answer: str = ""


def kind(*, unsaid: int = 0, kept: bool = True, own: bool = False, answer: str = "", **model: Any) -> Kind:
    return Kind(model, unsaid, kept, own, answer)


def rules(*given: dict[str, Any]) -> str:
    return json.dumps(given)


CHOICE = {"when": "select the next role", "text": "a"}
HELP = {"call_arguments": json.dumps({"objective": "Help."})}
TEAMS = {
    "own_teams": {
        "single": kind(), "three": kind(), "talking": kind(), "terminated": kind(), "quiet": kind(),
        "selected": kind(unsaid=1, rules=rules(CHOICE)), "parallel": kind(), "society": kind(), "nested": kind(),
        "two_societies": kind(), "toolbox": kind(calls="quote,broken,encyclopedia"),
        "talking_toolbox": kind(calls="quote"),
        "swarm": kind(rules=rules(HANDOFFS[0])),
        "agents_as_tools": kind(calls="expert,duo", call_arguments='{"task": "Think."}'),
        "magentic": kind(rules=rules(*ORCHESTRATED), kept=False),
        "remembering": kind(), "asked": kind(answer="Blue."), "asking": kind(answer="Blue."),
    },
    "classic_teams": {
        "single": kind(), "pair": kind(), "group": kind(), "mixed": kind(), "nested": kind(kept=False),
        "own": kind(own=True),
        "chosen": kind(unsaid=2), "summed_up": kind(unsaid=1), "tools": kind(calls="lookup,broken"),
        "always": kind(answer="exit"), "with_models": kind(kept=False), "untold": kind(kept=False),
        "on_connect": kind(kept=False, own=True), "at_once": kind(kept=False),
    },
    "ag2_teams": {
        "solo": kind(), "three": kind(), "twice": kind(), "tools": kind(calls="price,fails"),
        "delegating": kind(calls="work,toil", **HELP), "silent": kind(),
        "splitting": kind(calls="run_subtasks", call_arguments='{"tasks": ["One.", "Two."], "parallel": true}'),
    },
}  # fmt: skip
QUICK = {("own_teams", "parallel"), ("classic_teams", "group"), ("ag2_teams", "twice"), ("ag2_teams", "delegating")}
ALL = [
    pytest.param(module, name, marks=() if (module, name) in QUICK else pytest.mark.matrix, id=f"{module}:{name}")
    for module, teams in TEAMS.items()
    for name in teams
]


@pytest.mark.parametrize(("module", "name"), ALL)
async def test_nothing_is_lost_on_the_way(
    module: str, name: str, network: Network, model: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    team, random = TEAMS[module][name], Random(f"{SEED}/{module}/{name}")
    monkeypatch.setenv("OWN_URL", model.url)
    monkeypatch.setenv("OWN_MODEL", "scripted")
    fields = {
        "odd": f"{WHOLE if team.own else 'odd'}-{SEED}-{name}",
        "tokens": random.randint(1, 60),
        "token_delay_ms": random.choice([0, 0, 1, 3]),
        "thought": random.choice(["", "", "Let me see. "]),
        "stream": team.own or random.random() < 0.9,
    }
    model.control(**fields | team.model)
    since = model.stats(messages=False)["total"]
    providers = [provider(model.url)]
    if random.random() < 0.5:  # the first one dies in mid-sentence
        providers.insert(0, provider(model.url, f"die-reset?die_after_tokens={random.randint(0, 9)}", name="dying"))
    allowed = random.choice([3, 20, 10_000])
    factory = f"tests.adapters.{module}:{name}"
    options = {"max_turns": 2} if name == "magentic" else {}
    async with a_run(network, model, factory, allowed, providers=tuple(providers), options=options) as room:
        await carried_through(room, random, team.answer)
        room.check()
    assert room.ended.outcome == "completed", room.ended
    replies, said = said_by_model(model, since), list(messages(room))
    shown = Counter(message["content"] for message in said if team.own or message["model"] is not None)
    assert sum((replies - shown).values()) == team.unsaid, replies - shown
    assert not shown - replies, shown - replies
    if team.kept:
        state = json.loads(json.dumps({**room.checkpoints[-1], "spoken": None}))
        assert said[-1]["content"] in set(strings(state))


@pytest.mark.parametrize("allowed", [3, 8])
async def test_agents_that_talk_at_once_do_not_block_each_other(
    allowed: int, network: Network, model: ModelServer
) -> None:
    """Once, one call's unsent words held all the credit that those before them waited for: the run stood still."""
    room = await play(network, model, "parallel", allowed, model_name="flood?tokens=60")
    assert room.ended.outcome == "completed"


async def carried_through(room: Room, random: Random, answer: str) -> None:
    """Let it run to its end, with little credit, with pauses at any moment, and with an answer to each question."""
    assert room.run is not None
    assert room.living is not None
    answered = 0
    while not room.living.done():
        room.run.gate.grant(room.tokens + room.allowed)
        if random.random() < 0.1:
            room.run.gate.pause()
            await asyncio.wait([room.living], timeout=random.random() / 50)
            room.run.gate.resume()
        if len(room.payloads("input_request")) > answered:
            answered += 1
            room.answer(content=answer)
        await asyncio.wait([room.living], timeout=0.002)


def messages(room: Room) -> Iterator[dict[str, Any]]:
    """What agents have said, thoughts and ledgers aside."""
    kinds = ("message", "facts", "plan")
    return (each for each in room.payloads("agent_message") if each["role"] == "agent" and each["kind"] in kinds)


def said_by_model(model: ModelServer, since: int) -> Counter[str]:
    """The whole replies that are words: neither broken off, nor calls of tools alone, nor in a wanted structure."""
    records = model.stats(since=since)["requests"]
    said = (each["text"] for each in records if each["ended"] == "done" and not each["structured"])
    return Counter(whole_characters(text) for text in said if text)


def strings(value: Any) -> Iterator[str]:
    """All texts within a value, those within JSON lines included."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from strings(each)
    elif isinstance(value, str):
        yield value
        if value.startswith("{"):
            for line in value.splitlines():
                try:
                    yield from strings(json.loads(line))
                except ValueError:
                    return
