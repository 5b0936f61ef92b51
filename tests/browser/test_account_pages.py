"""The pages to register, log in and look after an account, in Chromium."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import WAIT_MS
from tests.support.http import http_json
from tests.support.server import ColloquyServer

PASSWORD = "correct horse battery"

pytestmark = pytest.mark.browser


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page that fails on a script error or a violation of the policy; a form that is refused is neither."""
    context = browser.new_context(viewport={"width": 375, "height": 760})
    opened = context.new_page()
    opened.set_default_timeout(WAIT_MS)
    complaints: list[str] = []
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("console", lambda said: complaints.append(said.text) if "Content Security" in said.text else None)
    yield opened
    context.close()
    assert not complaints


def test_an_account_by_keyboard(page: Any, server: ColloquyServer) -> None:
    """Register with errors beside the fields, make a token and copy it, log out; on a narrow screen."""
    login = f"{secrets.token_hex(4)}@example.com"
    page.goto(f"{server.url}/websocket-test")
    page.get_by_test_id("who").get_by_role("link", name="Log in").click()
    page.get_by_role("link", name="Register").click()
    expect(page.locator("#login")).to_be_focused()  # Chromium focuses a little after loading
    page.keyboard.type(login)
    page.keyboard.press("Tab")
    page.keyboard.type("Ada")
    page.keyboard.press("Tab")
    page.keyboard.type("short")
    page.keyboard.press("Enter")
    wrong = page.locator("[aria-invalid=true]")
    wrong.wait_for()
    assert wrong.get_attribute("id") == "password"
    expect(page.locator("#password")).to_be_focused()
    told = page.locator(f"#{wrong.get_attribute('aria-describedby')}")
    assert "at least 8 characters" in told.inner_text()
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/websocket-test")
    assert page.get_by_test_id("who").inner_text() == "Ada"

    page.goto(f"{server.url}/account")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((each) => each.id)")
    assert len(ids) == len(set(ids)), "a label leads to the first of two"
    expect(page.get_by_label("New password")).to_be_editable()
    page.fill("#token-name", "laptop")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("token-secret")).to_be_focused()
    page.get_by_test_id("copy-token").click()
    page.get_by_text("Copied").wait_for()
    secret = page.get_by_test_id("token-secret").input_value()
    me = http_json("GET", f"{server.url}/api/me", headers={"Authorization": f"Bearer {secret}"})
    assert (me["user"]["name"], me["user"]["scopes"]) == ("Ada", ["read", "write"])
    page.get_by_role("button", name="Revoke laptop").click()
    page.get_by_text("The token was revoked").wait_for()
    assert page.get_by_test_id("tokens").count() == 0

    page.get_by_test_id("log-out").click()
    page.get_by_text("You have been logged out").wait_for()
    page.goto(f"{server.url}/account")
    page.wait_for_url("**/login?next=/account")
    page.fill("#login", login)
    page.fill("#password", "wrong password")
    page.keyboard.press("Enter")
    assert "wrong" in page.get_by_test_id("problem").inner_text()
    assert (page.input_value("#login"), page.input_value("#password")) == (login, "")
    expect(page.locator("#password")).to_be_focused()
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/account")
    assert page.get_by_test_id("account-name").inner_text() == "Ada"

    page.locator("#deletion-password").focus()
    page.keyboard.type("wrong password")
    page.keyboard.press("Enter")
    page.get_by_text("This is not your password").wait_for()
    expect(page.locator("#deletion-password")).to_be_focused()
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.get_by_text("Your account was deleted").wait_for()
