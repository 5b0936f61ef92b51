"""The server's reducer and the JavaScript client's say the same of any log."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from typing import Any

from app.protocol.common import AgentCard, Status, Usage
from app.protocol.events import (
    LOGGED,
    AgentMessage,
    AgentStep,
    ChartGenerated,
    ConversationComplete,
    ConversationError,
    ConversationStatus,
    ConversationUpdated,
    Event,
    FallbackMode,
    FrameworkEvent,
    InputRequest,
    InputResolved,
    MessageDelta,
    MessageQueued,
    MessageReset,
    MessageStart,
    MessageUnqueued,
    MessageUpdated,
    Progress,
    ToolCall,
    ToolResult,
)
from app.streaming.fold import ConversationFold
from app.streaming.log import ConversationLog
from tests.conftest import TIMEOUT_SCALE
from tests.support.processes import ROOT

LOGS, EVENTS, MAX_MESSAGES = 12, 250, 5
SEED = 20_260_301


class AnyEvent:
    """Draws events without regard to what makes sense: the reducers have to agree on nonsense, too."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def draw(self) -> Event:
        makers = [getattr(self, f"_{kind.__name__}") for kind in LOGGED]
        event: Event = self.rng.choice(makers)()
        return event

    def _one(self, *values: Any) -> Any:
        return self.rng.choice(values)

    def _id(self, letter: str) -> str:
        return f"{letter}{self.rng.randrange(9)}"

    def _named(self) -> dict[str, Any]:
        return {"message_id": self._id("m"), "agent": self._one("Ann", "Bob")}

    def _usage(self) -> Usage | None:
        return self._one(None, Usage(prompt_tokens=3, completion_tokens=1), Usage(estimated=True))

    def _ConversationStatus(self) -> Event:  # noqa: N802, the names are those of the events
        agents = self._one((), (AgentCard(name="Ann", emoji="🅰"),))
        more = {"agents": agents, "model": self._one(None, "small"), "usage": self._usage()}
        return ConversationStatus(status=self._one(*Status), session_id=self._id("s"), team="debate", **more)

    def _AgentStep(self) -> Event:  # noqa: N802
        return AgentStep(agent=self._one("Ann", "Bob"), turn=1)

    def _MessageStart(self) -> Event:  # noqa: N802
        return MessageStart(**self._named(), role=self._one("user", "agent", "system"))

    def _MessageDelta(self) -> Event:  # noqa: N802
        return MessageDelta(**self._named(), delta=self._one("a", "né ", "🅱\n"))

    def _AgentMessage(self) -> Event:  # noqa: N802
        more = {"confidence": self._one(None, 0.5), "usage": self._usage(), "partial": self._one(True, False)}
        return AgentMessage(**self._named(), content="whole", reason=self._one(None, "stopped"), **more)

    def _MessageReset(self) -> Event:  # noqa: N802
        return MessageReset(**self._named(), reason="model_broken")

    def _Progress(self) -> Event:  # noqa: N802
        return Progress(
            current_turn=self.rng.randrange(4), percentage=self._one(None, 12.5), message=self._one(None, "x")
        )

    def _ConversationComplete(self) -> Event:  # noqa: N802
        return ConversationComplete(consensus=self._one(None, "yes"), reason=self._one(None, "no model"))

    def _ConversationError(self) -> Event:  # noqa: N802
        return ConversationError(error="gone", code="runner_lost", recovering=self._one(True, False))

    def _FallbackMode(self) -> Event:  # noqa: N802
        return FallbackMode(mode=self._one("provider", "demo"), reason="x", from_="a", to=self._one(None, "b"))

    def _MessageUpdated(self) -> Event:  # noqa: N802
        changes = self._one({"feedback": "up"}, {"content": "other", "state": "complete"}, {"unheard_of": 1}, {})
        return MessageUpdated(**self._named(), changes=changes, updated_by=self._one(None, "ann"))

    def _ToolCall(self) -> Event:  # noqa: N802
        return ToolCall(call_id=self._id("t"), agent="Ann", tool="quote", arguments="{}")

    def _ToolResult(self) -> Event:  # noqa: N802
        return ToolResult(call_id=self._id("t"), agent="Ann", tool="quote", success=self._one(True, False), preview="1")

    def _ChartGenerated(self) -> Event:  # noqa: N802
        return ChartGenerated(chart_id=self._id("c"), url="/charts/1", agent=self._one(None, "Ann"))

    def _InputRequest(self) -> Event:  # noqa: N802
        return InputRequest(request_id=self._id("r"), agent="Ann", kind=self._one("text", "permission"))

    def _InputResolved(self) -> Event:  # noqa: N802
        return InputResolved(request_id=self._id("r"), resolution="granted", content=self._one(None, "yes"))

    def _MessageQueued(self) -> Event:  # noqa: N802
        return MessageQueued(message_id=self._id("m"), content="next", by=self._one("ann", "bob"))

    def _MessageUnqueued(self) -> Event:  # noqa: N802
        return MessageUnqueued(message_id=self._id("m"), by="ann")

    def _ConversationUpdated(self) -> Event:  # noqa: N802
        changes = self._one({"title": "another"}, {"title": ""}, {"unheard_of": 1}, {})
        return ConversationUpdated(changes=changes, updated_by=self._one(None, "ann"))

    def _FrameworkEvent(self) -> Event:  # noqa: N802
        return FrameworkEvent(framework="autogen", event={"type": "termination"}, said=self._one(True, False))


def folded(rng: random.Random) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A log, as the node script takes it, and the server's state after each of its events."""
    draw = AnyEvent(rng)
    log = ConversationLog("c1", max_entries=1000, max_bytes=1_000_000, epoch="e1")
    fold = ConversationFold("c1", "e1", created_at="t0", title="A question", max_messages=MAX_MESSAGES)
    first = fold.snapshot().model_dump(mode="json", by_alias=True)
    events, states = [], []
    for number in range(EVENTS):
        event = draw.draw()
        demo = rng.random() < 0.2
        entry = log.append(event.name, event.to_wire(), timestamp=f"t{number}", demo=demo)
        fold.apply(entry.name, entry.payload)
        events.append({"name": entry.name, "payload": entry.payload})
        states.append(fold.snapshot().model_dump(mode="json", by_alias=True))
    return {"first": first, "max_messages": MAX_MESSAGES, "events": events}, states


def test_both_reducers_agree_on_any_log() -> None:
    """After each of some thousand random events, of every kind, in any order."""
    node = shutil.which("node")
    assert node, "Node.js is missing"
    logs, wanted = zip(*(folded(random.Random(SEED + number)) for number in range(LOGS)), strict=True)
    assert {event["name"] for log in logs for event in log["events"]} == {kind.name for kind in LOGGED}
    ended = subprocess.run(
        [node, str(ROOT / "tests/integration/fold.mjs")],
        input=json.dumps(logs),
        capture_output=True,
        text=True,
        timeout=30 * TIMEOUT_SCALE,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    for log, states, found in zip(logs, wanted, json.loads(ended.stdout), strict=True):
        for event, state, seen in zip(log["events"], states, found, strict=True):
            assert seen == state, f"after {event}"
