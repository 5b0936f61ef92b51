"""What a reader of the conversation page keeps when the connection, the server or the animation frames go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import WAIT_MS, Wire
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


def follow_up(page: Any, content: str) -> None:
    """Type the next message and send it."""
    page.get_by_test_id("follow-up-input").fill(content)
    page.get_by_test_id("send-message").click()


def test_what_is_typed_offline_waits_in_sight_and_is_sent_once_in_order(
    open_page: OpenPage, server: ColloquyServer, wire: Wire
) -> None:
    """D7: two messages typed without a connection; when it is back, each becomes one turn, the first one first."""
    page = open_page(wire.url)
    start(page)
    status = page.get_by_test_id("conversation-status")
    expect(status).to_have_text("Complete")
    wire.cut()
    expect(page.get_by_test_id("connection-status")).to_contain_text("Reconnecting")
    follow_up(page, "And the next quarter?")
    expect(page.get_by_test_id("follow-up-input")).to_have_value("")
    follow_up(page, "And the one after?")
    waiting = page.get_by_test_id("waiting-message")
    expect(waiting).to_have_count(2)
    expect(waiting.first).to_contain_text("Waiting for the connection")
    assert server.get(page.url.replace(wire.url, "").replace("/c/", "/api/conversations/"))["status"] == "completed"
    wire.mend()
    expect(page.get_by_test_id("user-message")).to_have_count(3)
    expect(waiting).to_have_count(0)
    expect(page.get_by_test_id("agent-message")).to_have_count(9)
    said = [each.inner_text() for each in page.get_by_test_id("user-message").all()]
    assert [text.splitlines()[-1] for text in said] == [TEXT, "And the next quarter?", "And the one after?"]
    expect(status).to_have_text("Complete")


def test_a_conversation_can_be_started_offline_and_taken_back(open_page: OpenPage, wire: Wire) -> None:
    """The first message waits, too; a discarded one is never sent."""
    page = open_page(wire.url)
    expect(page.get_by_test_id("connection-status")).to_contain_text("Connected")
    wire.cut()
    expect(page.get_by_test_id("connection-status")).to_contain_text("Reconnecting")
    start(page, "This is taken back")
    page.get_by_role("button", name="Discard").click()
    expect(page.get_by_test_id("content-input")).to_be_visible()
    start(page, "This is meant")
    expect(page.get_by_test_id("waiting-message")).to_contain_text("This is meant")
    wire.mend()
    expect(page.get_by_test_id("conversation-status")).to_have_text("Complete")
    expect(page.get_by_test_id("user-message")).to_have_count(1)
    expect(page.get_by_test_id("user-message")).to_contain_text("This is meant")
    assert "/c/" in page.url


def test_a_cut_in_mid_sentence_is_not_seen_in_the_text(
    open_page: OpenPage, server: ColloquyServer, model: ModelServer, wire: Wire
) -> None:
    """The page comes back with its position: what it shows is what the server holds."""
    model.control(token_delay_ms=10, tokens=60)
    page = open_page(wire.url)
    start(page)
    expect(page.get_by_test_id("agent-message").first).to_contain_text("w")
    for _ in range(3):
        wire.cut()
        wire.mend()
        expect(page.get_by_test_id("connection-status")).to_contain_text("Connected")
    expect(page.get_by_test_id("conversation-status")).to_have_text("Complete")
    final = server.get(page.url.replace(wire.url, "").replace("/c/", "/api/conversations/"))
    contents = [message["content"] for message in final["messages"] if message["role"] == "agent"]
    for place, content in enumerate(contents):
        expect(page.get_by_test_id("agent-message").nth(place).locator(".prose")).to_have_text(content)


@pytest.mark.matrix
def test_a_killed_server_leaves_its_text_and_the_page_offers_to_start_again(
    open_page: OpenPage, model: ModelServer, free_port: Callable[[], int]
) -> None:
    """`conversation_unknown` after a kill: what had arrived stays, marked; one click begins anew."""
    model.control(token_delay_ms=20, tokens=400)
    port = str(free_port())
    env = {"STREAM_TOKENS_PER_S": "0"}
    with ColloquyServer(model_url=model.url, args=("--port", port), env=env) as server:
        page = open_page(server.url, refusals=True)
        start(page)
        expect(page.get_by_test_id("agent-message").first).to_contain_text("w")
        server.kill()
    expect(page.get_by_test_id("connection-status")).to_contain_text("Reconnecting")
    shown = page.get_by_test_id("agent-message").first.locator(".prose").inner_text()
    model.control(reset=True, token_delay_ms=5)
    with ColloquyServer(model_url=model.url, args=("--port", port), env=env):
        expect(page.get_by_test_id("conversation-status")).to_have_text("Error")
        expect(page.get_by_test_id("broke-off")).to_contain_text("interrupted")
        assert page.get_by_test_id("agent-message").first.locator(".prose").inner_text().startswith(shown.strip())
        before = page.url
        page.get_by_role("button", name="Start again").click()
        expect(page.get_by_test_id("conversation-status")).to_have_text("Complete")
        expect(page.get_by_test_id("user-message")).to_contain_text(TEXT)
        assert page.url != before


def test_a_page_whose_animation_frames_have_stopped_goes_on(open_page: OpenPage, server: ColloquyServer) -> None:
    """As in a hidden tab: the text is drawn, only less often."""
    page = open_page(server.url)
    page.evaluate("() => { window.requestAnimationFrame = () => 0; }")
    start(page)
    expect(page.get_by_test_id("conversation-status")).to_have_text("Complete")
    expect(page.get_by_test_id("agent-message")).to_have_count(3)
