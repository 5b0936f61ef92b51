"""A model that fails: who answers instead, and what the room sees (FEATURES A5)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import TIMEOUT_SCALE
from tests.integration.conftest import MODES, TEXT
from tests.support.model_server import ModelServer
from tests.support.server import ColloquyServer
from tests.support.watcher import Watcher, check_chain, folded

DEMO = {"content": TEXT, "options": {"tokens_per_s": 0}}


@pytest.fixture(scope="module", params=MODES)
def fast_demo(request: pytest.FixtureRequest, model: ModelServer) -> Iterator[ColloquyServer]:
    """A server whose demos are quick."""
    env = {
        "ASYNC_MODE": request.param,
        "DEMO_TOKENS_PER_S": "2000",
        "STREAM_TOKENS_PER_S": "0",
        "FIRST_TOKEN_TIMEOUT_S": "6",
    }
    with ColloquyServer(model_url=model.url, env=env) as running:
        yield running


@pytest.fixture
def viewer(fast_demo: ColloquyServer) -> Iterator[Watcher]:
    """A client of that server."""
    with Watcher(fast_demo.url, timeout_s=30 * TIMEOUT_SCALE) as client:
        yield client


def check_demo(viewer: Watcher, code: str) -> dict[str, object]:
    """The conversation went on as a demo, and every event since says so."""
    ack = viewer.must("start_stream", DEMO)
    assert viewer.wait_for_end() == "completed"
    events = viewer.events()
    check_chain(events, ack["offset"])
    error = viewer.events("conversation_error")[0][1]
    assert (error["code"], error["fallback_mode"]) == (code, True)
    fallback = viewer.events("fallback_mode")[0][1]
    assert (fallback["mode"], fallback["reason"], fallback["offset"]) == (
        "demo",
        "backend_unavailable",
        error["offset"] + 1,
    )
    later = [payload for _, payload in events if payload.get("offset", 0) > fallback["offset"]]
    assert later
    assert all(payload["demo"] for payload in later)
    texts = folded(ack, events)
    agents = [each["agent"] for each in texts.values()]
    assert agents == ["user", "Financial Analyst", "Market Context", "Risk Challenger"]
    complete = viewer.events("conversation_complete")[0][1]
    assert complete["consensus"] is complete["summary"] is None
    assert complete["reason"]
    return error


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [
        ({"status": 401}, "model_unauthorized"),
        ({"status": 403}, "model_unauthorized"),
        ({"status": 404}, "model_not_found"),
        ({"status": 429, "retry_after_s": 20}, "model_rate_limited"),
        ({"status": 500}, "model_server_error"),
        ({"status": 503}, "model_server_error"),
        ({"die_after_tokens": 5, "death": "reset"}, "model_broken"),
        ({"die_after_tokens": 5, "death": "eof"}, "model_broken"),
        ({"die_after_tokens": 5, "death": "close"}, "model_broken"),
        ({"silent": True, "models_silent": True}, "model_stalled"),
        ({"silent_after_tokens": 5, "models_silent": True}, "model_stalled"),
    ],
)
def test_a_failing_model_is_left_for_the_demo(
    viewer: Watcher, model: ModelServer, behaviour: dict[str, object], code: str
) -> None:
    """Each kind of failure has its code; a text that was begun is withdrawn."""
    model.control(**behaviour)
    check_demo(viewer, code)
    resets = viewer.events("message_reset")
    assert len(resets) == (1 if "die_after_tokens" in behaviour or "silent_after_tokens" in behaviour else 0)


def test_a_refused_connection_is_left_for_the_demo(free_port: object) -> None:
    """Nobody listens at the model's address."""
    address = f"http://127.0.0.1:{free_port()}/v1"  # type: ignore[operator]
    env = {"DEMO_TOKENS_PER_S": "2000", "STREAM_TOKENS_PER_S": "0"}
    with (
        ColloquyServer(model_url=address, env=env) as running,
        Watcher(running.url, timeout_s=20 * TIMEOUT_SCALE) as viewer,
    ):
        check_demo(viewer, "model_unreachable")
        again = viewer.must("start_stream", DEMO)  # the next conversation asks the model anew
        assert not again["snapshot"]["demo"]


def test_a_slow_but_living_model_is_waited_for(viewer: Watcher, model: ModelServer) -> None:
    """It says nothing for longer than a probe takes, but it answers one."""
    model.control(first_token_delay_ms=3000)
    viewer.must("start_stream", {"content": TEXT, "team": "chat"})
    assert viewer.wait_for_end() == "completed"
    assert not viewer.events("fallback_mode", "conversation_error")
    assert viewer.events("progress")  # and the room heard that it still works


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [({"refusal": "context_overflow"}, "context_overflow"), ({"refusal": "content_policy"}, "content_refused")],
)
def test_a_request_that_the_model_rejects_is_no_fallback(
    viewer: Watcher, model: ModelServer, behaviour: dict[str, object], code: str
) -> None:
    """The conversation's own error: another model would not help."""
    model.control(**behaviour)
    viewer.must("start_stream", {"content": TEXT})
    assert viewer.wait_for_end() == "error"
    assert viewer.events("conversation_error")[0][1]["code"] == code
    assert viewer.events("conversation_status")[-1][1]["code"] == code
    assert not viewer.events("fallback_mode")


def test_a_short_retry_after_is_obeyed(viewer: Watcher, model: ModelServer) -> None:
    """A provider that asks for at most a second gets one retry."""
    model.control(status=429, retry_after_s=0.2, failures=1)
    viewer.must("start_stream", {"content": TEXT, "team": "chat"})
    assert viewer.wait_for_end() == "completed"
    assert not viewer.events("fallback_mode")


def test_the_next_provider_goes_on_in_mid_sentence(model: ModelServer) -> None:
    """Two providers: the first dies after the fifth word, the second says the whole turn."""
    model.control(model="first", die_after_tokens=5)
    env = {
        "AZURE_OPENAI_ENDPOINT": model.url.removesuffix("/v1"),
        "AZURE_OPENAI_DEPLOYMENT": "second",
        "AZURE_OPENAI_API_KEY": "not-a-key",
        "STREAM_TOKENS_PER_S": "0",
    }
    with (
        ColloquyServer(model_url=model.url, model="first", env=env) as running,
        Watcher(running.url, timeout_s=20 * TIMEOUT_SCALE) as viewer,
    ):
        ack = viewer.must("start_stream", {"content": TEXT})
        assert viewer.wait_for_end() == "completed"
        check_chain(viewer.events(), ack["offset"])
        fallback = viewer.events("fallback_mode")[0][1]
        assert (fallback["mode"], fallback["reason"]) == ("provider", "model_broken")
        assert len(viewer.events("message_reset")) == 1
        assert not viewer.events("conversation_error")
        assert len(folded(ack, viewer.events())) == 4
