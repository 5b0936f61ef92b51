"""The administrators' page in a real Chromium: add, test, order, change and delete providers; limits; the audit log."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.model_server import ModelServer
from tests.support.server import ColloquyServer
from tests.support.waiting import wait_until

Open = Callable[..., Any]
KEY = "sk-planted-in-the-page-5432"


@pytest.fixture(scope="module")
def house() -> Iterator[ColloquyServer]:
    """A server of its own: what is stored here would answer other tests."""
    with ColloquyServer() as running:
        yield running


@pytest.fixture
def page(house: ColloquyServer, open_page: Open) -> Any:
    return open_page(f"{house.url}/settings", refusals=True)


def add(page: Any, name: str, url: str, model: str = "scripted", key: str = "") -> None:
    page.get_by_test_id("add-provider").click()
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Address", exact=True).fill(url)
    page.get_by_label("Model", exact=True).fill(model)
    page.get_by_label("Key", exact=True).fill(key)
    page.get_by_test_id("save-provider").click()
    page.get_by_role("button", name=f"Test {name}").wait_for()


def names(page: Any) -> list[str]:
    titles: list[str] = page.get_by_test_id("provider").locator(".row-title").all_inner_texts()
    return titles


def test_providers_from_the_first_to_the_last(page: Any, model: ModelServer) -> None:
    """Added, tested, ordered by keyboard, changed and deleted; the key is never shown."""
    add(page, "Mine", model.url, key=KEY)
    page.get_by_role("button", name="Test Mine").click()
    page.get_by_test_id("provider-said").get_by_text("has the model scripted").wait_for()
    assert "…5432" in page.get_by_test_id("provider").inner_text()
    add(page, "Other", model.url)
    page.get_by_role("button", name="Move Other up").focus()
    page.keyboard.press("Enter")
    wait_until(lambda: names(page) == ["Other", "Mine"], "the new order")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Move Other down"
    page.get_by_role("button", name="Edit Mine").click()
    assert page.get_by_label("Key", exact=True).input_value() == ""
    page.get_by_label("Model", exact=True).fill("no-such-model")
    page.keyboard.press("Enter")
    page.get_by_text("no-such-model").wait_for()
    page.get_by_role("button", name="Test Mine").click()
    page.get_by_test_id("provider-said").get_by_text("does not know the model").wait_for()
    page.get_by_role("button", name="Delete Mine").click()
    assert names(page) == ["Other", "Mine"]
    page.get_by_test_id("confirm-delete").click()
    page.get_by_role("button", name="Test Mine").wait_for(state="detached")
    assert KEY not in page.content()


def test_what_another_administrator_did_is_shown(page: Any, house: ColloquyServer, model: ModelServer) -> None:
    """Who orders a list that has changed is told so, and sees it as it is; the log names what is no more."""
    for name in ("First", "Second", "Third"):
        add(page, name, model.url)
    ids = {each["name"]: each["provider_id"] for each in house.get("/api/providers")["providers"]}
    page.evaluate("id => fetch(`/api/providers/${id}`, { method: 'DELETE' })", ids["First"])
    page.get_by_role("button", name="Move Third up").click()
    page.get_by_text("somebody may have changed the list").wait_for()
    page.get_by_role("button", name="Test First").wait_for(state="detached")
    page.get_by_role("button", name="Move Third up").click()
    wait_until(lambda: names(page).index("Third") < names(page).index("Second"), "the new order")
    wait_until(lambda: house.get("/api/audit?action=provider_removed")["entries"], "the audit log's entry")
    page.reload()
    page.get_by_test_id("audit-entry").filter(has_text="name: First").filter(has_text="the guest").first.wait_for()
    for name in ("Second", "Third"):
        page.evaluate("id => fetch(`/api/providers/${id}`, { method: 'DELETE' })", ids[name])


def test_errors_stand_beside_their_fields_and_nothing_typed_is_lost(page: Any) -> None:
    """Of a provider and of a limit."""
    page.get_by_test_id("add-provider").click()
    page.get_by_label("Name", exact=True).fill("openai")
    page.get_by_label("Address", exact=True).fill("ftp://nowhere")
    page.get_by_label("Key", exact=True).fill(KEY)
    page.get_by_test_id("save-provider").click()
    page.locator("#provider-base_url-error", has_text="http://").wait_for()
    assert page.locator("#provider-name-error").is_visible()
    assert page.get_by_label("Name", exact=True).get_attribute("aria-invalid") == "true"
    assert page.get_by_label("Address", exact=True).input_value() == "ftp://nowhere"
    assert page.get_by_label("Key", exact=True).input_value() == KEY
    limit = page.get_by_label("MAX_RUNNING_SESSIONS")
    limit.fill("0")
    page.get_by_test_id("save-limits").click()
    page.locator("#limit-MAX_RUNNING_SESSIONS-error", has_text="at least 1").wait_for()
    assert limit.input_value() == "0"


def test_a_limit_is_set_and_taken_back(page: Any, house: ColloquyServer) -> None:
    """In force at once; the audit log says who did it."""
    page.get_by_label("STREAM_TOKENS_PER_S").fill("33.5")
    page.get_by_test_id("save-limits").click()
    page.get_by_role("button", name="Take STREAM_TOKENS_PER_S back to 50").wait_for()
    shown = {each["name"]: each["value"] for each in house.get("/api/settings")["settings"]}
    assert shown["STREAM_TOKENS_PER_S"] == 33.5
    page.get_by_role("button", name="Take STREAM_TOKENS_PER_S back to 50").click()
    page.get_by_role("button", name=re.compile("STREAM_TOKENS_PER_S")).wait_for(state="detached")
    assert page.get_by_label("STREAM_TOKENS_PER_S").input_value() == "50"
    wait_until(lambda: house.get("/api/audit?action=settings_changed")["entries"], "the audit log's entry")
    page.reload()
    page.get_by_test_id("audit-entry").first.wait_for()
    assert "Settings changed" in page.get_by_test_id("audit").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_small_screen(house: ColloquyServer, open_page: Open, model: ModelServer, scheme: str) -> None:
    """360 px wide, with the form open: nothing has to be scrolled sideways, nor runs into another in the head."""
    page = open_page(f"{house.url}/settings", viewport={"width": 360, "height": 740}, color_scheme=scheme)
    add(page, f"A name that is rather long for a small screen, {scheme}", model.url)
    page.get_by_test_id("add-provider").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    who, ways = page.get_by_test_id("who").bounding_box(), page.locator(".settings-nav").bounding_box()
    assert who["x"] + who["width"] + 8 <= ways["x"]
    whole = page.get_by_test_id("who").evaluate("who => who.scrollWidth <= who.clientWidth")
    assert whole, "the way to log in is cut off"


def test_why_a_provider_is_left_out_is_said_once(page: Any) -> None:
    """By the list; the test of it says the same, and that is not repeated."""
    add(page, "Vaulted", "http://127.0.0.1:9/v1", key="keyvault:some-secret")
    page.get_by_role("button", name="Test Vaulted").click()
    page.locator("[aria-label='Test Vaulted']:not([aria-busy=true])").wait_for()
    mine = page.get_by_test_id("provider").filter(has_text="Vaulted")
    assert mine.get_by_text("AZURE_KEY_VAULT_URL is not set").count() == 1


def test_who_is_no_administrator(open_page: Open) -> None:
    """A page that says so; who has not signed in is led to where one does."""
    with ColloquyServer(env={"GUEST_ACCESS": "false"}) as server:
        page = open_page(f"{server.url}/settings", refusals=True)
        assert "/login" in page.url
        page.goto(f"{server.url}/register")
        page.get_by_label("E-mail or name").fill("somebody@example.com")
        page.get_by_label("Password").fill("correct horse battery")
        page.locator("form button[type=submit]").click()
        page.wait_for_url(f"{server.url}/**")
        answer = page.goto(f"{server.url}/settings")
        assert answer.status == 403
        assert "For administrators" in page.content()
