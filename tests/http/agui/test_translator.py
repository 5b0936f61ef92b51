"""Log entries become AG-UI events: what the protocol allows, in order, and never a text twice."""

from __future__ import annotations

from typing import Any

import pytest

from app.errors import Interrupted
from app.http.agui.translator import Request, RunTranslator
from app.protocol.commands import JoinAck
from app.protocol.common import AgentCard, Position, Status, Usage
from app.protocol.events import (
    AgentMessage,
    AgentStep,
    ChartGenerated,
    ConversationComplete,
    ConversationError,
    ConversationStatus,
    ConversationUpdated,
    Event,
    FallbackMode,
    InputRequest,
    MessageDelta,
    MessageReset,
    MessageStart,
    MessageUpdated,
    Progress,
    ToolCall,
    ToolResult,
)
from app.streaming.fold import ConversationFold
from app.streaming.log import ConversationLog
from tests.http.agui.page import Page

T0 = "2026-11-21T07:00:00.000Z"


class Stage:
    """A conversation's log and fold, and pages that read it through the translator."""

    def __init__(self) -> None:
        self.log = ConversationLog("c1", max_entries=1000, max_bytes=1_000_000)
        self.fold = ConversationFold("c1", self.log.epoch, created_at=T0)

    def say(self, *events: Event) -> None:
        for event in events:
            entry = self.log.append(event.name, event.to_wire(), timestamp=T0, demo=False)
            self.fold.apply(event.name, entry.payload)

    def snapshot(self) -> dict[str, Any]:
        return self.fold.snapshot().model_dump(mode="json", by_alias=True)

    def request(self, page: Page, session: str = "s1", **more: Any) -> Request:
        return Request(
            thread_id="t", run_id="r", conversation_id="c1", session_id=session,
            messages=page.texts, state=page.state, **more,
        )  # fmt: skip

    def ack(self, place: dict[str, Any] | None) -> JoinAck:
        recovered = place is not None and self.log.covers(Position(**place))
        return JoinAck(
            conversation_id="c1",
            epoch=self.log.epoch,
            offset=place["offset"] if place and recovered else self.log.offset,
            recovered=recovered,
            snapshot=None if recovered else self.snapshot(),
        )

    def events(self, page: Page, place: dict[str, Any] | None, **request: Any) -> list[Any]:
        """Everything that a request gives, from a place on."""
        translator = RunTranslator(self.request(page, **request))
        ack = self.ack(place)
        found = translator.begin(ack)
        for entry in self.log.merged_after(ack.offset, 100_000):
            found += translator.take(entry)
            if translator.stale:
                found += translator.resync(self.snapshot())
                break
        if not translator.finished and self.fold.status in ("completed", "stopped", "error"):
            found += translator.finish(self.snapshot())
        return found

    def play(self, page: Page, place: dict[str, Any] | None, **request: Any) -> Page:
        page.cut()
        page.read(self.events(page, place, **request))
        return page

    @property
    def start(self) -> dict[str, Any]:
        return {"epoch": self.log.epoch, "offset": 0}


def status(value: Status, session: str = "s1", **more: Any) -> ConversationStatus:
    agents = (AgentCard(name="Ann"), AgentCard(name="Bob"))
    return ConversationStatus(status=value, session_id=session, team="debate", agents=agents, **more)


def opening(session: str = "s1") -> list[Event]:
    return [
        status(Status.INITIALIZING, session),
        AgentMessage(message_id=f"{session}-user", agent="user", role="user", content="Why?", content_type="text"),
        status(Status.ACTIVE, session, model="gpt"),
    ]


def deltas(key: str, *pieces: str, agent: str = "Ann") -> list[Event]:
    return [MessageDelta(message_id=key, agent=agent, delta=piece) for piece in pieces]


def full_run() -> Stage:
    """A run with everything in it that a client has to follow."""
    stage = Stage()
    stage.say(
        *opening(),
        AgentStep(agent="Ann", turn=1),
        MessageStart(message_id="m1", agent="Ann"),
        *deltas("m1", "One ", "two ", "three"),
        AgentMessage(message_id="m1", agent="Ann", content="One two three", confidence=0.5),
        Progress(current_turn=1, max_turns=2, percentage=50),
        ToolCall(call_id="k1", agent="Bob", tool="price", arguments='{"of": "BTC"}'),
        ToolResult(call_id="k1", agent="Bob", tool="price", success=True, preview="7"),
        AgentStep(agent="Bob", turn=2),
        MessageStart(message_id="m2", agent="Bob"),
        *deltas("m2", "withdrawn", agent="Bob"),
        MessageReset(message_id="m2", agent="Bob", reason="model_broken"),
        FallbackMode(mode="provider", reason="model_broken", from_="gpt", to="llama"),
        MessageStart(message_id="m3", agent="Bob"),
        *deltas("m3", "Four", " five", agent="Bob"),
        AgentMessage(message_id="m3", agent="Bob", content="Four five six"),
        AgentMessage(message_id="m4", agent="Bob", content="A whole one"),
        ConversationComplete(consensus="Yes", summary="Short"),
        status(Status.COMPLETED, usage=Usage(prompt_tokens=3, completion_tokens=4)),
    )
    return stage


def shown(page: Page) -> dict[str, tuple[str, str]]:
    return {key: (message["role"], message["content"]) for key, message in page.messages.items()}


EXPECTED = {
    "s1-user": ("user", "Why?"),
    "m1": ("assistant", "One two three"),
    "k1": ("assistant", '{"of": "BTC"}'),
    "k1-result": ("tool", "7"),
    "m3": ("assistant", "Four five six"),
    "m4": ("assistant", "A whole one"),
}


def test_a_run_is_what_the_protocol_allows() -> None:
    """Lifecycle, steps, texts, tool calls and state, in the log's order."""
    stage = Stage()
    stage.say(
        *opening(),
        AgentStep(agent="Ann", turn=1),
        MessageStart(message_id="m1", agent="Ann"),
        *deltas("m1", "One ", "two"),
        AgentMessage(message_id="m1", agent="Ann", content="One two", confidence=0.5),
        ConversationComplete(consensus="Yes"),
        status(Status.COMPLETED, usage=Usage(prompt_tokens=3, completion_tokens=4)),
    )
    page = stage.play(Page(), stage.start, names={"s1-user": "u1"})
    assert page.types == [
        "RUN_STARTED", "STATE_SNAPSHOT", "STATE_DELTA",
        "TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_END",  # the user's, whom this page does not know
        "STATE_DELTA", "STATE_DELTA", "STEP_STARTED",
        "TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_END",
        "STATE_DELTA", "STATE_DELTA", "STEP_FINISHED", "RUN_FINISHED",
    ]  # fmt: skip
    assert shown(page) == {"u1": ("user", "Why?"), "m1": ("assistant", "One two")}
    assert page.messages["m1"]["name"] == "Ann"
    assert page.messages["m1"]["facts"]["confidence"] == 0.5
    assert page.result["outcome"] == {"type": "success"}
    assert page.result["result"]["consensus"] == "Yes"
    assert page.result["usage"] == [{"model": "gpt", "inputTokens": 3, "outputTokens": 4}]
    conversation = page.state["conversation"]
    assert (conversation["status"], conversation["speaking"], conversation["model"]) == ("completed", None, "gpt")


def test_a_page_is_not_told_what_it_has_said() -> None:
    """Its own message does not come back to it, under no id."""
    stage = full_run()
    page = Page()
    page.messages["u1"] = {"role": "user", "name": None, "content": "Why?"}
    stage.play(page, stage.start, names={"s1-user": "u1"})
    assert [key for key, (role, _) in shown(page).items() if role == "user"] == ["u1"]


def test_cut_off_anywhere_nothing_is_lost_or_doubled() -> None:
    """After each single event the connection is cut; with the last place that was seen, the page ends as it should."""
    stage = full_run()
    first = Page()
    stage.play(first, stage.start)
    assert shown(first) == EXPECTED
    for seen in range(1, len(stage.events(Page(), stage.start))):
        page = Page()
        page.read(stage.events(page, stage.start)[:seen])
        stage.play(page, page.place)
        assert shown(page) == EXPECTED, f"cut after {seen} events"
        assert page.state["conversation"]["status"] == "completed"
        assert page.result["result"]["consensus"] == "Yes"


def test_cut_off_while_it_is_written() -> None:
    """The same, where the log ended in mid-sentence when the connection was cut."""
    whole = list(full_run().log.after(0))
    for kept in range(1, len(whole)):
        stage = Stage()
        page = Page()
        for entry in whole[:kept]:
            _copy(stage, entry)
        page.read(stage.events(page, stage.start))
        for entry in whole[kept:]:
            _copy(stage, entry)
        stage.play(page, page.place)
        assert shown(page) == EXPECTED, f"cut after {kept} entries"


def _copy(stage: Stage, entry: Any) -> None:
    made = stage.log.append(entry.name, entry.payload, timestamp=T0, demo=False)
    stage.fold.apply(entry.name, made.payload)


def test_without_a_place_the_snapshot_comes_first() -> None:
    """A late comer in mid-sentence holds what was said, and is given the rest."""
    stage = Stage()
    stage.say(*opening(), AgentStep(agent="Ann", turn=1), MessageStart(message_id="m1", agent="Ann"))
    stage.say(*deltas("m1", "One "), InputRequest(request_id="i1", agent="Ann", prompt="?"))
    translator = RunTranslator(stage.request(Page()))
    page = Page()
    page.read(translator.begin(stage.ack(None)))
    assert page.types == ["RUN_STARTED", "STATE_SNAPSHOT", "CUSTOM", "MESSAGES_SNAPSHOT", "STEP_STARTED"]
    assert page.custom[0][0] == "input_request"
    assert page.place == {"epoch": stage.log.epoch, "offset": stage.log.offset}
    at = stage.log.offset
    stage.say(*deltas("m1", "two"), AgentMessage(message_id="m1", agent="Ann", content="One two"))
    for entry in stage.log.after(at):
        page.read(translator.take(entry))
    assert shown(page)["m1"] == ("assistant", "One two")
    assert "TEXT_MESSAGE_CONTENT" in page.types


@pytest.mark.parametrize(
    "change",
    [
        MessageUpdated(message_id="m1", agent="Ann", changes={"content": "Better"}),
        AgentMessage(message_id="m1", agent="Ann", content="Better"),
    ],
)
def test_a_text_that_has_changed_is_replaced(change: Event) -> None:
    """AG-UI cannot change a message: the page is given a snapshot."""
    stage = Stage()
    stage.say(*opening(), MessageStart(message_id="m1", agent="Ann"), *deltas("m1", "Worse"))
    stage.say(AgentMessage(message_id="m1", agent="Ann", content="Worse"), change)
    page = stage.play(Page(), stage.start)
    assert "MESSAGES_SNAPSHOT" in page.types
    assert shown(page)["m1"] == ("assistant", "Better")


def test_a_deviating_final_text_is_repaired() -> None:
    """What was streamed is not what was meant."""
    stage = Stage()
    stage.say(*opening(), MessageStart(message_id="m1", agent="Ann"), *deltas("m1", " One"))
    stage.say(AgentMessage(message_id="m1", agent="Ann", content="One"), status(Status.COMPLETED))
    assert shown(stage.play(Page(), stage.start))["m1"] == ("assistant", "One")


def test_a_page_whose_history_is_wrong_is_repaired() -> None:
    """It claims to hold another text than was said."""
    stage = full_run()
    page = Page()
    stage.play(page, stage.start)
    page.messages["m4"]["content"] = "A whole one, and something that nobody has said"
    page.place = {"epoch": stage.log.epoch, "offset": stage.log.offset - 4}
    stage.play(page, page.place)
    assert shown(page) == EXPECTED


def test_a_failed_run_is_an_error() -> None:
    """With its code; the client's open brackets do not matter."""
    stage = Stage()
    stage.say(
        *opening(),
        AgentStep(agent="Ann", turn=1),
        *deltas("m1", "One"),
        ConversationError(error="The team failed.", code="team_failed"),
        status(Status.ERROR, code="team_failed", reason="The team failed."),
    )
    page = stage.play(Page(), stage.start)
    assert page.error == ("The team failed.", "team_failed")
    assert page.custom[-1][0] == "conversation_error"


def test_a_stopped_run_is_cancelled() -> None:
    """Neither success nor error."""
    stage = Stage()
    stage.say(*opening(), *deltas("m1", "One"))
    stage.say(AgentMessage(message_id="m1", agent="Ann", content="One", partial=True, reason="stopped"))
    stage.say(status(Status.STOPPED))
    page = stage.play(Page(), stage.start)
    assert page.result["outcome"] == {"type": "cancelled"}
    assert page.messages["m1"]["facts"]["state"] == "partial"


def test_an_earlier_sessions_end_ends_nothing() -> None:
    """In what was missed, a session may have ended and the next one begun."""
    stage = full_run()
    stage.say(*opening("s2"), AgentMessage(message_id="m9", agent="Ann", content="More"), status(Status.STOPPED, "s2"))
    page = stage.play(Page(), stage.start, session="s2")
    assert page.result["outcome"] == {"type": "cancelled"}
    assert shown(page) == {**EXPECTED, "s2-user": ("user", "Why?"), "m9": ("assistant", "More")}


def test_one_who_comes_when_all_is_over_is_told_so() -> None:
    """At the head of the log of a run that has ended, with nothing left to read."""
    stage = full_run()
    page = Page()
    stage.play(page, stage.start)
    stage.play(page, page.place)
    assert page.types == ["RUN_STARTED", "RUN_FINISHED"]
    late = stage.play(Page(), None)
    assert late.types == ["RUN_STARTED", "STATE_SNAPSHOT", "MESSAGES_SNAPSHOT", "RUN_FINISHED"]
    assert shown(late) == EXPECTED


def test_what_agui_has_no_event_for_is_custom() -> None:
    """Charts, requests for input, fallbacks: under their own names, without the envelope."""
    stage = Stage()
    stage.say(
        *opening(),
        ChartGenerated(chart_id="h1", url="/charts/h1", symbol="BTC"),
        FallbackMode(mode="demo", reason="backend_unavailable"),
        MessageUpdated(message_id="m1", agent="Ann", changes={"feedback": "up"}),
    )
    page = stage.play(Page(), stage.start)
    assert [name for name, _ in page.custom] == ["chart_generated", "fallback_mode", "message_updated"]
    assert page.custom[0][1]["chart_id"] == "h1"
    assert "offset" not in page.custom[0][1]
    assert page.state["conversation"]["demo"] is True


def test_a_new_title_is_told_while_the_run_goes_on() -> None:
    """The state of a page that had begun before kept the old one."""
    stage = Stage()
    stage.say(*opening())
    page = stage.play(Page(), None)
    stage.say(ConversationUpdated(changes={"title": "Banks"}, updated_by="ann"))
    stage.play(page, page.place)
    assert page.state["conversation"]["title"] == "Banks"


def test_the_pages_own_state_stays() -> None:
    """The conversation lies beside it."""
    stage = full_run()
    page = Page()
    page.state = {"theme": "dark"}
    stage.play(page, stage.start)
    assert page.state["theme"] == "dark"
    assert page.state["conversation"]["conversation_id"] == "c1"


def test_a_stream_that_cannot_go_on_says_so() -> None:
    """Whatever becomes of its run."""
    stage = Stage()
    stage.say(*opening(), AgentStep(agent="Ann", turn=1), *deltas("m1", "One"))
    page = Page()
    translator = RunTranslator(stage.request(page))
    page.read(translator.begin(stage.ack(stage.start)))
    for entry in stage.log.after(0):
        page.read(translator.take(entry))
    page.read(translator.fail(Interrupted("gone")))
    assert page.error == ("gone", "interrupted")
    assert translator.finished
