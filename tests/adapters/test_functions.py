"""What people's own code for classic AG2 does beside the usual: it asks first, awaits, is silent, chooses by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.providers.network import Network
from tests.adapters.classic_stand import OPENING, SHORT, WORDS, Stand
from tests.runner.harness import provider
from tests.support.model_server import ModelServer


async def test_the_first_question_is_answered_already(model: ModelServer, network: Network) -> None:
    """By what the client came with, as on AG2's own server; it is shown, but waits for nobody."""
    stand = Stand(network, "asks_first", provider(model.url, SHORT), answers=["Paris"])
    await stand.ended()
    assert stand.lines() == [("system", "Your name? "), ("system", f"{OPENING} lives in Paris")]
    assert [asked["prompt"] for asked in stand.room.payloads("input_request")] == ["Your town? "]


async def test_a_parameter_of_another_name(model: ModelServer, network: Network) -> None:
    """What it is declared as says what it wants."""
    stand = Stand(network, "declared", provider(model.url, SHORT))
    assert (await stand.ended()).outcome == "completed"
    assert stand.lines() == [("system", f"I heard {OPENING}")]


async def test_a_coroutine(model: ModelServer, network: Network) -> None:
    """It is awaited; who asks there is named, and the answer is a person's."""
    stand = Stand(network, "coroutine", provider(model.url, SHORT), answers=["More of it"])
    assert (await stand.ended()).outcome == "completed"
    assert stand.lines() == [("assistant", WORDS), ("customer", "More of it"), ("assistant", WORDS)]
    assert [asked["agent"] for asked in stand.room.payloads("input_request")] == ["customer"]
    assert stand.said()[1]["role"] == "user"


async def test_a_silent_chat(model: ModelServer, network: Network) -> None:
    """What was streamed of it is a whole message, though AG2 never says so."""
    stand = Stand(network, "untold", provider(model.url, SHORT))
    await stand.ended()
    assert [start["agent"] for start in stand.room.payloads("message_start")] == ["quiet", "user", "loud"]
    [quiet] = [message for message in stand.said() if message["agent"] == "quiet"]
    assert (quiet["content"], quiet["partial"], quiet["usage"]["completion_tokens"]) == (WORDS, False, 6)


async def test_code_is_run(
    model: ModelServer, network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it has printed is said by who has run it, in a turn of its own: no turn is told beyond the last one."""
    monkeypatch.setenv("CODE_DIR", str(tmp_path))
    model.control(text="```sh\necho $((6 * 7))\n```\n")
    stand = Stand(network, "coding", provider(model.url, "scripted?token_delay_ms=1"))
    await stand.ended()
    assert [agent for agent, _ in stand.lines()] == ["assistant", "user", "assistant"]
    assert "42" in stand.lines()[1][1]
    assert [each["percentage"] for each in stand.room.payloads("progress")] == [33.33, 66.67, 100.0]


async def test_a_choice_by_hand(model: ModelServer, network: Network) -> None:
    """Who has chosen nobody sees the names again."""
    stand = Stand(network, "by_hand", provider(model.url, SHORT), answers=["whoever", "2"])
    await stand.ended()
    assert [agent for agent, _ in stand.lines()] == ["bob"]
    asked = stand.room.payloads("input_request")
    assert len(asked) == 2
    assert all(each["prompt"].endswith("1: ann\n2: bob\n3: cid") for each in asked)


async def test_a_model_is_asked_while_the_team_is_built(model: ModelServer, network: Network) -> None:
    """That would wait for itself, and with it the whole process."""
    since = model.stats()["total"]
    stand = Stand(network, "hasty", provider(model.url, SHORT))
    ended = await stand.ended()
    assert (ended.outcome, ended.code) == ("error", "team_failed")
    assert "while the team is being built" in (ended.message or "")
    assert model.stats()["total"] == since
