"""Code of a team that raises ``SystemExit`` or ``KeyboardInterrupt`` ends its own conversation at most."""

from __future__ import annotations

import pytest

from app.runner.wire import TeamSpec
from tests.conftest import TIMEOUT_SCALE
from tests.runner.harness import RunnerProcess, provider, start_run
from tests.support.model_server import ModelServer

WAIT_S = 60.0 * TIMEOUT_SCALE  # the first run imports its framework

QUITTERS = (
    ("agentchat", "leave"),
    ("agentchat", "interrupt"),
    ("agentchat_agent", ""),
    ("agentchat_factory", ""),
    ("classic", "leave"),
    ("classic", "interrupt"),
    ("ag2", "leave"),
    ("ag2", "leave_in_thread"),
    ("ag2", "interrupt"),
)


@pytest.mark.parametrize("generation", ["agentchat", "classic", "ag2"])
async def test_nobody_ends_the_process(runner: RunnerProcess, model: ModelServer, generation: str) -> None:
    """It took all conversations of the process along. A tool fails, an agent's conversation ends as `team_failed`."""
    for factory, tool in (each for each in QUITTERS if each[0].startswith(generation)):
        session, name = f"{factory} {tool}", f"scripted?tokens=3&token_delay_ms=0&calls={tool}"
        team = TeamSpec(name="mine", factory=f"tests.runner.quitters:{factory}")
        runner.say(start_run(provider(model.url, name), session=session, team=team))
        ended = await runner.ended(session, WAIT_S)
        failed = [each for each in runner.payloads("tool_result", session) if not each["success"]]
        assert failed or (ended.outcome, ended.code) == ("error", "team_failed"), (session, ended)
    quick = provider(model.url, "scripted?tokens=3&token_delay_ms=0")
    runner.say(start_run(quick, session="last", team="chat"))
    assert (await runner.ended("last", WAIT_S)).outcome == "completed"
