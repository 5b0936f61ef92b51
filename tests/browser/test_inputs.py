"""People in the loop, on the conversation page: questions of agents as forms, and messages that wait their turn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import WAIT_MS, play
from tests.support.server import ColloquyServer
from tests.support.workshop import HOSTILE

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Any]

expect.set_options(timeout=WAIT_MS)


def heard(page: Any) -> list[str]:
    """What the agent says that it was told."""
    found: list[str] = [each.inner_text() for each in page.locator('[data-message-id^="heard-"] .prose').all()]
    return found


def test_questions_are_answered_by_keyboard(open_page: OpenPage, shop: ColloquyServer) -> None:
    """A text, a permission, a secret: the focus goes where the answer is given, and never onto "Allow"."""
    page = open_page(shop.url)
    play(page, "ask permission secret")
    form = page.get_by_test_id("input-form")
    expect(form.get_by_test_id("input-prompt")).to_have_text("Which year shall I look at?\nAny from 2000 to 2010.")
    expect(form.get_by_test_id("input-deadline")).to_contain_text("left")
    expect(page.get_by_test_id("input-wanted")).to_have_text("Your answer is wanted")
    expect(page).to_have_title("● Your answer is wanted · Live: ask permission secret · Colloquy")
    expect(page.get_by_role("textbox", name="Your answer to Analyst")).to_be_focused()
    page.keyboard.type("2009")
    page.keyboard.press("Control+Enter")
    expect(form).to_have_attribute("data-kind", "permission")
    expect(form).to_be_focused()
    page.keyboard.press("Tab")
    expect(form.get_by_role("button", name="Allow")).to_be_focused()
    page.keyboard.press("Enter")
    field = page.locator('input[type="password"]')
    expect(field).to_be_focused()
    page.keyboard.type("hunter2")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("conversation-status")).to_have_text("Complete")
    expect(form).to_have_count(0)
    expect(page.get_by_test_id("input-wanted")).to_be_hidden()
    expect(page.locator("#display")).to_be_focused()
    assert heard(page) == ["answered: 2009", "granted:", "answered: 7"]
    assert "hunter2" not in page.content()
    notices = page.get_by_test_id("notice")
    expect(notices).to_have_text(
        ["You answered Analyst.", "You allowed what Analyst had asked for.", "You answered Analyst."]
    )


def test_nobody_is_interrupted_while_writing(open_page: OpenPage, shop: ColloquyServer, tmp_path: Path) -> None:
    """Somebody who types a message goes on typing; the question is announced. Nothing said is an answer, too."""
    go = tmp_path / "go"
    page = open_page(shop.url)
    play(page, f"wait:{go} ask")
    message = page.get_by_test_id("follow-up-input")
    expect(message).to_be_visible()
    message.focus()
    go.touch()
    expect(page.get_by_test_id("input-form")).to_be_visible()
    expect(page.locator("#announcer")).to_contain_text("Analyst asks: Which year")
    expect(message).to_be_focused()
    page.get_by_role("button", name="Answer with nothing").click()
    expect(page.get_by_test_id("conversation-status")).to_have_text("Complete")
    assert heard(page) == ["answered:"]


@pytest.mark.matrix
def test_the_first_answer_counts_and_the_others_are_told_whose(open_page: OpenPage, shop: ColloquyServer) -> None:
    """What somebody else had begun to type is not lost; who may only watch sees that an answer is awaited."""

    def person(login: str) -> Any:
        page = open_page(shop.url, refusals=True)
        body = {"login": login, "password": "correct horse battery staple", "name": login.capitalize()}
        assert page.request.post(f"{shop.url}/api/register", data=body, headers={"Origin": shop.url}).ok
        page.reload()
        expect(page.get_by_test_id("account-name")).to_have_text(login.capitalize())
        return page

    owner, editor, viewer = person("olga"), person("edda"), person("vera")
    play(owner, "ask")
    expect(owner.get_by_test_id("input-field")).to_be_visible()
    token = owner.evaluate("async () => (await (await fetch('/api/me')).json()).csrf_token")
    for login, role in (("edda", "editor"), ("vera", "viewer")):
        address = f"{owner.url.replace('/c/', '/api/conversations/')}/shares/{login}"
        headers = {"Origin": shop.url, "X-CSRFToken": token}
        assert owner.request.put(address, data={"role": role}, headers=headers).ok
    owner.reload()  # the shares were made behind the page's back
    editor.goto(owner.url)
    viewer.goto(owner.url)
    expect(viewer.get_by_test_id("input-awaited")).to_be_visible()
    expect(viewer.get_by_test_id("input-wanted")).to_have_text("Awaits an answer")
    assert viewer.get_by_test_id("input-field").count() == 0
    assert viewer.title().startswith("Live:")
    owner.get_by_test_id("input-field").fill("I would say")
    editor.get_by_test_id("input-field").fill("2003")
    editor.get_by_test_id("input-send").click()
    expect(owner.get_by_test_id("notice")).to_have_text("Edda answered Analyst.")
    late = owner.get_by_test_id("input-form")
    expect(late.get_by_role("alert")).to_have_text("Edda answered Analyst. What you had typed was not sent.")
    expect(late.get_by_test_id("input-field")).to_have_value("I would say")
    late.get_by_test_id("input-dismiss").click()
    expect(late).to_have_count(0)
    expect(viewer.get_by_test_id("input-form")).to_have_count(0)
    expect(editor.get_by_test_id("notice")).to_have_text("You answered Analyst.")


def test_a_question_survives_a_reload_and_ends_with_a_stop(open_page: OpenPage, shop: ColloquyServer) -> None:
    """It is asked again, hostile as it is, as text."""
    page = open_page(shop.url)
    play(page, "hostileask")
    prompt = page.get_by_test_id("input-prompt")
    expect(prompt).to_have_text(HOSTILE)
    page.reload()
    expect(prompt).to_have_text(HOSTILE)
    assert page.locator("#main img, #main script").count() == 0
    page.get_by_test_id("stop-conversation").click()
    expect(page.get_by_test_id("conversation-status")).to_have_text("Stopped")
    expect(prompt).to_have_count(0)


def test_messages_wait_their_turn_and_can_be_taken_back(
    open_page: OpenPage, shop: ColloquyServer, tmp_path: Path
) -> None:
    """In order, for all to see, also after a reload; the next one is said when the agents have finished."""
    go, end = tmp_path / "go", tmp_path / "end"
    page = open_page(shop.url)
    play(page, f"wait:{go}")
    for text in ("said", f"wait:{end}", "plan"):
        page.get_by_test_id("follow-up-input").fill(text)
        page.get_by_test_id("follow-up-input").press("Control+Enter")
        expect(page.get_by_test_id("follow-up-input")).to_have_value("")
    waiting = page.get_by_test_id("kept-message")
    expect(waiting).to_have_count(3)
    expect(waiting.nth(0)).to_contain_text("Said when the agents have finished")
    expect(waiting.nth(1)).to_contain_text("After that")
    waiting.nth(1).get_by_test_id("take-back").click()
    page.reload()
    expect(waiting).to_have_count(2)
    expect(waiting.nth(0)).to_contain_text("said")
    expect(waiting.nth(1)).to_contain_text("plan")
    go.touch()
    expect(page.get_by_test_id("user-message")).to_have_count(3)
    expect(waiting).to_have_count(0)
    expect(page.get_by_test_id("conversation-status")).to_have_text("Complete")
    expect(page.locator(".message.from-user .said")).to_have_text([f"wait:{go}", "said", "plan"])
