"""The one gate, at every way in: each route, command, event and door is in a table here, and a new one fails the test.

Who has no business in a conversation gets the same bytes whether it exists or not, and nothing of what it says.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import socketio

from app import create_app
from app.auth.accounts import Accounts
from app.auth.api_tokens import ApiTokens
from app.auth.endings import Endings
from app.auth.passwords import Passwords
from app.concurrency import AsyncMode
from app.http.sockets.front import DOORS
from app.protocol.commands import COMMANDS
from app.protocol.dialects.bridge import BRIDGE_COMMANDS
from app.protocol.dialects.tasks import TASK_COMMANDS
from app.protocol.events import EVENT_NAMES
from app.settings import load_settings
from app.store.database import Database
from tests.integration.conftest import MODES
from tests.integration.doors.clients import Socket
from tests.support.model_server import ModelServer
from tests.support.server import ColloquyServer
from tests.support.tokens import SECRET, bearer, token
from tests.support.watcher import Watcher

MARK = "Zanzibar 4711"
UNKNOWN = "AAAAAAAAAAAAAAAA"

STRANGERS = ("stranger", "elsewhere")  # another account; the same name in another tenant
PERSONS = (*STRANGERS, "nobody", "viewer", "editor", "reader")  # reader: the owner's token of scope `read`

Statuses = dict[str, Any]  # person → the statuses that may be answered; None: whatever does not refuse them


def of_conversation(**least: Any) -> Statuses:
    return {"stranger": 404, "elsewhere": 404, "nobody": 401} | least


WATCH = of_conversation(viewer=None, editor=None, reader=None)
RATE = of_conversation(viewer=None, editor=None, reader=403)
STEER = of_conversation(viewer=403, editor=None, reader=403)
STEER_NOTHING = STEER | {"editor": 404}  # there is no such message, nobody asks: who may steer is told so
MANAGE = of_conversation(viewer=403, editor=403, reader=403)
OPERATE = dict.fromkeys(PERSONS, 403) | {"nobody": 401}
LIST = dict.fromkeys(PERSONS) | {"nobody": 401}
START = LIST | {"reader": 403}
CONNECT = LIST
OPEN: Statuses = dict.fromkeys(PERSONS, "any")
PAGE = OPEN  # leads those who have to sign in to where that is done; never shows anything of a conversation

ROUTES: dict[tuple[str, str], tuple[Statuses, Any]] = {
    ("GET", "/api/conversations"): (LIST, None),
    ("POST", "/api/conversations"): (START, {"content": ""}),
    ("GET", "/api/conversations/<conversation_id>"): (WATCH, None),
    ("PATCH", "/api/conversations/<conversation_id>"): (MANAGE, {"title": "x"}),
    ("DELETE", "/api/conversations/<conversation_id>"): (MANAGE, None),
    ("GET", "/api/conversations/<conversation_id>/messages"): (WATCH, None),
    ("POST", "/api/conversations/<conversation_id>/messages"): (STEER, {"content": ""}),
    ("PATCH", "/api/conversations/<conversation_id>/messages/<message_id>"): (STEER, {"content": MARK}),
    ("PUT", "/api/conversations/<conversation_id>/messages/<message_id>/feedback"): (RATE, {"value": "up"}),
    ("POST", "/api/conversations/<conversation_id>/pause"): (STEER, None),
    ("POST", "/api/conversations/<conversation_id>/resume"): (STEER, None),
    ("POST", "/api/conversations/<conversation_id>/stop"): (STEER, None),
    ("POST", "/api/conversations/<conversation_id>/continue"): (STEER, None),
    ("DELETE", "/api/conversations/<conversation_id>/queue/<message_id>"): (STEER_NOTHING, None),
    ("POST", "/api/conversations/<conversation_id>/inputs/<request_id>"): (STEER_NOTHING, {"content": MARK}),
    ("GET", "/api/conversations/<conversation_id>/export"): (WATCH, None),
    ("GET", "/api/conversations/<conversation_id>/artifacts/<artifact_id>"): (
        of_conversation(viewer="any", editor="any", reader="any"),  # there is none: theirs is 404, too
        None,
    ),
    ("GET", "/api/conversations/<conversation_id>/role"): (WATCH, None),
    ("GET", "/api/conversations/<conversation_id>/shares"): (MANAGE, None),
    ("PUT", "/api/conversations/<conversation_id>/shares/<user>"): (MANAGE, {"role": "editor"}),
    ("DELETE", "/api/conversations/<conversation_id>/shares/<user>"): (MANAGE, None),
    ("POST", "/api/conversations/<conversation_id>/links"): (MANAGE, {"role": "editor"}),
    ("DELETE", "/api/conversations/<conversation_id>/links/<link_id>"): (MANAGE, None),
    ("GET", "/api/conversations/<conversation_id>/stream"): (WATCH, None),
    ("GET", "/api/teams"): (LIST, None),
    ("GET", "/api/websocket/status"): (OPERATE, None),
    ("GET", "/api/websocket/sessions"): (OPERATE, None),
    ("POST", "/api/websocket/broadcast"): (OPERATE, {"message": "x"}),
    ("GET", "/ws/status"): (OPERATE, None),
    ("GET", "/api/audit"): (OPERATE, None),
    ("GET", "/api/settings"): (OPERATE, None),
    ("PUT", "/api/settings"): (OPERATE, {}),
    ("GET", "/api/providers"): (OPERATE, None),
    ("POST", "/api/providers"): (OPERATE, {}),
    ("PUT", "/api/providers/order"): (OPERATE, {}),
    ("PATCH", "/api/providers/<provider_id>"): (OPERATE, {}),
    ("DELETE", "/api/providers/<provider_id>"): (OPERATE, None),
    ("POST", "/api/providers/<provider_id>/test"): (OPERATE, None),
    ("GET", "/api/v1/health"): (OPEN, None),
    ("GET", "/api/v1/health/ready"): (OPEN, None),
    ("GET", "/api/protocol"): (CONNECT, None),
    ("GET", "/api/openapi.json"): (CONNECT, None),
    ("GET", "/api/asyncapi.json"): (CONNECT, None),
    ("POST", "/api/agui/<team>"): (CONNECT, {}),  # what it starts and steers: see the test of threads
    ("GET", "/api/me"): (OPEN, None),
    ("POST", "/api/me/delete"): (OPEN | {"nobody": 401, "reader": 403}, {}),
    ("POST", "/api/register"): (OPEN, {}),
    ("POST", "/api/login"): (OPEN, {}),
    ("POST", "/api/logout"): (OPEN, None),
    ("GET", "/api/tokens"): (OPEN | {"nobody": 401}, None),
    ("POST", "/api/tokens"): (OPEN | {"nobody": 401, "reader": 403}, {}),
    ("DELETE", "/api/tokens/<token_id>"): (OPEN | {"nobody": 401, "reader": 403}, None),
    ("GET", "/api/sign-ins"): (OPEN | {"nobody": 401}, None),
    ("DELETE", "/api/sign-ins"): (OPEN | {"nobody": 401, "reader": 403}, None),
    ("DELETE", "/api/sign-ins/<sign_in_id>"): (OPEN | {"nobody": 401, "reader": 403}, None),
    ("GET", "/s/<secret>"): (PAGE, None),
    ("GET", "/"): (PAGE, None),
    ("GET", "/c/<conversation_id>"): (PAGE, None),
    ("GET", "/websocket-test"): (PAGE, None),
    ("GET", "/settings"): (OPERATE | {"nobody": 302}, None),
    ("GET", "/favicon.ico"): (PAGE, None),
    ("GET", "/docs"): (PAGE, None),
    ("GET", "/docs/http"): (PAGE, None),
    ("GET", "/docs/sockets"): (PAGE, None),
    ("GET", "/login"): (PAGE, None),
    ("POST", "/login"): (PAGE, None),
    ("GET", "/register"): (PAGE, None),
    ("POST", "/register"): (PAGE, None),
    ("GET", "/logout"): (PAGE, None),
    ("POST", "/logout"): (PAGE, None),
    ("GET", "/account"): (PAGE, None),
    ("POST", "/account/name"): (PAGE, None),
    ("POST", "/account/password"): (PAGE, None),
    ("POST", "/account/delete"): (PAGE, None),
    ("POST", "/account/tokens"): (PAGE, None),
    ("POST", "/account/tokens/<token_id>/revoke"): (PAGE, None),
    ("POST", "/account/sign-ins/<sign_in_id>/end"): (PAGE, None),
    ("POST", "/account/sign-ins/end-others"): (PAGE, None),
}

_WATCH, _STEER = dict.fromkeys(("viewer", "editor", "reader")), {"viewer": "not_permitted", "reader": "not_permitted"}
COMMAND_TABLE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    # name → payload beside the conversation's id, and the codes that those who may watch are refused with
    "join": ({}, _WATCH),
    "leave": ({}, _WATCH),
    "ack": ({"offset": 1}, _WATCH),
    "start_stream": ({"content": "x", "team": "chat"}, _STEER),
    "pause_stream": ({}, _STEER),
    "resume_stream": ({}, _STEER),
    "stop_stream": ({}, _STEER),
    "send_message": ({"content": "x"}, _STEER),
    "unqueue_message": ({"message_id": "m"}, _STEER),
    "continue_stream": ({}, _STEER),
    "provide_input": ({"request_id": "r", "content": MARK}, _STEER),
    "feedback": ({"message_id": "m", "value": "up"}, {"reader": "not_permitted"}),
}
OWN_COMMANDS = {"ping", "authenticate"}
"""They concern the connection alone."""

OWN_EVENTS = {"connected", "auth_expiring", "signed_out", "storage", "broadcast"}
"""Everybody may get them; all others go to those who watch a conversation."""
ROOM_EVENTS = {
    "conversation_status",
    "agent_step",
    "message_start",
    "message_delta",
    "agent_message",
    "message_reset",
    "progress",
    "conversation_complete",
    "conversation_error",
    "fallback_mode",
    "message_updated",
    "tool_call",
    "tool_result",
    "chart_generated",
    "input_request",
    "input_resolved",
    "message_queued",
    "message_unqueued",
    "conversation_updated",
    "framework_event",
    "presence",
    "heartbeat",
    "resync",
    "batch",
    "access_ended",
    "conversation_deleted",
}

DOOR_TABLE: dict[str, list[dict[str, Any]]] = {
    # path → what steers there
    "/api/conversations/<key>/stream": [
        {"type": "control", "data": {"action": action}} for action in ("pause", "resume", "stop", "continue")
    ]
    + [
        {"type": "start_conversation", "data": {"content": "x"}},
        {"type": "send_message", "data": {"content": "x"}},
        {"type": "unqueue_message", "data": {"messageId": "m"}},
        {"type": "provide_input", "data": {"requestId": "r", "content": "x"}},
    ],
    "/ws/stream": [
        {"type": "cancel", "payload": {}},
        {"type": "chat", "payload": {"message": "x"}},
        {"type": "unqueue_message", "payload": {"message_id": "m"}},
        {"type": "provide_input", "payload": {"request_id": "r", "content": "x"}},
    ],
    "/v1/conversation/<key>/stream": [],
}
STARTING_DOORS = {"/ag2/<key>"}
"""They name no conversation: whoever may start one comes in."""
DOOR_COMMANDS = {
    "start_conversation",
    "control",
    "send_message",
    "unqueue_message",
    "provide_input",
    "authenticate",
    "chat",
    "cancel",
    "ping",
    "resume",
}


@dataclass
class House:
    """A server with one conversation of Anna's, and what is secret of it."""

    server: ColloquyServer
    tokens: dict[str, str | None]
    talk: str = ""
    message_id: str = ""
    secrets: set[str] = field(default_factory=set)

    def headers(self, who: str) -> dict[str, str]:
        found = self.tokens[who]
        return bearer(found) if found else {}

    def auth(self, who: str) -> Any:
        return {"token": self.tokens[who]} if self.tokens[who] else None

    def check(self, seen: Any, who: str, where: str) -> None:
        """Fail where something secret shows."""
        text = seen if isinstance(seen, str) else json.dumps(seen)
        assert not [secret for secret in self.secrets if secret in text], f"{who} learns something from {where}: {text}"


@pytest.fixture(scope="module", params=MODES)
def server(request: pytest.FixtureRequest, model: ModelServer) -> Iterator[ColloquyServer]:
    env = {"ASYNC_MODE": request.param, "JWT_SECRET": SECRET, "GUEST_ACCESS": "false", "STREAM_TOKENS_PER_S": "0"}
    with ColloquyServer(model_url=model.url, env=env) as running:
        yield running
        said = running.output()
    assert "Traceback" not in said, said


@pytest.fixture(scope="module")
def house(server: ColloquyServer) -> House:
    mode = AsyncMode("threading")
    database = Database(f"sqlite:///{server._data_dir.name}/colloquy.sqlite3", mode)
    api_tokens = ApiTokens(database, Accounts(database, Passwords(mode)), Endings(database, mode), mode)
    tokens = {
        "owner": token(),
        "stranger": token(who="mallory"),
        "elsewhere": token(enterprise_id="acme"),
        "nobody": None,
        "viewer": token(who="vera"),
        "editor": token(who="ed"),
        "reader": api_tokens.create("anna", "reads", ["read"])[1],
    }
    found = House(server, tokens)
    with Watcher(server.url, auth=found.auth("owner")) as owner:
        started = owner.must("start_stream", {"content": MARK, "team": "chat", "client_id": "first"})
        owner.wait_for_end(started["session_id"])
        found.talk = started["conversation_id"]
    with httpx.Client(base_url=server.url, headers=found.headers("owner"), trust_env=False) as client:
        for who, role in (("vera", "viewer"), ("ed", "editor")):
            assert client.put(f"/api/conversations/{found.talk}/shares/{who}", json={"role": role}).status_code == 200
        snapshot = client.get(f"/api/conversations/{found.talk}").json()
    found.message_id = snapshot["messages"][0]["message_id"]
    found.secrets = {MARK, started["session_id"], snapshot["epoch"], *(m["message_id"] for m in snapshot["messages"])}
    return found


# --- routes -----------------------------------------------------------------------------------------------------------


def test_every_route_is_in_the_table() -> None:
    """A new one has to be thought about here."""
    app = create_app(load_settings(None, async_mode="threading", local_model=False))
    served = {
        (method, rule.rule)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.endpoint != "static"
    }
    assert served - ROUTES.keys() == set(), "put these into the table"
    assert ROUTES.keys() - served == set(), "these are no more"


@pytest.mark.parametrize("who", PERSONS)
def test_routes(house: House, who: str) -> None:
    """Each is asked for the conversation, and for one that does not exist."""
    wrong = []
    with httpx.Client(
        base_url=house.server.url, headers=house.headers(who), trust_env=False, follow_redirects=False
    ) as client:
        for (method, rule), (statuses, body) in ROUTES.items():
            wanted = statuses[who]
            answers = []
            for talk, message in ((house.talk, house.message_id), (UNKNOWN, "nothing")):
                path = filled(rule, talk, message)
                with client.stream(method, path, json=body) as answer:
                    refused = answer.status_code >= 400
                    text = answer.read().decode("utf-8", "replace") if refused or "/stream" not in path else ""
                answers.append((answer.status_code, text.replace(talk, "…").replace(message, "…")))
                client.cookies.clear()
            status, text = answers[0]
            told = f"{method} {rule}: {status}"
            if (wanted is None and status in (401, 403, 404)) or (isinstance(wanted, int) and status != wanted):
                wrong.append(told)
            if status == 401 and "WWW-Authenticate" in text:
                wrong.append(told)
            if who in STRANGERS or who == "nobody":
                house.check(text, who, told)
                if statuses is not OPEN and "<conversation_id>" in rule:
                    assert answers[0] == answers[1], f"{who} sees from {method} {rule} that there is one"
    assert not wrong, f"{who}: {wrong}"


def filled(rule: str, talk: str, message: str) -> str:
    """A path of a rule."""
    for name, value in {
        "conversation_id": talk,
        "message_id": message,
        "team": "chat",
        "user": "mallory",
    }.items():
        rule = rule.replace(f"<{name}>", value)
    while "<" in rule:
        rule = rule[: rule.index("<")] + "nothing" + rule[rule.index(">") + 1 :]
    return rule


# --- Socket.IO --------------------------------------------------------------------------------------------------------


def test_every_command_and_event_is_in_the_table() -> None:
    """A new one has to be thought about here."""
    assert {command.name for command in COMMANDS} == COMMAND_TABLE.keys() | OWN_COMMANDS
    assert set(EVENT_NAMES) == ROOM_EVENTS | OWN_EVENTS


def test_nobody_is_not_let_in(house: House) -> None:
    """Without credentials there is no connection."""
    with pytest.raises(socketio.exceptions.ConnectionError), Watcher(house.server.url):
        pass


@pytest.mark.parametrize("who", [who for who in PERSONS if who != "nobody"])
def test_commands(house: House, who: str) -> None:
    """Typed acks: strangers are told that there is no such conversation; so they are of one that there is not."""
    with Watcher(house.server.url, auth=house.auth(who)) as client:
        for name, (payload, refusals) in COMMAND_TABLE.items():
            if who == "editor" and name in ("start_stream", "send_message", "continue_stream"):
                continue  # it would run
            acks = [client.command(name, {"conversation_id": talk, **payload}) for talk in (house.talk, UNKNOWN)]
            if who in STRANGERS:
                assert acks[0] == acks[1], name
                code = acks[0]["error"]["code"]
                assert code == ("invalid_state" if name == "ack" else "conversation_unknown"), name
                house.check(acks[0], who, name)
            else:
                code = acks[0].get("error", {}).get("code")
                wanted = refusals.get(who)
                assert code == wanted if wanted else code not in ("not_permitted", "conversation_unknown"), (name, code)
        if who in STRANGERS:
            mine = client.must("start_stream", {"content": "mine", "team": "chat", "client_id": "first"})
            assert mine["conversation_id"] != house.talk, "somebody else's client_id led to their conversation"
            since = client.command("join", {"conversation_id": house.talk, "position": {"epoch": "e", "offset": 1}})
            assert since["error"]["code"] == "conversation_unknown"
            client.wait_for_end(mine["session_id"])
            about = [(name, event) for name, event in client.events() if event.get("conversation_id") == house.talk]
            assert not about
            house.check(client.events(), who, "its events")


def test_what_others_do_does_not_reach_a_stranger(house: House) -> None:
    """While a conversation runs, is renamed, rated and watched, its room hears all of it, and nobody else anything."""
    with (
        Watcher(house.server.url, auth=house.auth("owner")) as owner,
        Watcher(house.server.url, auth=house.auth("stranger")) as stranger,
        httpx.Client(base_url=house.server.url, headers=house.headers("owner"), trust_env=False) as client,
    ):
        stranger.refused("join", {"conversation_id": house.talk})
        started = owner.must("start_stream", {"content": f"Again {MARK}", "team": "chat"})
        talk = started["conversation_id"]
        assert client.patch(f"/api/conversations/{talk}", json={"title": MARK}).status_code == 200
        owner.wait_for_end(started["session_id"])
        owner.wait_for_event("presence")
        owner.must("feedback", {"conversation_id": talk, "message_id": message_of(client, talk), "value": "up"})
        assert client.delete(f"/api/conversations/{talk}").status_code == 204
        owner.wait_for_event("conversation_deleted")
        stranger.must("ping")
        assert {name for name, _ in owner.events()} - OWN_EVENTS >= {"message_updated", "agent_message"}
        assert {name for name, _ in stranger.events()} <= OWN_EVENTS
        house.check(stranger.events(), "the stranger", "its events")


def message_of(client: httpx.Client, talk: str) -> str:
    found: str = client.get(f"/api/conversations/{talk}").json()["messages"][-1]["message_id"]
    return found


# --- the other doors --------------------------------------------------------------------------------------------------


def test_every_door_is_in_the_table() -> None:
    """And each of their commands."""
    assert {kind.path for kind in DOORS} == DOOR_TABLE.keys() | STARTING_DOORS
    assert {command.name for command in (*BRIDGE_COMMANDS, *TASK_COMMANDS)} == DOOR_COMMANDS


@pytest.mark.parametrize("path", DOOR_TABLE)
@pytest.mark.parametrize("who", PERSONS)
def test_doors(house: House, who: str, path: str) -> None:
    """Strangers are closed out, with the same words for what exists and what does not; viewers may not steer."""

    def opened(talk: str) -> Socket:
        way = path.replace("<key>", talk) if "<key>" in path else f"{path}?conversation_id={talk}"
        return Socket(f"ws://127.0.0.1:{house.server.port}{way}", additional_headers=house.headers(who))

    if who in (*STRANGERS, "nobody"):
        told = []
        for key in (house.talk, UNKNOWN):
            socket = opened(key)
            code = socket.wait_for_close()
            came = [json.dumps(each).replace(key, "…") for each in socket.came]
            told.append((code, [without_time(each) for each in came]))
            socket.close()
        assert told[0] == told[1]
        assert told[0][0] == (4501 if who == "nobody" else 4504)
        house.check(told[0], who, path)
        return
    socket = opened(house.talk)
    try:
        for command in DOOR_TABLE[path]:
            if who == "editor" and command["type"] in ("chat", "start_conversation", "send_message"):
                continue  # it would run
            socket.send(command)
            if who == "editor" and command.get("data", {}).get("action") == "continue":
                socket.wait_for("error", code="invalid_state")
                continue
            if who != "editor":
                answer = socket.wait_for("error")
                assert "not_permitted" in json.dumps(answer), (command, answer)
        socket.receive() if not socket.came else None
    finally:
        socket.close()


@pytest.mark.parametrize("who", PERSONS)
def test_doors_that_only_start(house: House, who: str) -> None:
    """Nobody, and a token that may only read, are closed out; everybody else may begin a conversation of their own."""
    way = f"ws://127.0.0.1:{house.server.port}/ag2/chat"
    socket = Socket(way, additional_headers=house.headers(who))
    socket.send("") if who not in ("nobody", "reader") else None
    expected = {"nobody": (4501, "unauthenticated"), "reader": (4503, "not_permitted")}
    assert (socket.wait_for_close(), socket.came[-1]["content"]["code"]) == expected.get(who, (1000, "content_empty"))
    house.check(json.dumps(socket.came), who, way)
    socket.close()


def without_time(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text)
    found.pop("timestamp", None)
    if isinstance(found.get("data"), dict):
        found["data"].pop("timestamp", None)
    return found


@pytest.mark.parametrize("who", STRANGERS)
def test_a_name_leads_nobody_to_what_is_somebody_elses(house: House, who: str) -> None:
    """E3: by title; nor does the id that a client of the task door has given itself."""
    by_name = Socket(
        f"ws://127.0.0.1:{house.server.port}/v1/conversation/{MARK.replace(' ', '%20')}/stream",
        additional_headers=house.headers(who),
    )
    assert by_name.wait_for_close() == 4504
    by_name.close()
    owner, other = (
        Socket(f"ws://127.0.0.1:{house.server.port}/ws/stream?client_id=desk", additional_headers=house.headers(each))
        for each in ("owner", who)
    )
    owner.send({"type": "resume", "payload": {"conversation_id": house.talk}})
    owner.receive()
    other.send({"type": "cancel", "payload": {}})
    answer = other.receive()
    assert answer["details"] == "invalid_state", "there is no task of theirs"
    for socket in (owner, other):
        socket.close()


@pytest.mark.parametrize("who", STRANGERS)
def test_a_thread_of_agui_is_its_persons_alone(house: House, who: str) -> None:
    """With somebody's conversation for a thread, a stranger begins one of their own, as with any other id."""
    seen = []
    for thread in (house.talk, UNKNOWN):
        body = agui(thread)
        answer = httpx.post(
            f"{house.server.url}/api/agui/chat", json=body, headers=house.headers(who), trust_env=False, timeout=30
        )
        house.check(answer.text, who, "AG-UI")
        events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]
        seen.append((answer.status_code, events[-1]["type"]))
    assert seen == [(200, "RUN_FINISHED")] * 2
    listed = httpx.get(f"{house.server.url}/api/conversations", headers=house.headers(who), trust_env=False)
    assert listed.status_code == 200
    house.check(listed.text, who, "their list")


def test_agui_asks_what_a_token_allows(house: House) -> None:
    """Viewers and tokens of scope `read` may read a thread's run, and neither start nor steer."""
    for who, thread, status in (("viewer", house.talk, 403), ("reader", house.talk, 403), ("reader", "new", 403)):
        answer = httpx.post(
            f"{house.server.url}/api/agui/chat", json=agui(thread), headers=house.headers(who), trust_env=False
        )
        assert answer.status_code == status, (who, thread, answer.text)


def agui(thread: str) -> dict[str, Any]:
    """A message to a thread."""
    return {
        "threadId": thread,
        "runId": uuid.uuid4().hex,
        "state": {},
        "tools": [],
        "context": [],
        "forwardedProps": {},
        "messages": [{"id": uuid.uuid4().hex, "role": "user", "content": "mine"}],
    }
