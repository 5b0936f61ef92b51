"""Models that fail: which error it is, who answers instead, and how fast."""

from __future__ import annotations

import time

import pytest

from app.runner.wire import Limits, TeamSpec
from tests.runner.harness import RunnerProcess, check_messages, provider, start_run
from tests.support.model_server import ModelServer

FAST_DEMO = Limits(demo_tokens_per_s=5000, word_delay_ms=0)
FALLBACKS = {
    "refused": "model_unreachable",
    "dns": "model_unreachable",
    "status-401": "model_unauthorized",
    "status-403": "model_unauthorized",
    "status-404": "model_not_found",
    "status-429": "model_rate_limited",
    "status-500": "model_server_error",
    "status-503": "model_server_error",
    "unreachable": "model_stalled",
    "die-reset": "model_broken",
    "die-eof": "model_broken",
    "die-close": "model_broken",
}
ADDRESSES = {"refused": "http://127.0.0.1:9/v1", "dns": "http://no-such-host.invalid/v1"}


@pytest.mark.parametrize(("kind", "code"), FALLBACKS.items())
async def test_the_demo_goes_on(kind: str, code: str, model: ModelServer, runner: RunnerProcess) -> None:
    """conversation_error with its code, fallback_mode demo, and a conversation that goes on, labelled as a demo."""
    model.control(models_silent=kind == "unreachable")
    runner.say(start_run(provider(ADDRESSES.get(kind, model.url), kind), limits=FAST_DEMO))
    await runner.until(lambda: runner.events("fallback_mode"))
    ended = await runner.ended()
    assert ended.outcome == "completed"
    error = runner.payloads("conversation_error")[0]
    assert (error["code"], error["fallback_mode"]) == (code, True)
    fallback = runner.payloads("fallback_mode")[0]
    assert (fallback["mode"], fallback["reason"]) == ("demo", "backend_unavailable")
    assert (fallback["from"], fallback["to"]) == ("openai", "demo")
    names = [event.name for event in runner.events()]
    after = runner.events()[names.index("fallback_mode") :]
    assert all(event.demo for event in after)
    assert len(runner.payloads("agent_message")) == 3
    assert len(runner.payloads("conversation_status")) == 1
    complete = runner.payloads("conversation_complete")[0]
    assert (complete["consensus"], complete["summary"]) == (None, None)
    assert complete["reason"] == "demo: no model spoke"
    if kind.startswith("die"):
        assert names.index("message_reset") < names.index("conversation_error")
    check_messages(runner)


@pytest.mark.parametrize(
    ("kind", "code"), [("context-overflow", "context_overflow"), ("content-policy", "content_refused")]
)
async def test_a_rejected_request_is_no_fallback(
    kind: str, code: str, model: ModelServer, runner: RunnerProcess
) -> None:
    """The conversation ends with its own typed error, whoever else might answer."""
    runner.say(start_run(provider(model.url, kind), provider(model.url, name="second")))
    ended = await runner.ended()
    assert (ended.outcome, ended.code, ended.retryable) == ("error", code, False)
    assert runner.payloads("conversation_error")[0]["fallback_mode"] is False
    assert runner.events("fallback_mode") == []


async def test_failover_in_mid_sentence(model: ModelServer, runner: RunnerProcess) -> None:
    """The partial text is withdrawn, the next provider says it all, and goes on for the rest of the conversation."""
    since = model.stats()["total"]
    runner.say(
        start_run(
            provider(model.url, "die-reset", name="first"),
            provider(model.url, "scripted?tokens=8&token_delay_ms=2", name="second", label="Second"),
        )
    )
    assert (await runner.ended()).outcome == "completed"
    assert runner.events("conversation_error") == []
    [fallback] = runner.payloads("fallback_mode")
    assert fallback == {"mode": "provider", "reason": "model_broken", "from": "first", "to": "second"}
    names = [event.name for event in runner.events() if event.name != "progress"]
    reset = names.index("message_reset")
    assert names[reset - 5 : reset + 4] == [
        *["message_delta"] * 5, "message_reset", "fallback_mode", "message_start", "message_delta"
    ]  # fmt: skip
    check_messages(runner)
    assert {message["model"] for message in runner.payloads("agent_message")} == {"Second"}
    asked = [request["model"].partition("?")[0] for request in model.stats(since=since)["requests"]]
    assert asked == ["die-reset", *["scripted"] * 4]


async def test_a_model_that_dies_in_the_second_turn(model: ModelServer, runner: RunnerProcess) -> None:
    """The demo does the remaining turns only."""
    runner.say(start_run(provider(model.url, "scripted?tokens=40&token_delay_ms=5"), limits=FAST_DEMO))
    await runner.until(lambda: runner.events("agent_message"))
    model.control(model="scripted?tokens=40&token_delay_ms=5", status=500)
    await runner.ended()
    live = [event.payload["turn"] for event in runner.events("agent_step") if not event.demo]
    demo = [event.payload["turn"] for event in runner.events("agent_step") if event.demo]
    assert 1 in live
    assert demo[-1] == 3
    assert len(runner.payloads("agent_message")) == 3
    check_messages(runner)


async def test_a_slow_but_living_model_is_waited_for(model: ModelServer, runner: RunnerProcess) -> None:
    """Its first token comes after more than the probe's time; it is probed and left in peace."""
    probes = model.stats()["model_list_requests"]
    slow = provider(model.url, "scripted?tokens=3&first_token_delay_ms=2500")
    runner.say(start_run(slow, team="chat"))
    assert (await runner.ended()).outcome == "completed"
    assert runner.events("fallback_mode") == []
    assert model.stats()["model_list_requests"] > probes


async def test_a_living_model_that_says_nothing_is_left_in_the_end(model: ModelServer, runner: RunnerProcess) -> None:
    """In mid-stream, after stall_timeout_s."""
    limits = FAST_DEMO.model_copy(update={"stall_timeout_s": 2.0})
    runner.say(start_run(provider(model.url, "stalling"), team="chat", limits=limits))
    await runner.ended()
    assert runner.payloads("conversation_error")[0]["code"] == "model_stalled"


async def test_time_spent_paused_is_no_silence(model: ModelServer, runner: RunnerProcess) -> None:
    """A run that is paused for longer than every limit goes on when it is resumed."""
    limits = Limits(probe_after_s=0.2, probe_timeout_s=0.2, first_token_timeout_s=0.5, stall_timeout_s=0.5)
    model.control(models_silent=True)
    runner.say(start_run(provider(model.url, "scripted?tokens=100&token_delay_ms=5"), team="chat", limits=limits))
    await runner.until(lambda: runner.events("message_delta"))
    await runner.control("pause")
    paused = time.monotonic()
    while time.monotonic() - paused < 1.0:  # a time that passes is what is to be shown
        await runner.control("pause")
    await runner.control("resume")
    await runner.ended()
    assert runner.events("fallback_mode", "conversation_error") == []


async def test_a_short_retry_after_is_obeyed_once(model: ModelServer, runner: RunnerProcess) -> None:
    """429 with Retry-After of at most a second: one more attempt, which is answered."""
    model.control(model="limited", status=429, retry_after_s=0.2, failures=1, tokens=5)
    runner.say(start_run(provider(model.url, "limited"), team="chat"))
    assert (await runner.ended()).outcome == "completed"
    assert runner.events("fallback_mode") == []


async def test_a_demo_from_the_start(runner: RunnerProcess) -> None:
    """No model at all: error and fallback come first, then the status; the script says what it is."""
    content = "A ten-word text of mine that nobody reads, confidence 0.9."
    runner.say(start_run(demo=True, content=content, limits=FAST_DEMO))
    assert (await runner.ended()).outcome == "completed"
    names = [event.name for event in runner.events()]
    assert names[:3] == ["conversation_error", "fallback_mode", "conversation_status"]
    said = runner.payloads("agent_message")
    assert "ten-word text" in said[0]["content"]
    assert all("model" in message["content"] and message["confidence"] is None for message in said)
    check_messages(runner)


async def test_a_demo_is_resumed(runner: RunnerProcess) -> None:
    """From its checkpoint, without announcing it again."""
    runner.say(start_run(demo=True, resumed=True, checkpoint={"kind": "demo", "turns": 1}, limits=FAST_DEMO))
    await runner.ended()
    assert [payload["turn"] for payload in runner.payloads("agent_step")] == [2, 3]
    assert runner.events("fallback_mode", "conversation_error") == []
    assert all(event.demo for event in runner.events())


@pytest.mark.parametrize("generation", ["own_teams:own_client", "classic_teams:own", "ag2_teams:talkative"])
async def test_a_team_with_its_own_model_needs_no_provider(
    generation: str, model: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no provider is configured, a team that brings its own models runs as it is."""
    monkeypatch.setenv("OWN_MODEL", "scripted?tokens=5")
    monkeypatch.setenv("OWN_URL", model.url)
    team = TeamSpec(name="mine", factory=f"tests.adapters.{generation}", isolated=True)
    async with RunnerProcess() as runner:
        runner.say(start_run(team=team))
        assert (await runner.ended()).outcome == "completed"
        assert runner.events("fallback_mode", "conversation_error") == []
        assert runner.payloads("agent_message")
        check_messages(runner)


async def test_a_team_without_any_model_becomes_a_demo(runner: RunnerProcess) -> None:
    """A user's team that asks for a model where none is configured: the error, the fallback, the script."""
    team = TeamSpec(name="mine", factory="tests.adapters.own_teams:single", isolated=True)
    runner.say(start_run(team=team, limits=FAST_DEMO))
    assert (await runner.ended()).outcome == "completed"
    assert [error["code"] for error in runner.payloads("conversation_error")] == ["backend_unavailable"]
    fallback = runner.payloads("fallback_mode")[0]
    assert (fallback["mode"], fallback["from"], fallback["to"]) == ("demo", None, "demo")
    check_messages(runner)
