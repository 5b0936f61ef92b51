"""The bundled teams' tools, in a run: what is told of them, and that none of them holds anything up."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.base import ChatAgent
from autogen_core.models import ChatCompletionClient

from app.providers.network import Network
from app.teams import magentic
from app.tools.functions import as_tool
from app.tools.guard import guarded
from tests.adapters.room import a_run, play
from tests.conftest import TIMEOUT_SCALE
from tests.support.abort import aborts
from tests.support.model_server import ModelServer

STOP_S = 0.25 * TIMEOUT_SCALE
RELEASED = threading.Event()
MCP_SERVER = str(Path(__file__).parents[1] / "tools" / "mcp_server.py")


@guarded
def blocks() -> str:
    """It blocks its thread."""
    RELEASED.wait(10)
    return "late"


def crypto(model_client: ChatCompletionClient) -> ChatAgent:
    """The Magentic team's analyst, without its orchestrator."""
    return magentic.team(model_client)._participants[0]  # type: ignore[return-value]


def halving(model_client: ChatCompletionClient) -> AssistantAgent:
    def halves() -> str:
        """A name of a file."""
        return "name\udcff"

    return AssistantAgent("helper", model_client, tools=[halves], reflect_on_tool_use=True, model_client_stream=True)


def aborting(model_client: ChatCompletionClient) -> AssistantAgent:
    return AssistantAgent("helper", model_client, tools=[aborts], model_client_stream=True)


def blocking(model_client: ChatCompletionClient) -> AssistantAgent:
    tool = as_tool(blocks)
    return AssistantAgent("helper", model_client, tools=[tool], reflect_on_tool_use=True, model_client_stream=True)


@pytest.mark.parametrize(("team", "agents"), [("market", 2), ("debate", 3)])
async def test_a_model_that_calls_functions_has_the_finance_tools(
    network: Network, model: ModelServer, team: str, agents: int
) -> None:
    """The analyst looks up, everybody sees the chart, and he speaks about it; the others have no tools."""
    model.control(calls="price_chart", call_arguments='{"symbols": "AAPL, MSFT", "since": "2008"}', text="It fell. ")
    room = await play(network, model, f"app.teams.{team}:team", model_name="scripted")
    assert room.names("tool_call", "tool_result", "chart_generated") == ["tool_call", "chart_generated", "tool_result"]
    [chart] = room.payloads("chart_generated")
    assert (chart["symbol"], chart["title"]) == ("AAPL,MSFT", "AAPL, MSFT, 2008-01 to 2010-03")
    assert chart["agent"] == room.payloads("tool_call")[0]["agent"]
    assert room.payloads("tool_result")[0]["success"]
    assert len(room.said()) == agents


@pytest.mark.parametrize("generation", ["classic", "ag2"])
async def test_the_finance_tools_serve_every_generation(network: Network, model: ModelServer, generation: str) -> None:
    """As they are; the chart comes between the call and its answer, and says whose it is."""
    model.control(calls="price_chart", call_arguments='{"symbols": "IBM", "since": "2008"}', text="It fell. ")
    room = await play(network, model, f"tests.adapters.{generation}_teams:charting", model_name="scripted")
    assert room.names("tool_call", "tool_result", "chart_generated") == ["tool_call", "chart_generated", "tool_result"]
    [chart], [result] = room.payloads("chart_generated"), room.payloads("tool_result")
    assert (chart["symbol"], chart["agent"]) == ("IBM", "assistant")
    assert result["success"]
    assert result["preview"] == "The chart “IBM, 2008-01 to 2010-03” is shown to everybody."
    assert room.artifacts[chart["chart_id"]].media_type == "image/svg+xml"


@pytest.mark.parametrize(
    "team",
    ["app.teams.market:team", "tests.adapters.classic_teams:charting", "tests.adapters.ag2_teams:charting"],
    ids=["agentchat", "classic", "ag2"],
)
async def test_a_failure_says_of_what_kind_it_is(network: Network, model: ModelServer, team: str) -> None:
    """Frameworks pass nothing on but a sentence; the code is the tool's own all the same."""
    model.control(calls="price_chart", call_arguments='{"symbols": "NOPE"}', text="There is none. ")
    room = await play(network, model, team, model_name="scripted")
    [result] = room.payloads("tool_result")
    assert (result["success"], result["code"]) == (False, "not_found")
    assert "there are no prices of 'NOPE'" in result["preview"]
    assert room.said()[0][1] == "There is none. "


async def test_without_network_the_crypto_analyst_gets_a_typed_error(
    network: Network, model: ModelServer, free_port: Callable[[], int]
) -> None:
    """And reports it."""
    model.control(calls="get_crypto_price", call_arguments='{"coin": "bitcoin"}', text="It cannot be reached. ")
    room = await play(
        network,
        model,
        f"{__name__}:crypto",
        model_name="scripted",
        limits={"coingecko_url": f"http://127.0.0.1:{free_port()}/api/v3"},
    )
    [result] = room.payloads("tool_result")
    assert (result["success"], result["code"]) == (False, "unavailable")
    assert result["preview"] == "Error: 127.0.0.1 cannot be reached: ConnectError"
    assert room.said() == [("CryptoMarketAnalyst", "It cannot be reached. ")]


@pytest.mark.parametrize("generation", ["agentchat", "classic", "ag2"])
async def test_whatever_a_tool_raises_ends_or_is_told(network: Network, model: ModelServer, generation: str) -> None:
    """Also what is no Exception: some libraries have such for their aborts, and AutoGen would wait for ever."""
    model.control(calls="aborts", text="It broke off. ")
    factory = f"{__name__}:aborting" if generation == "agentchat" else f"tests.adapters.{generation}_teams:aborting"
    room = await play(network, model, factory, model_name="scripted")
    failed = [each for each in room.payloads("tool_result") if not each["success"]]
    assert failed or (room.ended.code, "Abort" in room.ended.message) == ("team_failed", True)


async def test_an_answer_with_half_a_character_reaches_the_model(network: Network, model: ModelServer) -> None:
    """Names of files may hold such; no request can."""
    model.control(calls="halves", text="I see. ")
    room = await play(network, model, f"{__name__}:halving", model_name="scripted")
    assert [each["preview"] for each in room.payloads("tool_result")] == ["name\ufffd"]
    assert room.said() == [("helper", "I see. ")]


async def test_mcp_servers_serve_the_market_desk(network: Network, model: ModelServer, tmp_path: Path) -> None:
    """Those of MCP_SERVERS, beside its own tools."""
    path = tmp_path / "mcp.json"
    path.write_text(json.dumps({"mcpServers": {"sums": {"command": sys.executable, "args": [MCP_SERVER]}}}))
    model.control(calls="add", call_arguments='{"first": 2, "second": 3}', text="Five. ")
    room = await play(network, model, "app.teams.market:team", model_name="scripted", limits={"mcp_servers": str(path)})
    [result] = room.payloads("tool_result")
    assert (result["tool"], result["success"], result["preview"]) == ("add", True, "5")


async def test_a_stop_does_not_wait_for_a_blocking_tool(network: Network, model: ModelServer) -> None:
    """Its thread is left behind."""
    model.control(calls="blocks")
    try:
        async with a_run(network, model, f"{__name__}:blocking", model_name="scripted") as room:
            await room.until(lambda: room.payloads("tool_call"))
            began = time.monotonic()
            await room.stop()
            assert time.monotonic() - began < STOP_S
        assert not room.payloads("tool_result")
    finally:
        RELEASED.set()


async def test_a_hanging_tool_fails_and_its_agent_goes_on(network: Network, model: ModelServer) -> None:
    """After TOOL_TIMEOUT_S."""
    model.control(calls="blocks", text="It did not answer. ")
    RELEASED.clear()
    try:
        room = await play(
            network, model, f"{__name__}:blocking", model_name="scripted", limits={"tool_timeout_s": 0.05}
        )
    finally:
        RELEASED.set()
    [result] = room.payloads("tool_result")
    assert (result["success"], result["code"]) == (False, "timeout")
    assert result["preview"] == "Error: blocks had no answer within 0.05 s"
    assert room.said() == [("helper", "It did not answer. ")]
