"""A real Socket.IO client for tests: sends commands, keeps every event, and can tell whether anything was lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import socketio

from app.protocol import NAMESPACE
from tests.support.waiting import wait_until

Event = tuple[str, dict[str, Any]]
TERMINAL = ("completed", "stopped", "error")


class Watcher:
    """One connection to the server, on the library's own client. A context manager; every method blocks.

    :param transports: as for python-socketio.
    :param timeout_s: for each wait and each ack.
    :param auth: what it brings along: `{token}`, `{link}`.
    """

    def __init__(
        self,
        url: str,
        *,
        transports: tuple[str, ...] = ("websocket",),
        timeout_s: float = 20.0,
        auth: Any = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        self._url = url
        self._transports = list(transports)
        self._timeout_s = timeout_s
        self._auth = auth
        self._headers = headers or {}
        self._client = socketio.Client(reconnection=False)
        self._client.on("*", self._take, namespace=NAMESPACE)
        self._events: list[Event] = []
        self._changed = threading.Condition()

    def __enter__(self) -> Self:
        self._client.connect(
            self._url, namespaces=[NAMESPACE], transports=self._transports, auth=self._auth, headers=self._headers
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._client.disconnect()
        self._client.eio.queue.put(None)  # its writer may have looked at the state too early, and waits for 20 s
        self._client.eio.wait()  # the client's own wait sleeps a second for a reconnection that is off

    def _take(self, name: str, payload: dict[str, Any]) -> None:
        with self._changed:
            self._events.append((name, payload))
            self._changed.notify_all()

    def command(self, name: str, payload: Any = None) -> dict[str, Any]:
        """Send a command and return its ack, whatever it says."""
        ack: dict[str, Any] = self._client.call(name, payload, namespace=NAMESPACE, timeout=self._timeout_s)
        return ack

    def send(self, name: str, payload: Any = None) -> None:
        """Send a command and do not wait for its ack."""
        self._client.emit(name, payload, namespace=NAMESPACE)

    def must(self, name: str, payload: Any = None) -> dict[str, Any]:
        """Send a command that has to succeed."""
        ack = self.command(name, payload)
        assert ack["ok"], ack
        return ack

    def refused(self, name: str, payload: Any = None) -> str:
        """Send a command that has to fail; its error's code."""
        ack = self.command(name, payload)
        assert ack["ok"] is False, ack
        assert ack["error"]["message"], ack
        code: str = ack["error"]["code"]
        return code

    def events(self, *names: str) -> list[Event]:
        """What has come so far; of these names only, if there are any."""
        with self._changed:
            return [event for event in self._events if not names or event[0] in names]

    def wait_for(self, condition: Callable[[list[Event]], Any], what: str = "it") -> Any:
        """Wait until the events fulfil a condition; its value.

        :raises TimeoutError: naming what did not come, and what came last.
        """
        deadline = time.monotonic() + self._timeout_s
        with self._changed:
            while not (value := condition(self._events)):
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError(f"{what} did not come; the last events: {self._events[-5:]}")
                self._changed.wait(left)
            return value

    def wait_for_event(self, name: str, **fields: Any) -> dict[str, Any]:
        """The first event of this name whose payload has these fields."""

        def found(events: list[Event]) -> dict[str, Any] | None:
            return next(
                (payload for each, payload in events if each == name and fields.items() <= payload.items()), None
            )

        payload: dict[str, Any] = self.wait_for(found, f"{name} {fields or ''}")
        return payload

    def wait_for_disconnect(self) -> None:
        """Wait until the server has closed the connection."""
        wait_until(
            lambda: not self._client.connected and self._client.eio.state != "connected", "its end", self._timeout_s
        )

    def wait_for_end(self, session_id: str | None = None) -> str:
        """Wait for a terminal status (of this session); which it is."""

        def ended(events: list[Event]) -> str | None:
            for name, payload in events:
                mine = session_id in (None, payload.get("session_id"))
                if name == "conversation_status" and payload["status"] in TERMINAL and mine:
                    return str(payload["status"])
            return None

        return str(self.wait_for(ended, "the end"))

    def wait_for_tokens(self, count: int) -> None:
        """Wait until so many tokens have come."""
        self.wait_for(lambda events: tokens_of(events) >= count, f"{count} tokens")


def tokens_of(events: list[Event]) -> int:
    """Tokens in the deltas of these events."""
    return sum(payload["tokens"] for name, payload in events if name == "message_delta")


def logged(events: list[Event]) -> list[Event]:
    """The events that have an offset."""
    return [event for event in events if "prev_offset" in event[1]]


def check_chain(events: list[Event], start: int) -> None:
    """Fail where the logged events after ``start`` have a hole, a double or a wrong order."""
    at = start
    for name, payload in logged(events):
        assert payload["prev_offset"] == at, f"{name} covers {payload['prev_offset']}…, but {at} was the last"
        assert payload["offset"] > payload["prev_offset"]
        at = payload["offset"]


def folded(ack: dict[str, Any], events: list[Event]) -> dict[str, dict[str, Any]]:
    """What a reader holds: the messages of the ack's snapshot, with the later events applied. Text by message id."""
    snapshot = ack["snapshot"]
    texts = {each["message_id"]: dict(each) for each in snapshot["messages"]}
    for name, payload in logged(events):
        if payload["offset"] <= ack["offset"] or payload["conversation_id"] != ack["conversation_id"]:
            continue
        if name == "message_start":
            texts[payload["message_id"]] = {"agent": payload["agent"], "content": "", "state": "open"}
        elif name == "message_delta":
            texts[payload["message_id"]]["content"] += payload["delta"]
        elif name == "agent_message":
            known = texts.setdefault(payload["message_id"], {"agent": payload["agent"], "content": payload["content"]})
            if not payload["partial"] and payload["role"] == "agent":
                assert known["content"] == payload["content"], "the deltas are not the message"
            known.update(content=payload["content"], state="partial" if payload["partial"] else "complete")
        elif name == "message_reset":
            texts.pop(payload["message_id"], None)
    return texts


def server_texts(snapshot: dict[str, Any]) -> dict[str, str]:
    """The server's own view, to compare :func:`folded` with."""
    return {each["message_id"]: each["content"] for each in snapshot["messages"]}
