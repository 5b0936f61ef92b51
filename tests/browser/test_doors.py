"""The doors beside Socket.IO, by what a browser has on board: `EventSource` and `WebSocket`."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.chaos.proxy import FaultProxy
from tests.support.http import http_json
from tests.support.model_server import ModelServer
from tests.support.server import ColloquyServer

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Any]

START = """async (content) => {
  const socket = new WebSocket(`ws://${location.host}/api/conversations/new/stream`);
  await new Promise((resolve) => (socket.onopen = resolve));
  socket.send(JSON.stringify({ type: "start_conversation", data: { content, contentType: "text", team: "chat" } }));
  const { data } = await new Promise((resolve) => (socket.onmessage = resolve));
  window.seen = { snapshots: 0, opened: 0, events: [], extensions: socket.extensions };
  socket.close();
  return JSON.parse(data).data.conversation_id;
}"""

LISTEN = """(id) => {
  const source = new EventSource(`/api/conversations/${id}/stream`);
  source.onopen = () => window.seen.opened++;
  source.addEventListener("snapshot", (event) => {
    window.seen.snapshots++;
    window.seen.first = JSON.parse(event.data);
  });
  for (const name of ["message_start", "message_delta", "agent_step", "agent_message", "progress",
    "conversation_complete", "conversation_status"]) {
    source.addEventListener(name, (event) => {
      const payload = JSON.parse(event.data);
      if (payload.offset === undefined) return; // a silent moment's progress, which no log has
      window.seen.events.push([payload.prev_offset, payload.offset]);
      if (payload.status === "completed") window.seen.done = true;
    });
  }
}"""


WAIT = """(what) => new Promise((resolve) => {
  const look = () => {
    const came = what === "the end" ? window.seen.done : window.seen.events.length > 20;
    if (came) resolve();
    else setTimeout(look, 20);
  };
  look();
})"""


@pytest.fixture
def proxy(server: ColloquyServer) -> Iterator[tuple[str, Callable[[], None]]]:
    """The server behind a proxy: the address, and a function that breaks all connections.

    The proxy needs an event loop, of which Playwright lets this thread have none.
    """
    ready: queue.Queue[tuple[str, Callable[[], None], Callable[[], None]]] = queue.Queue()

    async def serve() -> None:
        loop, over = asyncio.get_running_loop(), asyncio.Event()
        async with FaultProxy(server.port) as proxy:
            ready.put(
                (proxy.url, lambda: loop.call_soon_threadsafe(proxy.reset), lambda: loop.call_soon_threadsafe(over.set))
            )
            await over.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    url, reset, end = ready.get(timeout=10)
    yield url, reset
    end()
    thread.join()


def test_an_event_source_comes_back_by_itself(
    open_page: OpenPage, server: ColloquyServer, model: ModelServer, proxy: tuple[str, Callable[[], None]]
) -> None:
    """Its connection is cut in mid-sentence: it reconnects, and its events have no hole and no double."""
    model.control(tokens=800, token_delay_ms=5)
    url, reset = proxy
    page = open_page(f"{url}/websocket-test")
    conversation_id = page.evaluate(START, "Should the bank keep its dividend?")
    assert page.evaluate("window.seen.extensions") == ""  # compression was offered, and refused
    page.evaluate(LISTEN, conversation_id)
    page.evaluate(WAIT, "20 events")
    reset()
    page.evaluate(WAIT, "the end")
    seen = page.evaluate("window.seen")
    page.close()
    assert (seen["snapshots"], seen["opened"]) == (1, 2)
    at = seen["first"]["offset"]
    for before, offset in seen["events"]:
        assert before == at
        at = offset
    assert at == http_json("GET", f"{server.url}/api/conversations/{conversation_id}")["offset"]
