"""``/v1/conversation/<id>/stream`` (FEATURES E1 to E5, E7)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from websockets.exceptions import ConnectionClosed

from tests.integration.doors.clients import TERMINAL, Socket
from tests.support.http import http_json
from tests.support.model_server import ModelServer
from tests.support.server import ColloquyServer
from tests.support.tokens import bearer, token
from tests.support.waiting import wait_until

Connect = Callable[..., Socket]
Look = Callable[[str], dict[str, Any]]
Start = Callable[..., str]
OWN = {"id", "role", "message", "timestamp", "updated_at", "updated_by", "feedback_received"}
MESSAGES = ("initial_message", "message_added", "message_updated")


def path_of(key: str, **query: Any) -> str:
    return f"/v1/conversation/{quote(key)}/stream?" + "&".join(f"{name}={value}" for name, value in query.items())


def messages(socket: Socket) -> list[dict[str, Any]]:
    return [each for each in socket.came if each["type"] in MESSAGES]


def texts(socket: Socket, texts: dict[str, str] | None = None) -> dict[str, str]:
    """The text of each message as this client holds it."""
    held = dict(texts or {})
    for each in messages(socket):
        body = each["data"]
        held[body["id"]] = body["message"] if "message" in body else held[body["id"]] + body.get("append", "")
    return held


def server_texts(view: dict[str, Any]) -> dict[str, str]:
    return {each["message_id"]: each["content"] for each in view["messages"]}


def follow_to_the_end(socket: Socket, view: Callable[[], dict[str, Any]]) -> None:
    """Receive until this client has been told all that there is."""
    while True:
        message = socket.receive()
        end = view()
        if end["status"] in TERMINAL and message["data"].get("offset") == end["offset"]:
            return


def test_stored_messages_and_then_the_tail(
    server: ColloquyServer, socket: Connect, model: ModelServer, start: Start, snapshot: Look
) -> None:
    """`connected`, what is stored, what is added, and how it grows; in the end the client's texts are the server's."""
    model.control(tokens=120, token_delay_ms=5)
    conversation_id = start(team="debate")
    reader = socket(path_of(conversation_id))
    assert reader.receive()["type"] == "connected"
    follow_to_the_end(reader, lambda: snapshot(conversation_id))
    assert texts(reader) == server_texts(snapshot(conversation_id))
    kinds = [each["type"] for each in messages(reader)]
    assert kinds[0] == "initial_message"
    added = [each["data"] for each in reader.came if each["type"] == "message_added"]
    assert len({body["id"] for body in added}) == len(added) >= 2
    assert kinds.count("message_updated") >= 3
    assert all(set(each["data"]) == OWN | {"epoch", "offset"} for each in messages(reader))
    roles = {each["data"]["role"] for each in messages(reader)}
    assert roles == {"user", "Financial Analyst", "Market Context", "Risk Challenger"}
    over_http = http_json("GET", f"{server.url}/api/conversations/{conversation_id}/messages")
    assert {each["id"]: each["message"] for each in over_http["messages"]} == texts(reader)
    assert all(set(each) == OWN | {"ordinal", "state", "feedback", "kind", "cut_off"} for each in over_http["messages"])


def test_resume_in_mid_sentence(socket: Connect, model: ModelServer, start: Start, snapshot: Look) -> None:
    """After each loss only what has changed: no message is added twice, and no text is lost."""
    model.control(tokens=150, token_delay_ms=5)
    conversation_id = start()
    held: dict[str, str] = {}
    added: list[str] = []
    place: dict[str, Any] = {}
    for _ in range(3):
        reader = socket(path_of(conversation_id, batch_ms=20, delta="true", **place))
        assert reader.receive()["data"]["recovered"] is bool(place)
        for _ in range(6):
            told = reader.receive()["data"]
        place = {"epoch": told["epoch"], "offset": told["offset"]}
        held = texts(reader, held)
        added += [each["data"]["id"] for each in messages(reader) if each["type"] != "message_updated"]
        reader.abort()
    reader = socket(path_of(conversation_id, delta="true", **place))
    follow_to_the_end(reader, lambda: snapshot(conversation_id))
    assert texts(reader, held) == server_texts(snapshot(conversation_id))
    assert len(set(added)) == len(added) == 2


def test_only_what_changed(socket: Connect, model: ModelServer, start: Start, snapshot: Look) -> None:
    """With `delta=true` an update carries the text to append, not the whole."""
    model.control(tokens=60, token_delay_ms=5)
    conversation_id = start()
    reader = socket(path_of(conversation_id, delta="true", batch_ms=50))
    follow_to_the_end(reader, lambda: snapshot(conversation_id))
    updates = [each["data"] for each in reader.came if each["type"] == "message_updated"]
    assert updates
    assert all(set(body) <= {"id", "append", "updated_at", "epoch", "offset"} for body in updates)
    assert texts(reader) == server_texts(snapshot(conversation_id))


def test_by_name_with_a_token(server: ColloquyServer, socket: Connect, start: Start, snapshot: Look) -> None:
    """The conversation's name serves as its id; the token is taken from the header or the address, and is in no log."""
    name = f"Rates & risks, {server.port}"
    header = bearer(token())
    conversation_id = start(name, additional_headers=header)
    by_query = socket(path_of(name, authorization=quote(header["Authorization"])))
    assert by_query.receive()["data"]["conversation_id"] == conversation_id
    by_header = socket(path_of(name), additional_headers=header)
    assert by_header.receive()["data"]["user"] == "anna"
    assert socket(path_of(name)).wait_for_close() == 4504, "a name leads nobody to what is somebody else's"
    assert token().partition(".")[0] not in server.output()


def test_what_is_refused(socket: Connect) -> None:
    """An unknown conversation, and nonsense in the address: told, then closed."""
    unknown = socket(path_of("none-such"))
    assert unknown.receive()["data"]["code"] == "conversation_unknown"
    assert unknown.wait_for_close() == 4504
    for query in ({"types": "gossip"}, {"since": "soon"}, {"max_commands_per_s": "many"}, {"offset": "x"}):
        wrong = socket(path_of("none-such", **query))
        assert wrong.receive()["data"]["code"] == "invalid_payload"
        wrong.wait_for_close()


def test_malformed_messages(socket: Connect, start: Start) -> None:
    """Answered by `error`; the connection goes on, and hears heartbeats."""
    reader = socket(path_of(start()))
    reader.receive()
    for sent in ("{", "7", '{"type": "delete"}', '{"type": 5}', "null"):
        reader.send(sent)
        assert {"code", "message", "retryable"} <= set(reader.wait_for("error")["data"])
    reader.wait_for("heartbeat")
    reader.send({"type": "ping"})
    reader.wait_for("pong")


def test_filters(socket: Connect, start: Start, snapshot: Look) -> None:
    """By type of message, by role, by agent."""
    conversation_id = start(team="debate")
    wait_until(lambda: snapshot(conversation_id)["status"] in TERMINAL, "the end", 20)

    def roles(**query: str) -> list[str]:
        reader = socket(path_of(conversation_id, **query))
        reader.wait_for("heartbeat")
        return [each["data"]["role"] for each in messages(reader)]

    assert roles(roles="user") == ["user"]
    assert roles(agents=quote("Market Context")) == ["Market Context"]
    assert len(roles(roles="agent")) == 3
    assert roles(types="message_added") == []


def test_since(socket: Connect, model: ModelServer, start: Start, snapshot: Look) -> None:
    """Replay from a timestamp: what has changed from then on."""
    model.control(tokens=3)
    conversation_id = start()
    wait_until(lambda: snapshot(conversation_id)["status"] in TERMINAL, "the end", 20)
    stored = snapshot(conversation_id)["messages"]
    reader = socket(path_of(conversation_id, since=quote(stored[-1]["timestamp"])))
    reader.wait_for("heartbeat")
    assert [each["data"]["id"] for each in messages(reader)] == [stored[-1]["message_id"]]


@pytest.mark.matrix
@pytest.mark.parametrize("own_limit", [None, 2])
def test_too_many_commands(socket: Connect, start: Start, own_limit: int | None) -> None:
    """Refused beyond the limit; who does not listen is closed. The client may ask for less, never for more."""
    query = {"max_commands_per_s": own_limit} if own_limit else {"max_commands_per_s": 1000}
    reader = socket(path_of(start(), **query))
    with contextlib.suppress(ConnectionClosed):  # the door may close before the last one is written
        for _ in range(500):
            reader.send({"type": "ping"})
    assert reader.wait_for_close() == 4002
    pongs = len([each for each in reader.came if each["type"] == "pong"])
    refused = [each for each in reader.came if each["type"] == "error"]
    assert (own_limit or 10) * 2 <= pongs <= 45
    assert {each["data"]["code"] for each in refused} == {"limit_exceeded"}
    assert len(refused) >= (own_limit or 10) * 2 * 10 - 5
