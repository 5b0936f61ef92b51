"""The conversations of a person: found, renamed, shared, exported, deleted, rated, edited, continued (in Chromium)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from app.concurrency import AsyncMode
from app.protocol.common import ContentType, Status
from app.protocol.snapshot import MessageView
from app.store.base import Change, ConversationChanged, ConversationRecord, MessageWritten
from app.store.database import Database
from app.store.sql import SqlStore
from tests.browser.conftest import WAIT_MS
from tests.support.model_server import ModelServer
from tests.support.server import ColloquyServer

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Any]
KEPT_IN_MEMORY = 20
MANY = 90

expect.set_options(timeout=WAIT_MS)


def shelf() -> Iterator[Change]:
    """Of the guest: one long conversation, and many short ones."""
    for number in range(MANY):
        at = f"2026-01-{1 + number // 4:02}T03:04:{number % 60:02}.000Z"
        yield ConversationChanged(
            ConversationRecord(
                conversation_id=f"kept-{number}",
                owner="local",
                title="A long one"
                if number == 0
                else f"About {'whales' if number % 10 == 0 else 'birds'}, part {number}",
                team="debate",
                content_type=ContentType.TEXT,
                created_at=at,
                updated_at=at,
                status=Status.STOPPED if number % 9 == 0 else Status.COMPLETED,
            )
        )
    for number in range(100):
        view = MessageView(
            message_id=f"m{number}",
            agent="Ann" if number % 2 else "User",
            role="agent" if number % 2 else "user",
            content=f"Message number {number}",
            state="complete",
            timestamp="2026-01-01T03:04:05.000Z",
        )
        yield MessageWritten("kept-0", view)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory, model: ModelServer) -> Iterator[ColloquyServer]:
    """A server with conversations in its store, where people may register."""
    url = f"sqlite:///{tmp_path_factory.mktemp('library') / 'colloquy.sqlite3'}"
    mode = AsyncMode("threading")
    database = Database(url, mode)
    database.prepare()
    SqlStore(database, mode).write(list(shelf()))
    env = {
        "DATABASE_URL": url,
        "REGISTRATION": "open",
        "STREAM_TOKENS_PER_S": "0",
        "MAX_MESSAGES_PER_CONVERSATION": str(KEPT_IN_MEMORY),
    }
    with ColloquyServer(model_url=model.url, env=env) as running:
        yield running


def titles(page: Any) -> Any:
    """The titles in the list."""
    return page.locator("a.row .row-title")


def signed_in(open_page: OpenPage, server: ColloquyServer, login: str) -> Any:
    """A page of somebody with an account of their own."""
    page = open_page(f"{server.url}/static/favicon.svg")
    body = {"login": login, "password": "correct horse battery staple", "name": login.title()}
    answer = page.request.post(f"{server.url}/api/register", data=body, headers={"Origin": server.url})
    assert answer.ok, answer.text()
    page.goto(server.url)
    expect(page.get_by_test_id("account-name")).to_have_text(login.title())
    return page


def begun(page: Any, text: str) -> None:
    """Start a conversation, and wait for its end."""
    page.get_by_test_id("content-input").fill(text)
    page.get_by_test_id("start-conversation").click()
    expect(page.get_by_test_id("conversation-ending")).to_be_visible()


def test_the_list_is_searched_filtered_and_paged(open_page: OpenPage, library: ColloquyServer) -> None:
    """By keyboard: `/`, type, arrows, Escape; further pages come as one scrolls; nothing found is said."""
    page = open_page(library.url)
    expect(page.get_by_test_id("account-name")).to_have_text("Guest of this machine")
    expect(titles(page)).to_have_count(50)
    titles(page).last.scroll_into_view_if_needed()
    expect(titles(page)).to_have_count(MANY)
    expect(page.get_by_test_id("more-conversations")).to_be_hidden()
    assert page.locator("#list h2").count() > 5  # grouped by day
    page.get_by_test_id("conversation-display").click()
    page.keyboard.press("/")
    expect(page.get_by_test_id("search")).to_be_focused()
    page.keyboard.type("whales")
    expect(page.get_by_test_id("list-count")).to_have_text("8 found")
    page.keyboard.press("ArrowDown")
    expect(page.locator("a.row").first).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(page.locator("a.row").nth(1)).to_be_focused()
    page.get_by_test_id("search").fill("no such thing")
    expect(page.get_by_test_id("nothing-found")).to_be_visible()
    page.get_by_test_id("search").press("Escape")
    expect(titles(page)).to_have_count(50)
    page.get_by_test_id("toggle-filters").click()
    page.get_by_test_id("filter-status").select_option("stopped")
    expect(page.get_by_test_id("list-count")).to_have_text("10 found")
    page.get_by_test_id("search").fill("Message number")
    expect(titles(page)).to_have_text(["A long one"])


def test_a_list_that_cannot_be_had(open_page: OpenPage, library: ColloquyServer) -> None:
    """It says so, and can be asked for again."""
    page = open_page(f"{library.url}/static/favicon.svg")
    page.route("**/api/conversations?*", lambda route: route.abort())
    with page.expect_event("requestfailed"):
        page.goto(library.url)
    with page.expect_event("requestfailed"):  # asked once more when the connection stood; then not for a while
        expect(page.get_by_test_id("list-unavailable")).to_be_visible()
    page.unroute("**/api/conversations?*")
    page.get_by_test_id("list-unavailable").get_by_role("button").click()
    expect(titles(page)).to_have_count(50)


def test_earlier_messages_come_in_pages(open_page: OpenPage, library: ColloquyServer) -> None:
    """Those that memory no longer keeps are in the store."""
    page = open_page(f"{library.url}/c/kept-0")
    said = page.locator("[data-message-id]")
    expect(said).to_have_count(KEPT_IN_MEMORY)
    page.get_by_test_id("show-earlier").click()
    expect(said).to_have_count(KEPT_IN_MEMORY + 50)
    page.get_by_test_id("show-earlier").click()
    expect(said).to_have_count(100)
    expect(page.get_by_test_id("show-earlier")).to_be_hidden()
    assert [each.get_attribute("data-message-id") for each in said.all()] == [f"m{number}" for number in range(100)]


def test_a_conversation_is_renamed_exported_and_deleted(open_page: OpenPage, library: ColloquyServer) -> None:
    """In place, with F2; from the menu, by keyboard; deleting asks first, and whoever watches is told."""
    page = open_page(library.url)
    begun(page, "Rename me")
    row = page.locator('a.row[aria-current="page"]')
    row.focus()
    page.keyboard.press("F2")
    page.get_by_test_id("title-input").fill("Another title")
    page.keyboard.press("Enter")
    expect(row.locator(".row-title")).to_have_text("Another title")
    expect(page.get_by_test_id("conversation-heading")).to_have_text("Live: Another title")
    page.get_by_test_id("conversation-menu").click()
    with page.expect_download() as download:
        page.get_by_test_id("export-markdown").click()
    assert "# Another title" in Path(download.value.path()).read_text("utf-8")
    watcher = open_page(page.url)
    expect(watcher.get_by_test_id("agent-message")).to_have_count(3)
    row.focus()
    page.keyboard.press("Delete")
    expect(page.get_by_test_id("delete-dialog")).to_contain_text("cannot be undone")
    page.get_by_test_id("confirm").click()
    expect(page.get_by_test_id("content-input")).to_be_visible()
    expect(titles(page).first).not_to_have_text("Another title")
    expect(watcher.get_by_test_id("conversation-unknown")).to_contain_text("was deleted")


def test_messages_are_rated_and_edited(open_page: OpenPage, library: ColloquyServer) -> None:
    """All who watch see it; an edit that fails loses nothing; both are there after a reload."""
    page = open_page(library.url)
    begun(page, "Rate and edit")
    other = open_page(page.url)
    message, up = page.get_by_test_id("agent-message").first, page.get_by_test_id("feedback-up").first
    message.hover()
    up.click()
    expect(up).to_have_attribute("aria-pressed", "true")
    expect(other.get_by_test_id("feedback-up").first).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_test_id("edited-mark")).to_have_count(0)
    up.click()
    expect(other.get_by_test_id("feedback-up").first).to_have_attribute("aria-pressed", "false")
    page.get_by_test_id("feedback-down").first.click()
    page.get_by_test_id("edit-message").nth(1).click()
    page.get_by_test_id("edit-area").fill("What I **meant**")
    page.route("**/messages/*", lambda route: route.abort())
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("alert").filter(has_text="Not saved")).to_be_visible()
    expect(page.get_by_test_id("edit-area")).to_have_value("What I **meant**")
    page.unroute("**/messages/*")
    page.get_by_test_id("save-edit").click()
    for each in (page, other):
        expect(each.get_by_test_id("agent-message").first.locator("strong")).to_have_text("meant")
        expect(each.get_by_test_id("edited-mark")).to_have_text(re.compile(r"edited by you at \d\d:\d\d"))
    page.reload()
    expect(page.get_by_test_id("feedback-down").first).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_test_id("edited-mark")).to_be_visible()


def test_a_stopped_run_goes_on(open_page: OpenPage, library: ColloquyServer, model: ModelServer) -> None:
    """One click, and the team goes on from its last finished turn."""
    model.control(text="That is all.", rules=json.dumps([{"seen": "That is all.", "silent_after_tokens": 1}]))
    page = open_page(library.url)
    page.get_by_test_id("content-input").fill("Stop and go on")
    page.get_by_test_id("start-conversation").click()
    expect(page.get_by_test_id("agent-message")).to_have_count(2)
    page.get_by_test_id("stop-conversation").click()
    model.control(reset=True, token_delay_ms=1)
    page.get_by_test_id("continue").click()
    expect(page.get_by_test_id("conversation-status")).to_have_text("Complete")
    expect(page.get_by_test_id("user-message")).to_have_count(1)


def test_sharing_with_people_and_by_link(open_page: OpenPage, library: ColloquyServer) -> None:
    """A viewer watches and steers nothing; made an editor, may; and when it is withdrawn, sees nothing more."""
    owner, guest = signed_in(open_page, library, "olga"), signed_in(open_page, library, "victor")
    begun(owner, "For your eyes")
    owner.get_by_test_id("share").click()
    owner.get_by_test_id("share-user").fill("victor")
    owner.get_by_test_id("share-add").click()
    expect(owner.get_by_test_id("share-people")).to_contain_text("Victor")
    guest.goto(owner.url)
    expect(guest.get_by_test_id("standing")).to_have_text("You are watching")
    for button in ("pause-conversation", "share", "follow-up-input"):
        expect(guest.get_by_test_id(button)).to_be_hidden()
    guest.get_by_test_id("agent-message").first.hover()
    expect(guest.get_by_test_id("feedback-up").first).to_be_visible()
    expect(guest.get_by_test_id("edit-message").first).to_be_hidden()
    owner.get_by_test_id("make-link").click()
    link = owner.get_by_test_id("new-link").input_value()
    owner.get_by_test_id("unshare").click()
    expect(guest.get_by_test_id("conversation-unknown")).to_contain_text("cannot watch this conversation any more")
    guest.goto(link)
    expect(guest.get_by_test_id("agent-message")).to_have_count(3)
    assert guest.url == owner.url
    owner.get_by_test_id("revoke-link").click()
    expect(guest.get_by_test_id("conversation-unknown")).to_be_visible()
    expect(owner.get_by_test_id("new-link")).to_be_hidden()


@pytest.mark.matrix
def test_sharing_by_keyboard(open_page: OpenPage, library: ColloquyServer) -> None:
    """The rows are drawn anew with each change: who was at one of them stays there, and was thrown out."""
    owner, _ = signed_in(open_page, library, "olaf"), signed_in(open_page, library, "vera")
    begun(owner, "By keyboard")
    owner.get_by_test_id("share").press("Enter")
    owner.get_by_test_id("share-user").press_sequentially("vera")
    owner.get_by_test_id("share-user").press("Enter")
    role = owner.get_by_label("What Vera may do")
    with owner.expect_response(lambda answer: answer.request.method == "PUT"):
        role.press("ArrowDown")
    expect(role).to_have_value("editor")
    expect(role).to_be_focused()
    owner.get_by_test_id("unshare").press("Enter")
    expect(owner.get_by_test_id("share-people")).to_contain_text("Nobody yet")
    expect(owner.get_by_test_id("share-user")).to_be_focused()


@pytest.mark.matrix
def test_a_visitor_by_link_is_not_asked_to_log_in(open_page: OpenPage, library: ColloquyServer) -> None:
    """They have no list of their own, which is no reason to tell them that they have been signed out."""
    owner = signed_in(open_page, library, "otto")
    visitor = open_page(f"{library.url}/static/favicon.svg", refusals=True)
    begun(owner, "For whoever has the link")
    owner.get_by_test_id("share").click()
    owner.get_by_test_id("make-link").click()
    visitor.set_extra_http_headers({"X-Forwarded-For": "203.0.113.7"})  # else they are the guest of this machine
    visitor.goto(owner.get_by_test_id("new-link").input_value())
    expect(visitor.get_by_test_id("agent-message")).to_have_count(3)
    expect(visitor.get_by_test_id("list-sign-in")).to_contain_text("Log in to begin one")
    expect(visitor.get_by_test_id("account-name")).to_have_text("Not signed in")
    expect(visitor.get_by_test_id("sign-in-again")).to_have_count(0)


def test_a_sign_in_that_ends_loses_nothing(open_page: OpenPage, library: ColloquyServer) -> None:
    """Logged out in another tab: the page says so, and the way back leads to this conversation and what was typed."""
    page = signed_in(open_page, library, "sara")
    begun(page, "Sign me out")
    address = page.url
    page.get_by_test_id("follow-up-input").fill("Not sent yet")
    token = page.request.get(f"{library.url}/api/me").json()["csrf_token"]
    headers = {"X-CSRFToken": token, "Origin": library.url}
    assert page.request.post(f"{library.url}/api/logout", headers=headers).ok
    page.get_by_test_id("sign-in-again").click()
    page.get_by_label("E-mail or name").fill("sara")
    page.get_by_label("Password").fill("correct horse battery staple")
    page.get_by_test_id("submit").click()
    expect(page.get_by_test_id("follow-up-input")).to_have_value("Not sent yet")
    assert page.url == address
    page.get_by_test_id("log-out").click()
    expect(page.get_by_test_id("sign-in")).to_be_visible()


def told_by(page: Any, url: str) -> Callable[[str, Any], None]:
    """Open the start page; what it returns says a further event to it, as the server would."""
    sockets: list[Any] = []

    def between(socket: Any) -> None:
        sockets.append(socket)
        socket.connect_to_server()

    page.route_web_socket(re.compile("socket.io"), between)
    page.goto(url)
    expect(page.get_by_test_id("connection-status")).to_contain_text("Connected")
    return lambda event, payload: sockets[-1].send(f"42/conversations,{json.dumps([event, payload])}")


def test_the_store_is_gone_for_a_while(open_page: OpenPage, library: ColloquyServer) -> None:
    """A banner, for as long as nothing is saved. The server's side: tests of the store."""
    page = open_page(f"{library.url}/static/favicon.svg")
    say = told_by(page, library.url)
    for state, shown in (("unavailable", 1), ("ok", 0)):
        say("storage", {"state": state, "message": "the disk is full", "waiting": 1})
        expect(page.get_by_test_id("banner").filter(has_text="Nothing is being saved")).to_have_count(shown)


def test_the_form_stays_in_sight_when_a_banner_comes(open_page: OpenPage, library: ColloquyServer) -> None:
    """On a small screen the start page scrolled to its end, past the form; a long conversation stays at its own."""
    page = open_page(f"{library.url}/static/favicon.svg", viewport={"width": 380, "height": 600})
    say = told_by(page, library.url)
    say("storage", {"state": "unavailable", "message": "the disk is full", "waiting": 1})
    expect(page.get_by_test_id("banner")).to_have_count(1)
    page.set_viewport_size({"width": 380, "height": 500})
    expect(page.get_by_test_id("content-input")).to_be_in_viewport(ratio=1)
    top = "() => document.getElementById('display').scrollTop"
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert page.evaluate(top) == 0
    page.get_by_test_id("content-input").fill("Should they?")
    page.get_by_test_id("start-conversation").click()
    expect(page.get_by_test_id("conversation-status")).to_have_text("Complete")
    page.set_viewport_size({"width": 380, "height": 400})
    page.wait_for_function(
        "() => ((box) => box.scrollTop > 0 && box.scrollHeight - box.clientHeight - box.scrollTop <= 1)"
        "(document.getElementById('display'))"
    )
