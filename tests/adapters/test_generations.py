"""Every generation of AutoGen: stream, stop, pause, ask, fail, fail over and resume, over the real library."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from app.providers.network import Network
from app.runner.wire import TranscriptMessage
from tests.adapters.generations import GENERATIONS, Generation, Play
from tests.conftest import TIMEOUT_SCALE
from tests.runner.harness import RunnerProcess, check_messages, provider, start_run
from tests.support.model_server import ModelServer

QUICK = "scripted?tokens=12&token_delay_ms=1"
SLOW = "scripted?tokens=400&token_delay_ms=5"
STOP_S = 0.25 * TIMEOUT_SCALE


# The other generations have modules of their own; with all of them this would take `make test` too long.
IN_MATRIX = [pytest.param(name, marks=pytest.mark.matrix) for name in GENERATIONS if name != "ag2"]


@pytest.fixture(params=["ag2", *IN_MATRIX])
def generation(request: pytest.FixtureRequest) -> Generation:
    return GENERATIONS[request.param]


async def test_a_team_streams(generation: Generation, network: Network, model: ModelServer) -> None:
    """Message by message, each what its deltas have built, with its usage; a checkpoint after each turn."""
    async with Play(network, model, generation.team, QUICK) as play:
        assert (await play.ended()).outcome == "completed"
        play.check()
        assert play.said == list(generation.agents)
        assert [step["turn"] for step in play.payloads("agent_step")] == [1, 2, 3]
        assert [progress["percentage"] for progress in play.payloads("progress")] == [33.33, 66.67, 100.0]
        order = ["agent_step", "message_start", "agent_message", "progress"]
        assert play.names == ["conversation_status", *order * 3, "conversation_complete"]
        assert [checkpoint["turns"] for checkpoint in play.checkpoints] == [1, 2, 3]
        usage = [message["usage"] for message in play.payloads("agent_message")]
        assert [each["completion_tokens"] for each in usage] == [12, 12, 12]
        assert not usage[0]["estimated"]


@pytest.mark.parametrize("behaviour", ["silent", SLOW], ids=["before the first token", "in mid-sentence"])
async def test_a_stop_closes_the_request(
    behaviour: str, generation: Generation, network: Network, model: ModelServer
) -> None:
    """At once; what was said stays, and nothing follows."""
    since = model.stats()["total"]
    async with Play(network, model, generation.team, behaviour) as play:
        if behaviour == SLOW:
            await play.until(lambda: any(play.texts.values()))
        else:
            await asyncio.to_thread(model.wait_for, lambda stats: stats["total"] > since)
        clicked = time.monotonic()
        await play.run.stop()  # the framework itself goes on until it is put down
        [request] = model.wait_for(lambda stats: stats["open"] == 0)["requests"][since:]
        assert request["ended"] == "client_closed"
        assert request["ended_s"] - clicked < STOP_S
        await play.stop()
        heard, texts = len(play.heard), dict(play.texts)
        assert (len(play.heard), play.texts) == (heard, texts)
        assert model.stats(messages=False)["total"] == since + 1


async def test_a_pause_takes_nothing_more(generation: Generation, network: Network, model: ModelServer) -> None:
    """Neither text nor requests; it goes on where it was."""
    async with Play(network, model, generation.solo, "scripted?tokens=100&token_delay_ms=2") as play:
        await play.until(lambda: any(play.texts.values()))
        play.run.gate.pause()
        await play.run.gate.settled()
        heard, text = len(play.heard), dict(play.texts)
        await asyncio.to_thread(model.wait_for, lambda stats: stats["requests"][-1]["ended"] == "done")
        assert (len(play.heard), play.texts) == (heard, text)
        play.run.gate.resume()
        assert (await play.ended()).outcome == "completed"
        play.check()


async def test_little_credit_is_enough(generation: Generation, network: Network, model: ModelServer) -> None:
    """The room takes five tokens at a time."""
    async with Play(network, model, generation.team, QUICK, allowed=5) as play:
        ended = asyncio.create_task(play.ended())
        while not ended.done():
            play.run.gate.grant(play.room.tokens + 5)
            await asyncio.wait([ended], timeout=0.005)
        assert ended.result().outcome == "completed"
        play.check()


@pytest.mark.parametrize(
    "fields", [{"content": "blue"}, {"resolution": "timeout", "content": ""}], ids=["answered", "timeout"]
)
async def test_a_person_is_asked(
    fields: dict[str, str], generation: Generation, network: Network, model: ModelServer
) -> None:
    """The team waits for the answer, or hears that there is none, and goes on."""
    since = model.stats()["total"]
    if generation.calls:
        arguments = json.dumps({"question": "Which colour?"})
        model.control(model="scripted", calls=generation.calls, call_arguments=arguments, tokens=4)
    async with Play(network, model, generation.asking, "scripted") as play:
        [asked] = await play.until(lambda: play.payloads("input_request"))
        assert asked["kind"] == "text"
        assert generation.prompt in asked["prompt"]
        assert (await play.answered(**fields)).outcome == "completed"
        play.check()
        ending = play.payloads("conversation_complete")[0]["reason"]
    heard = fields["content"] or generation.silence
    if heard:
        assert heard in str(model.stats(since=since)["requests"][-1]["messages"])
    else:
        assert ending == "nobody has answered in time"


@pytest.mark.parametrize("reply", ["stream=1", "stream=0"])
async def test_a_reply_that_is_cut_off_says_so(
    reply: str, generation: Generation, network: Network, model: ModelServer
) -> None:
    """It looked like one that the model had ended."""
    for reason in ("length", "stop"):
        async with Play(network, model, generation.solo, f"{QUICK}&{reply}&finish_reason={reason}") as play:
            assert (await play.ended()).outcome == "completed"
            play.check()
            [message] = play.payloads("agent_message")
            assert (message["cut_off"], message["partial"]) == (reason == "length", False)


async def test_a_stop_while_a_person_is_asked(generation: Generation, network: Network, model: ModelServer) -> None:
    """Nobody waits any more."""
    if generation.calls:
        arguments = json.dumps({"question": "Which colour?"})
        model.control(model="scripted", calls=generation.calls, call_arguments=arguments)
    async with Play(network, model, generation.asking, "scripted") as play:
        await play.until(lambda: play.payloads("input_request"))
        began = time.monotonic()
        await play.stop()
        assert time.monotonic() - began < STOP_S


@pytest.mark.parametrize("kind", ["status-401", "die-reset"], ids=["before the first token", "in mid-sentence"])
async def test_the_demo_goes_on(kind: str, generation: Generation, network: Network, model: ModelServer) -> None:
    """No model is left: a typed error, what was begun is withdrawn, and the prepared script speaks."""
    code = {"status-401": "model_unauthorized", "die-reset": "model_broken"}[kind]
    async with Play(network, model, generation.team, kind) as play:
        assert (await play.ended()).outcome == "completed"
        play.check()
        error = play.payloads("conversation_error")[0]
        assert (error["code"], error["fallback_mode"]) == (code, True)
        assert len(play.payloads("message_reset")) == (kind == "die-reset")
        assert play.payloads("fallback_mode")[0]["mode"] == "demo"


@pytest.mark.parametrize(
    ("kind", "code"), [("context-overflow", "context_overflow"), ("content-policy", "content_refused")]
)
async def test_a_rejected_request(
    kind: str, code: str, generation: Generation, network: Network, model: ModelServer
) -> None:
    """Its own typed error, though another provider is there."""
    async with Play(network, model, generation.team, kind, QUICK) as play:
        ended = await play.ended()
        assert (ended.outcome, ended.code) == ("error", code)
        assert play.payloads("fallback_mode") == []


@pytest.mark.parametrize("kind", ["status-500", "die-reset"], ids=["before the first token", "in mid-sentence"])
async def test_another_provider_goes_on(
    kind: str, generation: Generation, network: Network, model: ModelServer
) -> None:
    """What was begun is withdrawn and said anew; the framework notices nothing, and the change lasts."""
    since = model.stats()["total"]
    async with Play(network, model, generation.team, kind, QUICK) as play:
        assert (await play.ended()).outcome == "completed"
        play.check()
        [fallback] = play.payloads("fallback_mode")
        assert (fallback["mode"], fallback["from"], fallback["to"]) == ("provider", "p0", "p1")
        assert [each["reason"] for each in play.payloads("message_reset")] == ["model_broken"] * (kind == "die-reset")
        assert play.said == list(generation.agents)
        assert {message["model"] for message in play.payloads("agent_message")} == {QUICK}
    asked = [request["model"] for request in model.stats(since=since)["requests"]]
    assert asked == [kind, QUICK, QUICK, QUICK]


async def test_a_team_is_resumed_in_another_process(
    generation: Generation, network: Network, model: ModelServer
) -> None:
    """From the checkpoint after its first turn: the others speak, with what was said."""
    async with Play(network, model, generation.team, "scripted?tokens=40&token_delay_ms=2") as play:
        state = json.loads(json.dumps((await play.until(lambda: play.checkpoints))[0]))
        first = play.payloads("agent_message")[0]["content"]
        await play.stop()
    since = model.stats()["total"]
    async with RunnerProcess() as runner:
        team = play.run.start.team
        runner.say(
            start_run(provider(model.url, QUICK), team=team, content="A question.", checkpoint=state, resumed=True)
        )
        assert (await runner.ended()).outcome == "completed"
        check_messages(runner)
        assert [message["agent"] for message in runner.payloads("agent_message")] == list(generation.agents[1:])
        assert [step["turn"] for step in runner.payloads("agent_step")] == [2, 3]
    messages = str(model.stats(since=since)["requests"][0]["messages"])
    assert first.strip() in messages
    assert "A question." in messages


@pytest.mark.parametrize("checkpoint", [True, False], ids=["checkpoint", "transcript"])
async def test_a_follow_up_has_the_history(
    checkpoint: bool, generation: Generation, network: Network, model: ModelServer
) -> None:
    """The next message of the user is answered with what was said before, by the whole team."""
    async with Play(network, model, generation.solo, QUICK) as play:
        await play.ended()
        state, [message] = play.checkpoints[-1], play.payloads("agent_message")
    since = model.stats()["total"]
    transcript = (
        TranscriptMessage(agent="user", role="user", content="A question."),
        TranscriptMessage(agent=message["agent"], role="agent", content=message["content"]),
    )
    fields = {"checkpoint": json.loads(json.dumps(state))} if checkpoint else {}
    async with Play(network, model, generation.solo, QUICK, content="And?", transcript=transcript, **fields) as play:
        assert (await play.ended()).outcome == "completed"
        play.check()
        assert len(play.said) == 1
    asked = str(model.stats(since=since)["requests"][0]["messages"])
    assert asked.index("A question.") < asked.index("word12") < asked.index("And?")


async def test_a_run_that_broke_off_goes_on_from_its_transcript(
    generation: Generation, network: Network, model: ModelServer
) -> None:
    """There is no checkpoint: the question was asked, and is not asked twice."""
    since = model.stats()["total"]
    transcript = (TranscriptMessage(agent="user", role="user", content="A question."),)
    async with Play(network, model, generation.team, QUICK, transcript=transcript, resumed=True) as play:
        assert (await play.ended()).outcome == "completed"
        assert play.said == list(generation.agents)
    assert str(model.stats(since=since)["requests"][0]["messages"]).count("A question.") == 1
