"""What only ag2 1.x does: discussions, delegation, approvals, models of its own. The rest is in the grid."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.adapters.ag2_plan import plan_of
from app.errors import TeamFailed
from app.providers.network import Network
from app.runner.wire import TranscriptMessage
from tests.adapters.room import Room, a_run, play
from tests.runner.harness import provider
from tests.support.model_server import ModelServer


def mine(factory: str) -> str:
    return f"tests.adapters.ag2_teams:{factory}"


def asked(model: ModelServer, number: int) -> list[dict[str, Any]]:
    """The messages of a request."""
    messages: list[dict[str, Any]] = model.stats()["requests"][number]["messages"]
    return messages


async def test_who_speaks_again_knows_its_own_words(network: Network, model: ModelServer) -> None:
    """In the second round the first agent reads what it has said itself, as its own, beside the other's words."""
    await play(network, model, mine("twice"))
    third = asked(model, -2)
    assert [message["role"] for message in third] == ["system", "user", "assistant", "user"]
    assert third[2]["content"].startswith("word1")
    assert third[3]["content"].startswith("[b]: word1")


async def test_a_discussion_begins_quietly(
    network: Network, model: ModelServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Invitations came before there was anything to look up, and each left a traceback in the log."""
    await play(network, model, mine("twice"))
    assert not caplog.records


async def test_another_number_of_turns(network: Network, model: ModelServer) -> None:
    """The caller's wish counts."""
    room = await play(network, model, mine("twice"), options={"max_turns": 3})
    assert [agent for agent, _ in room.said()] == ["a", "b", "a"]
    assert room.payloads("progress")[-1]["percentage"] == 100.0


@pytest.mark.parametrize("factory", ["solo", "three"])
async def test_a_run_is_gone_on_from_before_its_first_turn(factory: str, network: Network, model: ModelServer) -> None:
    """What was said in that turn is not known, and is said again; what the agents knew before is."""
    first = await play(network, model, mine(factory))
    begun = model.stats()["total"]
    second = await play(network, model, mine(factory), content="And now?", checkpoint=first.checkpoints[-1])
    said = [TranscriptMessage(agent="user", role="user", content="A question.")]
    said += [TranscriptMessage(agent=agent, role="agent", content=text) for agent, text in first.said()]
    said.append(TranscriptMessage(agent="user", role="user", content="And now?"))
    for room, content, transcript in ((first, "A question.", said[:1]), (second, "And now?", said)):
        since = model.stats()["total"]
        known = {"checkpoint": room.checkpoints[0], "transcript": tuple(transcript)}
        again = await play(network, model, mine(factory), content=content, resumed=True, **known)
        assert again.said() == room.said()
        assert again.checkpoints[0] == room.checkpoints[0]
    assert model.stats(since=since)["requests"][0]["messages"] == model.stats(since=begun)["requests"][0]["messages"]


async def test_an_interrupted_discussion_is_asked_something_else(network: Network, model: ModelServer) -> None:
    """The first agent answers the new question, though another one was to speak; the history is there."""
    room = await play(network, model, mine("three"))
    state = json.loads(json.dumps(room.checkpoints[1]))
    again = await play(network, model, mine("three"), content="And now?", checkpoint=state)
    assert [agent for agent, _ in again.said()] == ["a", "b", "c"]
    texts = [message["content"] for message in asked(model, -3)]
    assert texts[1:] == ["[user]: A question.", room.said()[0][1], "[user]: And now?"]


async def test_a_transcript_by_display_names(network: Network, model: ModelServer) -> None:
    """People who are no agents of this team spoke as users; the agents know their own words."""
    transcript = tuple(
        TranscriptMessage(agent=agent, role=role, content=text)
        for agent, role, text in (
            ("user", "user", "A question."),
            ("b", "agent", "An answer."),
            ("somebody", "agent", "A word."),
        )
    )
    room = await play(network, model, mine("three"), transcript=transcript, content="And?")
    assert len(room.said()) == 3
    second = [(message["role"], message["content"]) for message in asked(model, -2)]
    assert second[1:4] == [("user", "[user]: A question."), ("assistant", "An answer."), ("user", "[user]: A word.")]


async def test_a_turn_that_broke_off_begins_again(network: Network, model: ModelServer) -> None:
    """Without a checkpoint: the question is asked once more, without what was said half; a namesake is no agent."""
    transcript = (
        TranscriptMessage(agent="solo", role="user", content="Before."),
        TranscriptMessage(agent="solo", role="agent", content="I said."),
        TranscriptMessage(agent="solo", role="user", content="A question."),
        TranscriptMessage(agent="solo", role="agent", content="I look it up."),
    )
    await play(network, model, mine("solo"), transcript=transcript, resumed=True)
    said = [(message["role"], message["content"]) for message in asked(model, -1)[1:]]
    assert said == [("user", "Before."), ("assistant", "I said."), ("user", "A question.")]


async def test_delegated_work_is_seen(network: Network, model: ModelServer) -> None:
    """The worker speaks between the call and its answer, under its own name."""
    model.control(calls="work", call_arguments=json.dumps({"objective": "Do it."}), tokens=3)
    room = await play(network, model, mine("delegating"))
    assert [agent for agent, _ in room.said()] == ["worker", "boss"]
    assert room.names("tool_call", "tool_result", "agent_message") == [
        "tool_call", "agent_message", "tool_result", "agent_message"
    ]  # fmt: skip


async def test_work_that_is_delegated_twice_at_once(network: Network, model: ModelServer) -> None:
    """Each piece is a message of its own, though one agent does both."""
    model.control(
        calls="work,toil", call_arguments=json.dumps({"objective": "Do it."}), tokens=20, token_delay_ms=5, markers=True
    )
    room = await play(network, model, mine("delegating"))
    assert [agent for agent, _ in room.said()] == ["worker", "worker", "boss"]
    assert len(set(room.said())) == 3
    assert room.payloads("message_reset") == []


async def test_a_conversation_that_outlives_its_run(network: Network, model: ModelServer) -> None:
    """The next run is told of it, and not held up by the one that has ended."""
    model.control(calls="work", call_arguments=json.dumps({"objective": "Do it."}), tokens=3)
    for _ in range(2):
        room = await play(network, model, mine("remembering"))
        assert [agent for agent, _ in room.said()][-1] == "boss"
        assert room.ended.outcome == "completed"


async def test_tasks_of_its_own(network: Network, model: ModelServer) -> None:
    """What the copies say is seen as well."""
    arguments = json.dumps({"tasks": ["One.", "Two."], "parallel": True})
    model.control(calls="run_subtasks", call_arguments=arguments, tokens=20, token_delay_ms=5)
    room = await play(network, model, mine("splitting"))
    said = [agent for agent, _ in room.said()]
    assert said[-1] == "boss"
    assert len(set(said)) == 3


@pytest.mark.parametrize(("resolution", "heard"), [("granted", "sold"), ("denied", "denied"), ("timeout", "denied")])
async def test_an_approval(resolution: str, heard: str, network: Network, model: ModelServer) -> None:
    """A yes or no; no answer is a no."""
    model.control(calls="sell", tokens=3)
    async with a_run(network, model, mine("tools")) as room:
        await room.until(lambda: room.payloads("input_request"))
        [question] = room.payloads("input_request")
        assert (question["kind"], question["prompt"], question["agent"]) == ("permission", "May I?", "helper")
        room.answer(resolution)
        await room.over()
    assert heard in room.payloads("tool_result")[0]["preview"]


async def test_tools_that_work_and_tools_that_fail(network: Network, model: ModelServer) -> None:
    """Each answer stands beside its call; a failure is one in the room, and the model is told."""
    model.control(calls="price,fails", call_arguments='{"symbol": "A"}', tokens=3)
    room = await play(network, model, mine("tools"))
    tools = {call["call_id"]: call["tool"] for call in room.payloads("tool_call")}
    results = {tools[result["call_id"]]: result for result in room.payloads("tool_result")}
    assert (results["price"]["success"], results["price"]["preview"]) == (True, "A costs 1")
    assert not results["fails"]["success"]
    assert "ZeroDivisionError" in results["fails"]["preview"]
    assert room.ended.outcome == "completed"


async def test_a_long_answer_is_kept_beside_the_log(network: Network, model: ModelServer) -> None:
    """Its beginning is shown."""
    model.control(calls="long_answer", tokens=3)
    room = await play(network, model, mine("listing"))
    [result] = room.payloads("tool_result")
    assert (result["length"], len(result["preview"])) == (5000, 1000)
    assert result["artifact_id"] in room.artifacts


async def test_a_history_with_tools_is_resumed(network: Network, model: ModelServer) -> None:
    """The next question is asked with the calls and answers of the last one."""
    model.control(calls="price,fails", call_arguments='{"symbol": "A"}', tokens=3)
    room = await play(network, model, mine("tools"))
    state = json.loads(json.dumps(room.checkpoints[-1]))
    await play(network, model, mine("tools"), content="And?", checkpoint=state)
    roles = [message["role"] for message in asked(model, -1)]
    assert roles == ["system", "user", "assistant", "tool", "tool", "assistant", "user"]


async def test_thoughts(network: Network, model: ModelServer) -> None:
    """What the model thinks is a message of that kind, and no part of the answer."""
    model.control(thought="Let me see. ", text="It is two. ", token_delay_ms=1)
    room = await play(network, model, mine("solo"))
    assert room.said("thought") == [("solo", "Let me see. ")]
    assert room.said() == [("solo", "It is two. ")]


def shown(room: Room) -> list[tuple[str, str]]:
    assert room.ended.outcome == "completed"
    return room.said()


async def test_models_that_a_team_brings_along(network: Network, model: ModelServer) -> None:
    """Their words are streamed as well; with words beside a tool call; and who says nothing holds nobody up."""
    said = shown(await play(network, model, mine("brought_along")))
    assert [agent for agent, _ in said] == ["own", "other"]
    assert said[0] == ("own", "words of mine")
    assert shown(await play(network, model, mine("talkative"))) == [("own", "I look it up."), ("own", "It costs 1.")]
    assert [agent for agent, _ in shown(await play(network, model, mine("silent")))] == ["other"]


async def test_an_agent_that_fails(network: Network, model: ModelServer) -> None:
    """A typed error that names the mistake, not a discussion that waits for ever."""
    room = await play(network, model, mine("failing"))
    assert (room.ended.outcome, room.ended.code) == ("error", "team_failed")
    assert "ZeroDivisionError" in (room.ended.message or "")


async def test_agents_of_one_name(network: Network, model: ModelServer) -> None:
    """They are refused before anything is asked."""
    room = await play(network, model, mine("same_names"))
    assert room.ended.code == "team_failed"
    assert "names of their own" in (room.ended.message or "")


async def test_a_provider_with_another_dialect(network: Network, model: ModelServer) -> None:
    """Anthropic's: its words, its tool calls and its figures are ag2's as well."""
    model.control(calls="price", call_arguments='{"symbol": "A"}', tokens=3)
    claude = provider(model.url.removesuffix("/v1")).model_copy(update={"kind": "anthropic"})
    room = await play(network, model, mine("tools"), providers=(claude,))
    assert room.payloads("tool_result")[0]["preview"] == "A costs 1"
    [message] = room.payloads("agent_message")
    assert (message["content"], message["usage"]["completion_tokens"]) == ("word1 word2 word3 ", 3)


def test_what_is_no_team() -> None:
    """Neither nothing nor something else."""
    for made in ((), [object()], None):
        with pytest.raises(TeamFailed):
            plan_of(made)


async def test_the_example(network: Network, model: ModelServer) -> None:
    """Three agents in two rounds; the second one asks the user in its first turn."""
    model.control(calls="ask_the_user", call_arguments=json.dumps({"question": "How much?"}), tokens=3)
    async with a_run(network, model, "examples.ag2_team:team") as room:
        await room.until(lambda: room.payloads("input_request"))
        room.answer(content="Much.")
        await room.until(lambda: len(room.payloads("input_request")) == 2)
        room.answer(content="Still much.")
        await room.over()
    assert [agent for agent, _ in room.said()] == ["optimist", "sceptic", "arbiter"] * 2
    assert [result["preview"] for result in room.payloads("tool_result")] == ["Much.", "Still much."]
