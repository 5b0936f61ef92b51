"""What stands between the messages of an exported conversation: tool calls, and charts, in a page as what they show."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator

from app.http.artifacts import PICTURES
from app.protocol.common import failed_as
from app.protocol.snapshot import ChartView, MessageView, ToolCallView
from app.store.base import ConversationStore

MOST_EMBEDDED_BYTES = 16_777_216
"""Of all pictures in one page; those behind are named only."""
CUT_OFF_WORDS = "cut off at its greatest length"
"""Beside a reply that ends where it may not be longer."""


Aside = ToolCallView | ChartView


def in_time(messages: Iterator[MessageView], asides: Iterable[Aside]) -> Iterator[MessageView | Aside]:
    """Messages, and what belongs between them, oldest first."""
    waiting = sorted(asides, key=lambda aside: aside.timestamp, reverse=True)
    for message in messages:
        while waiting and waiting[-1].timestamp < message.timestamp:
            yield waiting.pop()
        yield message
    while waiting:
        yield waiting.pop()


def answer_of(call: ToolCallView) -> tuple[str, str]:
    """What came of a tool call, in a word or two, and its answer, or the beginning of it."""
    if call.success is None:
        return "no answer", ""
    cut = f", {len(call.preview):,} of {call.length:,} characters" if call.length > len(call.preview) else ""
    return ("answered" if call.success else failed_as(call.code)) + cut, call.preview


class Pictures:
    """A conversation's pictures as ``data:`` addresses, as long as the page does not grow too large. For one page."""

    def __init__(self, store: ConversationStore, conversation_id: str) -> None:
        self._store = store
        self._conversation_id = conversation_id
        self._left_bytes = MOST_EMBEDDED_BYTES

    def address_of(self, chart: ChartView) -> str | None:
        """None: it is not this conversation's own picture, not kept any more, or the page is full."""
        head, _, artifact_id = chart.url.rpartition("/")
        if head != f"/api/conversations/{self._conversation_id}/artifacts":
            return None
        found = self._store.artifact(self._conversation_id, artifact_id)
        if found is None or found[0] not in PICTURES or len(found[1]) > self._left_bytes:
            return None
        media_type, data = found
        self._left_bytes -= len(data)
        return f"data:{media_type};base64,{base64.b64encode(data).decode()}"
