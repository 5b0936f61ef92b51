"""The chooser of teams on the start page: cards for all, the chosen one's agents, and what cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import WAIT_MS
from tests.support.server import ColloquyServer
from tests.support.workshop import HOSTILE

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Any]

expect.set_options(timeout=WAIT_MS)


def test_a_team_is_chosen_by_keyboard_and_remembered(open_page: OpenPage, shop: ColloquyServer) -> None:
    """Arrow keys move through the cards; its agents stand below; the next visit begins with it."""
    page = open_page(shop.url)
    debate = page.locator('[data-team="debate"] input')
    expect(debate).to_be_checked()
    expect(page.get_by_role("list", name="Agents of Financial debate")).to_contain_text("Risk Challenger")
    expect(page.get_by_test_id("team-facts")).to_contain_text("Runs on autogen-agentchat")
    expect(page.get_by_test_id("team-facts")).to_contain_text("Comes with Colloquy")
    debate.focus()
    names = [each.get_attribute("data-team") for each in page.get_by_test_id("team-option").all()]
    page.keyboard.press("ArrowRight")
    following = names[names.index("debate") + 1]
    expect(page.locator(f'[data-team="{following}"] input')).to_be_focused()
    option = page.locator(f'[data-team="{following}"]')
    assert option.locator("input").bounding_box() == option.locator(".team-card").bounding_box()  # it scrolls into view
    page.reload()
    expect(page.locator(f'[data-team="{following}"] input')).to_be_checked()


def test_teams_from_files_are_told_as_text_and_broken_ones_with_their_place(
    open_page: OpenPage, shop: ColloquyServer
) -> None:
    """Hostile names and descriptions run nothing; what is wrong stands beside its file."""
    page = open_page(shop.url)
    page.locator('[data-team="hostile"]').click()
    expect(page.locator('[data-team="hostile"] strong')).to_have_text("A <i>round</i>")
    expect(page.get_by_test_id("team-agents")).to_contain_text(HOSTILE)
    expect(page.get_by_test_id("team-facts")).to_contain_text("A round of prompts")
    expect(page.get_by_test_id("team-facts")).to_contain_text("hostile.json")
    page.get_by_test_id("teams-broken").get_by_text("One team cannot be used").click()
    broken = page.get_by_test_id("broken-team")
    expect(broken).to_contain_text("broken.yaml")
    expect(broken).to_contain_text("prompt")
    assert page.locator("#team-box img, #team-box script, #team-box i").count() == 0
