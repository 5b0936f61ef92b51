"""Classic AG2 through the adapter, in one process, against the scripted model server."""

from __future__ import annotations

import asyncio
import re

import pytest

from app.providers.network import Network
from app.runner.wire import Limits, RunEvent, TranscriptMessage
from tests.adapters import classic_teams
from tests.adapters.classic_stand import OPENING, SHORT, WORDS, Stand, threads, until_no_thread
from tests.conftest import TIMEOUT_SCALE
from tests.runner.harness import provider
from tests.support.model_server import ModelServer

LONG = "scripted?tokens=2000&token_delay_ms=10"


@pytest.fixture
def model(model: ModelServer, monkeypatch: pytest.MonkeyPatch) -> ModelServer:
    """Where a team's own configuration finds it, too."""
    monkeypatch.setenv("OWN_URL", model.url)
    monkeypatch.setenv("OWN_MODEL", SHORT)
    return model


# --- what is shown ----------------------------------------------------------------------------------------------------


async def test_agents_that_talk_are_streamed(model: ModelServer, network: Network) -> None:
    """Each reply as its tokens come, in the order of all runs; the user's own message is not repeated."""
    stand = Stand(network, "pair", provider(model.url, SHORT))
    ended = await stand.ended()
    assert ended.outcome == "completed"
    assert stand.lines() == [
        ("second", WORDS),
        ("first", WORDS),
        ("second", WORDS),
        ("first", WORDS),
        ("second", WORDS),
    ]
    names = [
        event.name for event in stand.room.heard if isinstance(event, RunEvent) and event.name != "framework_event"
    ]
    turn = ["agent_step", "message_start", "agent_message", "progress"]
    assert names == ["conversation_status", *turn * 5, "conversation_complete"]
    assert stand.room.payloads("progress")[-1]["percentage"] == 100
    assert stand.room.payloads("conversation_complete")[0]["reason"] == "Maximum turns (3) reached"
    assert stand.said()[0]["usage"]["completion_tokens"] == 6
    assert ended.usage.completion_tokens == 30


async def test_the_word_next_ends_it(model: ModelServer, network: Network) -> None:
    """By default, when the reply contains it."""
    stand = Stand(network, "until_next", provider(model.url, "scripted?text=All+done.+NEXT&token_delay_ms=1"))
    await stand.ended()
    assert stand.lines() == [("assistant", "All done. NEXT")]
    assert "Termination message" in stand.room.payloads("conversation_complete")[0]["reason"]


async def test_a_long_chat_keeps_no_calls(model: ModelServer, network: Network) -> None:
    """What a call has brought is forgotten with its message."""
    stand = Stand(network, "until_next", provider(model.url, SHORT))
    await stand.until(lambda: len(stand.said()) > 6)
    assert len(stand.run.model._calls) <= 2
    await stand.stop()


async def test_a_group_goes_round(model: ModelServer, network: Network) -> None:
    stand = Stand(network, "group", provider(model.url, SHORT))
    await stand.ended()
    assert stand.lines() == [("a", WORDS), ("b", WORDS), ("c", WORDS)]


async def test_the_choice_of_speakers_is_progress_and_no_message(model: ModelServer, network: Network) -> None:
    stand = Stand(network, "chosen", provider(model.url, "scripted?text=bob+it+is&token_delay_ms=1"))
    await stand.ended()
    assert [agent for agent, _ in stand.lines()] == ["bob", "bob"]
    assert set(stand.room.texts.values()) == {"bob it is"}
    shown = [payload["message"] for payload in stand.room.payloads("progress")]
    assert shown.count("Choosing who speaks next") == 2


async def test_streaming_is_each_agents_own_choice(model: ModelServer, network: Network) -> None:
    """The one without it delivers its message whole: it is asked without a stream in its name, and shown by words."""
    stand = Stand(network, "mixed", provider(model.url, SHORT))
    await stand.ended()
    assert stand.lines() == [("streams", WORDS), ("whole", WORDS)]


async def test_a_chat_within_a_chat(model: ModelServer, network: Network) -> None:
    stand = Stand(network, "nested", provider(model.url, SHORT))
    await stand.ended()
    assert stand.lines() == [("outer", OPENING), ("inner", WORDS), ("outer", WORDS)]
    assert len(stand.checkpoint()["chat"]["messages"]) == 2


async def test_a_summary_is_no_message(model: ModelServer, network: Network) -> None:
    stand = Stand(network, "summed_up", provider(model.url, SHORT))
    await stand.ended()
    assert stand.lines() == [("assistant", WORDS)]
    assert stand.room.payloads("conversation_complete")[0]["summary"] == WORDS
    assert list(stand.room.texts.values()) == [WORDS]


async def test_tools_and_their_answers(model: ModelServer, network: Network) -> None:
    """A long answer is kept whole beside the log; an exception in a tool is an answer, too."""
    model.control(calls="lookup,broken", call_arguments='{"symbol":"ACME"}')
    stand = Stand(network, "tools", provider(model.url, SHORT))
    await stand.ended()
    calls = [(p["agent"], p["tool"], p["arguments"]) for p in stand.room.payloads("tool_call")]
    assert calls == [("assistant", "lookup", '{"symbol":"ACME"}'), ("assistant", "broken", '{"symbol":"ACME"}')]
    found, failed = stand.room.payloads("tool_result")
    assert (found["success"], found["length"]) == (True, len("ACME is at 7. ") + 1500)
    assert found["artifact_id"]
    assert (failed["success"], failed["call_id"]) == (False, "call_broken")
    assert stand.lines() == [("assistant", WORDS)]


async def test_a_function_for_iowebsockets(model: ModelServer, network: Network) -> None:
    """AG2's documented one, with a model of its own; its first `input()` is what the user wrote."""
    stand = Stand(network, "on_connect", provider(model.url, "status-500"))
    ended = await stand.ended()
    assert ended.outcome == "completed"
    assert stand.lines() == [("chatbot", WORDS), ("chatbot", WORDS)]
    assert "brings its own model" in stand.room.payloads("progress")[0]["message"]
    assert ended.usage.completion_tokens == 12
    assert model.stats()["requests"][-1]["body"]["messages"][1]["content"] == OPENING


async def test_a_function_that_prints_and_asks(model: ModelServer, network: Network) -> None:
    stand = Stand(network, "asks", provider(model.url, SHORT), answers=["Ann", "sesame"])
    await stand.ended()
    assert stand.lines() == [("system", f"About {OPENING}"), ("system", "Ann has 6 letters")]
    asked = stand.room.payloads("input_request")
    assert [(each["prompt"], each["secret"]) for each in asked] == [("Your name? ", False), ("Your password? ", True)]


async def test_a_function_over_the_runs_models(model: ModelServer, network: Network) -> None:
    stand = Stand(network, "with_models", provider(model.url, SHORT))
    await stand.ended()
    assert stand.lines() == [("assistant", WORDS)]


async def test_an_own_model_streams(model: ModelServer, network: Network) -> None:
    """Token by token, although it does not pass through the run's models."""
    stand = Stand(network, "own", provider(model.url, "status-500"))
    await stand.ended()
    assert stand.lines() == [("own", WORDS)]
    assert stand.room.payloads("conversation_status")[0]["model"] == f"{SHORT} (brought by the team)"


async def test_the_examples_run(model: ModelServer, network: Network) -> None:
    """Those of examples/, as they stand there."""
    model.control(calls="average,weather_forecast", call_arguments='{"figures":[1,2]}', text="Done. NEXT TERMINATE")
    team = Stand(network, "examples.classic_team:team", provider(model.url, "scripted"), answers=["", "exit"])
    await team.ended()
    assert team.room.payloads("tool_result")[0]["preview"] == "1.5"
    assert team.lines() == [("assistant", "Done. NEXT TERMINATE")]
    model.control(calls="weather_forecast", call_arguments='{"city":"Paris"}')
    function = Stand(network, "examples.ag2_iowebsockets:on_connect", provider(model.url, "scripted"))
    await function.ended()
    assert function.room.payloads("tool_result")[0]["preview"] == "The weather forecast for Paris is sunny."
    assert function.lines() == [("chatbot", "Done. NEXT TERMINATE")]


# --- people -----------------------------------------------------------------------------------------------------------


async def test_always_asks_after_each_reply(model: ModelServer, network: Network) -> None:
    stand = Stand(network, "always", provider(model.url, SHORT), answers=["More of it", "exit"])
    await stand.ended()
    assert stand.lines() == [("assistant", WORDS), ("user", "More of it"), ("assistant", WORDS)]
    assert [asked["agent"] for asked in stand.room.payloads("input_request")] == ["user", "user"]
    assert stand.room.payloads("conversation_complete")[0]["reason"] == "User requested to end the conversation"


async def test_terminate_asks_before_the_end(model: ModelServer, network: Network) -> None:
    stand = Stand(network, "terminate", provider(model.url, "scripted?text=NEXT"), answers=["Not yet", ""])
    await stand.ended()
    assert stand.lines() == [("assistant", "NEXT"), ("user", "Not yet"), ("assistant", "NEXT")]


async def test_nobody_answers(model: ModelServer, network: Network) -> None:
    """The run ends, and says why."""
    stand = Stand(network, "always", provider(model.url, SHORT), answers=["(timeout)"])
    assert (await stand.ended()).outcome == "completed"
    assert stand.room.payloads("conversation_complete")[0]["reason"] == "nobody has answered in time"


# --- stop and pause ---------------------------------------------------------------------------------------------------


def closed_in_time(model: ModelServer, clicked: float) -> bool:
    request = model.wait_for(lambda stats: stats["open"] == 0)["requests"][-1]
    assert request["ended"] == "client_closed"
    return bool(request["ended_s"] - clicked < 0.25 * TIMEOUT_SCALE)


@pytest.mark.parametrize("factory", ["single", "own"])
async def test_stop_in_mid_stream(
    factory: str, model: ModelServer, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model's side sees the end, the thread ends, and what had come is kept."""
    monkeypatch.setenv("OWN_MODEL", LONG)
    stand = Stand(network, factory, provider(model.url, LONG))
    await stand.until(lambda: sum(map(len, stand.room.texts.values())) > 100)
    assert closed_in_time(model, await stand.stop())
    await until_no_thread()


@pytest.mark.parametrize("factory", ["single", "own", "chosen"])
async def test_stop_before_the_first_token(
    factory: str, model: ModelServer, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while it is being chosen who speaks."""
    monkeypatch.setenv("OWN_MODEL", "silent")
    since = model.stats()["total"]
    stand = Stand(network, factory, provider(model.url, "silent"))
    await stand.until(lambda: model.stats(messages=False)["total"] > since)
    assert closed_in_time(model, await stand.stop())
    await until_no_thread()


async def test_stop_while_somebody_is_asked(model: ModelServer, network: Network) -> None:
    stand = Stand(network, "always", provider(model.url, SHORT))
    await stand.until(lambda: stand.room.payloads("input_request"))
    await stand.stop()
    await until_no_thread()


async def test_stop_while_a_tool_runs(model: ModelServer, network: Network) -> None:
    """The run ends without it; its thread does so as soon as the tool gives it back."""
    model.control(calls="doze")
    classic_teams.DOZING.clear()
    classic_teams.WAKE.clear()
    stand = Stand(network, "sleepy", provider(model.url, SHORT))
    await stand.until(classic_teams.DOZING.is_set)
    asked = model.stats()["total"]
    await stand.stop()
    assert threads()
    classic_teams.WAKE.set()
    await until_no_thread()
    assert model.stats()["total"] == asked


@pytest.mark.parametrize("factory", ["single", "own"])
async def test_pause_takes_nothing_more(
    factory: str, model: ModelServer, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing more is taken from the model until it is resumed, and nothing is lost."""
    monkeypatch.setenv("OWN_MODEL", "flood?tokens=3000")
    stand = Stand(network, factory, provider(model.url, "flood?tokens=3000"))
    await stand.until(lambda: sum(map(len, stand.room.texts.values())) > 100_000)
    stand.run.gate.pause()
    await stand.run.gate.settled()
    before = await asyncio.to_thread(model.settled_bytes)
    assert before < 3000 * 4000
    assert (await asyncio.to_thread(model.stats))["open"] == 1
    shown = sum(map(len, stand.room.texts.values()))
    stand.run.gate.resume()
    await stand.until(lambda: sum(map(len, stand.room.texts.values())) > shown + 100_000)
    await stand.stop()
    [text] = stand.room.texts.values()
    numbers = [int(number) for number in re.findall(r"@\d{13}#(\d+)", text)]
    assert numbers == list(range(len(numbers)))


# --- failures ---------------------------------------------------------------------------------------------------------


async def test_another_provider_goes_on_in_mid_sentence(model: ModelServer, network: Network) -> None:
    stand = Stand(network, "single", provider(model.url, "die-reset?token_delay_ms=1"), provider(model.url, SHORT))
    assert (await stand.ended()).outcome == "completed"
    assert stand.lines() == [("solo", WORDS)]
    assert len(stand.room.payloads("message_reset")) == 1
    assert stand.room.payloads("fallback_mode")[0]["mode"] == "provider"


@pytest.mark.parametrize("name", ["status-500", "die-reset?token_delay_ms=1"])
async def test_no_provider_is_left(name: str, model: ModelServer, network: Network) -> None:
    """Before the first token and in mid-stream: the conversation goes on as a demo, without the broken words."""
    stand = Stand(network, "single", provider(model.url, name), limits=Limits(demo_tokens_per_s=2000))
    assert (await stand.ended()).outcome == "completed"
    assert [payload["mode"] for payload in stand.room.payloads("fallback_mode")] == ["demo"]
    await until_no_thread()


async def test_a_request_that_is_refused(model: ModelServer, network: Network) -> None:
    stand = Stand(network, "single", provider(model.url, "context-overflow"))
    assert (await stand.ended()).code == "context_overflow"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("status-401", "model_unauthorized"),
        ("status-503", "model_server_error"),
        ("unreachable", "model_unreachable"),
        ("die-reset?token_delay_ms=1", "model_broken"),
    ],
)
async def test_an_own_model_fails(
    name: str, code: str, model: ModelServer, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody stands in for it: a typed error ends the run."""
    monkeypatch.setenv("OWN_MODEL", name)
    if name == "unreachable":
        monkeypatch.setenv("OWN_URL", "http://127.0.0.1:1/v1")
    stand = Stand(network, "own", provider(model.url, SHORT))
    ended = await stand.ended()
    assert (ended.outcome, ended.code) == ("error", code)


async def test_an_exception_in_an_agent(model: ModelServer, network: Network) -> None:
    stand = Stand(network, "failing", provider(model.url, SHORT))
    ended = await stand.ended()
    assert (ended.code, ended.message) == ("team_failed", "the team failed: ZeroDivisionError: a bug")
    await until_no_thread()


# --- going on ---------------------------------------------------------------------------------------------------------


def asked(model: ModelServer) -> list[str]:
    """What the model was last asked with."""
    return [str(message["content"]) for message in model.stats()["requests"][-1]["messages"]]


@pytest.mark.parametrize(("factory", "before"), [("pair", 2), ("group", 1), ("single", 0)])
async def test_it_goes_on_where_it_was_stopped(factory: str, before: int, model: ModelServer, network: Network) -> None:
    """Another run does what is left, and knows what was said."""
    whole = Stand(network, factory, provider(model.url, SHORT))
    await whole.ended()
    first = Stand(network, factory, provider(model.url, "scripted?tokens=6&token_delay_ms=30"))
    await first.until(lambda: len(first.said()) == before and len(first.room.texts) > before)
    await first.stop()
    second = Stand(network, factory, provider(model.url, SHORT), checkpoint=first.checkpoint(), resumed=True)
    await second.ended()
    assert second.lines() == whole.lines()[before:]
    assert [p["turn"] for p in second.room.payloads("agent_step")] == list(range(before + 1, len(whole.lines()) + 1))
    assert asked(model)[-len(whole.lines()) :][0] == OPENING


@pytest.mark.parametrize("factory", ["pair", "group", "single"])
async def test_the_next_user_message_follows_the_history(factory: str, model: ModelServer, network: Network) -> None:
    """As many replies as before, with all that was said."""
    first = Stand(network, factory, provider(model.url, SHORT))
    await first.ended()
    second = Stand(network, factory, provider(model.url, SHORT), checkpoint=first.checkpoint(), content="And now?")
    await second.ended()
    assert second.lines() == first.lines()
    assert asked(model).index(OPENING) < asked(model).index("And now?")


async def test_a_transcript_stands_in_for_a_checkpoint(model: ModelServer, network: Network) -> None:
    said = (
        TranscriptMessage(agent="user", role="user", content=OPENING),
        TranscriptMessage(agent="a", role="agent", content="First."),
    )
    stand = Stand(network, "group", provider(model.url, SHORT), transcript=said, resumed=True)
    await stand.ended()
    assert stand.lines() == [("b", WORDS), ("c", WORDS)]
    assert "First." in asked(model)


async def test_a_question_is_asked_again(model: ModelServer, network: Network) -> None:
    """A run that was stopped while it waited for a person waits again."""
    first = Stand(network, "always", provider(model.url, SHORT))
    await first.until(lambda: first.room.payloads("input_request"))
    await first.stop()
    second = Stand(
        network, "always", provider(model.url, SHORT), checkpoint=first.checkpoint(), resumed=True,
        answers=["Yes", "exit"],
    )  # fmt: skip
    await second.ended()
    assert second.lines() == [("user", "Yes"), ("assistant", WORDS)]
