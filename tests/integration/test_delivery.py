"""Slow, stalled, greedy and many clients: nobody waits for them, nothing grows with them, and they lose nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import TIMEOUT_SCALE
from tests.integration.conftest import MODES, TEXT
from tests.support.model_server import ModelServer
from tests.support.raw_client import EVENT, PollingClient, RawClient
from tests.support.server import ColloquyServer
from tests.support.waiting import wait_until
from tests.support.watcher import Watcher, check_chain, logged

SLOW_S = 4.0
CONNECTIONS = 8
FOLLOWED = 3
QUEUE_BYTES = 65_536
ENV = {
    "STREAM_TOKENS_PER_S": "0",
    "SLOW_CLIENT_TIMEOUT_S": f"{SLOW_S}",
    "PING_INTERVAL_S": "2",
    "PING_TIMEOUT_S": "2",
    "SOCKET_SEND_BUFFER_BYTES": "4096",
    "MAX_COMMANDS_PER_S": "10",
    "MAX_CONNECTIONS": f"{CONNECTIONS}",
    "MAX_FOLLOWED_CONVERSATIONS": f"{FOLLOWED}",
    "CLIENT_QUEUE_BYTES": f"{QUEUE_BYTES}",
}
WAIT_S = 20 * TIMEOUT_SCALE
LONG = {"content": TEXT, "options": {"max_turns": 1}}


@pytest.fixture(scope="module", params=MODES)
def server(request: pytest.FixtureRequest, model: ModelServer) -> Iterator[ColloquyServer]:
    """A server with narrow limits, in each async mode."""
    with ColloquyServer(model_url=model.url, env={**ENV, "ASYNC_MODE": request.param}) as running:
        yield running


@pytest.fixture(autouse=True)
def nothing_is_left(server: ColloquyServer) -> Iterator[None]:
    """No stack trace is logged, and no connection left behind."""
    yield
    wait_until(lambda: delivery(server)["connections"] == 0, "the leaving of all", 20)
    assert "Traceback" not in server.output()


def delivery(server: ColloquyServer) -> dict[str, Any]:
    """The figures of delivery."""
    figures: dict[str, Any] = server.get("/api/websocket/status")["delivery"]
    return figures


def slow_client(server: ColloquyServer) -> RawClient:
    """One whose kernel takes 4 kB for it."""
    return RawClient(server.port, receive_buffer=2048, timeout_s=WAIT_S).connect()


class Blind:
    """Answers pings without reading them, as a client would whose kernel lies."""

    def __init__(self, client: RawClient) -> None:
        self._client = client
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._answer)

    def _answer(self) -> None:
        while not self._over.wait(0.3):
            try:
                self._client.send("3")
            except OSError:
                return

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def test_a_client_that_pauses_its_reading_misses_nothing(server: ColloquyServer, model: ModelServer) -> None:
    """It leaves the room in the middle of a frame, catches up from the log, and its acks stand between whole frames."""
    model.control(tokens=4_000, token_delay_ms=1, piece_bytes=50)  # more than its kernel takes, however it is joined
    with slow_client(server) as slow, Watcher(server.url, timeout_s=WAIT_S) as healthy:
        ack = slow.command("start_stream", LONG)
        one = {"conversation_id": ack["conversation_id"]}
        wait_until(lambda: delivery(server)["lagging"] == 1, "its lag", 20)  # before the other one may lag for a moment
        seen = healthy.must("join", one)
        slow.send(EVENT + '7["ping",{"echo":7}]')
        events, acks = [], 0
        while not events or events[-1][1].get("status") != "completed":
            packet = slow.packet()
            acks += packet.startswith("43/conversations,7[")
            if packet.startswith(EVENT):
                events.append(slow.parse(packet))
            elif packet == "2":
                slow.send("3")
        assert acks == 1
        assert healthy.wait_for_end() == "completed"
        check_chain(events, ack["offset"])
        check_chain(healthy.events(), seen["offset"])
        assert text_of(events) == text_of(healthy.events(), whole=True)
        assert delivery(server)["readers_lagged"] >= 1


def text_of(events: list[tuple[str, dict[str, Any]]], *, whole: bool = False) -> str:
    """What the deltas say; or what the agent's whole messages say, for one who joined later."""
    if whole:
        return "".join(p["content"] for name, p in events if name == "agent_message" and p["role"] == "agent")
    return "".join(p["delta"] for name, p in events if name == "message_delta")


@pytest.mark.parametrize("blind", [False, True], ids=["silent", "answers pings"])
def test_a_stalled_client_is_cut_off_and_may_come_back(server: ColloquyServer, model: ModelServer, blind: bool) -> None:
    """Its memory is freed; a neighbour in the room does not notice; with its position it resumes."""
    before = delivery(server)["cut_off"]
    model.control(tokens=1_000, token_delay_ms=1)
    with slow_client(server) as stalled, Watcher(server.url, timeout_s=WAIT_S) as healthy:
        ack = stalled.command("start_stream", LONG)
        seen = healthy.must("join", {"conversation_id": ack["conversation_id"]})
        if blind:
            with Blind(stalled):
                wait_until(lambda: delivery(server)["connections"] == 1, "the cut", 20)
        else:
            wait_until(lambda: delivery(server)["connections"] == 1, "the cut", 20)
        figures = delivery(server)
        reasons = ("stalled",) if blind else ("stalled", "silent")  # whichever is found out first
        assert sum(figures["cut_off"].get(each, 0) - before.get(each, 0) for each in reasons) == 1
        assert figures["queued_bytes"] == 0
        assert healthy.wait_for_end() == "completed"
        check_chain(healthy.events(), seen["offset"])
        position = {"epoch": ack["epoch"], "offset": ack["offset"]}
        again = healthy.must("join", {"conversation_id": ack["conversation_id"], "position": position})
        assert again["recovered"]


def test_a_client_that_reads_slowly_is_never_cut_off(server: ColloquyServer, model: ModelServer) -> None:
    """A few kB/s, for longer than the timeout, and one that is idle: both stay."""
    model.control(tokens=100_000, token_delay_ms=1)
    with slow_client(server) as slow, slow_client(server) as idle:
        ack = slow.command("start_stream", LONG)
        cut = delivery(server)["cut_off"]
        until_s = time.monotonic() + 1.5 * SLOW_S
        while time.monotonic() < until_s:
            for client in (slow, idle):
                for content in client.sip(400):
                    if content == b"2":
                        client.send("3")
            time.sleep(0.1)  # 4 kB/s
        assert delivery(server)["cut_off"] == cut
        with Watcher(server.url, timeout_s=WAIT_S) as other:
            other.must("stop_stream", {"conversation_id": ack["conversation_id"]})
        assert idle.command("ping", {"echo": 1})["ok"]


def test_whoever_does_not_take_its_answers_gets_no_further_ones(server: ColloquyServer, model: ModelServer) -> None:
    """Snapshots that are asked for again and again do not pile up: the commands wait, and some are refused."""
    model.control(tokens=5_000, token_delay_ms=0)
    with Watcher(server.url, timeout_s=WAIT_S) as other, slow_client(server) as greedy:
        ack = other.must("start_stream", LONG)
        assert other.wait_for_end() == "completed"
        peak = delivery(server)["queued_bytes_peak"]
        for number in range(18):
            greedy.send(f'{EVENT}{number}["join",{{"conversation_id":"{ack["conversation_id"]}"}}]')
        wait_until(lambda: delivery(server)["queued_bytes"] > 10_000, "something that waits", 20)
        answered = 0
        while answered < 18:
            packet = greedy.packet()
            answered += packet.startswith("43/conversations,")
            if packet == "2":
                greedy.send("3")
        snapshot = 60_000  # bytes of one answer, roughly: 5,000 tokens
        assert delivery(server)["queued_bytes_peak"] < max(peak, 1) + QUEUE_BYTES + 2 * snapshot


def test_a_long_polling_client_misses_nothing(server: ColloquyServer, model: ModelServer) -> None:
    """Sixteen packets an answer, in order, also when it fetches them late."""
    model.control(tokens=800, token_delay_ms=0.5)
    session = PollingClient(server.port, timeout_s=WAIT_S).connect()
    session.post(f'{EVENT}1["start_stream",{{"content":"What now?","options":{{"max_turns":1}}}}]')
    events: list[tuple[str, dict[str, Any]]] = []
    while not events or events[-1][1].get("status") != "completed":
        for packet in session.poll():
            if packet == "2":
                session.post("3")
            elif packet.startswith(EVENT):
                events.append(RawClient.parse(packet))
    check_chain(events, logged(events)[0][1]["prev_offset"])
    assert text_of(events) == text_of(events, whole=True)
    session.post("1")


def test_more_commands_than_allowed_are_refused(server: ColloquyServer) -> None:
    """Twice a second's worth in a burst; each is answered; acknowledgements count little."""
    refused = delivery(server)["commands_refused"]
    with slow_client(server) as client:
        for number in range(40):
            client.send(f'{EVENT}{number}["ping",{{}}]')
        answers = 0
        codes = []
        while answers < 40:
            packet = client.packet()
            answers += packet.startswith("43/conversations,")
            codes += ["limit_exceeded"] if "limit_exceeded" in packet else []
    assert 15 <= len(codes) <= 20
    assert delivery(server)["commands_refused"] >= refused + len(codes)


def test_a_flood_of_commands_ends_the_connection(server: ColloquyServer, watcher: Watcher) -> None:
    """Ten bursts beyond what is allowed."""
    with RawClient(server.port, timeout_s=WAIT_S).connect() as client:
        try:
            for number in range(400):
                client.send(f'{EVENT}{number}["ping",{{}}]')
        except ConnectionError:
            pass
        assert client.is_closed_within(WAIT_S)
    assert delivery(server)["cut_off"]["flooding"] >= 1
    assert watcher.must("ping", {})["ok"]


def test_one_connection_too_many_is_told_why(server: ColloquyServer) -> None:
    """With a clear error; and when one has left, there is room again."""
    clients = [RawClient(server.port, timeout_s=WAIT_S).connect() for _ in range(CONNECTIONS)]
    with RawClient(server.port, timeout_s=WAIT_S) as late:
        late.packet()
        late.send("40/conversations,")
        refusal = late.packet()
        assert refusal.startswith("44/conversations,")
        assert "limit_exceeded" in refusal
        assert late.is_closed_within(WAIT_S)
    assert delivery(server)["connections_refused"] >= 1
    clients.pop().__exit__(None, None, None)
    wait_until(lambda: delivery(server)["connections"] < CONNECTIONS, "that somebody leaves", 20)
    with RawClient(server.port, timeout_s=WAIT_S).connect() as late:
        assert late.command("ping", {"echo": 1})["ok"]
    for client in clients:
        client.__exit__(None, None, None)


def test_a_connection_may_follow_so_many_conversations(server: ColloquyServer, model: ModelServer) -> None:
    """One more is refused; one that it follows already is not."""
    model.control(tokens=2, token_delay_ms=0)
    with Watcher(server.url, timeout_s=WAIT_S) as client:
        ids = [client.must("start_stream", LONG)["conversation_id"] for _ in range(FOLLOWED)]
        assert client.refused("start_stream", LONG) == "limit_exceeded"
        client.must("join", {"conversation_id": ids[0]})
        client.must("leave", {"conversation_id": ids[1]})
        client.must("join", {"conversation_id": ids[1]})


def test_a_session_that_never_joins_a_namespace_is_ended(server: ColloquyServer) -> None:
    """It answers pings, and holds a place for nothing."""
    with RawClient(server.port, timeout_s=WAIT_S) as client, Blind(client):
        wait_until(lambda: delivery(server)["cut_off"].get("nameless"), "the cut", 20)
        assert client.is_closed_within(WAIT_S)
