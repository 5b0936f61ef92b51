"""Charts: from a team's tool through runner, log and store to those who watch, and to nobody else."""

from __future__ import annotations

import base64
from pathlib import Path

import httpx

from tests.support.server import ColloquyServer
from tests.support.watcher import Watcher

TEAM = """
from autogen_agentchat.agents import BaseChatAgent
from autogen_agentchat.base import Response
from autogen_agentchat.messages import TextMessage, ToolCallExecutionEvent, ToolCallRequestEvent
from autogen_core import FunctionCall
from autogen_core.models import FunctionExecutionResult
from app.tools.context import ChartNotKept, show_chart

SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script><circle r="4"/></svg>'

class Painter(BaseChatAgent):
    produced_message_types = (TextMessage,)

    async def on_messages(self, messages, token):
        await show_chart(SVG, title="A <b>circle</b>", symbol="PI", agent=self.name)
        try:
            await show_chart(b"x" * 5000)
        except ChartNotKept as error:
            call = FunctionCall(id="1", name="paint", arguments="{}")
            answer = FunctionExecutionResult(call_id="1", name="paint", content="No paint.", is_error=True)
            return Response(
                chat_message=TextMessage(content=str(error), source=self.name),
                inner_messages=[
                    ToolCallRequestEvent(content=[call], source=self.name),
                    ToolCallExecutionEvent(content=[answer], source=self.name),
                ],
            )

    async def on_reset(self, token):
        pass

def team(model_client):
    return Painter("painter", "paints")
"""


def test_a_chart_is_shown_kept_and_harmless(tmp_path: Path) -> None:
    """It outlives the server; a larger one than MAX_ARTIFACT_BYTES fails its tool, and nothing else."""
    (tmp_path / "painters.py").write_text(TEAM)
    env = {
        "TEAMS": "painters=painters:team",
        "PYTHONPATH": str(tmp_path),
        "MAX_ARTIFACT_BYTES": "4096",
        "OPENAI_BASE_URL": "http://127.0.0.1:9/v1",
        "DATA_DIR": str(tmp_path / "data"),
    }
    with ColloquyServer(env=env) as server:
        with Watcher(server.url) as watcher:
            started = watcher.must("start_stream", {"content": "Draw", "team": "painters"})
            conversation_id = started["conversation_id"]
            watcher.wait_for_end()
            [(_, chart)] = watcher.events("chart_generated")
        assert (chart["title"], chart["symbol"], chart["agent"]) == ("A <b>circle</b>", "PI", "painter")
        assert chart["url"] == f"/api/conversations/{conversation_id}/artifacts/{chart['chart_id']}"
        found = httpx.get(server.url + chart["url"])
        assert (found.status_code, found.headers["content-type"]) == (200, "image/svg+xml")
        assert "sandbox" in found.headers["content-security-policy"]
        assert "script-src" not in found.headers["content-security-policy"]
        missing = httpx.get(f"{server.url}/api/conversations/{conversation_id}/artifacts/{'0' * 32}")
        assert (missing.status_code, missing.json()["error"]["code"]) == (404, "not_found")
    with ColloquyServer(env=env) as server:
        snapshot = httpx.get(f"{server.url}/api/conversations/{conversation_id}").json()
        assert [each["chart_id"] for each in snapshot["charts"]] == [chart["chart_id"]]
        assert "too large" in snapshot["messages"][-1]["content"]
        assert httpx.get(server.url + chart["url"]).content == found.content
        exported = f"{server.url}/api/conversations/{conversation_id}/export?format="
        assert (
            f'src="data:image/svg+xml;base64,{base64.b64encode(found.content).decode()}"'
            in httpx.get(exported + "html").text
        )
        for wanted in ("*painter calls paint · ", "<strong>painter</strong> calls <code>paint</code>"):
            assert wanted in httpx.get(exported + ("html" if "<" in wanted else "markdown")).text
        assert "*Chart: A \\<b\\>circle\\</b\\>, PI, painter · " in httpx.get(exported + "markdown").text
        listed = httpx.get(exported + "json").json()["charts"]
        assert [each["chart_id"] for each in listed] == [chart["chart_id"]]
        assert httpx.delete(f"{server.url}/api/conversations/{conversation_id}").status_code in (200, 204)
        assert httpx.get(server.url + chart["url"]).status_code == 404
