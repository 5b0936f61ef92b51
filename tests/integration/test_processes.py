"""Processes that die: runners, and the server itself."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest

from tests.conftest import TIMEOUT_SCALE
from tests.integration.conftest import MODES, TEXT, shared_runner
from tests.support.model_server import ModelServer
from tests.support.processes import alive
from tests.support.server import ColloquyServer
from tests.support.watcher import Watcher, check_chain, folded


def test_a_killed_runner_is_replaced_and_the_turn_repeated(
    watcher: Watcher, server: ColloquyServer, model: ModelServer
) -> None:
    """The room hears of it, the broken text is withdrawn, and the debate ends as it should."""
    model.control(token_delay_ms=10)
    ack = watcher.must("start_stream", {"content": TEXT})
    watcher.wait_for_event("agent_step", agent="Market Context")
    watcher.wait_for_tokens(50)
    os.kill(shared_runner(server), signal.SIGKILL)
    error = watcher.wait_for_event("conversation_error")
    assert (error["code"], error["recovering"]) == ("runner_lost", True)
    assert watcher.wait_for_event("message_reset")["agent"] == "Market Context"
    assert watcher.wait_for_end() == "completed"
    check_chain(watcher.events(), ack["offset"])
    agents = [each["agent"] for each in folded(ack, watcher.events()).values()]
    assert agents == ["user", "Financial Analyst", "Market Context", "Risk Challenger"]


def test_a_session_whose_runners_keep_dying_ends_with_an_error(
    watcher: Watcher, server: ColloquyServer, model: ModelServer
) -> None:
    """No session stays active for ever."""
    model.control(first_token_delay_ms=60_000)
    watcher.must("start_stream", {"content": TEXT})
    killed: set[int] = set()
    deadline = time.monotonic() + 30 * TIMEOUT_SCALE
    while len(killed) < 3 and time.monotonic() < deadline:
        runners = server.get("/api/websocket/status")["runners"]
        for runner in runners:
            if runner["ready"] and runner["runs"] and runner["pid"] not in killed:
                killed.add(runner["pid"])
                os.kill(runner["pid"], signal.SIGKILL)
    assert watcher.wait_for_end() == "error"
    assert watcher.events("conversation_status")[-1][1]["code"] == "runner_lost"


def test_a_silent_session_times_out(model: ModelServer) -> None:
    """Nothing at all for the session's timeout: a typed error."""
    model.control(silent=True)
    with (
        ColloquyServer(model_url=model.url, env={"SESSION_TIMEOUT_S": "2"}) as running,
        Watcher(running.url, timeout_s=20 * TIMEOUT_SCALE) as watcher,
    ):
        watcher.must("start_stream", {"content": TEXT})
        assert watcher.wait_for_end() == "error"
        assert watcher.events("conversation_error")[-1][1]["code"] == "session_timeout"
        model.wait_for(lambda stats: stats["open"] == 0)


ENDINGS: dict[str, Callable[[ColloquyServer], None]] = {
    "ctrl-c": lambda server: server.interrupt(),
    "sigterm": lambda server: server.signal(signal.SIGTERM),
    "kill -9": lambda server: server.signal(signal.SIGKILL),
}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("mode", MODES)
def test_nothing_is_left_when_the_server_ends(model: ModelServer, ending: str, mode: str) -> None:
    """In mid-conversation, the bundled model running: no child process, no open model request."""
    model.control(token_delay_ms=20, tokens=1000)
    env = {"ASYNC_MODE": mode, "LOCAL_MODEL": "true", "FALLBACK_LOCAL": "true"}
    with ColloquyServer(model_url=model.url, env=env) as running:
        with Watcher(running.url, timeout_s=20 * TIMEOUT_SCALE) as watcher:
            watcher.must("start_stream", {"content": TEXT})
            watcher.wait_for_tokens(5)
            children = running.children()
            assert len(children) >= 2  # a runner and the bundled model
            ENDINGS[ending](running)
            if ending != "kill -9":
                status = watcher.wait_for_event("conversation_status", status="error")
                assert status["code"] == "interrupted"
        assert running.wait(3 * TIMEOUT_SCALE) is not None
        deadline = time.monotonic() + 3 * TIMEOUT_SCALE
        while alive(children) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not alive(children)
        model.wait_for(lambda stats: stats["open"] == 0, timeout_s=3 * TIMEOUT_SCALE)
