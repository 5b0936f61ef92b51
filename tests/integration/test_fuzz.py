"""An OpenAPI fuzzer over the HTTP API of real servers: no 500, every answer as it is published, whoever asks.

`make fuzz` sends many more, in every async mode: each case that follows from the document, too, from a random seed;
`FUZZ_SEED` with the printed number repeats a run.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests

from tests.conftest import TIMEOUT_SCALE
from tests.integration.conftest import MODES
from tests.support.fuzzer import fuzz
from tests.support.model_server import ModelServer
from tests.support.server import ColloquyServer
from tests.support.watcher import Watcher

LONG = "FUZZ_EXAMPLES" in os.environ
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "4"))
SEED = int(os.environ.get("FUZZ_SEED") or (random.SystemRandom().randrange(1_000_000) if LONG else 4))
ENDS_THE_SIGN_IN = (
    *("log_out", "submit_log_out", "register", "log_in", "submit_registration", "submit_log_in"),
    *("end_sign_in", "submit_sign_in_end"),  # the fuzzer finds the ids in the lists
)
LASTING = ("delete_conversation",)
"""Operations that would end what the others need."""

ENV = {
    "STREAM_TOKENS_PER_S": "0",
    "MAX_SIGN_INS_PER_MINUTE": "1000000",
    "MAX_BAD_TOKENS_PER_MINUTE": "1000000",
    "MAX_REQUESTS_PER_MINUTE": "0",
    "LOG_LEVEL": "warning",
}


@dataclass(frozen=True)
class Caller:
    """Somebody who asks, and a conversation of theirs."""

    headers: dict[str, str] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    spare: tuple[str, ...] = ()


@pytest.fixture(scope="module", params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def fuzzed(mode: str, model: ModelServer) -> Iterator[ColloquyServer]:
    """A server of its own: the fuzzer deletes, steers and starts."""
    with ColloquyServer(model_url=model.url, env=ENV | {"ASYNC_MODE": mode}) as running:
        yield running


@pytest.fixture(scope="module")
def document(fuzzed: ColloquyServer) -> dict[str, Any]:
    """The published contract: the same for every server; the one in production shows it to nobody."""
    published: dict[str, Any] = fuzzed.get("/api/openapi.json")
    return published


@pytest.fixture(scope="module")
def closed(mode: str, model: ModelServer) -> Iterator[ColloquyServer]:
    """One in production, where nobody is the guest."""
    env = {"ASYNC_MODE": mode, "COLLOQUY_ENV": "production", "SECRET_KEY": "sixteen characters and more"}
    with ColloquyServer(model_url=model.url, env=ENV | env) as running:
        yield running


def all_is_well(server: ColloquyServer, caller: Caller, document: dict[str, Any]) -> None:
    print(f"FUZZ_SEED={SEED} FUZZ_EXAMPLES={EXAMPLES} make fuzz")
    found = fuzz(
        server.url, document, seed=SEED, examples=EXAMPLES, every_case=LONG,
        headers=caller.headers, ids=caller.ids, spare=caller.spare,
    )  # fmt: skip
    assert not found.failed, f"FUZZ_SEED={SEED}\n{found.report}"
    assert found.cases > len(document["paths"])
    assert requests.get(f"{server.url}/docs", timeout=10).status_code == 200
    log = server.output()
    assert "Traceback" not in log, log[-5000:]


def signed_in(server: ColloquyServer, login: str) -> dict[str, str]:
    """The headers of somebody who has just registered."""
    answer = requests.post(
        f"{server.url}/api/register", json={"login": login, "password": "correct horse battery"}, timeout=20
    )
    assert answer.status_code == 201, answer.text
    cookies = "; ".join(f"{name}={value}" for name, value in answer.cookies.items())
    return {"Cookie": cookies, "X-CSRFToken": answer.json()["csrf_token"]}


def token_of(server: ColloquyServer, headers: dict[str, str], *scopes: str) -> str:
    body = {"name": "a token", "scopes": scopes}
    made = requests.post(f"{server.url}/api/tokens", json=body, headers=headers, timeout=20)
    assert made.status_code == 201, made.text
    return str(made.json()["token"])


def conversation_of(server: ColloquyServer, headers: dict[str, str]) -> dict[str, str]:
    """The ids of a conversation that has ended, and of a message in it."""
    token = token_of(server, headers, "read", "write")
    with Watcher(server.url, timeout_s=20 * TIMEOUT_SCALE, auth={"token": token}) as watcher:
        name = watcher.must("start_stream", {"content": "Should we?", "team": "chat"})["conversation_id"]
        watcher.wait_for_end()
    listed = requests.get(f"{server.url}/api/conversations/{name}/messages", headers=headers, timeout=20).json()
    return {"conversation_id": name, "message_id": listed["messages"][0]["id"]}


@pytest.mark.timeout(1000)
def test_as_the_guest(fuzzed: ColloquyServer, document: dict[str, Any]) -> None:
    """Who may do everything, with ids that are made up."""
    all_is_well(fuzzed, Caller(), document)


@pytest.mark.timeout(1000)
def test_as_somebody_who_has_signed_in(fuzzed: ColloquyServer, document: dict[str, Any]) -> None:
    """With a cookie and its proof, on a conversation that is theirs."""
    headers = signed_in(fuzzed, "fuzz@example.com")
    caller = Caller(headers, conversation_of(fuzzed, headers), ENDS_THE_SIGN_IN + LASTING)
    all_is_well(fuzzed, caller, document)
    me = requests.get(f"{fuzzed.url}/api/me", headers=headers, timeout=10).json()
    assert me.get("user", {}).get("kind") == "user", me


@pytest.mark.timeout(1000)
def test_as_a_token_that_may_only_read(fuzzed: ColloquyServer, document: dict[str, Any]) -> None:
    """On a conversation of its person's; nothing changes by it."""
    headers = signed_in(fuzzed, "reader@example.com")
    ids = conversation_of(fuzzed, headers)
    token = token_of(fuzzed, headers, "read")
    address = f"{fuzzed.url}/api/conversations/{ids['conversation_id']}"
    before = requests.get(address, headers=headers, timeout=10).json()
    all_is_well(fuzzed, Caller({"Authorization": f"Bearer {token}"}, ids), document)
    assert requests.get(address, headers=headers, timeout=10).json()["messages"] == before["messages"]


@pytest.mark.timeout(1000)
def test_as_nobody(closed: ColloquyServer, document: dict[str, Any]) -> None:
    """In production, with nothing: most is 401, and that as it is published."""
    all_is_well(closed, Caller(), document)
