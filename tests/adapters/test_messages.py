"""Writing messages: word by word or at once, and never ahead of the credit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from app.adapters.messages import MessageWriter, OpenMessage
from app.protocol.events import Event
from app.providers.gate import Gate

TEXT = "One two three four five six."
WORDS = ["One ", "two ", "three ", "four ", "five ", "six."]


class Port:
    """The part of a run that a writer uses: what leaves is counted by the gate."""

    def __init__(self, allowed: int) -> None:
        self.gate = Gate(allowed)
        self.said: list[str] = []
        self.ended = False

    async def emit(self, event: Event) -> None:
        self.ended = self.ended or event.name == "agent_message"

    def delta(self, message_id: str, agent: str, text: str, tokens: int, *, reserved: bool) -> None:
        self.gate.sent(tokens, reserved=reserved)
        self.said.append(text)


Write = Callable[[MessageWriter, OpenMessage], Coroutine[Any, Any, None]]
WAYS: dict[str, Write] = {
    "words": lambda writer, message: writer.words(message, TEXT),
    "whole": lambda writer, message: writer.end(message, TEXT),
}


async def settled() -> None:
    """Everything that could run has run."""
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.mark.parametrize("way", WAYS)
async def test_no_word_leaves_without_credit(way: str) -> None:
    """A reply that came whole waits for its reader word by word, as one that streams does."""
    port = Port(allowed=2)
    writing = asyncio.create_task(WAYS[way](MessageWriter(port, 0), OpenMessage("a")))  # type: ignore[arg-type]
    await settled()
    assert (port.said, port.gate.credit, writing.done()) == (WORDS[:2], 0, False)
    port.gate.grant(5)
    await settled()
    assert (port.said, port.gate.credit, writing.done()) == (WORDS[:5], 0, False)
    port.gate.grant(6)
    await writing
    assert (port.said, port.ended) == (WORDS, way == "whole")


@pytest.mark.parametrize("way", ["at once", "piece"])
async def test_no_piece_leaves_while_there_is_no_credit(way: str) -> None:
    """Nor while a pause holds it."""
    port = Port(allowed=0)
    writer, message = MessageWriter(port, 0), OpenMessage("a")  # type: ignore[arg-type]
    work = (
        writer.end(message, TEXT, at_once=True) if way == "at once" else writer.piece(message, TEXT, 1, reserved=False)
    )
    writing = asyncio.create_task(work)
    await settled()
    assert port.said == []
    port.gate.pause()
    port.gate.grant(1)
    await settled()
    assert port.said == []
    port.gate.resume()
    await writing
    assert port.said == [TEXT]
