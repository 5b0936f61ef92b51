"""Writing messages through a port: start, pieces, end. What was streamed always equals the message's content."""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from dataclasses import dataclass, field

from app.adapters.base import RunPort
from app.adapters.confidence import stated_confidence
from app.protocol.common import MessageKind
from app.protocol.events import AgentMessage, MessageReset, MessageStart
from app.providers.calls import Call

_WORDS = re.compile(r"\s*\S+\s*|\s+")


def words_of(text: str) -> list[str]:
    """A text in pieces of one word each, with the blanks behind it; joined, they are the text."""
    return _WORDS.findall(text)


@dataclass(slots=True, eq=False)
class OpenMessage:
    """A message that is being written."""

    agent: str
    kind: MessageKind = "message"
    message_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    text: str = ""
    started: bool = False


class MessageWriter:
    """Writes one run's messages.

    :param word_delay_ms: between the words of a reply that came whole.
    """

    def __init__(self, port: RunPort, word_delay_ms: float) -> None:
        self._port = port
        self._word_delay_s = word_delay_ms / 1000

    async def piece(self, message: OpenMessage, text: str, tokens: int, *, reserved: bool) -> None:
        """The next piece. One that is not reserved waits for the gate."""
        await self.start(message)
        if not reserved:
            await self._port.gate.opened()
        self.piece_now(message, text, tokens, reserved=reserved)

    def piece_now(self, message: OpenMessage, text: str, tokens: int, *, reserved: bool) -> None:
        """The next piece of a message that has been started, without waiting."""
        message.text += text
        self._port.delta(message.message_id, message.agent, text, tokens, reserved=reserved)

    async def words(self, message: OpenMessage, text: str) -> None:
        """A text that is there already, word by word, at the writer's delay. Time spent paused is not caught up."""
        await self.start(message)
        due = time.monotonic()
        for word in words_of(text):
            if self._word_delay_s:
                wait = due - time.monotonic()
                if wait > 0:
                    await asyncio.sleep(wait)
                due = max(due, time.monotonic() - self._word_delay_s) + self._word_delay_s
            await self._port.gate.admit(1)
            self.piece_now(message, word, 1, reserved=True)

    async def end(
        self,
        message: OpenMessage,
        content: str,
        *,
        call: Call | None = None,
        model: str | None = None,
        partial_reason: str | None = None,
        scripted: bool = False,
        at_once: bool = False,
    ) -> None:
        """The whole message. Where other text was streamed than the agent settled on, that is withdrawn first.

        :param call: that has brought it.
        :param model: who wrote it, where that was no call.
        :param scripted: no agent has said this, so it states no confidence.
        :param at_once: what was not streamed comes in one piece, not word by word.
        """
        if not content.startswith(message.text):
            await self.reset(message, "the agent has revised its words")
        rest = content[len(message.text) :]
        if rest and at_once:
            await self.start(message)
            await self._port.gate.admit(1)
            self.piece_now(message, rest, 1, reserved=True)
        elif rest or not message.started:
            await self.words(message, rest)
        await self._port.emit(
            AgentMessage(
                message_id=message.message_id,
                agent=message.agent,
                content=content,
                kind=message.kind,
                confidence=None if scripted or message.kind != "message" else stated_confidence(content),
                usage=call.usage if call else None,
                model=call.model if call else model,
                truncated=call is not None and call.condensed,
                cut_off=call is not None and call.cut_off,
                partial=partial_reason is not None,
                reason=partial_reason,
            )
        )

    async def reset(self, message: OpenMessage, reason: str) -> None:
        """Withdraw what was streamed; the message begins again, under a new id."""
        if message.started:
            await self._port.emit(MessageReset(message_id=message.message_id, agent=message.agent, reason=reason))
        message.message_id, message.text, message.started = uuid.uuid4().hex, "", False

    async def start(self, message: OpenMessage) -> None:
        """Announce the message, unless that was done."""
        if not message.started:
            await self._port.emit(MessageStart(message_id=message.message_id, agent=message.agent, kind=message.kind))
            message.started = True
