"""A Socket.IO client whose sign-in ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from app.auth.identity import Principal
from app.namespaces.client import SocketClient
from app.protocol.close_codes import CloseCode


class Way:
    """Notes what is sent, and when a client is disconnected and cut off."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def emit_to_client(self, sid: str, *events: tuple[str, dict[str, Any]]) -> None:
        self.done += [name for name, _ in events]

    def disconnect(self, sid: str) -> Callable[[], None]:
        self.done.append("disconnected")
        return lambda: self.done.append("cut")


class Talk:
    """A conversation that notes who leaves it."""

    id = "c1"
    left = ""

    def leave(self, sid: str) -> None:
        self.left = sid


def client(way: Way, talk: Talk) -> SocketClient:
    found: Any = {"c1": talk}
    return SocketClient("s1", Principal("anna", "jwt"), "", way=way, find=found.get, ticket=0)


def test_the_last_word_comes_before_the_end() -> None:
    """From then on it takes no commands; it is cut off only where that was not enough."""
    way = Way()
    ending = client(way, Talk())
    ending.abort()
    ending.dismiss("bye", {}, CloseCode.SIGNED_OUT)
    assert ending.ended
    assert way.done == ["bye", "disconnected"]
    ending.abort()
    assert way.done[-1] == "cut"


def test_access_that_ends_takes_it_out_of_the_room_first() -> None:
    """So that nothing follows the word; what is no longer in memory flows to nobody."""
    way, talk = Way(), Talk()
    watching = client(way, talk)
    watching.followed |= {"c1", "gone"}
    assert watching.watched() == [talk]
    watching.end_access("c1", "ended", {})
    assert (talk.left, way.done, watching.followed) == ("s1", ["ended"], {"gone"})
