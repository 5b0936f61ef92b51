"""The Python client against a real server: streams, commands, lost connections, killed servers, queued messages."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from app.client import (
    Client,
    ClientError,
    ClientEvent,
    Connection,
    ContentType,
    Filter,
    Happening,
    Replaced,
    Status,
)
from app.protocol.commands import RunOptions
from app.protocol.events import (
    AgentMessage,
    Broadcast,
    ConversationComplete,
    ConversationStatus,
    MessageDelta,
    MessageStart,
)
from tests.client.conftest import TIMEOUT_S, check_story, read, same_as_server
from tests.client.forwarder import Forwarder
from tests.support.http import http_json
from tests.support.model_server import ModelServer
from tests.support.server import ColloquyServer
from tests.support.tokens import token
from tests.support.waiting import wait_until

Connect = Callable[..., Client]


def tokens(happenings: list[Happening]) -> int:
    return sum(each.body.tokens for each in happenings if isinstance(each.body, MessageDelta))


def until(stream_events: list[Happening], condition: Callable[[Happening], bool]) -> Happening:
    return next(each for each in stream_events if condition(each))


# --- streams ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_a_run_is_streamed_from_its_start_to_its_end(server: ColloquyServer, connect: Connect, transport: str) -> None:
    """Typed events in order, the text of the deltas is the message, and the state is the server's."""
    client = connect(server.url, transports=(transport,))
    assert client.transport == transport
    stream = client.stream()
    events = stream.events(TIMEOUT_S)  # before the start: after it, the first words may be in the state already
    stream.start("Are bank shares cheap?", team="debate")
    happenings = list(events)
    check_story(happenings)
    assert tokens(happenings) == 120
    texts: dict[str, str] = {}
    for happening in happenings:
        match happening.body:
            case MessageDelta(message_id=message_id, delta=delta):
                texts[message_id] = texts.get(message_id, "") + delta
            case AgentMessage(role="agent", message_id=message_id, content=content):
                assert texts[message_id] == content == stream.text(message_id)
    assert len(texts) == 3
    assert isinstance(happenings[-1].body, ConversationStatus)
    assert stream.status is Status.COMPLETED
    same_as_server(stream, server)
    assert (stream.metrics.gaps, stream.metrics.duplicates, stream.metrics.reconnects) == (0, 0, 0)


def test_a_burst_keeps_its_order(server: ColloquyServer, connect: Connect, model: ModelServer) -> None:
    """Thousands of events at once: none overtakes another, and none is asked for again."""
    model.control(tokens=3000, token_delay_ms=0, piece_bytes=40)
    stream = connect(server.url).start("x", options=RunOptions(max_turns=1))
    check_story(read(stream))
    assert (stream.metrics.gaps, stream.metrics.duplicates) == (0, 0)
    same_as_server(stream, server)


def test_joining_in_mid_sentence_leads_to_the_same(
    server: ColloquyServer, connect: Connect, model: ModelServer
) -> None:
    """A reader who comes late begins with the conversation as it stands, and misses nothing after it."""
    model.control(token_delay_ms=10)
    first = connect(server.url).start("Are bank shares cheap?")
    for happening in first.events(TIMEOUT_S):
        if isinstance(happening.body, MessageDelta) and happening.offset and happening.offset > 15:
            break
    late = connect(server.url).join(str(first.conversation_id))
    happenings = read(late)
    check_story(happenings)
    assert happenings[0].body.state.messages[-1].state == "open"  # type: ignore[union-attr]  # check_story has looked
    same_as_server(late, server)


def test_a_position_brings_only_what_was_missed(server: ColloquyServer, connect: Connect) -> None:
    """Another process can go on where this one stopped, with merged deltas."""
    stream = connect(server.url).start("Are bank shares cheap?")
    for happening in stream.events(TIMEOUT_S):
        if isinstance(happening.body, MessageStart):
            break
    position = stream.position
    read(stream)
    again = connect(server.url).stream()
    events = again.events(TIMEOUT_S)
    ack = again.join(str(stream.conversation_id), position=position)
    assert ack.recovered
    happenings = list(events)
    check_story(happenings)
    assert happenings[0].body.state.messages == ()  # type: ignore[union-attr]
    missed = [each for each in happenings if isinstance(each.body, AgentMessage)]
    assert len(missed) >= 3
    assert again.metrics.batches >= 1
    assert again.metrics.offset == stream.metrics.offset


def test_a_filter_leaves_out_and_makes_no_hole(server: ColloquyServer, connect: Connect) -> None:
    """Only what was asked for, and the end."""
    stream = connect(server.url).start("Are bank shares cheap?")
    wanted = Filter(types=(AgentMessage.name,), agents=("Risk Challenger",))
    filtered = connect(server.url).stream()
    events = filtered.events(TIMEOUT_S)
    filtered.join(str(stream.conversation_id), filter=wanted)
    happenings = list(events)
    check_story(happenings)
    names = {each.name for each in happenings if each.offset is not None}
    assert names <= {AgentMessage.name, ConversationStatus.name, ConversationComplete.name}
    assert filtered.metrics.gaps == 0
    assert filtered.text(until(happenings, lambda each: isinstance(each.body, AgentMessage)).payload["message_id"])


def test_pause_resume_stop_and_the_next_turn(server: ColloquyServer, connect: Connect, model: ModelServer) -> None:
    """Each is answered when it is done; what is not allowed is refused with its code."""
    model.control(token_delay_ms=20)
    stream = connect(server.url).start("Are bank shares cheap?", options=RunOptions(max_turns=1))
    for happening in stream.events(TIMEOUT_S):
        if isinstance(happening.body, MessageDelta):
            break
    assert stream.pause().status is Status.PAUSED
    with pytest.raises(ClientError) as refused:
        stream.pause()
    assert (refused.value.code, refused.value.retryable) == ("invalid_state", False)
    assert stream.resume().status is Status.ACTIVE
    assert stream.stop().tokens.completion_tokens > 0
    read(stream)
    assert stream.status is Status.STOPPED
    model.control(token_delay_ms=0)
    taken = stream.send("And now?", content_type=ContentType.ARTICLE)
    happenings = read(stream)
    assert taken.result(TIMEOUT_S).session_id == stream.state.session_id
    assert [each.content for each in stream.state.messages if each.role == "user"][-1] == "And now?"
    check_story(happenings)


def test_handlers_hear_in_order_and_may_give_commands(
    server: ColloquyServer, connect: Connect, model: ModelServer
) -> None:
    """By class, by name and all of it; one that raises harms no other."""
    model.control(token_delay_ms=20)
    client = connect(server.url)
    stream = client.stream()
    heard: list[Happening] = []
    ended = threading.Event()

    def stop_at_the_first_word(_: Happening) -> None:
        off()
        stream.stop()

    off = stream.on(MessageDelta, stop_at_the_first_word)
    stream.on(MessageDelta.name, lambda _: 1 / 0)
    stream.on("*", heard.append)
    stream.on(ConversationStatus, lambda each: ended.set() if each.payload["status"] == Status.STOPPED else None)
    stream.start("Are bank shares cheap?")
    assert ended.wait(TIMEOUT_S)
    stream.close()
    check_story(heard)
    assert stream.status is Status.STOPPED


def test_the_client_hears_its_connection_and_the_operator(server: ColloquyServer, connect: Connect) -> None:
    """Broadcasts and pings are nobody's conversation."""
    client = connect(server.url, ping_interval_s=0)
    heard: list[str] = []
    spoken = threading.Event()
    client.on(Broadcast, lambda each: (heard.append(each.payload["message"]), spoken.set()))
    assert client.ping() == client.latency_ms
    http_json("POST", f"{server.url}/api/websocket/broadcast", {"message": "Tea is ready"})
    assert spoken.wait(TIMEOUT_S)
    assert heard == ["Tea is ready"]
    assert client.uptime_s is not None
    assert abs(client.clock_skew_ms) < 60_000


def test_what_cannot_be_done_says_why(server: ColloquyServer, connect: Connect) -> None:
    """Typed errors, and no conversation left half joined."""
    client = connect(server.url)
    with pytest.raises(ClientError) as unknown:
        client.join("nobody-knows-it")
    assert unknown.value.code == "conversation_unknown"
    with pytest.raises(ClientError) as refused:
        client.start("x", team="no-such-team")
    assert refused.value.code == "team_unknown"
    with pytest.raises(ClientError) as early:
        client.stream().send("hello")
    assert early.value.code == "not_joined"
    running = client.start("x")
    with pytest.raises(ClientError):
        running.start("y", conversation_id=running.conversation_id)
    read(running)  # and is watched on
    client.close()
    with pytest.raises(ClientError) as closed:
        client.ping()
    assert closed.value.code == "not_connected"


def test_nobody_there() -> None:
    """Connecting gives up in time and leaves no thread."""
    with Forwarder(1) as way:
        url = way.url
    client = Client(url, reconnection_delay_s=0.02)
    with pytest.raises(ClientError) as nobody:
        client.connect(timeout_s=0.2)
    assert (nobody.value.code, nobody.value.retryable) == ("unreachable", True)
    assert client.connection is Connection.CLOSED


# --- lost connections -------------------------------------------------------------------------------------------------


def test_cut_connections_lose_and_double_nothing(
    server: ColloquyServer, forwarder: Forwarder, connect: Connect, model: ModelServer
) -> None:
    """Cut again and again in mid-sentence: the story has no hole and no double, and never begins anew."""
    model.control(token_delay_ms=10)
    client = connect(forwarder.url)
    stream = client.stream()
    events = stream.events(TIMEOUT_S)
    stream.start("Are bank shares cheap?")
    happenings: list[Happening] = []
    uncut = 0
    for happening in events:
        happenings.append(happening)
        if isinstance(happening.body, MessageDelta):
            uncut += happening.body.tokens
            if uncut > 10:
                forwarder.cut()
                uncut = 0
    check_story(happenings)
    assert [each.body.reason for each in happenings if isinstance(each.body, Replaced)] == ["joined"]
    assert tokens(happenings) == 120
    assert client.reconnects == stream.metrics.reconnects >= 1
    same_as_server(stream, server)


def test_credentials_are_asked_for_before_each_connection(forwarder: Forwarder, connect: Connect) -> None:
    """A function that fails is asked again."""
    asked: list[int] = []
    back = threading.Event()

    def fresh() -> dict[str, str]:
        asked.append(1)
        if len(asked) == 2:
            raise RuntimeError("no token today")
        return {"token": token()}

    client = connect(forwarder.url, auth=fresh)
    client.on(ClientEvent.CONNECTION, lambda each: back.set() if len(asked) >= 3 and client.reconnects else None)
    forwarder.cut()
    assert back.wait(TIMEOUT_S)
    assert len(asked) == 3
    assert client.last_error is None


def test_a_start_whose_answer_was_lost_starts_once(
    server: ColloquyServer, forwarder: Forwarder, connect: Connect
) -> None:
    """It is sent again under its own id when the connection is back."""
    client = connect(forwarder.url, ping_interval_s=0)
    before = len(server.get("/api/conversations")["conversations"])
    forwarder.swallow_answers()
    stream = client.stream()
    starting = threading.Thread(target=stream.start, args=("Are bank shares cheap?",))
    starting.start()
    try:
        wait_until(lambda: len(server.get("/api/conversations")["conversations"]) == before + 1)
    finally:
        forwarder.cut()
        starting.join(TIMEOUT_S)
    read(stream)
    assert len(server.get("/api/conversations")["conversations"]) == before + 1
    same_as_server(stream, server)


def test_what_is_written_offline_is_sent_once_and_in_order(
    server: ColloquyServer, forwarder: Forwarder, connect: Connect, model: ModelServer
) -> None:
    """Also where the answer to the first one is lost; what was taken back is not sent."""
    model.control(tokens=3, token_delay_ms=0)
    client = connect(forwarder.url, ping_interval_s=0)
    stream = client.start("zero", options=RunOptions(max_turns=1))
    read(stream)
    forwarder.swallow_answers()
    first = stream.send("one")
    wait_until(lambda: "one" in user_messages(server, stream.conversation_id))
    forwarder.refuse()
    second, unwanted, third = stream.send("two"), stream.send("not this"), stream.send("three")
    assert unwanted.cancel()
    assert [each.content for each in client.queued] == ["one", "two", "three"]
    assert not first.done()
    forwarder.accept()
    happenings = read(stream)
    check_story(happenings)
    assert user_messages(server, stream.conversation_id) == ["zero", "one", "two", "three"]
    assert len({each.result(TIMEOUT_S).session_id for each in (first, second, third)}) == 3
    assert client.queued == ()
    same_as_server(stream, server)


def test_the_queue_is_bounded(forwarder: Forwarder, connect: Connect, model: ModelServer) -> None:
    """A message too many is refused at once; what waits when the client closes is refused then."""
    model.control(tokens=3, token_delay_ms=0)
    client = connect(forwarder.url, max_queued=2)
    stream = client.start("zero")
    read(stream)
    forwarder.refuse()
    waiting = [stream.send("one"), stream.send("two")]
    with pytest.raises(ClientError) as full:
        stream.send("three")
    assert full.value.code == "queue_full"
    client.close()
    assert all(isinstance(each.exception(TIMEOUT_S), ClientError) for each in waiting)


def test_a_killed_server_leaves_the_text_marked_interrupted(model: ModelServer, connect: Connect) -> None:
    """Its successor knows nothing of the conversation: what had arrived stays, and says that it broke off."""
    model.control(token_delay_ms=30)
    with Forwarder(1) as way:
        with ColloquyServer(model_url=model.url, env={"STREAM_TOKENS_PER_S": "0"}) as doomed:
            way.target_port = doomed.port
            stream = connect(way.url).start("Are bank shares cheap?")
            happenings = []
            for happening in stream.events(TIMEOUT_S):
                happenings.append(happening)
                if tokens(happenings) >= 5:
                    break
            before = stream.state.messages[-1]
            assert before.state == "open"
            doomed.kill()
        with ColloquyServer(model_url=model.url) as successor:
            way.target_port = successor.port
            rest = read(stream)
    assert stream.failure is not None
    assert stream.failure.code == "conversation_unknown"
    after = stream.state.messages[-1]
    assert after.content.startswith(before.content)
    assert (after.state, after.reason) == ("partial", "interrupted")
    assert stream.state.error is not None
    assert (stream.status, stream.state.error.code) == (Status.ERROR, "interrupted")
    assert isinstance(rest[-1].body, Replaced)
    assert rest[-1].body.reason == "interrupted"
    with pytest.raises(ClientError) as refused:
        stream.send("And now?")
    assert refused.value.code == "conversation_unknown"


def user_messages(server: ColloquyServer, conversation_id: str | None) -> list[str]:
    snapshot = server.get(f"/api/conversations/{conversation_id}")
    return [each["content"] for each in snapshot["messages"] if each["role"] == "user"]
