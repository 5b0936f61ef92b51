"""The debugging page (FEATURES B8) in Chromium, against the real server."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import WAIT_MS
from tests.support.model_server import ModelServer
from tests.support.server import ColloquyServer

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Any]

expect.set_options(timeout=WAIT_MS)


def test_a_run_by_hand(open_page: OpenPage, server: ColloquyServer, model: ModelServer) -> None:
    """Start, pause, resume, stop; figures and rows follow."""
    model.control(token_delay_ms=20, tokens=400)
    page = open_page(f"{server.url}/websocket-test")
    expect(page.get_by_test_id("connection-status")).to_contain_text("Connected")
    status = page.get_by_test_id("conversation-status")
    page.get_by_role("button", name="Start", exact=True).click()
    expect(status).to_have_text("Active")
    expect(page.get_by_test_id("metric-tokens")).not_to_have_text("0")
    page.get_by_role("button", name="Pause", exact=True).click()
    expect(status).to_have_text("Paused")
    page.get_by_role("button", name="Resume", exact=True).click()
    expect(status).to_have_text("Active")
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(status).to_have_text("Stopped")
    expect(page.get_by_text("message_delta").first).to_be_visible()
    assert int(page.get_by_test_id("metric-offset").inner_text().replace(",", "")) > 5


def test_every_command_has_a_form_and_shows_its_ack(open_page: OpenPage, server: ColloquyServer) -> None:
    """A ping answers; a join of nothing is refused with its code."""
    page = open_page(f"{server.url}/websocket-test")
    expect(page.get_by_test_id("connection-status")).to_contain_text("Connected")
    for command in ("join", "leave", "start_stream", "pause_stream", "resume_stream", "stop_stream", "send_message"):
        assert page.get_by_test_id(f"send-{command}").count() == 1
    page.get_by_text("ping", exact=True).click()
    page.get_by_test_id("send-ping").click()
    expect(page.get_by_test_id("ack-ping")).to_contain_text('"ok": true')


def test_the_log_is_filtered_and_copied(open_page: OpenPage, server: ColloquyServer) -> None:
    """By name or text; what is copied is what was shown."""
    page = open_page(f"{server.url}/websocket-test", permissions=["clipboard-read", "clipboard-write"])
    expect(page.get_by_test_id("connection-status")).to_contain_text("Connected")
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.get_by_test_id("conversation-status")).to_have_text("Complete")
    page.get_by_placeholder("Filter by name or text").fill("conversation_complete")
    expect(page.get_by_text("conversation_status", exact=True).locator("visible=true")).to_have_count(0)
    page.get_by_role("button", name="Copy", exact=True).click()
    copied = page.evaluate("() => navigator.clipboard.readText()")
    assert "conversation_complete" in copied
    assert "message_delta" not in copied
    assert json.dumps("They agree to disagree.") in copied


def test_delivery_is_shown_in_figures(open_page: OpenPage, server: ColloquyServer, model: ModelServer) -> None:
    """Acknowledgements that went out; a join by hand, with a filter and from the beginning, comes in a batch."""
    page = open_page(f"{server.url}/websocket-test")
    expect(page.get_by_test_id("connection-status")).to_contain_text("Connected")
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.get_by_test_id("conversation-status")).to_have_text("Complete")
    expect(page.get_by_test_id("metric-acks")).not_to_have_text("0")
    expect(page.get_by_test_id("metric-behind")).to_have_text("0 events")
    expect(page.get_by_test_id("metric-batches")).to_have_text("0")
    form = page.locator('[data-command="join"]')
    form.locator("summary").click()
    form.get_by_label("since", exact=True).fill("2020-01-01T00:00:00Z")
    form.get_by_label("filter.types", exact=True).fill("message_delta, agent_message")
    page.get_by_test_id("send-join").click()
    expect(page.get_by_test_id("ack-join")).to_contain_text('"recovered": true')
    expect(page.get_by_test_id("metric-batches")).not_to_have_text("0")
    expect(page.get_by_test_id("conversation-status")).to_have_text("Complete")


def test_questions_are_answered_and_messages_taken_back_by_hand(
    open_page: OpenPage, shop: ColloquyServer, tmp_path: Path
) -> None:
    """The forms know whom the agents wait for, and what waits; a secret does not stand in the log."""
    page = open_page(f"{shop.url}/websocket-test")
    expect(page.get_by_test_id("connection-status")).to_contain_text("Connected")
    page.get_by_test_id("quick-team").select_option("workshop")
    page.get_by_test_id("quick-content").fill("chart called answered secret")
    page.get_by_role("button", name="Start", exact=True).click()
    for name in ("chart_generated", "tool_call", "tool_result", "input_request"):
        expect(page.locator(f'.log-row.in[data-name="{name}"]')).to_have_count(1)
    message = page.locator('[data-command="send_message"]')
    message.locator("summary").click()
    message.get_by_label("content", exact=True).fill("said")
    page.get_by_test_id("send-send_message").click()
    expect(page.get_by_test_id("ack-send_message")).to_contain_text('"queued": true')
    page.locator('[data-command="unqueue_message"] summary').click()
    page.get_by_test_id("send-unqueue_message").click()
    expect(page.get_by_test_id("ack-unqueue_message")).to_contain_text('"ok": true')
    answer = page.locator('[data-command="provide_input"]')
    answer.locator("summary").click()
    answer.get_by_label("content", exact=True).fill("hunter2")
    page.get_by_test_id("send-provide_input").click()
    expect(page.get_by_test_id("ack-provide_input")).to_contain_text('"resolution": "answered"')
    expect(page.get_by_test_id("conversation-status")).to_have_text("Complete")
    for name in ("message_queued", "message_unqueued", "input_resolved"):
        expect(page.locator(f'.log-row.in[data-name="{name}"]')).to_have_count(1)
    expect(page.get_by_test_id("event-log")).not_to_contain_text("hunter2")
