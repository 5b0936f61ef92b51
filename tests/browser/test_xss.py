"""The XSS corpus (xss_corpus.json says where it is from) in Chromium, wherever somebody else's text is shown: nothing
runs, nothing is loaded from elsewhere, nobody is led away."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from app.concurrency import AsyncMode
from app.protocol.common import AgentCard, ContentType, Status
from app.protocol.snapshot import ChartView, MessageView, ToolCallView
from app.store.base import (
    Change,
    ChartWritten,
    ConversationChanged,
    ConversationRecord,
    MessageWritten,
    ToolCallWritten,
)
from app.store.database import Database
from app.store.sql import SqlStore
from tests.browser.conftest import WAIT_MS
from tests.support.model_server import ModelServer
from tests.support.server import ColloquyServer

pytestmark = pytest.mark.browser

VECTORS: list[str] = [
    each["vector"] for each in json.loads((Path(__file__).parent / "xss_corpus.json").read_text("utf-8"))["vectors"]
]
WATCH = """
for (const name of ["alert", "confirm", "prompt", "print", "msgbox"]) {
  window[name] = (...given) => { ran(`${name} ${given}`); };
}
"""
FIRE = """
root => { // what a reader's hand may do, and what the browser does by itself
  const events = ["mouseover", "mouseenter", "mousemove", "pointerover", "focus", "blur", "error", "load", "toggle",
    "copy", "animationstart"];
  for (const each of root.querySelectorAll("*")) for (const name of events) each.dispatchEvent(new Event(name));
}
"""
FORBIDDEN = """
root => {
  const tags = "script, iframe, frame, object, embed, img:not(.brand > img, .chart img), image, style, link, meta,"
    + "base, video, audio, source, math, template, form:not([class])";
  const leads = /^(?:xlink:)?href$|^src$|^action$|^formaction$/;
  const harmless = /^(?:https?:|mailto:|\\/|#i-)/i;
  const bad = ({ name, value }, each) =>
    name.startsWith("on")
      || (leads.test(name) && !harmless.test(value)) || (name === "style" && !!each.closest(".prose"));
  return [...root.querySelectorAll("*")]
    .filter((each) => each.matches(tags) || [...each.attributes].some((attribute) => bad(attribute, each)))
    .map((each) => each.outerHTML.slice(0, 200));
}
"""

expect.set_options(timeout=WAIT_MS)


@dataclass
class Watched:
    """A browser in which it is noticed when something runs, loads or leads away."""

    page: Any
    bad: list[str] = field(default_factory=list)

    def expect_harmless(self, *selectors: str) -> None:
        """Nothing has happened, and nothing can."""
        for selector in selectors:
            for place in self.page.locator(selector).all():
                place.evaluate(FIRE)
                assert place.evaluate(FORBIDDEN) == []
        assert self.page.evaluate("() => new Promise((done) => setTimeout(() => done(1), 0))") == 1  # what was set off
        assert self.bad == []


@pytest.fixture
def watched(browser: Any) -> Iterator[Callable[[str], Watched]]:
    """``watched(url)`` opens an address."""
    contexts = []

    def opened(url: str) -> Watched:
        context = browser.new_context()
        contexts.append(context)
        own = url.split("/")[2]
        bad: list[str] = []
        context.expose_binding("ran", lambda _, what: bad.append(f"ran: {what}"))
        context.add_init_script(WATCH)
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)

        def foreign(address: str, what: str) -> None:
            if address.split("/")[2:3] != [own] and not address.startswith("blob:"):
                bad.append(f"{what} {address}")

        page.on("framenavigated", lambda frame: foreign(frame.url, "led to"))
        page.on("request", lambda request: foreign(request.url, "asked for"))
        context.on("page", lambda another: bad.append(f"opened {another.url}"))
        page.goto(url)
        return Watched(page, bad)

    yield opened
    for context in contexts:
        context.close()


def test_the_watch_would_notice(watched: Callable[[str], Watched], server: ColloquyServer) -> None:
    """A test that cannot fail proves nothing: what runs, loads or leads away is seen by the same means."""
    found = watched(f"{server.url}/static/favicon.svg")
    found.page.route("http://evil.example/**", lambda route: route.abort())
    found.page.evaluate("() => { alert(7); new Image().src = 'http://evil.example/x.png'; }")
    found.page.wait_for_function("() => true")
    with pytest.raises(AssertionError):
        found.expect_harmless()
    assert [each.split(":")[0] for each in found.bad] == ["ran", "asked for http"]


def test_texts_that_grow(watched: Callable[[str], Watched], server: ColloquyServer) -> None:
    """Every vector, drawn after each character, as a message that streams is."""
    found = watched(server.url)
    found.page.evaluate(
        """async (vectors) => {
          const { MarkdownView } = await import("/static/js/ui/markdown.js");
          const box = document.createElement("div");
          box.id = "grown";
          document.body.append(box);
          for (const vector of vectors) {
            const prose = document.createElement("div");
            prose.className = "prose";
            box.append(prose);
            const view = new MarkdownView(prose);
            for (let end = 1; end <= vector.length; end += 1) view.draw(vector.slice(0, end));
          }
        }""",
        VECTORS,
    )
    assert found.page.locator("#grown > div").count() == len(VECTORS)
    found.expect_harmless("#grown")


def test_a_run_whose_model_writes_them(
    watched: Callable[[str], Watched], server: ColloquyServer, model: ModelServer
) -> None:
    """All of them, asked by a person and streamed by agents, in conclusions too; live, and after a reload."""
    everything = "\n\n".join(VECTORS)
    model.control(text=everything, token_delay_ms=0, consensus=everything, summary=everything)
    found = watched(server.url)
    found.page.get_by_test_id("content-input").fill(everything)
    found.page.get_by_test_id("start-conversation").click()
    for _ in ("live", "after a reload"):
        expect(found.page.get_by_test_id("conversation-status")).to_have_text("Complete")
        expect(found.page.get_by_test_id("conversation-ending")).to_be_visible()
        expect(found.page.get_by_test_id("agent-message")).to_have_count(3)
        found.expect_harmless("#main", "#sidebar")
        found.page.reload()


# --- what comes from the store ----------------------------------------------------------------------------------------

AT = "2026-01-02T03:04:05.678Z"
OWNER = "local"


def message(number: int, text: str) -> MessageView:
    """Said by somebody whose name is a vector, too."""
    return MessageView(
        message_id=f"m{number}",
        agent="User" if number % 2 else text[:200],
        role="user" if number % 2 else "agent",
        content=text,
        content_type="text" if number % 2 else "markdown",
        state="partial" if number % 3 == 0 else "complete",
        reason=text[:60],
        model=text[:60],
        updated_at=AT,
        updated_by=text[:60],
        timestamp=AT,
    )


def hostile_conversations() -> Iterator[Change]:
    """One whose every text is hostile, and one for each vector as a title."""
    cards = [AgentCard(name=text[:60], description=text, emoji=text[:4]).model_dump() for text in VECTORS[:8]]
    outcome = {"consensus": VECTORS[1], "summary": VECTORS[2], "reason": VECTORS[3]}
    state = {"agents": cards, "model": VECTORS[1], "outcome": outcome}
    for number, text in enumerate(["<script>alert(7)</script><img src=x onerror=alert(7)>", *VECTORS]):
        record = ConversationRecord(
            conversation_id=f"hostile-{number}",
            owner=OWNER,
            title=" ".join(text.split()),
            team="debate",
            content_type=ContentType.TEXT,
            created_at=AT,
            updated_at=AT,
            status=Status.COMPLETED,
            messages=len(VECTORS) if number == 0 else 0,
            state=state if number == 0 else {},
        )
        yield ConversationChanged(record)
    for number, text in enumerate(VECTORS):
        yield MessageWritten("hostile-0", message(number, text))
        said = {"agent": text[:60], "tool": text[:60], "arguments": text, "preview": text}
        yield ToolCallWritten("hostile-0", ToolCallView(call_id=f"t{number}", success=True, **said), AT)
        yield ChartWritten("hostile-0", ChartView(chart_id=f"c{number}", url=text, symbol=text[:20], title=text), AT)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory, model: ModelServer) -> Iterator[ColloquyServer]:
    """A server that finds the hostile conversations in its store."""
    url = f"sqlite:///{tmp_path_factory.mktemp('hostile') / 'colloquy.sqlite3'}"
    mode = AsyncMode("threading")
    database = Database(url, mode)
    database.prepare()
    SqlStore(database, mode).write(list(hostile_conversations()))
    env = {"DATABASE_URL": url, "REGISTRATION": "open"}
    with ColloquyServer(model_url=model.url, env=env) as running:
        yield running


def test_what_the_store_holds(watched: Callable[[str], Watched], stored: ColloquyServer) -> None:
    """Titles, agents' names, texts, tool results, charts, conclusions of what is brought back; and the list."""
    found = watched(f"{stored.url}/c/hostile-0")
    expect(found.page.get_by_test_id("conversation-status")).to_have_text("Complete")
    expect(found.page.locator("[data-message-id]")).to_have_count(len(VECTORS))
    expect(found.page.get_by_test_id("tool-call").or_(found.page.get_by_test_id("chart-missing"))).to_have_count(
        min(len(VECTORS), 100) * 2
    )
    expect(found.page.locator("a.row").first).to_be_visible()
    found.page.get_by_test_id("more-conversations").evaluate("(button) => button.click()")
    expect(found.page.locator("a.row").nth(60)).to_be_attached()
    found.expect_harmless("#main", "#sidebar")
    found.page.get_by_test_id("conversation-menu").click()
    found.page.get_by_test_id("menu-delete").click()
    found.expect_harmless("dialog")


@pytest.mark.parametrize("form", ["html", "markdown", "json"])
def test_what_is_exported(form: str, watched: Callable[[str], Watched], stored: ColloquyServer, tmp_path: Path) -> None:
    """The file, opened from the disk: without the server's headers, only what it says itself protects its reader."""
    keeper = watched(f"{stored.url}/static/favicon.svg")
    answer = keeper.page.request.get(f"{stored.url}/api/conversations/hostile-0/export?format={form}")
    assert answer.ok
    assert "attachment" in answer.headers["content-disposition"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    file = tmp_path / f"exported.{form}"
    file.write_bytes(answer.body())
    opened = watched(file.as_uri())
    opened.expect_harmless("body" if form == "html" else "pre")
    if form == "html":
        assert opened.page.locator("article").count() == len(VECTORS)


def test_names_of_people(watched: Callable[[str], Watched], stored: ColloquyServer) -> None:
    """In the corner of the page, and in the dialog of who shares with them."""
    found = watched(f"{stored.url}/static/favicon.svg")
    name = "<img src=x onerror=alert(7)>"
    for login in ("anna", "bert"):
        body = {"login": login, "password": "correct horse battery staple", "name": name}
        assert found.page.request.post(f"{stored.url}/api/register", data=body, headers={"Origin": stored.url}).ok
    found.page.goto(stored.url)
    expect(found.page.get_by_test_id("account-name")).to_have_text(name)
    found.expect_harmless("#sidebar")
    found.page.get_by_test_id("content-input").fill("Share this")
    found.page.get_by_test_id("start-conversation").click()
    expect(found.page.get_by_test_id("conversation-status")).to_have_text("Complete")
    found.page.get_by_test_id("share").click()
    found.page.get_by_test_id("share-user").fill("anna")
    found.page.get_by_test_id("share-add").click()
    expect(found.page.get_by_test_id("share-people")).to_contain_text(name)
    found.expect_harmless("dialog")
