"""The HTTP API of conversations: begun, listed, read, changed, steered, exported and deleted, without a socket."""

from __future__ import annotations

import http.client
import json
import re
from typing import Any
from urllib.parse import quote

import pytest

from app.client import Client
from tests.conftest import TIMEOUT_SCALE
from tests.integration.conftest import TEXT
from tests.integration.test_http import ask
from tests.support.model_server import ModelServer
from tests.support.server import ColloquyServer
from tests.support.waiting import wait_until
from tests.support.watcher import TERMINAL, Watcher


def begin(server: ColloquyServer, content: str = TEXT, **more: Any) -> str:
    """Start a conversation over HTTP; its id."""
    status, body, headers = ask(server, "POST", "/api/conversations", {"content": content, "team": "chat", **more})
    assert status == 201, body
    assert body["status"] in ("initializing", "active"), body  # a busy machine may have gone on
    assert headers["Location"] == f"/api/conversations/{body['conversation_id']}"
    return str(body["conversation_id"])


def ended(server: ColloquyServer, conversation_id: str) -> dict[str, Any]:
    """Its snapshot, when it has ended."""

    def over() -> dict[str, Any] | None:
        found: dict[str, Any] = ask(server, "GET", f"/api/conversations/{conversation_id}")[1]
        return found if found["status"] in TERMINAL else None

    found = wait_until(over, "the end", 20)
    assert found is not None
    return found


@pytest.fixture
def finished(server: ColloquyServer, model: ModelServer) -> str:
    """A conversation that has ended."""
    model.control(token_delay_ms=1, tokens=10)
    conversation_id = begin(server)
    ended(server, conversation_id)
    return conversation_id


def test_a_conversation_without_a_socket(server: ColloquyServer, model: ModelServer) -> None:
    """Begun, paused, resumed, stopped, continued, and asked again."""
    model.control(token_delay_ms=20, tokens=100)
    where = f"/api/conversations/{begin(server, team='debate')}"

    def speaks() -> bool:
        messages = ask(server, "GET", where)[1]["messages"]
        return len(messages) > 1 and bool(messages[1]["content"])

    wait_until(speaks, "the first words", 20)
    status, body, _ = ask(server, "POST", f"{where}/pause")
    assert (status, body["status"]) == (200, "paused")
    assert ask(server, "POST", f"{where}/pause")[0] == 409
    assert ask(server, "POST", f"{where}/continue")[0] == 409
    assert ask(server, "POST", f"{where}/resume")[1]["status"] == "active"
    model.control(token_delay_ms=1, tokens=10)
    status, body, _ = ask(server, "POST", f"{where}/stop")
    assert (status, body["status"]) == (200, "stopped")
    assert body["tokens"]["completion_tokens"] > 0
    again = {"client_id": "once"}
    status, body, _ = ask(server, "POST", f"{where}/continue", again)
    assert (status, body["status"]) == (202, "initializing")
    assert ask(server, "POST", f"{where}/continue", again)[1]["session_id"] == body["session_id"]
    snapshot = ended(server, where.rpartition("/")[2])
    said = [(each["agent"], each["state"]) for each in snapshot["messages"]]
    assert said[:2] == [("user", "complete"), ("Financial Analyst", "partial")]
    assert [agent for agent, state in said[2:] if state == "complete"] == [
        "Financial Analyst",
        "Market Context",
        "Risk Challenger",
    ]
    assert ask(server, "POST", f"{where}/continue")[1]["error"]["code"] == "invalid_state"
    assert ask(server, "POST", f"{where}/messages", {"content": "And?", "client_id": "m"})[0] == 202
    assert ended(server, where.rpartition("/")[2])["messages"][len(said)]["content"] == "And?"


def test_the_list_is_searched_filtered_and_paged(server: ColloquyServer, model: ModelServer) -> None:
    """Every conversation once, the last changed first."""
    model.control(token_delay_ms=1, tokens=5)
    _, before, _ = ask(server, "GET", "/api/conversations?limit=1")
    ids = []
    for number in range(5):  # one after the other: no two have changed in the same millisecond
        ids.append(begin(server, f"Zebra number {number}"))
        ended(server, ids[-1])
    seen: list[str] = []
    cursor, pages = "", 0
    while cursor is not None:
        _, page, _ = ask(server, "GET", f"/api/conversations?search=zebra+numb&limit=2&cursor={cursor}")
        seen += [each["conversation_id"] for each in page["conversations"]]
        cursor, pages = page["next_cursor"], pages + 1
        assert page["total"] == 5
    assert (sorted(seen), pages) == (sorted(ids), 3)
    _, page, _ = ask(server, "GET", "/api/conversations?search=zebra&status=completed&team=chat&limit=1")
    row = page["conversations"][0]
    assert (row["owner"], row["role"], row["messages"], row["usage"]["estimated"]) == ("local", "owner", 2, False)
    since = quote(row["updated_at"])
    _, page, _ = ask(server, "GET", f"/api/conversations?search=zebra&since={since}")
    assert [each["conversation_id"] for each in page["conversations"]] == [row["conversation_id"]]
    assert ask(server, "GET", f"/api/conversations?search=zebra&until={since}")[1]["total"] == 4
    assert ask(server, "GET", "/api/conversations?search=zebra&status=stopped")[1]["total"] == 0
    assert ask(server, "GET", "/api/conversations?limit=1")[1]["total"] == before["total"] + 5


def test_messages_in_pages(server: ColloquyServer, finished: str, model: ModelServer) -> None:
    """By ordinal, by time, by role and by agent; by the conversation's name, too."""
    where = f"/api/conversations/{finished}"
    for number in range(3):
        assert ask(server, "POST", f"{where}/messages", {"content": f"Question {number}"})[0] == 202
        ended(server, finished)
    _, whole, _ = ask(server, "GET", f"{where}/messages")
    assert (whole["total"], len(whole["messages"]), whole["next_after"]) == (8, 8, None)
    found, after = [], 0
    while after is not None:
        _, page, _ = ask(server, "GET", f"{where}/messages?limit=3&after={after}")
        found += page["messages"]
        after = page["next_after"]
    assert found == whole["messages"]
    _, page, _ = ask(server, "GET", f"{where}/messages?role=user")
    assert [each["message"] for each in page["messages"]] == [TEXT, "Question 0", "Question 1", "Question 2"]
    agent = whole["messages"][1]["role"]
    assert ask(server, "GET", f"{where}/messages?agent={quote(agent)}")[1]["messages"] == whole["messages"][1::2]
    last = quote(whole["messages"][-1]["timestamp"])
    _, page, _ = ask(server, "GET", f"{where}/messages?since={last}")
    assert page["messages"][-1] == whole["messages"][-1]
    assert len(page["messages"]) < 8
    ask(server, "PATCH", where, {"title": "Quite a name"})
    assert ask(server, "GET", "/api/conversations/Quite%20a%20name/messages")[1]["messages"] == whole["messages"]


def test_what_people_change_is_told_and_kept(watcher: Watcher, server: ColloquyServer, finished: str) -> None:
    """A title, a text, an opinion: over HTTP or by a command; to a message that memory keeps."""
    where = f"/api/conversations/{finished}"
    watcher.must("join", {"conversation_id": finished})
    status, row, _ = ask(server, "PATCH", where, {"title": "  A new\ntitle "})
    assert (status, row["title"], row["watchers"]) == (200, "A new title", 1)
    assert watcher.wait_for_event("conversation_updated")["changes"] == {"title": "A new title"}
    reply = ask(server, "GET", f"{where}/messages")[1]["messages"][1]
    status, changed, _ = ask(server, "PATCH", f"{where}/messages/{reply['id']}", {"content": "Edited."})
    assert (status, changed["message"], changed["updated_by"]) == (200, "Edited.", "local")
    assert watcher.wait_for_event("message_updated")["changes"] == {"content": "Edited."}
    status, rated, _ = ask(server, "PUT", f"{where}/messages/{reply['id']}/feedback", {"value": "up"})
    assert (status, rated["feedback_received"]) == (200, True)
    assert watcher.wait_for_event("message_updated", changes={"feedback": "up"})["updated_by"] == "local"
    rate = {"conversation_id": finished, "message_id": reply["id"], "value": "down"}
    assert watcher.must("feedback", rate)["value"] == "down"
    assert watcher.refused("feedback", {**rate, "message_id": "nowhere"}) == "message_unknown"
    assert watcher.refused("feedback", {**rate, "value": "sideways"}) == "invalid_payload"
    assert watcher.refused("continue_stream", {"conversation_id": finished}) == "invalid_state"
    stored = ask(server, "GET", f"{where}/messages")[1]["messages"][1]
    assert (stored["message"], stored["updated_by"], stored["feedback_received"]) == ("Edited.", "local", True)
    assert ask(server, "GET", where)[1]["messages"][1]["feedback"] == "down"
    assert ask(server, "PATCH", f"{where}/messages/nowhere", {"content": "x"})[0] == 404


def test_an_open_message_is_not_edited(server: ColloquyServer, model: ModelServer) -> None:
    """409: what comes next would undo it."""
    model.control(token_delay_ms=20, tokens=200)
    where = f"/api/conversations/{begin(server)}"
    message = wait_until(
        lambda: next((each for each in ask(server, "GET", where)[1]["messages"] if each["state"] == "open"), None),
        "an open message",
        20,
    )
    assert message is not None
    path = f"{where}/messages/{message['message_id']}"
    assert ask(server, "PATCH", path, {"content": "x"})[0] == 409
    assert ask(server, "PUT", f"{path}/feedback", {"value": "up"})[0] == 409
    stored = ask(server, "GET", f"{where}/messages")[1]["messages"]
    assert stored[1]["message"], "what has been written so far is there"
    ask(server, "POST", f"{where}/stop")


def test_deleted_is_deleted(watcher: Watcher, server: ColloquyServer, model: ModelServer) -> None:
    """A running one is stopped; who watches is told at every door, and their streams end; then there is nothing."""
    model.control(token_delay_ms=20, tokens=300)
    conversation_id = begin(server)
    where = f"/api/conversations/{conversation_id}"
    watcher.must("join", {"conversation_id": conversation_id})
    watcher.wait_for_tokens(3)
    stream = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20 * TIMEOUT_SCALE)
    stream.request("GET", f"{where}/stream")
    events = stream.getresponse()
    assert events.readline() == b":\n"
    with Client(server.url) as client:
        followed = client.join(conversation_id)
        status, body, _ = ask(server, "DELETE", where)
        assert (status, body) == (204, "")
        wait_until(lambda: followed.failure, "the word to the Python client")
        assert followed.failure is not None
        assert followed.failure.code == "conversation_unknown"
    assert watcher.wait_for_event("conversation_deleted") == {
        "conversation_id": conversation_id,
        "timestamp": watcher.wait_for_event("conversation_deleted")["timestamp"],
    }
    assert events.read().endswith(b"\n\n")  # to its end
    stream.close()
    for method, path in (("GET", where), ("GET", f"{where}/messages"), ("DELETE", where), ("POST", f"{where}/stop")):
        assert ask(server, method, path)[0] == 404
    assert watcher.refused("join", {"conversation_id": conversation_id}) == "conversation_unknown"
    rows = ask(server, "GET", "/api/conversations?limit=200")[1]["conversations"]
    assert conversation_id not in [each["conversation_id"] for each in rows]


def test_exports(server: ColloquyServer, model: ModelServer) -> None:
    """As Markdown, JSON and a page that needs nothing but itself; with a file name that every system takes."""
    model.control(token_delay_ms=1, tokens=10, text="**bold** ![spy](http://evil.example/x.png) <script>bad()</script>")
    conversation_id = begin(server, 'Zürich: <b>profits</b> & "losses"/..\\')
    ended(server, conversation_id)
    where = f"/api/conversations/{conversation_id}/export"
    status, text, headers = ask(server, "GET", where)
    assert (status, headers["Content-Type"]) == (200, "text/markdown; charset=utf-8")
    name = headers["Content-Disposition"]
    assert re.fullmatch(
        r'attachment; filename="colloquy-[\d-]+-Zurich-b-profits-b-losses\.md"; filename\*=UTF-8\S+', name
    )
    assert text.startswith("# Zürich: \\<b\\>profits")
    assert "## user" in text
    status, body, headers = ask(server, "GET", f"{where}?format=json")
    snapshot = ask(server, "GET", f"/api/conversations/{conversation_id}")[1]
    assert (status, body["messages"]) == (200, snapshot["messages"])
    assert body["conversation"]["title"] == snapshot["title"]
    status, page, headers = ask(server, "GET", f"{where}?format=html")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "default-src &#x27;none&#x27;" in page
    assert "sandbox" in headers["Content-Security-Policy"]
    assert not re.search(r"<(script|img|link|iframe)|src=|<b>profits", page)
    assert ask(server, "GET", f"{where}?format=pdf")[0] == 400


BAD = [
    ("GET", "/api/conversations?limit=" + "9" * 5000, None, 400),
    ("GET", "/api/conversations?limit=-1", None, 200),
    ("GET", "/api/conversations?limit=99999999999999999999", None, 200),
    ("GET", "/api/conversations?cursor=x", None, 400),
    ("GET", "/api/conversations?cursor=" + "A" * 600, None, 400),
    ("GET", "/api/conversations?cursor=%00", None, 400),
    ("GET", "/api/conversations?cursor=%F0%9F%92%A9", None, 400),
    ("GET", "/api/conversations?since=2026-01-01T00:00:00", None, 400),
    ("GET", "/api/conversations?since=yesterday", None, 400),
    ("GET", "/api/conversations?until=0001-01-01T00:00:00%2B14:00", None, 200),
    ("GET", "/api/conversations?status=asleep", None, 400),
    ("GET", "/api/conversations?search=%00", None, 400),
    ("GET", "/api/conversations?search=%ED%A0%80", None, 200),
    ("GET", "/api/conversations?search=" + "x" * 201, None, 400),
    ("GET", "/api/conversations?search=%25_%5C%22%27*", None, 200),
    ("GET", "/api/conversations?team=%00", None, 400),
    ("GET", "/api/conversations/%00", None, 404),
    ("GET", "/api/conversations/%ED%A0%80/messages", None, 404),
    ("GET", "/api/conversations/a%00b/messages", None, 404),
    ("GET", "/api/conversations/" + "x" * 5000 + "/messages", None, 404),
    ("GET", "{}/messages?after=-1", None, 400),
    ("GET", "{}/messages?after=" + "9" * 30, None, 400),
    ("GET", "{}/messages?after=1.5", None, 400),
    ("GET", "{}/messages?since=2026-01-01", None, 400),
    ("GET", "{}/messages?role=nobody", None, 400),
    ("GET", "{}/messages?agent=%00", None, 400),
    ("GET", "{}/messages?agent=nobody", None, 200),
    ("POST", "/api/conversations", None, 400),
    ("POST", "/api/conversations", [], 400),
    ("POST", "/api/conversations", b"{", 400),
    ("POST", "/api/conversations", b"[" * 100_000, 400),
    ("POST", "/api/conversations", {"content": ""}, 400),
    ("POST", "/api/conversations", {"content": 7}, 400),
    ("POST", "/api/conversations", {"content": "x", "team": "nobody"}, 404),
    ("POST", "/api/conversations", {"content": "x", "owner": "me"}, 400),
    ("POST", "/api/conversations", {"content": "half \ud83d"}, 400),
    ("POST", "/api/conversations", {"content": "x" * 70_000}, 413),
    ("POST", "/api/conversations", {"content": "x", "client_id": "x" * 65}, 400),
    ("POST", "/api/conversations", {"content": "x", "options": {"max_turns": 10**30}}, 400),
    ("PATCH", "{}", {"title": ""}, 400),
    ("PATCH", "{}", {"title": "a\x00b"}, 400),
    ("PATCH", "{}", {"title": "\ud800"}, 400),
    ("PATCH", "{}", {"title": None}, 400),
    ("PATCH", "{}", {"status": "active"}, 400),
    ("PATCH", "{}/messages/%00", {"content": "x"}, 404),
    ("PATCH", "{}/messages/" + "x" * 5000, {"content": "x"}, 404),
    ("PUT", "{}/messages/nowhere/feedback", {"value": "up"}, 404),
    ("PUT", "{}/messages/nowhere/feedback", {"value": 1}, 400),
    ("PUT", "{}/messages/nowhere/feedback", {}, 400),
    ("POST", "{}/continue", {"client_id": ""}, 400),
    ("POST", "{}/continue", [], 400),
    ("POST", "{}/pause", None, 409),
    ("GET", "{}/export?format=%00", None, 400),
]


def test_bad_input_is_refused_in_shape(server: ColloquyServer, finished: str) -> None:
    """Huge numbers, NUL, halves of characters, odd cursors, times without zone: never a 500."""
    for method, path, body, expected in BAD:
        status, answer, _ = ask(server, method, path.format(f"/api/conversations/{finished}"), body)
        assert status == expected, (method, path[:80], str(body)[:80], answer)
        if status >= 400:
            assert {"code", "message", "retryable"} <= set(answer["error"])
    assert json.dumps(ask(server, "GET", f"/api/conversations/{finished}")[1]["messages"]).count("complete") == 2
