"""A team whose agents do what the page has to show, without any model: each word of the request is one of SCENES.

Start it as ``TEAMS=workshop=tests.support.workshop:team``. A word like ``wait:/tmp/x`` waits until that file is there.
"""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import Sequence
from typing import Any

import PIL.Image
from autogen_agentchat.agents import BaseChatAgent
from autogen_agentchat.base import Response
from autogen_agentchat.messages import BaseChatMessage, TextMessage
from autogen_core import CancellationToken

from app.protocol.common import MessageKind, Usage
from app.protocol.events import AgentMessage, ChartGenerated, MessageDelta, MessageStart, ToolCall, ToolResult
from app.tools.context import RUN, show_chart

HOSTILE = '<img src=x onerror="alert(7)"><script>alert(7)</script>"\'`{{7*7}} [x](javascript:alert(7)) \u202etxt.exe'
LONG = "\n".join(f"line {number}: {number * number}" for number in range(1, 401))
SVG = b"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 360" font-family="sans-serif" font-size="13">
<script>alert(7)</script>
<g stroke="#808890" stroke-opacity=".3"><path d="M50 60H700M50 120H700M50 180H700M50 240H700"/></g>
<g fill="#808890"><text x="18" y="64">200</text><text x="18" y="124">150</text><text x="18" y="184">100</text>
<text x="18" y="244">50</text><text x="60" y="330">2007</text><text x="350" y="330">2008</text>
<text x="640" y="330">2009</text></g>
<path fill="none" stroke="#0072b2" stroke-width="2.5" d="M50 240L110 220L170 231L230 180L290 195L350 120L410 150L470 96
L530 110L590 180L650 170L700 130"/></svg>"""
PLAN = "1. Look the prices up.\n2. Draw them.\n3. Say what they **mean**, and for whom."
LEDGER = "- Is the request satisfied? **No**\n- Is there progress? **Yes**\n- Who is next? **Analyst**"
THOUGHT = "The user asks about *Apple*. Prices first; an opinion comes last."


class Worker(BaseChatAgent):
    """Plays the scenes it is asked for."""

    produced_message_types = (TextMessage,)

    async def on_messages(self, messages: Sequence[BaseChatMessage], cancellation_token: CancellationToken) -> Response:
        asked = messages[-1].to_text().split()
        for word in asked:
            await self._play(word)
        return Response(chat_message=TextMessage(content=f"Played {len(asked)} scenes.", source=self.name))

    async def on_reset(self, cancellation_token: CancellationToken) -> None:
        """Nothing is kept."""

    async def _play(self, word: str) -> None:
        name, _, argument = word.partition(":")
        if name == "wait":
            while not os.path.exists(argument):  # noqa: ASYNC110, ASYNC240  # the test's own signal
                await asyncio.sleep(0.01)
            return
        await getattr(self, f"_{name}")()

    async def _called(self) -> None:
        await self._call("running", "get_price", '{"symbol": "AAPL", "months": 12}')

    async def _answered(self) -> None:
        await self._answer("running", "get_price", "187.20 US dollars at the end of March 2010")

    async def _failed(self) -> None:
        await self._call("bad", "draw_chart", '{"symbols": ["AAPL", "NOPE"]}')
        await self._answer("bad", "draw_chart", "there is no symbol NOPE", success=False, code="not_found")

    async def _long(self) -> None:
        await self._call("long", "price_history", '{"symbol": "MSFT"}')
        kept = RUN.get().artifact("text/plain; charset=utf-8", LONG.encode())  # type: ignore[union-attr]
        await self._answer("long", "price_history", LONG[:1000], length=len(LONG), artifact_id=kept)

    async def _gone(self) -> None:
        await self._call("gone", "price_history", '{"symbol": "GONE"}')
        await self._answer("gone", "price_history", "the beginning", length=5000, artifact_id="0" * 32)

    async def _silent(self) -> None:
        await self._call("silent", "ask_the_oracle", "{}")

    async def _chart(self) -> None:
        await show_chart(SVG, title="Apple, 2007 to 2009", symbol="AAPL", agent=self.name)

    async def _dot(self) -> None:
        dot = io.BytesIO()
        PIL.Image.new("RGB", (20, 10), "red").save(dot, "PNG")
        await show_chart(dot.getvalue(), media_type="image/png", title="A dot", agent=self.name)

    async def _record(self) -> None:
        """As an agent with a structured output says it."""
        text = '{"price":1.5,"why":"<b>it is</b>"}'
        await self._emit(AgentMessage(message_id="record", agent=self.name, content=text))

    async def _lost(self) -> None:
        conversation = RUN.get().conversation  # type: ignore[union-attr]
        await self._show("lost", f"/api/conversations/{conversation}/artifacts/{'0' * 32}", "A chart that is lost")

    async def _foreign(self) -> None:
        await self._show("foreign", "https://evil.example/x.png", "A chart from elsewhere")

    async def _plan(self) -> None:
        await self._aside("plan", PLAN)

    async def _ledger(self) -> None:
        await self._aside("ledger", LEDGER)

    async def _thought(self) -> None:
        await self._aside("thought", THOUGHT)

    async def _planning(self) -> None:
        """One that is being written."""
        await self._emit(MessageStart(message_id="planning", agent=self.name, kind="plan"))
        await self._emit(MessageDelta(message_id="planning", agent=self.name, delta="1. First of all"))

    async def _planned(self) -> None:
        await self._emit(AgentMessage(message_id="planning", agent=self.name, content="1. First of all", kind="plan"))

    async def _said(self) -> None:
        spent = Usage(prompt_tokens=1200, completion_tokens=340, cost_usd=0.00123)
        text = "Apple **doubled**, and halved again."
        await self._emit(AgentMessage(message_id="said", agent=self.name, content=text, usage=spent, model="scripted"))

    async def _hostile(self) -> None:
        await self._call("hostile", HOSTILE, HOSTILE)
        await self._answer("hostile", HOSTILE, HOSTILE, success=False)
        await show_chart(SVG, title=HOSTILE, symbol=HOSTILE, agent=HOSTILE)
        await self._aside("thought", HOSTILE)

    async def _ask(self) -> None:
        await self._heard("Which year shall I look at?\nAny from 2000 to 2010.")

    async def _secret(self) -> None:
        await self._heard("The password of the database?", secret=True)

    async def _permission(self) -> None:
        await self._heard("Run `rm -rf build/` in the workshop?", kind="permission")

    async def _hostileask(self) -> None:
        await self._heard(HOSTILE)

    async def _heard(self, prompt: str, **kind: Any) -> None:
        answer = await RUN.get().ask(self.name, prompt, **kind)  # type: ignore[union-attr]
        told = f"{answer.resolution}: {len(answer.content) if kind.get('secret') else answer.content}"
        await self._emit(AgentMessage(message_id=f"heard-{told}", agent=self.name, content=told))

    # --- emitting

    async def _emit(self, event: Any) -> None:
        await RUN.get().emit(event)  # type: ignore[union-attr]

    async def _call(self, call_id: str, tool: str, arguments: str) -> None:
        await self._emit(ToolCall(call_id=call_id, agent=self.name, tool=tool, arguments=arguments))

    async def _answer(self, call_id: str, tool: str, text: str, *, success: bool = True, **more: Any) -> None:
        answer = {"length": len(text), **more}
        await self._emit(
            ToolResult(call_id=call_id, agent=self.name, tool=tool, success=success, preview=text, **answer)
        )

    async def _show(self, chart_id: str, url: str, title: str) -> None:
        await self._emit(ChartGenerated(chart_id=chart_id, url=url, title=title, agent=self.name))

    async def _aside(self, kind: MessageKind, text: str) -> None:
        await self._emit(MessageStart(message_id=f"the-{kind}", agent=self.name, kind=kind))
        await self._emit(AgentMessage(message_id=f"the-{kind}", agent=self.name, content=text, kind=kind))


def team(model_client: Any) -> Worker:
    """One agent that plays."""
    return Worker("Analyst", "plays what it is asked for")
