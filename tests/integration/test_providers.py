"""Providers of every kind behind a running server: who answers, who goes on, what it costs, where it ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import TIMEOUT_SCALE
from tests.integration.conftest import TEXT
from tests.support.model_server import ModelServer
from tests.support.server import ColloquyServer
from tests.support.waiting import wait_until
from tests.support.watcher import Watcher

CLAUDE = "claude-haiku-4-5"
PER_TOKEN = (1.0 / 1e6, 5.0 / 1e6)  # its prices, read and written
TALK = {"content": TEXT, "team": "chat"}


def cost_of(usage: dict[str, Any]) -> float:
    return usage["prompt_tokens"] * PER_TOKEN[0] + usage["completion_tokens"] * PER_TOKEN[1]


@pytest.fixture(scope="module")
def claude(model: ModelServer) -> Iterator[ColloquyServer]:
    """A server with Anthropic alone."""
    env = {
        "STREAM_TOKENS_PER_S": "0",
        "ANTHROPIC_API_KEY": "sk-ant-nothing",
        "ANTHROPIC_BASE_URL": model.url,
        "ANTHROPIC_MODEL": CLAUDE,
        "MAX_TOKENS_PER_CONVERSATION": "400",
    }
    with ColloquyServer(env=env) as running:
        yield running


@pytest.fixture
def viewer(claude: ColloquyServer) -> Iterator[Watcher]:
    with Watcher(claude.url, timeout_s=20 * TIMEOUT_SCALE) as watcher:
        yield watcher


def test_a_debate_with_anthropic(viewer: Watcher, claude: ColloquyServer, model: ModelServer) -> None:
    """Each message says what it cost, the end what all did, conclusion included; so does what is stored."""
    model.control(tokens=10)
    ack = viewer.must("start_stream", {"content": TEXT})
    assert viewer.wait_for_end() == "completed"
    said = [payload for _, payload in viewer.events("agent_message") if payload["role"] == "agent"]
    assert [payload["usage"]["completion_tokens"] for payload in said] == [10, 10, 10]
    assert [payload["usage"]["cost_usd"] for payload in said] == [
        pytest.approx(cost_of(each["usage"])) for each in said
    ]
    assert {payload["model"] for payload in said} == {CLAUDE}
    complete = viewer.events("conversation_complete")[0][1]
    assert complete["summary"] == "Three agents have argued."
    total = viewer.events("conversation_status")[-1][1]["usage"]
    assert total == complete["usage"]
    assert (total["estimated"], total["cost_usd"]) == (False, pytest.approx(cost_of(total)))
    path = f"/api/conversations/{ack['conversation_id']}"
    wait_until(lambda: claude.get(path)["usage"] == total, "it is stored", 10 * TIMEOUT_SCALE)
    [listed] = [
        each for each in claude.get("/api/conversations")["conversations"]
        if each["conversation_id"] == ack["conversation_id"]
    ]  # fmt: skip
    assert listed["usage"] == total
    systems = {request["body"].get("system", "")[:4] for request in model.stats()["requests"][-4:]}
    assert "" not in systems


def test_a_stop_tells_what_was_spent(viewer: Watcher, model: ModelServer) -> None:
    """The prompt by the provider's figure, the reply by what came; the request is closed when it is acked."""
    model.control(tokens=400)
    viewer.must("start_stream", TALK)
    viewer.wait_for_tokens(5)
    conversation = viewer.events("message_delta")[0][1]["conversation_id"]
    tokens = viewer.must("stop_stream", {"conversation_id": conversation})["tokens"]
    [request] = [each for each in model.stats()["requests"] if each["ended"] == "client_closed"][-1:]
    assert model.stats()["open"] == 0
    assert tokens["estimated"]
    assert tokens["prompt_tokens"] == request["prompt_chars"] // 4 + 1
    assert tokens["completion_tokens"] >= 5
    assert tokens["cost_usd"] == pytest.approx(cost_of(tokens))


def test_a_run_ends_in_mid_sentence_where_its_tokens_do(viewer: Watcher, model: ModelServer) -> None:
    """The caller's limit, within the conversation's: the next run goes on with what that has left, to its end."""
    model.control(tokens=1000)
    ack = viewer.must("start_stream", {**TALK, "options": {"max_tokens": 150}})
    assert viewer.wait_for_end() == "error"
    [error] = [payload for _, payload in viewer.events("conversation_error")]
    assert (error["code"], error["retryable"], error["fallback_mode"]) == ("budget_exhausted", False, False)
    [partial] = [payload for _, payload in viewer.events("agent_message") if payload["role"] == "agent"]
    assert (partial["partial"], partial["reason"]) == (True, "budget_exhausted")
    told = "".join(payload["delta"] for _, payload in viewer.events("message_delta"))
    assert partial["content"] == told
    status = viewer.events("conversation_status")[-1][1]
    assert (status["code"], status["usage"]["estimated"]) == ("budget_exhausted", True)
    assert 150 <= spent(status) < 900  # a read may bring several, and a busy machine many
    assert model.stats()["open"] == 0

    for _ in range(2):
        before = len(viewer.events("conversation_status"))
        viewer.must("send_message", {"conversation_id": ack["conversation_id"], "content": "Go on."})
        viewer.wait_for(lambda events, seen=before: ended(viewer, seen), "its end")
    statuses = [payload for _, payload in viewer.events("conversation_status") if payload["status"] == "error"]
    assert [payload["code"] for payload in statuses] == ["budget_exhausted"] * 3
    assert sum(map(spent, statuses)) < 900
    assert spent(statuses[-1]) == 0  # nothing was asked


def spent(status: dict[str, Any]) -> int:
    tokens: int = status["usage"]["prompt_tokens"] + status["usage"]["completion_tokens"]
    return tokens


def ended(viewer: Watcher, seen: int) -> bool:
    return any(payload["status"] == "error" for _, payload in viewer.events("conversation_status")[seen:])


def test_three_kinds_go_on_for_each_other(model: ModelServer) -> None:
    """In mid-sentence twice; who fails again is passed over, and readiness tells."""
    model.control(model="first", die_after_tokens=5)
    model.control(model=CLAUDE, die_after_tokens=5, death="error")
    env = {
        "STREAM_TOKENS_PER_S": "0",
        "ANTHROPIC_API_KEY": "sk-ant-nothing",
        "ANTHROPIC_BASE_URL": model.url.removesuffix("/v1"),
        "ANTHROPIC_MODEL": CLAUDE,
        "OLLAMA_MODEL": "llama",
        "OLLAMA_HOST": f":{model.port}",
        "MODEL_PRICES": "openai=1/1",
        "CIRCUIT_FAILURES": "2",
        "CIRCUIT_OPEN_S": "600",
    }
    with (
        ColloquyServer(model_url=model.url, model="first", env=env) as running,
        Watcher(running.url, timeout_s=20 * TIMEOUT_SCALE) as viewer,
    ):

        def talk() -> list[tuple[str, str, str]]:
            """Who was left for whom, and why."""
            before = len(viewer.events("fallback_mode"))
            session = viewer.must("start_stream", TALK)["session_id"]
            assert viewer.wait_for_end(session) == "completed"
            assert viewer.events("agent_message")[-1][1]["model"] in ("llama (Ollama)", "first")
            return [(each["from"], each["to"], each["reason"]) for _, each in viewer.events("fallback_mode")[before:]]

        broken = [("openai", "anthropic", "model_broken"), ("anthropic", "ollama", "model_server_error")]
        assert talk() == broken
        assert len(viewer.events("message_reset")) == 2
        usage = viewer.events("conversation_status")[-1][1]["usage"]
        assert usage["cost_usd"] > 0  # both that broke off, and nothing for the last
        assert viewer.events("agent_message")[-1][1]["usage"]["cost_usd"] == 0
        assert talk() == broken
        assert talk() == [("openai", "ollama", "circuit_open")]
        models = running.get("/api/v1/health/ready")["checks"]["models"]
        assert {name: found["circuit"] for name, found in models.items()} == {
            "openai": "open", "anthropic": "open", "ollama": "closed",
        }  # fmt: skip
        assert all(found["ok"] for found in models.values())
