"""The pages that print the contracts, in Chromium: under the strict policy, at any width, from the front page on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import WAIT_MS
from tests.support.server import ColloquyServer

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Any]

expect.set_options(timeout=WAIT_MS)


def test_from_the_front_page_to_a_shape(open_page: OpenPage, server: ColloquyServer) -> None:
    """The link leads to the routes; a type's name to its fields; the other document is one click away."""
    page = open_page(server.url)
    page.get_by_role("link", name="API reference").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("HTTP")
    page.get_by_role("link", name="ConversationList").first.click()
    expect(page.locator("#shape-ConversationList")).to_be_in_viewport()
    page.get_by_role("link", name="Sockets", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sockets and streams")
    expect(page.get_by_role("heading", name="start_stream")).to_be_visible()


@pytest.mark.parametrize("path", ["/docs/http", "/docs/sockets"])
def test_a_narrow_screen_is_enough(open_page: OpenPage, server: ColloquyServer, path: str) -> None:
    """Nothing runs out of it; the contents are folded away, and unfold."""
    page = open_page(server.url + path)
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    contents = page.get_by_role("navigation", name="On this page")
    entry = contents.get_by_role("link").first
    expect(entry).to_be_hidden()
    contents.get_by_label("On this page").check()
    expect(entry).to_be_visible()
