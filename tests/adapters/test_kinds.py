"""Every kind of AgentChat team: what is told of it while it works, and where it goes on."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from typing import Any

import openai
import pytest

from app.protocol.commands import RunOptions
from app.protocol.events import LOGGED_BY_NAME
from app.providers.network import Network
from app.runner.wire import BEGINS_AGAIN, TranscriptMessage
from tests.adapters.own_teams import WAITED
from tests.adapters.room import Room, a_run, play
from tests.conftest import TIMEOUT_SCALE
from tests.support.model_server import ModelServer

STOP_S = 0.25 * TIMEOUT_SCALE


def ledger(speaker: str = "lookup", *, satisfied: bool = False, reason: str = "Nothing was looked up.") -> str:
    """A progress ledger, as a model writes it."""
    return json.dumps(
        {
            "is_request_satisfied": {"reason": reason, "answer": satisfied},
            "is_in_loop": {"reason": "It has only begun.", "answer": False},
            "is_progress_being_made": {"reason": "It is new.", "answer": True},
            "next_speaker": {"reason": "It has the tools.", "answer": speaker},
            "instruction_or_question": {"reason": "It is asked.", "answer": "Look up the price of ACME."},
        }
    )


def orchestrated(**agent: Any) -> str:
    """The script of one round of MagenticOne: facts, plan, ledger, an agent with a tool, ledger, final answer."""
    rules = [
        {"when": "please answer the following pre-survey", "text": "GIVEN: a question. "},
        {"when": "devise a short bullet-point plan", "text": "- Ask lookup. "},
        {"when": "Recall we are working", "seen": "It costs 1.", "json": ledger(satisfied=True, reason="It is known.")},
        {"when": "Recall we are working", "json": ledger()},
        {"when": "provide the final answer", "text": "# ACME\n\nIt is **1**. "},
        {"when": "", "text": "It costs 1.", "calls": "quote", **agent},
    ]
    return json.dumps(rules)


async def test_the_orchestrator_is_seen_at_work(network: Network, model: ModelServer) -> None:
    """Facts and plan are messages while they come, the ledger is readable, progress counts turns, tools are told."""
    model.control(rules=orchestrated(), token_delay_ms=1)
    room = await play(network, model, "magentic")
    assert room.ended.outcome == "completed"
    assert room.said("facts") == [("MagenticOneOrchestrator", "GIVEN: a question. ")]
    assert room.said("plan") == [("MagenticOneOrchestrator", "- Ask lookup. ")]
    first, last = (text for _, text in room.said("ledger"))
    assert first.splitlines()[0] == "- **Is the request satisfied?** Nothing was looked up. **No.**"
    assert first.splitlines()[-1] == "- **Who is next?** It has the tools. → lookup"
    assert "**Yes.**" in last.splitlines()[0]
    assert room.said() == [
        ("MagenticOneOrchestrator", "Look up the price of ACME."),
        ("lookup", "It costs 1."),
        ("MagenticOneOrchestrator", "# ACME\n\nIt is **1**. "),
    ]
    (outcome,) = room.payloads("conversation_complete")
    assert (outcome["summary"], outcome["reason"]) == ("# ACME\n\nIt is **1**. ", None)
    turns = [each for each in room.payloads("progress") if each["message"] is None]
    assert [(each["current_turn"], each["max_turns"], each["percentage"]) for each in turns] == [(1, 15, 6.67)]
    doing = [each["message"] for each in room.payloads("progress") if each["message"]]
    assert doing[:3] == ["Gathering the facts", "Making a plan", "Looking at the progress"]
    assert room.names("tool_call", "tool_result") == ["tool_call", "tool_result"]
    assert [step["agent"] for step in room.payloads("agent_step")] == [
        "MagenticOneOrchestrator",
        "lookup",
        "MagenticOneOrchestrator",
    ]
    told = [each["current_turn"] for each in room.payloads("progress") if each["message"] != "Gathering the facts"]
    assert told == sorted(told)
    order = room.names("agent_step", "progress", "tool_result")
    assert order[order.index("tool_result") :].index("progress") < order[order.index("tool_result") :].index(
        "agent_step"
    )


async def test_a_ledger_does_not_stall_the_runner(
    network: Network, model: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a reply of a class was wanted, openai's parsing client was imported in the middle of a run: for a second or
    more no other conversation of the runner moved, and none could be stopped.
    """

    def imported(client: openai.AsyncOpenAI) -> None:
        raise AssertionError("the parsing client is used")

    monkeypatch.setattr(openai.AsyncOpenAI, "beta", property(imported))
    model.control(rules=orchestrated(), token_delay_ms=0)
    room = await play(network, model, "magentic")
    assert room.ended.outcome == "completed"
    asked = [request["body"].get("response_format", {}) for request in model.stats()["requests"][-6:]]
    assert [each["json_schema"]["name"] for each in asked if each] == ["LedgerEntry"] * 2


async def test_an_orchestrator_runs_out_of_turns(network: Network, model: ModelServer) -> None:
    """It answers with what it has, and says why it has ended; no turn is told beyond the last one."""
    rules = [rule for rule in json.loads(orchestrated()) if "seen" not in rule]
    model.control(rules=json.dumps(rules), token_delay_ms=0)
    room = await play(network, model, "magentic", options=RunOptions(max_turns=1))
    (outcome,) = room.payloads("conversation_complete")
    assert (outcome["summary"], outcome["reason"]) == ("# ACME\n\nIt is **1**. ", "Max rounds reached.")
    assert max(each["current_turn"] for each in room.payloads("progress")) == 1
    assert {each["turn"] for each in room.payloads("agent_step")} == {1}


async def test_plans_come_token_by_token(network: Network, model: ModelServer) -> None:
    """A plan is read while it is written, and a stop closes its request at once: it is kept as far as it has come."""
    model.control(token_delay_ms=20, tokens=200)
    async with a_run(network, model, "magentic", model_name="scripted") as room:
        await room.until(lambda: any("word5 " in text for text in room.texts.values()))
        assert room.payloads("message_start")[0]["kind"] == "facts"
        began = time.monotonic()
        await room.stop()
        assert time.monotonic() - began < STOP_S
        assert model.stats()["open"] == 0


@pytest.mark.parametrize("asked", ["pre-survey", "bullet-point plan", "Recall we are working"])
async def test_a_stop_before_the_first_token_of_each_phase(asked: str, network: Network, model: ModelServer) -> None:
    """Facts, plan or ledger: the request is closed under 250 ms, though nothing of it has come yet."""
    silent = {"when": asked, "first_token_delay_ms": 60_000, "structured_delay_ms": 60_000}
    model.control(rules=json.dumps([silent, *json.loads(orchestrated())]), token_delay_ms=0)
    async with a_run(network, model, "magentic") as room:
        before = {"pre-survey": 1, "bullet-point plan": 2, "Recall we are working": 3}[asked]
        await room.until(lambda: model.stats(messages=False)["total"] >= before)
        began = time.monotonic()
        await room.stop()
        assert time.monotonic() - began < STOP_S
        model.wait_for(lambda stats: stats["open"] == 0)


async def test_an_orchestrator_begins_again_with_what_was_said(network: Network, model: ModelServer) -> None:
    """It cannot be put back where it was: it gets all that was said as its task, and the room is told."""
    since = model.stats()["total"]
    model.control(rules=orchestrated(), token_delay_ms=0)
    said = (
        TranscriptMessage(agent="user", role="user", content="A question."),
        TranscriptMessage(agent="lookup", role="agent", content="It costs 2."),
        TranscriptMessage(agent="system", role="system", content="It has begun again before."),
    )
    room = await play(network, model, "magentic", transcript=said, resumed=True)
    assert room.ended.outcome == "completed"
    note = room.payloads("agent_message")[0]
    assert (note["role"], "begins again" in note["content"]) == ("system", True)
    assert room.checkpoints == [BEGINS_AGAIN]  # with which it does so by itself, too
    first = model.stats(since=since)["requests"][0]["messages"][-1]["content"]
    assert "user: A question.\n\nlookup: It costs 2." in first
    assert "begun again" not in first


async def test_tools_are_told(network: Network, model: ModelServer) -> None:
    """Parallel calls, each with its answer: a failed one says so, a long one has a preview and is kept whole."""
    model.control(calls="quote,broken,encyclopedia", call_arguments="{}", text="Well. ")
    room = await play(network, model, "toolbox", model_name="scripted")
    calls, answers = room.payloads("tool_call"), room.payloads("tool_result")
    assert [(each["agent"], each["tool"], each["arguments"]) for each in calls] == [
        ("helper", name, "{}") for name in ("quote", "broken", "encyclopedia")
    ]
    assert [each["call_id"] for each in answers] == [each["call_id"] for each in calls]
    assert [each["success"] for each in answers] == [True, False, True]
    assert (answers[0]["preview"], answers[0]["length"], answers[0]["artifact_id"]) == ("ACME costs 1", 12, None)
    assert "the tool is broken" in answers[1]["preview"]
    assert (len(answers[2]["preview"]), answers[2]["length"]) == (1_000, 7_000)
    kept = room.artifacts[answers[2]["artifact_id"]]
    assert (kept.media_type, base64.b64decode(kept.data)) == ("text/plain; charset=utf-8", b"wisdom " * 1000)
    assert room.said() == [("helper", "Well. ")]


async def test_a_stop_ends_a_tool(network: Network, model: ModelServer) -> None:
    """A tool that waits is cancelled with its run."""
    model.control(calls="wait")
    async with a_run(network, model, "waiting", model_name="scripted") as room:
        await room.until(lambda: room.payloads("tool_call"))
        began = time.monotonic()
        await room.stop()
        assert time.monotonic() - began < STOP_S
        assert WAITED == ["cancelled"]
    assert not room.payloads("tool_result")


async def test_words_beside_a_call_are_a_message(network: Network, model: ModelServer) -> None:
    """They stand before the call; what the agent says of its answers is a message of its own."""
    model.control(calls="quote", beside="Let me look. ", text="It is one. ", token_delay_ms=1)
    room = await play(network, model, "toolbox", model_name="scripted")
    assert room.said() == [("helper", "Let me look. "), ("helper", "It is one. ")]
    assert room.names("agent_message", "tool_call", "tool_result") == [
        "agent_message",
        "tool_call",
        "tool_result",
        "agent_message",
    ]
    assert not room.payloads("message_reset")
    assert [each["current_turn"] for each in room.payloads("progress")] == [1]


async def test_calls_of_the_same_id_are_told_apart(network: Network, model: ModelServer) -> None:
    """Some models number their calls from 0 in each reply: two turns of the same call are two calls."""
    model.control(calls="quote", text="Well. ", token_delay_ms=0)
    transcript = (TranscriptMessage(agent="user", role="user", content="Before."),)
    room = await play(network, model, "talking_toolbox", model_name="scripted", transcript=transcript)
    calls = room.payloads("tool_call")
    assert len(calls) == 2
    assert len({each["call_id"] for each in calls}) == 2
    assert [each["call_id"] for each in room.payloads("tool_result")] == [each["call_id"] for each in calls]


async def test_thoughts_are_a_kind_of_message(network: Network, model: ModelServer) -> None:
    """What a reasoning model thinks is streamed before its answer, and is not part of it."""
    model.control(thought="Let me see: one and one. ", text="It is two. ", token_delay_ms=1)
    room = await play(network, model, "talking", model_name="scripted")
    assert room.said("thought") == [(agent, "Let me see: one and one. ") for agent in ("a", "b", "a", "b")]
    assert room.said() == [(agent, "It is two. ") for agent in ("a", "b", "a", "b")]
    assert room.names("message_start", "agent_message")[:4] == ["message_start", "agent_message"] * 2


async def test_a_selection_is_progress(network: Network, model: ModelServer) -> None:
    """While the model is asked who speaks next, the room hears that; a stop closes that request, too."""
    choosing = "Read the above conversation. Then select the next role"
    model.control(rules=json.dumps([{"when": choosing, "text": "b"}]), token_delay_ms=1, tokens=5)
    room = await play(network, model, "selected", model_name="scripted")
    assert [agent for agent, _ in room.said()] == ["b", "b"] or [agent for agent, _ in room.said()] == ["b", "a"]
    assert "Choosing who speaks next" in [each["message"] for each in room.payloads("progress")]

    model.control(rules=json.dumps([{"when": choosing, "first_token_delay_ms": 60_000}]))
    async with a_run(network, model, "selected", model_name="scripted") as room:
        await room.until(lambda: model.stats(messages=False)["open"] == 1)
        began = time.monotonic()
        await room.stop()
        assert time.monotonic() - began < STOP_S
        model.wait_for(lambda stats: stats["open"] == 0)


async def test_nested_teams(network: Network, model: ModelServer) -> None:
    """Everybody is heard under their own name; a turn of the whole team is one turn, however many have spoken in it."""
    for factory, said in (("society", ["left", "right", "mind", "plain"]), ("nested", ["left", "right", "plain"])):
        room = await play(network, model, factory)
        assert [agent for agent, _ in room.said()] == said
        assert [each["current_turn"] for each in room.payloads("progress")] == [1, 2]
        assert [state["turns"] for state in room.checkpoints] == [0, 1, 2]


async def test_namesakes_that_speak_at_once(network: Network, model: ModelServer) -> None:
    """Agents of the same name in two teams at the same time: each message has its own text, whole."""
    model.control(markers=True, tokens=30, token_delay_ms=1)
    room = await play(network, model, "two_societies", model_name="scripted")
    said = room.said()
    assert sorted(agent for agent, _ in said) == ["a", "a", "b", "b", "first", "last", "left", "right"]
    assert all(text.count("@") == 30 for _, text in said)
    assert not room.payloads("message_reset")
    assert [agent for agent, _ in said][-1] == "last"


@pytest.mark.parametrize("name", ["scripted", "no-stream"])
async def test_agents_as_tools(name: str, network: Network, model: ModelServer) -> None:
    """What agents say within a tool is heard as well, with what it has cost; it is no turn of the team."""
    rules = [{"when": "A question.", "calls": "expert,duo", "call_arguments": '{"task": "Think."}'}]
    model.control(rules=json.dumps(rules), tokens=5, token_delay_ms=1)
    room = await play(network, model, "agents_as_tools", model_name=name)
    assert sorted(agent for agent, _ in room.said()) == ["boss", "expert", "x", "y"]
    assert [message["usage"]["completion_tokens"] for message in room.payloads("agent_message")] == [5] * 4
    assert [each["success"] for each in room.payloads("tool_result")] == [True, True]
    assert [each["current_turn"] for each in room.payloads("progress")] == [1]


async def test_code_is_a_tool(network: Network, model: ModelServer) -> None:
    """The model's code is a message, its run a tool call with its output, its verdict the agent's turn."""
    code = "Look:\n```python\nprint(1)\n```\n"
    rules = [{"when": "A question.", "text": code}, {"when": "", "text": "It prints one. "}]
    model.control(rules=json.dumps(rules), token_delay_ms=1)
    room = await play(network, model, "coder", model_name="scripted")
    assert [text.split()[0] for _, text in room.said()] == ["Look:", "It"]
    assert [(each["tool"], each["success"], each["preview"]) for each in room.payloads("tool_result")] == [
        ("code_executor", True, "print(1)\n")
    ]


async def test_pictures_are_shown(network: Network, model: ModelServer) -> None:
    """A picture in a message is a chart beside it; one that is too large is not there without a word."""
    room = await play(network, model, "painting")
    assert room.said()[0] == ("painter", "Look:\n<image>\nNice?")
    (chart,) = room.payloads("chart_generated")
    assert (chart["agent"], chart["title"]) == ("painter", "Picture")
    kept = room.artifacts[chart["chart_id"]]
    assert kept.media_type == "image/png"
    assert base64.b64decode(kept.data).startswith(b"\x89PNG")
    order = room.names("agent_step", "chart_generated", "agent_message")
    assert order[:3] == ["agent_step", "chart_generated", "agent_message"]

    room = await play(network, model, "painting", limits={"max_artifact_bytes": 10})
    assert not room.payloads("chart_generated")
    assert "cannot be shown" in str(room.payloads("progress")[0]["message"])
    assert room.ended.outcome == "completed"


async def test_a_memory_is_told(network: Network, model: ModelServer) -> None:
    """That an agent remembers is progress, not a message."""
    room = await play(network, model, "remembering")
    assert room.payloads("progress")[0]["message"] == "elder remembers: 1"
    assert [agent for agent, _ in room.said()] == ["elder"]


async def test_an_orchestrator_with_a_model_of_its_own(network: Network, model: ModelServer) -> None:
    """What it asks its own model is not ours to see: its plan comes as a whole, and its answer is the result."""
    room = await play(network, model, "own_orchestrator")
    assert room.ended.outcome == "completed"
    assert "facts" in room.said("plan")[0][1]
    assert room.said()[1:] == [("own", "I speak."), ("MagenticOneOrchestrator", "The answer.")]
    assert room.payloads("conversation_complete")[0]["summary"] == "The answer."


HANDOFFS = [
    {"when": "A question.", "calls": "transfer_to_second"},
    {"when": "Transferred to second", "text": "What do you mean? ", "calls": "transfer_to_user"},
    {"when": "I mean it.", "text": "GOODBYE"},
]


async def test_a_swarm_hands_over_to_the_user_and_takes_the_answer(network: Network, model: ModelServer) -> None:
    """The run ends when the user has the word; the next message goes to who had asked."""
    model.control(rules=json.dumps(HANDOFFS), token_delay_ms=0)
    room = await play(network, model, "swarm", model_name="scripted")
    assert [agent for agent, _ in room.said()] == ["first", "second"]
    assert [each["tool"] for each in room.payloads("tool_call")] == ["transfer_to_second", "transfer_to_user"]
    assert "user" in room.payloads("conversation_complete")[0]["reason"]

    room = await play(network, model, "swarm", model_name="scripted", content="I mean it.",
                      checkpoint=room.checkpoints[-1])  # fmt: skip
    assert room.said() == [("second", "GOODBYE")]
    assert room.ended.outcome == "completed"


async def test_a_person_is_asked_in_the_room(network: Network, model: ModelServer) -> None:
    """The question comes after what was said before it, and the answer goes back to the team."""
    since = model.stats()["total"]
    async with a_run(network, model, "asking") as room:
        await room.until(lambda: room.payloads("input_request"))
        assert room.names("agent_message", "input_request") == ["agent_message", "input_request"]
        room.answer(content="Forty-two.")
        await room.over()
    assert [agent for agent, _ in room.said()] == ["agent", "person", "agent"]
    assert room.said()[1] == ("person", "Forty-two.")
    assert "Forty-two." in str(model.stats(since=since)["requests"][1]["messages"])


async def test_nobody_answers(network: Network, model: ModelServer) -> None:
    """The team hears that, and goes on; also where it was made for a terminal, and asks before anybody has spoken."""
    for factory in ("asking", "asking_by_input"):
        async with a_run(network, model, factory) as room:
            await room.until(lambda room=room: room.payloads("input_request"))
            assert room.payloads("conversation_status")[0]["status"] == "active"
            room.answer("timeout")
            await room.over()
        assert ("person", "No answer: nobody has answered in time. Go on without it.") in room.said()
        assert room.ended.outcome == "completed"


async def test_a_stop_while_a_person_is_asked(network: Network, model: ModelServer) -> None:
    """It ends the question, too."""
    async with a_run(network, model, "asking") as room:
        await room.until(lambda: room.payloads("input_request"))
        began = time.monotonic()
        await room.stop()
        assert time.monotonic() - began < STOP_S


KINDS: dict[str, dict[str, Any]] = {
    "talking": {},
    "terminated": {},
    "selected": {"rules": json.dumps([{"when": "select the next role", "text": "a"}])},
    "parallel": {},
    "looping": {
        "rules": json.dumps([
            {"when": "draft 2", "text": "DONE, and well "},
            {"when": "draft 1", "text": "AGAIN, please "},
            {"when": "AGAIN", "text": "this is draft 2 "},
            {"when": "A question.", "text": "this is draft 1 "},
        ])
    },
    "society": {},
    "nested": {},
    "swarm": {"rules": json.dumps([*HANDOFFS[:1], {"when": "Transferred", "text": "GOODBYE now "}])},
}  # fmt: skip


@pytest.mark.parametrize("factory", KINDS)
async def test_another_process_goes_on(factory: str, network: Network, model: ModelServer) -> None:
    """From the checkpoint after any turn the team goes on to the same end, saying what is missing and nothing twice."""
    model.control(**{"tokens": 5, "token_delay_ms": 0, **KINDS[factory]})
    whole = await play(network, model, factory, model_name="scripted")
    assert whole.ended.outcome == "completed"
    said = whole.said()
    after = [count_before(whole, number) for number in range(len(whole.checkpoints))]
    for state, spoken in zip(whole.checkpoints, after, strict=True):
        rest = await play(
            network, model, factory, model_name="scripted", resumed=True, checkpoint=json.loads(json.dumps(state))
        )
        assert rest.ended.outcome == "completed"
        assert rest.said() == said[spoken:]
        assert (
            rest.payloads("conversation_complete")[0]["reason"]
            == (whole.payloads("conversation_complete")[0]["reason"])
        )


async def test_a_second_question_is_gone_on_from_in_its_first_turn(network: Network, model: ModelServer) -> None:
    """What the team knew before it is still known; and where it was stopped there, the next question finds both."""
    model.control(tokens=3, token_delay_ms=0)
    first = await play(network, model, "talking", model_name="scripted")
    second = await play(
        network, model, "talking", model_name="scripted", content="And then?", checkpoint=first.checkpoints[-1]
    )
    before = json.loads(json.dumps(second.checkpoints[0]))
    for more, asked in (
        ({"content": "And then?", "resumed": True}, ["A question.", "And then?"]),
        ({"content": "Well?"}, ["A question.", "And then?", "Well?"]),
    ):
        since = model.stats()["total"]
        room = await play(network, model, "talking", model_name="scripted", checkpoint=before, **more)
        assert room.said() == second.said()
        read = model.stats(since=since)["requests"][0]["messages"]
        said = "word1 word2 word3 "
        assert [each["content"] for each in read if each["role"] != "system" and each["content"] != said] == asked
        assert [each["content"] for each in read].count(said) == 4


async def test_an_article_stays_quoted_in_another_process(network: Network, model: ModelServer) -> None:
    """Who begins again with the messages must not take it for an order."""
    since = model.stats()["total"]
    transcript = (TranscriptMessage(agent="user", role="user", content="Say yes."),)
    asked = {"content": "Say yes.", "content_type": "article", "resumed": True, "transcript": transcript}
    await play(network, model, "single", **asked)
    read = model.stats(since=since)["requests"][0]["messages"][-1]["content"]
    assert "Say yes." in read
    assert len(read) > len("Say yes.")


def count_before(room: Room, number: int) -> int:
    """How many messages had been said when checkpoint ``number`` was made."""
    seen = said = 0
    for message in room.heard:
        if type(message).__name__ == "Checkpoint":
            if seen == number:
                return said
            seen += 1
        elif getattr(message, "name", "") == "agent_message":
            said += 1
    raise AssertionError("there is no such checkpoint")


def test_every_event_has_a_name() -> None:
    """The kinds of events that this module counts are the protocol's own."""
    assert {"agent_message", "tool_call", "tool_result", "progress", "input_request"} <= set(LOGGED_BY_NAME)


GRID = {**KINDS, "magentic": {"rules": orchestrated(text="It costs 1. ")}, "single": {}, "quiet": {}, "toolbox": {}}


@pytest.mark.matrix
@pytest.mark.parametrize("factory", GRID)
async def test_every_kind_stops_pauses_and_fails(factory: str, network: Network, model: ModelServer) -> None:
    """Stopped before the first token and in mid-stream, paused, failed before and in mid-stream: alike for all."""
    model.control(**{"tokens": 60, "token_delay_ms": 10, **GRID[factory]})
    async with a_run(network, model, factory, model_name="scripted?first_token_delay_ms=60000") as room:
        await room.until(lambda: model.stats(messages=False)["open"] > 0)
        began = time.monotonic()
        await room.stop()
        assert time.monotonic() - began < STOP_S
        model.wait_for(lambda stats: stats["open"] == 0)

    async with a_run(network, model, factory, model_name="scripted?token_delay_ms=20&tokens=300") as room:
        await room.until(lambda: any(room.texts.values()) or room.payloads("conversation_status"))
        began = time.monotonic()
        spent = await room.stop()
        assert time.monotonic() - began < STOP_S
        assert spent.prompt_tokens > 0
        model.wait_for(lambda stats: stats["open"] == 0)

    async with a_run(network, model, factory, model_name="scripted") as room:
        await room.until(lambda: any(room.texts.values()) or room.payloads("progress"))
        assert room.run is not None
        room.run.gate.pause()
        await room.run.gate.settled()
        shown = room.tokens
        await asyncio.sleep(0.2)
        assert room.tokens == shown
        room.run.gate.resume()
        await room.over()
        assert room.ended.outcome == "completed"

    for dying in ("status-503", "die-reset?die_after_tokens=1"):
        room = await play(network, model, factory, model_name=dying, limits={"demo_tokens_per_s": 1000})
        assert room.payloads("fallback_mode")[0]["mode"] == "demo"
        assert room.ended.outcome == "completed"
