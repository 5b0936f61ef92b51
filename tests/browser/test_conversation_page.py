"""The conversation page in Chromium (FEATURES A10), against the real server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import WAIT_MS
from tests.conftest import TIMEOUT_SCALE
from tests.support.model_server import ModelServer
from tests.support.server import ColloquyServer

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Any]
TEXT = "Should the bank keep its dividend after this quarter?"

expect.set_options(timeout=WAIT_MS)


def start(page: Any, content: str = TEXT) -> None:
    """Type and start, as a user does."""
    page.get_by_test_id("content-input").fill(content)
    page.get_by_test_id("start-conversation").click()


def texts(page: Any) -> list[str]:
    """The agents' messages, as they are shown."""
    return [each.inner_text() for each in page.get_by_test_id("agent-message").all()]


def expect_texts(page: Any, wanted: list[str]) -> None:
    """Wait until the agents' messages are these: text is drawn in the next animation frame."""
    messages = page.get_by_test_id("agent-message")
    expect(messages).to_have_count(len(wanted))
    for place, text in enumerate(wanted):
        expect(messages.nth(place)).to_have_text(text, use_inner_text=True)


@pytest.mark.matrix
@pytest.mark.real_model
@pytest.mark.timeout(240 * TIMEOUT_SCALE)
def test_a_debate_on_the_bundled_model(open_page: OpenPage) -> None:
    """A10 with a real model: Initializing → … → Complete, three agents, under "Live:"."""
    with ColloquyServer(env={"LOCAL_MODEL": "true"}) as server:
        page = open_page(server.url)
        start(page)
        status = page.get_by_test_id("conversation-status")
        expect(status).to_have_text("Active")
        expect(page.get_by_test_id("conversation-display")).to_contain_text("Live:")
        expect(status).to_have_text("Complete", timeout=180_000 * TIMEOUT_SCALE)
        messages = page.get_by_test_id("agent-message")
        expect(messages).to_have_count(3)
        expect(page.get_by_test_id("conversation-ending")).to_be_visible()
        agents = [each.get_attribute("data-agent") for each in messages.all()]
        assert agents == ["Financial Analyst", "Market Context", "Risk Challenger"]
        expect(page.get_by_test_id("answered-by")).to_contain_text("small model")
        assert all(len(text) > 30 for text in texts(page))


def test_the_display_says_demo_when_the_backend_is_down(open_page: OpenPage, free_port: Callable[[], int]) -> None:
    """A10 without a model: the conversation goes on, and says what it is."""
    env = {"DEMO_TOKENS_PER_S": "500", "STREAM_TOKENS_PER_S": "0"}
    with ColloquyServer(model_url=f"http://127.0.0.1:{free_port()}/v1", env=env) as server:
        page = open_page(server.url)
        start(page)
        display = page.get_by_test_id("conversation-display")
        expect(display).to_contain_text("Demo:")
        expect(page.get_by_test_id("demo-note")).to_be_visible()
        expect(page.get_by_test_id("conversation-status")).to_have_text("Complete")
        expect(page.get_by_test_id("agent-message")).to_have_count(3)
        expect(display).not_to_contain_text("Live:")


def test_the_badge_follows_pause_resume_and_stop(
    open_page: OpenPage, server: ColloquyServer, model: ModelServer
) -> None:
    """A3, A4: the buttons do what they say."""
    model.control(token_delay_ms=30, tokens=300)
    page = open_page(server.url)
    status = page.get_by_test_id("conversation-status")
    expect(status).to_have_text("Idle")
    start(page)
    expect(status).to_have_text("Active")
    expect(page.get_by_test_id("agent-message").first).to_contain_text("w")
    page.get_by_test_id("pause-conversation").click()
    expect(status).to_have_text("Paused")
    shown = texts(page)
    page.get_by_test_id("resume-conversation").click()
    expect(status).to_have_text("Active")
    expect(page.get_by_test_id("agent-message").first).not_to_have_text(shown[0])
    page.get_by_test_id("stop-conversation").click()
    expect(status).to_have_text("Stopped")
    expect(page.get_by_test_id("broke-off")).to_be_visible()
    model.wait_for(lambda stats: stats["open"] == 0)


def test_a_second_browser_watches_the_same_in_mid_sentence(
    open_page: OpenPage, server: ColloquyServer, model: ModelServer
) -> None:
    """The link shows the same conversation, to the letter."""
    model.control(token_delay_ms=20, tokens=60)
    page = open_page(server.url)
    start(page)
    expect(page.get_by_test_id("agent-message")).to_have_count(1)
    other = open_page(page.url)
    assert "/c/" in other.url
    expect(other.get_by_test_id("agent-message").first).to_be_visible()
    expect(page.get_by_test_id("watchers")).to_contain_text("2")
    for each in (page, other):
        expect(each.get_by_test_id("conversation-status")).to_have_text("Complete")
    expect(page.get_by_test_id("agent-message")).to_have_count(3)
    expect_texts(other, texts(page))
    expect(other.get_by_test_id("consensus")).to_contain_text("agree to disagree")
    expect(other.get_by_test_id("summary")).to_contain_text("Three agents")


def test_a_reload_shows_the_conversation_again(open_page: OpenPage, server: ColloquyServer) -> None:
    """Nothing is lost with the tab; the list has it, too."""
    page = open_page(server.url)
    start(page, "A title to be found again")
    expect(page.get_by_test_id("conversation-status")).to_have_text("Complete")
    expect(page.get_by_test_id("conversation-ending")).to_be_visible()
    before = texts(page)
    assert len(before) == 3
    page.reload()
    expect(page.get_by_test_id("conversation-status")).to_have_text("Complete")
    expect_texts(page, before)
    expect(page.get_by_test_id("conversation-list")).to_contain_text("A title to be found again")


def test_a_follow_up_goes_on(open_page: OpenPage, server: ColloquyServer) -> None:
    """After the end, the next message starts the next round."""
    page = open_page(server.url)
    start(page)
    expect(page.get_by_test_id("conversation-status")).to_have_text("Complete")
    page.get_by_test_id("follow-up-input").fill("And the next quarter?")
    page.get_by_test_id("send-message").click()
    expect(page.get_by_test_id("agent-message")).to_have_count(6)
    expect(page.get_by_test_id("conversation-status")).to_have_text("Complete")
    expect(page.get_by_test_id("user-message")).to_have_count(2)


def test_the_view_follows_new_text_unless_the_reader_scrolled_up(
    open_page: OpenPage, server: ColloquyServer, model: ModelServer
) -> None:
    """And a button leads back to the latest."""
    model.control(token_delay_ms=4, text=" ".join(f"word{n}" for n in range(600)))
    page = open_page(server.url, viewport={"width": 900, "height": 500})
    start(page)
    display = page.get_by_test_id("conversation-display")
    expect(page.get_by_test_id("agent-message")).to_have_count(2)
    at_end = "element => element.scrollHeight - element.scrollTop - element.clientHeight < 80"
    assert display.evaluate(at_end)
    display.hover()
    page.mouse.wheel(0, -800)
    jump = page.get_by_test_id("jump-to-latest")
    expect(jump).to_be_visible()
    place = display.evaluate("element => element.scrollTop")
    shown = page.get_by_test_id("agent-message").last.inner_text()
    expect(page.get_by_test_id("agent-message").last).not_to_have_text(shown)
    assert display.evaluate("element => element.scrollTop") == place
    jump.click()
    expect(jump).to_be_hidden()


HOSTILE = (
    "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
    "<a href=\"javascript:document.title='owned'\">click</a> ![tracker](http://evil.example/pixel.png) "
    "<iframe src='http://evil.example'></iframe><svg onload=\"document.title='owned'\"></svg>\n\n**bold** text"
)


def test_hostile_model_output_does_nothing(open_page: OpenPage, server: ColloquyServer, model: ModelServer) -> None:
    """Model output is sanitised: no script runs, no remote image loads (see ``open_page``), Markdown still works."""
    model.control(text=HOSTILE)
    page = open_page(server.url)
    start(page, HOSTILE)
    expect(page.get_by_test_id("conversation-status")).to_have_text("Complete")
    assert page.title() != "owned"
    display = page.get_by_test_id("conversation-display")
    assert display.locator("strong", has_text="bold").count() >= 1
    assert display.locator("script, iframe, [onerror], [onload], a[href^='javascript:']").count() == 0
    assert display.locator("img[src*='evil']").count() == 0


def test_an_unknown_conversation_has_a_friendly_page(open_page: OpenPage, server: ColloquyServer) -> None:
    """And a way out."""
    page = open_page(f"{server.url}/c/none-such")
    expect(page.get_by_test_id("conversation-unknown")).to_be_visible()
    page.get_by_test_id("new-conversation").click()
    expect(page.get_by_test_id("content-input")).to_be_visible()


def test_the_keyboard_is_enough(open_page: OpenPage, server: ColloquyServer) -> None:
    """Type, and Ctrl+Enter starts."""
    page = open_page(server.url)
    page.get_by_test_id("content-input").press_sequentially("Are rates too high?")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_test_id("conversation-status")).to_have_text("Complete")


@pytest.mark.matrix
def test_the_connection_comes_back_by_itself(
    open_page: OpenPage, model: ModelServer, free_port: Callable[[], int]
) -> None:
    """The server ends and starts again: the page says so, and goes on working."""
    port = str(free_port())
    page = None
    for _ in range(2):
        with ColloquyServer(model_url=model.url, args=("--port", port), env={"STREAM_TOKENS_PER_S": "0"}) as server:
            if page is None:
                page = open_page(server.url, refusals=True)
                expect(page.get_by_test_id("connection-status")).to_contain_text("Connected")
            else:
                expect(page.get_by_test_id("connection-status")).to_contain_text("Connected")
                start(page)
                expect(page.get_by_test_id("conversation-status")).to_have_text("Complete")


@pytest.mark.parametrize(
    "options",
    [{"viewport": {"width": 390, "height": 844}}, {"color_scheme": "dark"}, {"reduced_motion": "reduce"}],
    ids=["narrow", "dark", "reduced motion"],
)
def test_other_screens(open_page: OpenPage, server: ColloquyServer, options: dict[str, Any]) -> None:
    """Nothing spills over the side, and the conversation works."""
    page = open_page(server.url, **options)
    start(page)
    expect(page.get_by_test_id("conversation-status")).to_have_text("Complete")
    assert page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")
