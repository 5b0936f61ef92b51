"""The runner as a process: its runs, their flow control, and its end."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from app.protocol.common import AgentCard
from app.protocol.events import LOGGED_BY_NAME
from app.runner.process import joined_deltas
from app.runner.wire import Limits, Probe, Reply, TeamSpec
from tests.conftest import TIMEOUT_SCALE
from tests.runner.harness import RunnerProcess, check_messages, provider, start_run
from tests.support.model_server import ModelServer
from tests.support.processes import ROOT
from tests.support.waiting import wait_until

SHORT = "scripted?tokens=6&token_delay_ms=1"
LONG = "scripted?tokens=2000&token_delay_ms=10&markers=1"
AGENTS = ["Financial Analyst", "Market Context", "Risk Challenger"]


def last_request(model: ModelServer, *, queues: bool = False) -> dict[str, Any]:
    found: dict[str, Any] = model.stats(messages=False, queues=queues)["requests"][-1]
    return found


def numbers(runner: RunnerProcess, session: str = "s1") -> list[int]:
    """The numbers of the marked deltas, in the order in which they came."""
    text = "".join(payload["delta"] for payload in runner.payloads("message_delta", session))
    return [int(number) for number in re.findall(r"@\d{13}#(\d+)", text)]


def test_what_one_read_brings_is_joined() -> None:
    """Neighbouring words of one message and one session; nothing overtakes anything of its own session."""

    def event(session: str, name: str, *, demo: bool = False, **payload: Any) -> dict[str, Any]:
        said = {"op": "event", "session": session, "name": name, "payload": payload}
        return {**said, "tokens": 1, "demo": demo}

    def word(session: str, message_id: str, text: str, *, demo: bool = False) -> dict[str, Any]:
        return event(session, "message_delta", demo=demo, message_id=message_id, agent="a", delta=text, tokens=1)

    joined = joined_deltas(
        [
            word("s1", "m", "a"),
            word("s2", "n", "x"),
            word("s1", "m", "b"),
            {"op": "reply", "seq": 1},
            event("s1", "agent_step"),
            word("s1", "m", "c"),
            word("s1", "o", "d"),
            word("s2", "n", "y"),
            word("s2", "n", "z", demo=True),
        ]
    )
    told = [(each.get("session"), each.get("payload", {}).get("delta"), each.get("tokens")) for each in joined]
    first = [("s1", "ab", 2), ("s2", "xy", 2), (None, None, None), ("s1", None, 1)]
    assert told == [*first, ("s1", "c", 1), ("s1", "d", 1), ("s2", "z", 1)]
    assert joined[0]["payload"]["tokens"] == 2


async def test_a_debate_runs_to_its_conclusion(model: ModelServer, runner: RunnerProcess) -> None:
    """Three agents in their order, all deltas in their messages, progress, conclusion, usage."""
    runner.say(start_run(provider(model.url, SHORT)))
    ended = await runner.ended()
    assert ended.outcome == "completed"
    names = [event.name for event in runner.events() if event.name != "message_delta"]
    turn = ["agent_step", "message_start", "agent_message", "progress"]
    assert names == ["conversation_status", *turn * 3, "progress", "conversation_complete"]
    assert [payload["agent"] for payload in runner.payloads("agent_message")] == AGENTS
    assert [payload["turn"] for payload in runner.payloads("agent_step")] == [1, 2, 3]
    assert [payload["percentage"] for payload in runner.payloads("progress")] == [33.33, 66.67, 100.0, 100.0]
    check_messages(runner)
    assert sum(payload["tokens"] for payload in runner.payloads("message_delta")) == 18
    complete = runner.payloads("conversation_complete")[0]
    assert complete["consensus"]
    assert complete["summary"]
    assert complete["usage"] == ended.usage.model_dump()
    assert not ended.usage.estimated
    for event in runner.events():
        LOGGED_BY_NAME[event.name].model_validate(event.payload)
        assert not event.demo


async def test_more_turns_go_round_again(model: ModelServer, runner: RunnerProcess) -> None:
    """options.max_turns makes more rounds of the same agents."""
    runner.say(start_run(provider(model.url, SHORT), options={"max_turns": 5}))
    await runner.ended()
    assert [payload["agent"] for payload in runner.payloads("agent_message")] == [*AGENTS, *AGENTS[:2]]


@pytest.mark.parametrize("options", [{}, {"stream": False}])
async def test_replies_that_come_whole_are_shown_word_by_word(
    options: dict[str, Any], model: ModelServer, runner: RunnerProcess
) -> None:
    """With stream=false, and with a server that answers whole although a stream was asked for."""
    model.control(stream=False)
    runner.say(start_run(provider(model.url, SHORT, **options), team="chat", limits=Limits(word_delay_ms=5)))
    await runner.ended()
    check_messages(runner)
    deltas = runner.payloads("message_delta")
    assert sum(delta["tokens"] for delta in deltas) == 6
    assert 1 < len(deltas) <= 6  # a busy process joins words
    message = runner.payloads("agent_message")[0]
    assert message["usage"]["completion_tokens"] == 6


async def test_credit_bounds_what_is_sent(model: ModelServer, runner: RunnerProcess) -> None:
    """Without a grant no more than the allowed tokens come; each grant lets more through, none is lost."""
    runner.say(start_run(provider(model.url, "scripted?tokens=60&token_delay_ms=0&markers=1"), team="chat", allowed=20))
    await runner.until(lambda: sum(event.tokens for event in runner.events()) >= 20)
    pause = await runner.control("pause")  # a round trip: whatever the runner had to say was said
    assert pause.ok
    assert sum(event.tokens for event in runner.events()) == 20
    await runner.control("resume")
    for allowed in (40, 60, 200):
        runner.grant(allowed)
    await runner.ended()
    assert numbers(runner) == list(range(60))


async def test_stop_closes_the_request_before_the_reply(model: ModelServer, runner: RunnerProcess) -> None:
    """In mid-stream: the model's side sees the end within 250 ms, and the reply tells an estimate of what was spent."""
    runner.say(start_run(provider(model.url, LONG)))
    await runner.until(lambda: len(runner.events("message_delta")) > 10)
    clicked = time.monotonic()
    reply = await runner.control("stop")
    request = model.wait_for(lambda stats: stats["open"] == 0)["requests"][-1]
    assert request["ended"] == "client_closed"
    assert request["ended_s"] - clicked < 0.25 * TIMEOUT_SCALE
    usage = reply.result["usage"]
    assert usage["estimated"]
    assert usage["completion_tokens"] >= len(numbers(runner)) > 10
    ended = await runner.ended()
    assert ended.outcome == "stopped"
    assert ended.usage.model_dump() == usage
    heard = len(runner.heard)
    assert (await runner.control("stop")).result == {"error": "session_unknown"}
    assert [message for message in runner.heard[heard:] if not isinstance(message, Reply)] == []


async def test_stop_before_the_first_token(model: ModelServer, runner: RunnerProcess) -> None:
    """A request that still waits for its response head is closed as well."""
    runner.say(start_run(provider(model.url, "silent")))
    model.wait_for(lambda stats: stats["open"] == 1)
    clicked = time.monotonic()
    await runner.control("stop")
    request = model.wait_for(lambda stats: stats["open"] == 0)["requests"][-1]
    assert request["ended_s"] - clicked < 0.25 * TIMEOUT_SCALE
    assert (await runner.ended()).outcome == "stopped"


async def test_stop_under_a_load_of_other_runs(model: ModelServer, runner: RunnerProcess) -> None:
    """Other conversations at full speed do not hold up a stop; each can be stopped in its turn."""
    sessions = [f"s{number}" for number in range(12)]
    for session in sessions:
        runner.say(start_run(provider(model.url, LONG), session=session, team="chat"))
    await runner.until(lambda: all(runner.events("message_delta", session=session) for session in sessions))
    await runner.control("stop", sessions[0])
    await asyncio.gather(*(runner.control("stop", session) for session in sessions[1:]))
    assert model.wait_for(lambda stats: stats["open"] == 0)["total"] >= len(sessions)


async def test_pause_takes_nothing_more_from_the_model(model: ModelServer, runner: RunnerProcess) -> None:
    """A reply larger than all kernel buffers: after the ack nothing is taken at the model's side; resume loses none."""
    runner.say(start_run(provider(model.url, "flood?tokens=3000"), team="chat", allowed=1_000_000))
    await runner.until(lambda: len(numbers(runner)) > 50)
    assert (await runner.control("pause")).ok
    before = model.settled_bytes()
    seen = len(runner.heard)
    await asyncio.sleep(0.4)  # a silence is what is to be seen
    assert model.settled_bytes() == before
    assert last_request(model)["ended"] == "open"
    assert [message for message in runner.heard[seen:] if not isinstance(message, Reply)] == []
    assert (await runner.control("resume")).ok
    await runner.ended(wait_s=60 * TIMEOUT_SCALE)
    assert numbers(runner) == list(range(3000))
    check_messages(runner)


async def test_pause_before_anything_else(model: ModelServer, runner: RunnerProcess) -> None:
    """A run that is paused at once asks no model before it is resumed."""
    total = model.stats()["total"]
    runner.say(start_run(provider(model.url, SHORT), team="chat"))
    assert (await runner.control("pause")).ok
    assert runner.events() == []
    assert model.stats()["total"] == total
    await runner.control("resume")
    assert (await runner.ended()).outcome == "completed"


async def test_stop_while_paused(model: ModelServer, runner: RunnerProcess) -> None:
    """A paused run can be stopped; its request is closed."""
    runner.say(start_run(provider(model.url, LONG)))
    await runner.until(lambda: runner.events("message_delta"))
    await runner.control("pause")
    await runner.control("stop")
    model.wait_for(lambda stats: stats["open"] == 0)
    assert (await runner.ended()).outcome == "stopped"


async def test_a_link_that_nobody_reads_stops_the_model(model: ModelServer) -> None:
    """A web process that does not read makes the runner stop reading from the model, and loses nothing."""
    async with RunnerProcess(read=False) as runner:
        runner.writer.transport.pause_reading()  # type: ignore[attr-defined]
        runner.say(start_run(provider(model.url, "flood?tokens=3000"), team="chat", allowed=1_000_000))
        taken = -1
        while (now := last_taken(model)) != taken or now == 0:
            taken = now
            await asyncio.sleep(0.3)
        assert taken < 3000 * 4000
        assert last_request(model)["ended"] == "open"
        runner.writer.transport.resume_reading()  # type: ignore[attr-defined]
        listener = asyncio.create_task(runner._listen())
        await runner.ended(wait_s=60 * TIMEOUT_SCALE)
        listener.cancel()
        assert numbers(runner) == list(range(3000))


def last_taken(model: ModelServer) -> int:
    requests = model.stats(messages=False, queues=True)["requests"]
    return int(requests[-1].get("bytes_taken", 0)) if requests and requests[-1]["model"].startswith("flood") else 0


async def test_another_process_goes_on_from_the_checkpoint(model: ModelServer) -> None:
    """The runner dies in the second turn; a new one does turns two and three, and knows what was said."""
    order = start_run(provider(model.url, "scripted?tokens=30&token_delay_ms=10"))
    async with RunnerProcess() as first:
        first.say(order)
        await first.until(lambda: [p for p in first.payloads("message_delta") if p["agent"] == AGENTS[1]])
        os.kill(first.process.pid, signal.SIGKILL)
        await first.eof.wait()
        checkpoint = first.checkpoints()[-1].state
    since = model.stats()["total"]
    async with RunnerProcess() as second:
        second.say(order.model_copy(update={"checkpoint": checkpoint, "resumed": True}))
        assert (await second.ended()).outcome == "completed"
        assert [payload["turn"] for payload in second.payloads("agent_step")] == [2, 3]
        assert [payload["agent"] for payload in second.payloads("agent_message")] == AGENTS[1:]
        asked = str(model.stats(since=since)["requests"][0]["messages"])
        assert order.content in asked
        assert "word30" in asked


async def test_a_state_that_is_too_large_is_not_kept(model: ModelServer, runner: RunnerProcess) -> None:
    """An empty one comes in its place: whoever resumes begins with the messages."""
    limits = Limits(max_checkpoint_bytes=100)
    runner.say(start_run(provider(model.url, SHORT)).model_copy(update={"limits": limits}))
    assert (await runner.ended()).outcome == "completed"
    assert [checkpoint.state for checkpoint in runner.checkpoints()][1:] == [{}] * len(AGENTS)


async def test_the_next_user_turn_knows_the_history(model: ModelServer, runner: RunnerProcess) -> None:
    """A checkpoint with new content is another user turn: the first agent begins, with all that was said before."""
    runner.say(start_run(provider(model.url, SHORT), content="My first question."))
    await runner.ended()
    since = model.stats()["total"]
    state = runner.checkpoints()[-1].state
    runner.say(start_run(provider(model.url, SHORT), session="s2", content="My second question.", checkpoint=state))
    await runner.ended("s2")
    assert [payload["turn"] for payload in runner.payloads("agent_step", "s2")] == [1, 2, 3]
    assert [payload["agent"] for payload in runner.payloads("agent_message", "s2")] == AGENTS
    asked = str(model.stats(since=since)["requests"][0]["messages"])
    assert "My first question." in asked
    assert "My second question." in asked


async def test_a_team_that_cannot_be_built(runner: RunnerProcess, model: ModelServer) -> None:
    """A typed error in the room and at the end of the run."""
    team = TeamSpec(name="mine", factory="no.such.module:team", agents=(AgentCard(name="A"),))
    runner.say(start_run(provider(model.url), team=team))
    ended = await runner.ended()
    assert (ended.outcome, ended.code) == ("error", "team_failed")
    assert runner.payloads("conversation_error")[0]["code"] == "team_failed"


async def test_unknown_sessions_and_nonsense(runner: RunnerProcess) -> None:
    """Neither harms the process."""
    runner.writer.write(b"nonsense\n{}\n\n")
    reply = await runner.control("pause", "nobody")
    assert not reply.ok


async def test_a_probe_tells_of_each_provider(model: ModelServer, runner: RunnerProcess) -> None:
    """Who answers, who does not, and with which code."""
    runner.say(
        Probe(seq=77, providers=(provider(model.url), provider("http://127.0.0.1:9/v1", name="gone")), timeout_s=2)
    )
    [reply] = await runner.until(lambda: [m for m in runner.heard if isinstance(m, Reply) and m.seq == 77])
    assert reply.result["providers"]["openai"]["ok"] is True
    assert reply.result["providers"]["gone"]["code"] == "model_unreachable"


async def test_sigterm_ends_it(model: ModelServer, runner: RunnerProcess) -> None:
    """With an open request, which is closed."""
    runner.say(start_run(provider(model.url, LONG)))
    await runner.until(lambda: runner.events("message_delta"))
    runner.process.send_signal(signal.SIGINT)  # ignored: Ctrl-C is the web process's affair
    runner.process.terminate()
    assert await runner.process.wait() == 0
    model.wait_for(lambda stats: stats["open"] == 0)


BLOCKING = """
import os, subprocess, sys, time
def team(client):
    open(os.environ["MARK"], "w").write(str(subprocess.Popen(["sleep", "60"]).pid))
    while True: time.sleep(1)
"""
PARENT = """
import os, socket, subprocess, sys, time
from app.runner.wire import StartRun, TeamSpec
ours, theirs = socket.socketpair()
child = subprocess.Popen([sys.executable, "-m", "app.runner", str(theirs.fileno())], pass_fds=[theirs.fileno()],
                         stdin=subprocess.DEVNULL, start_new_session=True)
theirs.close()
ours.recv(1000)
start = StartRun(session="s", conversation="c", team=TeamSpec(name="b", factory="blocking:team"), content="x",
                 content_type="text", providers=[dict(name="o", kind="openai", model="m", base_url="http://127.0.0.1:1")])
ours.sendall(start.model_dump_json().encode() + b"\\n")
print(child.pid, flush=True)
time.sleep(60)
"""


def test_kill_9_of_the_parent_leaves_nothing(tmp_path: Path) -> None:
    """Not even with the loop blocked by a user's code, nor the children of that code."""
    (tmp_path / "blocking.py").write_text(BLOCKING)
    mark = tmp_path / "mark"
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}", "MARK": str(mark)}
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout is not None
        runner_pid = int(parent.stdout.readline())
        wait_until(mark.exists)
        wait_until(lambda: bool(mark.read_text()))
        grandchild = int(mark.read_text())
        parent.kill()
    wait_until(lambda: not (lives(runner_pid) or lives(grandchild)), within_s=3.0)


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_where_memory_runs_out_the_agents_process_ends_first() -> None:
    """Not the server, and not the database: a tool that eats memory harms its own conversations."""
    async with RunnerProcess() as runner:
        file = Path(f"/proc/{runner.process.pid}/oom_score_adj")
        score = await asyncio.to_thread(file.read_text, encoding="ascii")
    assert int(score) == 500
