"""The scripted model keeps what its documentation promises: a test that leans on it must not be fooled by it."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from http.client import HTTPConnection, IncompleteRead
from itertools import pairwise
from typing import Any

import pytest

from tests.support.http import HttpError, http_json
from tests.support.model_server import ModelServer
from tests.support.processes import alive

PROMPT = [{"role": "user", "content": "What now?"}]
SCHEMA = {
    "type": "json_schema",
    "json_schema": {
        "name": "outcome",
        "schema": {
            "type": "object",
            "properties": {"consensus": {"type": "string"}, "summary": {"type": "string"}, "score": {"type": "number"}},
        },
    },
}


@pytest.fixture(scope="module")
def running() -> Iterator[ModelServer]:
    with ModelServer() as model:
        yield model


@pytest.fixture
def model(running: ModelServer) -> ModelServer:
    """One server for the module, as new for each test."""
    running.control(reset=True, token_delay_ms=0)
    return running


def ask(model: ModelServer, name: str = "scripted", **body: Any) -> Any:
    return http_json("POST", f"{model.url}/chat/completions", {"model": name, "messages": PROMPT} | body)


def events(text: str) -> list[Any]:
    """The parsed events of a stream, without [DONE]."""
    lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def raw_request(model: ModelServer, name: str) -> socket.socket:
    """A connection that has asked for a stream and read nothing yet."""
    body = json.dumps({"model": name, "messages": PROMPT, "stream": True})
    client = socket.create_connection(("127.0.0.1", model.port))
    client.sendall(f"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
    return client


def read_to_end(client: socket.socket) -> bytes:
    read = b""
    while received := client.recv(65_536):
        read += received
    return read


def last_request(model: ModelServer) -> dict[str, Any]:
    found: dict[str, Any] = model.stats()["requests"][-1]
    return found


def test_stream_carries_every_token_then_usage_then_done(model: ModelServer) -> None:
    """An SSE stream has the wanted number of deltas, a finish reason, the usage that was asked for, and [DONE]."""
    text = ask(model, "scripted?tokens=7", stream=True, stream_options={"include_usage": True})
    assert text.endswith("data: [DONE]\n\n")
    chunks = events(text)
    deltas = [chunk["choices"][0]["delta"].get("content") for chunk in chunks if chunk["choices"]]
    assert "".join(filter(None, deltas)) == "".join(f"word{n} " for n in range(1, 8))
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1]["usage"]["completion_tokens"] == 7
    record = last_request(model)
    assert (record["ended"], record["tokens_sent"], record["prompt_chars"]) == ("done", 7, len("What now?"))
    assert record["messages"] == PROMPT


def test_markers_rise_strictly_also_within_one_microsecond(model: ModelServer) -> None:
    """So that equal counts and order prove that nothing was lost or doubled."""
    text = ask(model, "scripted?tokens=500&markers=1", stream=True)
    found = re.findall(r"@(\d{13})#(\d+) ", text)
    markers = [int(marker) for marker, _ in found]
    assert [int(number) for _, number in found] == list(range(500))
    assert all(earlier < later for earlier, later in pairwise(markers))
    assert abs(time.monotonic_ns() // 1000 - markers[-1]) < 5_000_000


def test_whole_reply_and_bound_reply(model: ModelServer) -> None:
    """Without `stream` the reply is one JSON body; bound to a schema its text fits the schema."""
    whole = ask(model, "scripted?text=Two+words&usage=0")
    assert whole["choices"][0]["message"]["content"] == "Two words"
    assert "usage" not in whole
    model.control(consensus="Yes.")
    bound = ask(model, "flood", response_format=SCHEMA)
    assert json.loads(bound["choices"][0]["message"]["content"]) == {
        "consensus": "Yes.",
        "summary": "Three agents have argued.",
        "score": 0.5,
    }


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("status-401", 401, "invalid_api_key"),
        ("status-429", 429, "rate_limit_exceeded"),
        ("status-503", 503, "overloaded"),
        ("context-overflow", 400, "context_length_exceeded"),
        ("content-policy", 400, "content_filter"),
    ],
)
def test_errors_have_the_providers_shape(model: ModelServer, name: str, status: int, code: str) -> None:
    """The error's status and code are those of the real API."""
    with pytest.raises(HttpError) as refused:
        ask(model, name, stream=True)
    assert (refused.value.status, refused.value.body["error"]["code"]) == (status, code)


@pytest.mark.parametrize("stream", [True, False])
def test_it_calls_the_tools_that_it_is_offered(model: ModelServer, *, stream: bool) -> None:
    """Until one has answered; then it replies."""
    model.control(calls="look,jump", call_arguments='{"a":1}', tokens=2)
    tools = [{"type": "function", "function": {"name": name}} for name in ("look", "jump")]
    if stream:
        choices = [chunk["choices"][0] for chunk in events(ask(model, tools=tools, stream=True))]
        calls = [call for choice in choices for call in choice["delta"].get("tool_calls", ())]
        assert choices[-1]["finish_reason"] == "tool_calls"
    else:
        choice = ask(model, tools=tools)["choices"][0]
        calls = choice["message"]["tool_calls"]
        assert choice["finish_reason"] == "tool_calls"
    named = [(call["id"], call["function"]["name"], call["function"]["arguments"]) for call in calls]
    assert named == [("call_look", "look", '{"a":1}'), ("call_jump", "jump", '{"a":1}')]
    answered = [*PROMPT, {"role": "tool", "tool_call_id": "call_look", "content": "seen"}]
    assert ask(model, tools=tools, messages=answered)["choices"][0]["message"]["content"] == "word1 word2 "
    assert ask(model)["choices"][0]["message"]["content"] == "word1 word2 "


def test_failures_end_after_their_number(model: ModelServer) -> None:
    """`failures` lets a model fail so many times, then answer."""
    model.control(status=500, failures=1)
    with pytest.raises(HttpError):
        ask(model)
    assert ask(model)["choices"]


def test_it_dies_in_mid_stream_in_three_ways(model: ModelServer) -> None:
    """Reset, a clean end without [DONE], and a connection that closes inside the chunked body."""
    with raw_request(model, "die-reset") as client, pytest.raises(ConnectionResetError):
        read_to_end(client)
    whole = ask(model, "die-eof", stream=True)
    assert "[DONE]" not in whole
    assert len(events(whole)) == 6  # the role, five words
    connection = HTTPConnection("127.0.0.1", model.port)
    body = json.dumps({"model": "die-close", "messages": PROMPT, "stream": True})
    connection.request("POST", "/v1/chat/completions", body)
    with pytest.raises(IncompleteRead):
        connection.getresponse().read()
    connection.close()
    assert [record["ended"] for record in model.stats()["requests"][-3:]] == ["died:reset", "died:eof", "died:close"]


@pytest.mark.parametrize("name", ["silent", "slow", "scripted?token_delay_ms=20&tokens=9999"])
def test_a_clients_close_is_noticed_at_once(model: ModelServer, name: str) -> None:
    """Also before the first token, and where no token would ever have come."""
    client = raw_request(model, name)
    model.wait_for(lambda stats: stats["open"] == 1)
    closed_s = time.monotonic()
    client.close()
    model.wait_for(lambda stats: stats["open"] == 0)
    record = last_request(model)
    assert record["ended"] == "client_closed"
    assert record["ended_s"] >= closed_s


def test_a_reader_that_does_not_read_stops_the_flood(model: ModelServer) -> None:
    """Flow control holds the model back, and the statistics tell what the reader's program has taken."""
    with raw_request(model, "flood") as client:
        held = model.wait_for(lambda stats: stats["requests"][-1]["bytes_sent"] > 100_000)["requests"][-1]
        assert held["ended"] == "open"
        taken = 0
        while taken < 50_000:
            taken += len(client.recv(50_000 - taken))
        model.wait_for(lambda _: model.stats(queues=True)["requests"][-1]["bytes_taken"] == taken)
        assert last_request(model)["tokens_sent"] < 12_500


def test_silence_ends_when_control_says_so(model: ModelServer) -> None:
    """An open reply that fell silent goes on by a new behaviour, from where it stood."""
    with raw_request(model, "scripted") as client:
        model.control(model="scripted", silent_after_tokens=3, tokens=6, open=True)
        model.wait_for(lambda stats: stats["requests"][-1]["tokens_sent"] in (3, 40))
        model.control(model="scripted", silent_after_tokens=-1, open=True)
        model.wait_for(lambda stats: stats["open"] == 0)
        assert client.recv(65_536).startswith(b"HTTP/1.1 200 OK\r\n")


def test_rules_answer_by_what_is_asked(model: ModelServer) -> None:
    """The first rule that fits the last message, and all that was said before, decides; else all is as it was."""
    rules = [{"when": "two", "seen": "one", "text": "three"}, {"when": "one", "text": "two"}]
    model.control(rules=json.dumps(rules), text="what?")

    def reply(*said: str) -> str:
        answer = ask(model, messages=[{"role": "user", "content": text} for text in said])
        return str(answer["choices"][0]["message"]["content"])

    assert [reply("one"), reply("one", "two"), reply("two")] == ["two", "three", "what?"]


def test_a_thought_comes_before_the_answer(model: ModelServer) -> None:
    """Word by word, as reasoning models stream theirs."""
    model.control(thought="Well, well.", text="Yes.")
    with raw_request(model, "scripted") as client:
        received = b""
        while b"[DONE]" not in received:
            received += client.recv(65_536)
    deltas = re.findall(rb'"(reasoning_content|content)":"([^"]*)"', received)
    assert [text for name, text in deltas if name == b"reasoning_content"] == [b"Well, ", b"well."]
    assert deltas[-1] == (b"content", b"Yes.")


def test_an_unreachable_backend_does_not_list_its_models(model: ModelServer) -> None:
    """`models_silent` leaves the probe without an answer; else the list is the API's."""
    assert {"id", "object"} <= set(http_json("GET", f"{model.url}/models")["data"][0])
    model.control(models_silent=True)
    with pytest.raises(OSError, match="timed out"):
        http_json("GET", f"{model.url}/models", timeout_s=0.2)


def test_a_wrong_option_is_refused(model: ModelServer) -> None:
    """A typing error in a test must not pass as the default behaviour."""
    with pytest.raises(HttpError, match="tokenz"):
        model.control(tokenz=5)


def test_the_process_ends_with_its_owner() -> None:
    """The end of its standard input is enough: a killed test run leaves no server behind."""
    with ModelServer() as model:
        pid = model.pid
        model._close_stdin()
        assert model.wait(5) == 0
        assert alive([pid]) == []
