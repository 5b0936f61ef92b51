"""What agents do beside talking, on the conversation page: tools, charts, plans, thoughts, and what it costs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import WAIT_MS, play
from tests.support.server import ColloquyServer
from tests.support.workshop import HOSTILE, LONG

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Any]

expect.set_options(timeout=WAIT_MS)


def expect_end(page: Any) -> None:
    """The run is over, and the page shows that."""
    expect(page.get_by_test_id("conversation-status")).to_have_text("Complete")
    expect(page.get_by_test_id("conversation-ending")).to_be_visible()


def kinds(page: Any) -> list[str]:
    """What stands in the transcript, in its order."""
    found: list[str] = page.locator("#transcript").evaluate(
        """(box) => [...box.querySelectorAll(".message, .aside, .tool, .chart")]
          .map((each) => each.dataset.kind ?? each.dataset.callId ?? each.dataset.testid)"""
    )
    return found


def test_a_tool_call_runs_answers_and_stands_at_its_place(
    open_page: OpenPage, shop: ColloquyServer, tmp_path: Path
) -> None:
    """Running, then done, between what was said before and after; the same after a reload."""
    begin, go = tmp_path / "begin", tmp_path / "go"
    page = open_page(shop.url)
    play(page, f"said wait:{begin} called wait:{go} answered failed")
    expect(page.get_by_test_id("agent-message")).to_have_count(1)
    begin.touch()
    call = page.locator('[data-call-id="running"]')
    expect(call.get_by_test_id("tool-state")).to_have_text("running")
    expect(call).to_contain_text("Analyst")
    expect(call).to_contain_text('symbol: "AAPL", months: 12')
    go.touch()
    expect(call.get_by_test_id("tool-state")).to_have_text("done")
    expect_end(page)
    for _ in range(2):
        expect(call).to_contain_text("187.20 US dollars")
        expect(page.locator('[data-call-id="bad"]').get_by_test_id("tool-state")).to_have_text("not found")
        assert kinds(page) == ["user-message", "agent-message", "running", "bad", "agent-message"]
        page.reload()
        expect_end(page)


def test_a_whole_answer_is_fetched_by_keyboard(open_page: OpenPage, shop: ColloquyServer) -> None:
    """Enter opens the card, "Show all" brings the rest, and the reader is where the text is."""
    page = open_page(shop.url, refusals=True)
    play(page, "long gone")
    expect_end(page)
    page.locator('[data-call-id="long"] summary').focus()
    page.keyboard.press("Enter")
    answer = page.locator('[data-call-id="long"]').get_by_test_id("tool-result")
    expect(answer).to_contain_text("line 1: 1")
    expect(answer).not_to_contain_text("line 400")
    page.locator('[data-call-id="long"]').get_by_role("button", name=f"Show all ({len(LONG):,} characters)").press(
        "Enter"
    )
    expect(answer).to_contain_text("line 400: 160000")
    expect(answer).to_be_focused()
    gone = page.locator('[data-call-id="gone"]')
    gone.locator("summary").click()
    gone.get_by_test_id("tool-show-all").click()
    expect(gone.get_by_role("alert")).to_contain_text("The whole answer cannot be shown. There is no such artifact.")


def test_a_call_without_an_answer_says_so_at_the_end(open_page: OpenPage, shop: ColloquyServer, tmp_path: Path) -> None:
    """While the run goes on it is running; and it does not run again when the next run does."""
    page = open_page(shop.url)
    play(page, f"silent wait:{tmp_path / 'never'}")
    state = page.locator('[data-call-id="silent"]').get_by_test_id("tool-state")
    expect(state).to_have_text("running")
    page.get_by_test_id("stop-conversation").click()
    expect(page.get_by_test_id("conversation-status")).to_have_text("Stopped")
    expect(state).to_have_text("no answer")
    page.locator('[data-call-id="silent"] summary').click()
    expect(page.locator('[data-call-id="silent"]')).to_contain_text("It did not answer before the run ended.")


def test_a_chart_is_shown_and_enlarged(open_page: OpenPage, shop: ColloquyServer) -> None:
    """With words for who cannot see it; Escape brings the reader back to it."""
    page = open_page(shop.url)
    play(page, "chart")
    expect_end(page)
    image = page.get_by_test_id("chart").get_by_role("img", name="Chart: Apple, 2007 to 2009, AAPL, drawn by Analyst")
    expect(image).to_be_visible()
    assert image.evaluate("(image) => image.naturalWidth") > 0
    page.get_by_test_id("chart-open").press("Enter")
    dialog = page.get_by_test_id("chart-dialog")
    expect(dialog.get_by_role("heading")).to_have_text("Apple, 2007 to 2009")
    assert dialog.get_by_test_id("chart-tab").get_attribute("href") == image.get_attribute("src")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(page.get_by_test_id("chart-open")).to_be_focused()


def test_a_small_picture_stays_small_and_json_is_code(open_page: OpenPage, shop: ColloquyServer) -> None:
    """A picture of an agent's message is no chart that fills the page; a structured output is legible."""
    page = open_page(shop.url)
    play(page, "record dot")
    expect_end(page)
    image = page.get_by_role("img", name="Chart: A dot, drawn by Analyst")
    expect(image).to_have_class("small")
    assert image.evaluate("(image) => image.getBoundingClientRect().width") == 20
    expect(page.get_by_test_id("agent-message").first.locator("pre code")).to_contain_text('"why": "<b>it is</b>"')


def test_a_chart_that_cannot_be_shown_says_why(open_page: OpenPage, shop: ColloquyServer) -> None:
    """Gone, for the moment, or of another server: that one is never asked for (`open_page` would tell)."""
    page = open_page(shop.url, refusals=True)
    play(page, "lost foreign")
    expect_end(page)
    expect(page.get_by_test_id("chart-missing").nth(0)).to_contain_text("It is not kept any more.")
    expect(page.get_by_test_id("chart-missing").nth(1)).to_contain_text("does not lead to a picture of this server")


def test_a_chart_comes_back_when_its_server_does(open_page: OpenPage, shop: ColloquyServer) -> None:
    """And is fetched with the connection's credentials where the browser's own are refused."""
    page = open_page(shop.url, refusals=True)
    answers = [503, 503, 401]
    asked = []

    def answer(route: Any) -> None:
        asked.append(route.request.resource_type)
        if not answers:
            return route.continue_()
        status = answers.pop(0)
        body = {"error": {"code": "store_unavailable", "message": "the database does not answer", "retryable": True}}
        return route.fulfill(status=status, json=body)

    page.route("**/artifacts/*", answer)
    play(page, "chart")
    expect_end(page)
    expect(page.get_by_test_id("chart-missing")).to_contain_text("The database does not answer.")
    page.get_by_test_id("chart-again").click()
    expect(page.locator('.chart[data-state="shown"]')).to_be_visible()
    assert asked == ["image", "fetch", "image", "fetch"]
    assert page.locator(".chart img").get_attribute("src").startswith("blob:")


def test_plans_are_open_while_they_are_written_and_folded_afterwards(
    open_page: OpenPage, shop: ColloquyServer, tmp_path: Path
) -> None:
    """Labelled, not counted as answers, not read aloud as such."""
    go = tmp_path / "go"
    page = open_page(shop.url)
    play(page, f"thought ledger planning wait:{go} planned")
    plan = page.locator('[data-kind="plan"]')
    expect(plan).to_contain_text("is planning…")
    expect(plan.get_by_text("First of all")).to_be_visible()
    go.touch()
    expect_end(page)
    expect(plan.locator("summary")).to_contain_text("Plan")
    expect(plan.get_by_text("First of all")).to_be_hidden()
    assert kinds(page) == ["user-message", "thought", "ledger", "plan", "agent-message"]
    expect(page.get_by_test_id("agent-message")).to_have_count(1)
    plan.locator("summary").press("Enter")
    expect(plan.get_by_text("First of all")).to_be_visible()


def test_a_message_says_what_it_has_cost(open_page: OpenPage, shop: ColloquyServer) -> None:
    """Where a price is known."""
    page = open_page(shop.url)
    play(page, "said")
    expect_end(page)
    figures = page.get_by_test_id("message-usage")
    expect(figures.nth(0)).to_have_text("1,540 tokens · $0.0012")
    expect(figures.nth(1)).to_have_text("")


def test_a_conversation_says_what_it_has_cost(open_page: OpenPage, shop: ColloquyServer) -> None:
    """Each message, and all of it: at the end, and at the top of the page."""
    page = open_page(shop.url)
    page.get_by_test_id("content-input").fill("What does this cost?")
    page.get_by_test_id("start-conversation").click()
    expect_end(page)
    expect(page.get_by_test_id("message-usage").first).to_contain_text("$")
    expect(page.get_by_test_id("cost")).to_contain_text("$")
    tokens = page.get_by_test_id("usage").inner_text().removesuffix(" spent")
    expect(page.get_by_test_id("spent")).to_have_text(f"{tokens} · {page.get_by_test_id('cost').inner_text()}")


def test_hostile_tools_charts_and_thoughts_are_text(open_page: OpenPage, shop: ColloquyServer) -> None:
    """Live, after a reload, and enlarged."""
    page = open_page(shop.url)
    page.expose_binding("ran", lambda *_: pytest.fail("something ran"))
    page.add_init_script("for (const name of ['alert', 'print']) window[name] = () => ran(name);")
    play(page, "hostile")
    for _ in range(2):
        expect_end(page)
        expect(page.locator('[data-call-id="hostile"]')).to_contain_text(HOSTILE[:40])
        expect(page.locator("figcaption")).to_contain_text(HOSTILE[:40])
        expect(page.locator('.chart[data-state="shown"]')).to_be_visible()
        for summary in page.locator("#transcript summary").all():
            summary.click()
        page.get_by_test_id("chart-open").click()
        expect(page.get_by_test_id("chart-dialog").get_by_role("heading")).to_contain_text("<script>")
        page.keyboard.press("Escape")
        strange = "#main script, #main iframe, #main [onerror], #main img:not(.chart img), dialog script"
        assert page.locator(strange).count() == 0
        page.reload()
